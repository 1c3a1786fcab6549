"""What begins a pass and what ends it: where a stage goes about two passes beside each other, turn by turn.

Model: a turn is a pass, or a forward pass and the backward pass behind it (`simulator.passes.pipeline.schedules.PAIRED`).
Its kernels that wait for nothing of their own pass wait for the last kernels of the turn before; in which order kernels of
one turn run is up to their queue (`run.order`). Collectives wait for what they send, as always.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.graph.items import Items, Op, Repeat, every_op
from simulator.passes.pipeline.chunks import Left
from simulator.passes.pipeline.renaming import is_kernel


def begins(items: Items) -> tuple[str, ...]:
    """The names of kernels that read nothing that a kernel of their own pass makes, but for what a block hands on from round
    to round: all other kernels come behind them."""
    inside: set[str] = set()
    found = []
    for op in every_op(items):
        waits = not inside.isdisjoint(tensor.name for tensor in op.inputs)
        if is_kernel(op) and not waits:
            found.append(op.name)
        # what is seen or gathered of something from outside is from outside, too
        if waits or is_kernel(op):
            inside.add(op.name)
    return tuple(found)


def ends(items: Items) -> Left:
    """The kernels that no other kernel of their own pass comes behind, of the last round of the last block and of what
    stands behind it: those before are over when these begin."""
    last = max((at for at, item in enumerate(items) if isinstance(item, Repeat)), default=0)
    tail = [*every_op(items[last:])]
    followed = _followed(tail)
    # a name without rounds is what the last one made
    return tuple((op.name, ()) for op in tail if is_kernel(op) and op.name not in followed)


def within(items: Items) -> frozenset[str]:
    """The names of all else that comes behind one kernel of its own pass and before another: it begins and ends while that
    pass goes on."""
    followed, found, inside = _followed([*every_op(items)]), set(), set[str]()
    for op in every_op(items):
        waits = not inside.isdisjoint(tensor.name for tensor in op.inputs)
        if waits or is_kernel(op):
            inside.add(op.name)
        if waits and op.name in followed and not is_kernel(op):
            found.add(op.name)
    return frozenset(found)


def _followed(ops: Sequence[Op]) -> set[str]:
    """The names of what a kernel reads, or what is made of it."""
    found: set[str] = set()
    for op in reversed(ops):
        if is_kernel(op) or op.name in found:
            found.update(tensor.name for tensor in op.inputs if not tensor.rounds)
    return found
