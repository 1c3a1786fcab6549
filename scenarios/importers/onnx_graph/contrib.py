"""Shapes of ops of com.microsoft that ONNX's own inference does not know.

Source: onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scenarios.importers.onnx_graph.blocks import attribute

Sized = tuple[int, list[int]]
"""The number of a format, and sizes."""

_FLOAT = 1


def contrib_shape(node: Any, given: Sequence[Sized | None]) -> list[Sized]:
    """What an op makes, output by output; empty where that is not known. `given`: its inputs, None of those left out."""
    try:
        return _SHAPES[node.op_type](node, given) if node.op_type in _SHAPES else []
    except (IndexError, TypeError, ValueError):
        return []


def _few_bits(node: Any, given: Sequence[Sized | None]) -> list[Sized]:
    number, sizes = _there(given[0])
    return [(number, [*sizes[:-1], int(attribute(node, "N", 0))])]


def _product(a: Sized | None, b: Sized | None, number: int) -> list[Sized]:
    left, right = _there(a)[1], _there(b)[1]
    lead = left[:-2] if len(left) >= len(right) else right[:-2]
    return [(number, [*lead, left[-2], right[-1]])]


def _like_first(_node: Any, given: Sequence[Sized | None]) -> list[Sized]:
    return [_there(given[0])]


def _attention(node: Any, given: Sequence[Sized | None]) -> list[Sized]:
    """What attention makes, and all keys and values, where something was seen before."""
    number, sizes = _there(given[0])
    before = 3 if node.op_type == "GroupQueryAttention" else 6
    made: Sized = number, [*sizes[:2], _there(given[0])[1][2]]
    if len(given) <= before + 1 or given[before] is None:
        return [made]
    past = _there(given[before])[1]
    return [made, *[(number, [*past[:2], past[2] + sizes[1], past[3]])] * 2]


def _skipped(_node: Any, given: Sequence[Sized | None]) -> list[Sized]:
    """The norm, two numbers a row that nobody reads, and the sum."""
    number, sizes = _there(given[0])
    row = _FLOAT, [*sizes[:-1], 1]
    return [(number, sizes), row, row, (number, sizes)]


def _there(each: Sized | None) -> Sized:
    if each is None:
        raise ValueError("it has no such input")
    return each


_SHAPES: Mapping[str, Callable[[Any, Sequence[Sized | None]], list[Sized]]] = {
    "MatMulNBits": _few_bits,
    "MatMulIntegerToFloat": lambda _node, given: _product(given[0], given[1], _there(given[2])[0]),
    "DynamicQuantizeMatMul": lambda _node, given: _product(given[0], given[1], _FLOAT),
    **dict.fromkeys(
        ["FastGelu", "QuickGelu", "Gelu", "BiasGelu", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax",
         "SimplifiedLayerNormalization", "RotaryEmbedding"],
        _like_first,
    ),
    **dict.fromkeys(["SkipSimplifiedLayerNormalization", "SkipLayerNormalization"], _skipped),
    **dict.fromkeys(["MultiHeadAttention", "GroupQueryAttention"], _attention),
}  # fmt: skip
