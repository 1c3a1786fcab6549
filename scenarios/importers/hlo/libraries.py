"""Rules for calls of vendors' libraries: what a call says of itself is a matmul, a convolution, or attention.

Model: cuBLAS and oneDNN matmuls are dots, cuDNN's convolutions have the FLOPs of the forward one whichever gradient they
make, cuDNN's attention is `attention`, its backward pass 2.5 times the FLOPs of the forward one (five products for two).
Source: XLA's GPU rewriters (gemm_rewriter, conv_rewriter, cudnn_fused_mha_rewriter), whose calls these are.
"""

from __future__ import annotations

import re
from dataclasses import replace

from scenarios.importers.hlo.costs import numbers, window_of
from scenarios.importers.hlo.kernels import priced
from scenarios.importers.hlo.lowering import RULES, Lowering, Tree, flat, out_bytes, rule
from scenarios.importers.hlo.module import Instruction, Shape, leaves
from scenarios.importers.op_lines import Value

_GEMM = re.compile(r'"((?:lhs|rhs)_(?:batch|contracting))_dimensions":\[([^\]]*)\]')
"""What a call of a library says of its matmul; of attention, of its two."""
_SHARDING = (
    "Sharding",
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
    "annotate_device_placement",
    "LayoutConstraint",
    "AssumeGatherIndicesInBound",
    "SliceToDynamic",
)
_NOTHING = ("AllocateBuffer", "BarrierStart", "BarrierDone", "CreateBuffer")
"""What makes memory without content, or waits for other chips, as the collective behind it does."""
_SELECTS = ("TopK", "__gpu$TopK", "__cub$DeviceRadixSort", "ApproxTopK", "PadToStatic")
"""What reads all that it is given and writes a part of it, or all in another order."""
_BACKWARD = 2.5
"""FLOPs of attention backward over those forward: five products of matrices for two."""


@rule("custom-call")
def _custom_call(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    target = each.attributes.get("custom_call_target", "").strip('"')
    if operands and (target in _SHARDING or target.startswith("xla.sdy")):
        return operands[0] if len(operands) == 1 else tuple(operands)
    if target in _NOTHING:
        return run.source(each.name, each.type)
    arrays = [value for value in operands if isinstance(value, Value)]
    dims = _GEMM.findall(each.attributes.get("backend_config", ""))
    if "fmha" in target and len(arrays) >= 3 and len(dims) >= 4:
        return _attention(run, each, arrays, target)
    if dims and len(arrays) >= 2 and ("gemm" in target or "matmul" in target):
        return _matmul(run, each, operands, dims)
    is_convolution = "__cudnn$conv" in target or target == "DynamicConvolutionForward"
    if is_convolution and len(arrays) >= 2 and "dim_labels" in each.attributes:
        return _convolution(run, each, operands, target)
    inputs = [value for tree in operands for value in flat(tree)]
    if target in _SELECTS:
        moved = sum(value.nbytes for value in inputs) + out_bytes(each)
        return run.made(each, lambda label, like: run.lines.moved(inputs, label, like, moved))
    return run.made(each, lambda label, like: run.lines.unknown(f"custom-call {target}", inputs, label, like))


def _first_of(run: Lowering, each: Instruction, operands: list[Tree], opcode: str, said: dict[str, str]) -> Tree:
    """A call as the instruction that it stands for; what it makes beside its first result is memory to work in."""
    first = leaves(each.type)[0]
    made = RULES[opcode](run, replace(each, opcode=opcode, type=first, attributes=said), operands)
    if isinstance(each.type, Shape):
        return made
    return made, *(run.beside(made, part) for part in each.type[1:])


def _matmul(run: Lowering, each: Instruction, operands: list[Tree], dims: list[tuple[str, str]]) -> Tree:
    said = {f"{key}_dims": value.replace('"', "") for key, value in dims}
    return _first_of(run, each, operands, "dot", said)


def _convolution(run: Lowering, each: Instruction, operands: list[Tree], target: str) -> Tree:
    """The window and the labels of a call are those of the forward convolution, whichever of its three arrays is made."""
    if "Backward" not in target:
        return _first_of(run, each, operands, "convolution", dict(each.attributes))
    first, second, made = (Shape(one.dtype, one.dims) for one in (*operands[:2], _value_like(each)))
    by_input = "BackwardInput" in target
    image, kernel, out = (made, second, first) if by_input else (first, made, second)
    forward = replace(each, opcode="convolution", type=out)
    flops = window_of(forward, image, kernel).flops
    inputs = [value for tree in operands for value in flat(tree)]
    moved = sum(value.nbytes for value in inputs[:2]) + out_bytes(replace(each, type=leaves(each.type)[0]))
    return run.op("custom", each, inputs, f"flops={flops:.15g} FLOP", f"bytes={moved:.15g} B", "unit=matrix")


def _value_like(each: Instruction) -> Value:
    first = leaves(each.type)[0]
    return Value("", first.dtype or "fp32", first.dims)


def _attention(run: Lowering, each: Instruction, arrays: list[Value], target: str) -> Tree:
    """Attention by the dims of its first product: batch and heads, then what is contracted; what is left are tokens."""
    said = each.attributes.get("backend_config", "")
    first = {key: numbers(value.replace('"', "")) for key, value in _GEMM.findall(said)[:4]}
    q, k = (_by_heads(value, first, side) for value, side in zip(arrays, ("lhs", "rhs"), strict=False))
    causal = ("causal=true",) if '"CAUSAL"' in said else ()
    if "Backward" in target:
        pairs = q[2] * k[2] * (0.5 if causal else 1.0)
        flops = _BACKWARD * 4 * q[0] * q[1] * q[3] * pairs
        moved = sum(value.nbytes for value in arrays) + out_bytes(each)
        return run.op("custom", each, arrays, *priced(flops, 0.0, moved))
    views = [run.lines.view(arrays[0], q), run.lines.view(arrays[1], k), run.lines.view(arrays[2], k)]
    shape = leaves(each.type)[0]
    made = run.lines.op("attention", views, each.name, (shape.dtype or "bf16", q), "kind=flash", *causal)
    made = run.lines.view(made, shape.dims)
    if isinstance(each.type, Shape):
        return made
    return made, *(run.beside(made, part) for part in each.type[1:])


def _by_heads(value: Value, said: dict[str, tuple[int, ...]], side: str) -> tuple[int, int, int, int]:
    """Batch, heads, tokens, width. Raises ValueError."""
    batch, width = said[f"{side}_batch"], said[f"{side}_contracting"]
    tokens = [at for at in range(len(value.dims)) if at not in (*batch, *width)]
    if len(value.dims) != 4 or len(batch) != 2 or len(tokens) != 1:
        raise ValueError("this attention has other dims than batch, heads, tokens and width")
    b, h, t, d = (value.dims[at] for at in (*batch, tokens[0], *width))
    return b, h, t, d
