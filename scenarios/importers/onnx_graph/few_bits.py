"""Products with a matrix of few bits, of which each block has a scale (MatMulNBits of com.microsoft).

Model: the kernel reads the bits, the scales and the zeros, and makes them what the other matrix is before it multiplies: two
ops, fused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scenarios.importers.onnx_graph.blocks import attribute
from scenarios.importers.onnx_graph.walk import OnnxWalk, label_in_lines, rule
from scenarios.importers.op_lines import OpLines, Value

_DTYPES: Mapping[int, str] = {4: "int4", 8: "int8"}


def _product(
    lines: OpLines, node: Any, inputs: Sequence[Value], label: str, like: tuple[str, Sequence[int]]
) -> tuple[Value, list[str]]:
    """The product, and the names of ops that are one kernel; none, and no rule, for other bits than 4 and 8."""
    k, n, bits = (int(attribute(node, name, usual)) for name, usual in (("K", 0), ("N", 0), ("bits", 4)))
    if bits not in _DTYPES or inputs[0].dims[-1] != k or like[1][-1] != n:
        return lines.unknown(f"{node.domain}.{node.op_type} of {bits} bits", inputs, label, like), []
    weights = lines.source(f"{inputs[1].name}_{bits}bit", _DTYPES[bits], (k, n))
    given = [weights, *inputs[2:]]
    scaled = lines.op("custom", given, f"{label}_scaled", (weights.dtype, (k, n)), f"flops={k * n} FLOP")
    made = lines.op("matmul", [inputs[0], scaled], label, like)
    return made, [scaled.name, made.name]


@rule("MatMulNBits")
def _few_bits(walk: OnnxWalk, node: Any, inputs: list[Value]) -> Value:
    made, fused = _product(walk.lines, node, inputs, label_in_lines(node), walk.model.type_of(node))
    walk.fused += [fused] if fused else []
    return made


@rule("DequantizeLinear")
def _dequantised(_walk: OnnxWalk, _node: Any, inputs: list[Value]) -> Value:
    """The kernel that reads it makes many bits of few."""
    return inputs[0]
