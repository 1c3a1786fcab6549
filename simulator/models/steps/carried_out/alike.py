"""Marks of what several chips make alike, which model FLOPs have once.

Model: an op of a model that no dim of its tensors shares out over a mesh axis is made by all chips along that axis: routers
and latents inside a tensor-parallel region, all but attention of a token whose context is shared out, and what partial
gradients go through. What heads of keys that stand in copies are made of is made by each chip that has a copy. Such an op
says `alike=`: those axes, and how many copies. Only products are marked: nothing else is in model FLOPs.
Assumes: a kernel of linear attention is its queries' own, also where chips make one state of the same keys.
Law: model FLOPs of all chips are those of one chip, whatever the layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat
from simulator.models.steps.layout import AXES, Parallel

_PRODUCTS = frozenset(
    {
        "matmul",
        "matmul_add",
        "grouped_matmul",
        "attention",
        "attention_backward",
        "attention_block",
        "attention_block_backward",
        "conv2d",
        "conv2d_backward_weight",
    }
)

_OF_KEYS, _OF_GROUPS = "kv", "group"
"""The dim of heads of keys; and that of heads of queries beside it, which are nobody's copies."""


def marked(items: Items, parallel: Parallel, key_copies: int) -> Items:
    """Items of a model, each product that several chips make alike marked; `key_copies`: of each head of keys."""
    axes = "".join(axis for axis in parallel.mesh if axis != AXES["pp"])
    return tuple(_marked(items, axes, key_copies)) if axes else items


def _marked(items: Items, axes: str, key_copies: int) -> Iterator[Op | Repeat]:
    for item in items:
        if isinstance(item, Repeat):
            yield replace(item, items=tuple(_marked(item.items, axes, key_copies)))
        elif item.kind in _PRODUCTS:
            yield _told(item, axes, key_copies)
        else:
            yield item


def _told(op: Op, axes: str, key_copies: int) -> Op:
    """A product that says who else makes it."""
    dims = [dim for tensor in (*op.inputs, op.output) for dim in tensor.dims]
    shared = {axis for dim in dims for axis in dim.axes}
    alike = [axis for axis in axes if axis not in shared]
    sizes = {dim.size for dim in dims}
    if key_copies > 1 and op.kind in ("matmul", "matmul_add") and _OF_KEYS in sizes and _OF_GROUPS not in sizes:
        alike.append(f"{key_copies}")
    return replace(op, options=(*op.options, ("alike", f"[{', '.join(alike)}]"))) if alike else op
