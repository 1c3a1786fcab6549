"""Rules of what transformers have beside products and norms: attention as one op, sums with their norm, einsum.

Source: the ONNX operator schemas; onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

import math
from typing import Any

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
    """Two operands by the letters of their dims; others have no rule."""
    like, label = walk.model.type_of(node), label_in_lines(node)
    text = attribute(node, "equation", b"").decode().replace(" ", "")
    left, _, out = text.partition("->")
    sides = left.split(",")
    if len(inputs) != 2 or len(sides) != 2 or "." in text or not out:
        return walk.lines.unknown(node.op_type, inputs, label, like)
    size = {
        letter: dim for side, one in zip(sides, inputs, strict=True) for letter, dim in zip(side, one.dims, strict=True)
    }
    both = set(sides[0]) & set(sides[1])
    parts = both & set(out), set(sides[0]) - both, set(sides[1]) - both, both - set(out)
    batch, m, n, k = (math.prod(size[letter] for letter in part) for part in parts)
    return walk.lines.matmul((inputs[0], inputs[1]), (batch, m, n, k), label, like)


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
