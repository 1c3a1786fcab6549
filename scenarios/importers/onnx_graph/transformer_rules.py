"""Rules of what transformers have beside products and norms: attention as one op, sums with their norm, einsum.

Source: the ONNX operator schemas; onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

import math
from typing import Any

from scenarios.importers.einsum import einsum
from scenarios.importers.onnx_graph.attention import ATTENTION, attention
from scenarios.importers.onnx_graph.blocks import attribute
from scenarios.importers.onnx_graph.walk import OnnxWalk, label_in_lines, rule
from scenarios.importers.op_lines import Value


@rule(*ATTENTION)
def _attention(walk: OnnxWalk, node: Any, _inputs: list[Value]) -> Value:
    given = [walk.values[name] if name else None for name in node.input]
    made, keys, values = attention(walk.lines, node, given, label_in_lines(node), walk.model.type_of(node)[1])
    walk.values |= {name: value for name, value in zip(node.output[1:], (keys, values), strict=False) if name}
    return made


@rule("Einsum")
def _einsum(walk: OnnxWalk, node: Any, inputs: list[Value]) -> Value:
    equation = attribute(node, "equation", b"").decode()
    return einsum(walk.lines, equation, inputs, label_in_lines(node), walk.model.type_of(node))


@rule("DynamicQuantizeLinear")
def _to_few_bits(walk: OnnxWalk, node: Any, inputs: list[Value]) -> Value:
    """A pass for the largest number, and one that writes what it makes."""
    like = walk.model.type_of(node)
    moved = 2 * inputs[0].nbytes + Value("", *like).nbytes
    said = f"flops={3 * inputs[0].elements} FLOP", f"bytes={moved:.15g} B"
    return walk.lines.op("custom", inputs, label_in_lines(node), like, *said)


@rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def _skipped(walk: OnnxWalk, node: Any, inputs: list[Value]) -> Value:
    """A sum (of what skips a layer), and the norm of it; the sum is kept, where somebody wants it."""
    dtype, dims = walk.model.type_of(node)
    summed = walk.lines.op("add", inputs[:2], f"{label_in_lines(node)}_sum", (dtype, dims))
    for name in node.output[3:4]:
        walk.values[name] = summed
    rows = (math.prod(dims) // dims[-1], dims[-1])
    kind = "rms_norm" if "Simplified" in node.op_type else "layer_norm"
    scales = [walk.lines.view(each, rows[1:]) for each in inputs[2:] if each.elements == dims[-1]]
    given = [walk.lines.view(summed, rows), *scales[: 2 if kind == "layer_norm" else 1]]
    return walk.lines.view(walk.lines.op(kind, given, label_in_lines(node), (dtype, rows)), dims)
