"""Attention as one op: of opset 23, and those of com.microsoft (MultiHeadAttention, GroupQueryAttention).

Model: heads stand before places, or are a part of the last dim. What was seen before (past) grows in place by what is new.
Masks that are tensors are not read for what they leave out; rotary positions that an op takes along are not counted.
Source: the ONNX operator schema of Attention; onnxruntime, docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scenarios.importers.onnx_graph.blocks import attribute
from scenarios.importers.op_lines import OpLines, Value

_PAST: Mapping[str, int] = {"Attention": 4, "MultiHeadAttention": 6, "GroupQueryAttention": 3}
"""Where the keys that were seen before stand among the inputs, the values behind them."""

ATTENTION = tuple(_PAST)


def attention(
    lines: OpLines, node: Any, given: Sequence[Value | None], label: str, dims: Sequence[int]
) -> tuple[Value, Value, Value]:
    """What attention makes, in `dims`, and all keys and values that it looks at. `given`: its inputs, None where left out.
    Raises ValueError where they are not queries, keys and values apart."""
    kind = node.op_type
    heads = int(attribute(node, "q_num_heads" if kind == "Attention" else "num_heads", 0))
    few = int(attribute(node, "kv_num_heads", heads)) or heads
    q, k, v = (_in_heads(one, of) for one, of in zip((*given, None, None)[:3], (heads, few, few), strict=False))
    queries = lines.view(*q)
    keys, values = (
        _grown(lines, new, _at(given, _PAST[kind] + at), f"{label}_{name}")
        for at, (new, name) in enumerate(((lines.view(*k), "keys"), (lines.view(*v), "values")))
    )
    causal = kind == "GroupQueryAttention" or attribute(node, "is_causal", attribute(node, "unidirectional", 0))
    like = queries.dtype, (*queries.dims[:3], values.dims[3])
    made = lines.op("attention", [queries, keys, values], label, like, *(["causal=true"] if causal else []))
    return lines.view(made, dims), keys, values


def _in_heads(value: Value | None, heads: int) -> tuple[Value, tuple[int, ...]]:
    """A tensor, and its dims as batch, heads, places and what each has."""
    if value is None:
        raise ValueError("it wants queries, keys and values apart")
    if len(value.dims) == 4:
        return value, value.dims
    if len(value.dims) != 3 or not heads or value.dims[2] % heads:
        raise ValueError(f"{value.name} is not of {heads} heads")
    batch, places, width = value.dims
    return value, (batch, heads, places, width // heads)


def _at(given: Sequence[Value | None], place: int) -> Value | None:
    return given[place] if len(given) > place else None


def _grown(lines: OpLines, new: Value, past: Value | None, label: str) -> Value:
    """What was seen before with what is new behind it."""
    if past is None or len(past.dims) != 4:
        return new
    dims = (*past.dims[:2], past.dims[2] + new.dims[2], past.dims[3])
    return lines.op("append", [past, new], label, (new.dtype, dims))
