"""Collectives of tensor parallelism that begin when what was issued before them is over.

Model: a library that does not ask for a collective to go on by itself has it behind the op that it issued before: in the
backward pass of a matmul behind the gradient of its weight, though the gradient of its input was there before.
Source: Megatron-LM of 2021, megatron/mpu/mappings.py (_CopyToModelParallelRegion.backward).
"""

from __future__ import annotations

from collections.abc import Iterator

from simulator.graph.items import Items, Op, Repeat
from simulator.ops.registry import find_kind

_SUMS = ("all_reduce", "reduce_scatter")


def one_by_one(items: Items, axes: str) -> Items:
    """Items whose sums over `axes` wait for the op before them."""
    return tuple(_waiting(items, axes))


def _waiting(items: Items, axes: str) -> Iterator[Op | Repeat]:
    before = ""
    for item in items:
        if isinstance(item, Repeat):
            yield Repeat(item.count, one_by_one(item.items, axes), item.carry, item.reverse, item.source)
            before = ""
            continue
        over = item.option("over") or ""
        sums = item.kind in _SUMS and over and set(over) <= set(axes)
        yield item.waiting_for([before]) if sums and before else item
        if not find_kind(item).view:
            before = item.name
