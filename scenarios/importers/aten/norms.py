"""Rules of norms, forward and backward.

Model: a norm over the last dims is one over rows. The gradient of what is normalised is one kernel, those of scale and shift
another that reads the same again, as libraries have them.
Source: torch/aten/src/ATen/native/cuda/layer_norm_kernel.cu; FLOPs are rough, since memory decides.
"""

from __future__ import annotations

import math
from typing import Any

from scenarios.importers.aten.walk import Like, Tree, Walk, flat, rule
from scenarios.importers.op_lines import Value


@rule("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def _norm(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """A norm over the last dim; of several they are read as one."""
    shape = walk.sizes(arguments[1])
    kind = "rms_norm" if "rms" in str(node.target) else "layer_norm"
    scales = list(flat([*arguments[2:4], *named.values()]))
    row = math.prod(shape)

    def make(label: str, like: Like) -> Value:
        rows = (math.prod(like[1]) // row, row)
        given = [
            walk.lines.view(walk.whole(arguments[0], like[1]), rows),
            *(walk.lines.view(each, (row,)) for each in scales),
        ]
        return walk.lines.view(walk.lines.op(kind, given, label, (like[0], rows)), like[1])

    return walk.made(node, make)


@rule("native_layer_norm_backward", "_fused_rms_norm_backward")
def _norm_backward(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """The gradient of what is normalised by one kernel; those of its scale and its shift, where wanted, by another that
    reads the same again."""
    is_layer = "layer" in str(node.target)
    given, value, weight = arguments[0], arguments[1], arguments[5 if is_layer else 4]
    row = math.prod(walk.sizes(arguments[2]))
    rows = (value.elements // row, row)
    both = [walk.lines.view(value, rows), walk.lines.view(walk.whole(given, value.dims), rows)]
    scale = [walk.lines.view(weight, (row,))] if isinstance(weight, Value) else []
    kind = "layer_norm_backward" if is_layer else "rms_norm_backward"
    dtype, dims = walk.like(node)
    made = walk.lines.op(kind, [both[0], *scale, both[1]], node.name, (dtype, rows))
    parts: list[Tree] = [walk.lines.view(made, dims)]
    wanted = any(arguments[-1][1:])
    if wanted:
        scaled = walk.lines.op("norm_weight_backward", both, f"{node.name}_weight", (dtype, (row,)))
    for at, part in enumerate(node.meta["val"][1:], start=1):
        parts.append(walk.lines.view(scaled, walk.like(node, at)[1]) if wanted and part is not None else None)
    return tuple(parts)


@rule("batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "native_batch_norm",
      "_batch_norm_with_update", "_native_batch_norm_legit_functional", "cudnn_batch_norm")  # fmt: skip
def _batch_norm(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """In training twice over its input: once for statistics, once to normalise."""
    trains = "no_training" not in str(node.target) and any(each is True for each in arguments[5:6])
    value = arguments[0]

    def make(label: str, like: Like) -> Value:
        moved = value.nbytes * (2 if trains else 1) + Value("", *like).nbytes
        flops = value.elements * (10 if trains else 4)
        return walk.lines.op(
            "custom", list(flat(arguments[:5])), label, like, f"flops={flops} FLOP", f"bytes={moved:.15g} B"
        )

    return walk.made(node, make)


@rule("native_batch_norm_backward", "batch_norm_backward", "cudnn_batch_norm_backward")
def _batch_norm_backward(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    inputs = list(flat(arguments))

    def make(label: str, like: Like) -> Value:
        nbytes = Value("", *like).nbytes
        return walk.lines.op(
            "custom", inputs, label, like, f"flops={11 * math.prod(like[1])} FLOP", f"bytes={5 * nbytes:.15g} B"
        )

    return walk.made(node, make)
