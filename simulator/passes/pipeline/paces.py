"""How far ahead of its turn a chip fetches what a pass reads: weights that are gathered, activations from the host.

Model: blocks say by rounds how many rounds ahead they fetch; at their begin there is no round before. So what a block
fetches waits for the block before it, or, the first of a pass, for the pass before of its stage, until that is as many
rounds before its end. Without it short models and chunks, all of whose rounds are the first ones, would fetch for all
microbatches as soon as the wires are free, and hold it.
Source: PyTorch, torch/distributed/fsdp/_fully_shard/_fsdp_state.py (`_root_pre_forward`: the streams that gather wait for
the one that computes).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat, Round, every_op, reference
from simulator.ops.registry import find_kind
from simulator.passes.pipeline.chunks import Left


def pace_of(items: Items, ahead: int) -> Left:
    """What fetches of the pass behind some items wait for: what is over `ahead` rounds before the end of their last block,
    or, where there are not as many, when its first round is over; without a block their last op."""
    return _left(items, ahead, ())


def pace_before(items: Items, ahead: int) -> Left:
    """The same of the pass of the round before, where each round of a block around the items is a microbatch."""
    return _left(items, ahead, (Round(-1, relative=True),))


def _left(items: Items, ahead: int, around: tuple[Round, ...]) -> Left:
    for item in reversed(items):
        if isinstance(item, Repeat):
            name = next(iter(dict(item.carry).values()), None)
            if name is not None and isinstance(item.count, int):
                left = min(ahead, item.count - 1)
                number = left if item.reverse else item.count - 1 - left
                # the last round is what a name means without a number, but for where a round around it has one
                return ((name, (*around, Round(number)) if left or around else ()),)
    ops = [item for item in items if isinstance(item, Op) and not find_kind(item).view]
    return ((ops[-1].name, around),) if ops else ()


def waiting(items: Items, names: Collection[str], left: Left) -> Items:
    """Items in which ops of some names wait for what a pass before has left."""
    references = [reference(name, rounds) for name, rounds in left]
    if not references:
        return items
    return tuple(
        replace(item, items=waiting(item.items, names, left))
        if isinstance(item, Repeat)
        else item.waiting_for(references)
        if item.name in names
        else item
        for item in items
    )


def in_turn(items: Items, fetches: Collection[str], ahead: int) -> Items:
    """A pass in which what a block fetches, by the names of the ops, waits for the block before."""
    found: list[Op | Repeat] = []
    left: Left = ()
    for item in items:
        if isinstance(item, Repeat):
            found += waiting((item,), fetches, left)
            left = pace_of((item,), ahead)
        else:
            found.append(item)
    return tuple(found)


def paced_in(items: Items, fetches: Collection[str]) -> frozenset[str]:
    """The names of the ops that fetch in the first block of a pass."""
    blocks = [item for item in items if isinstance(item, Repeat)]
    return frozenset(op.name for op in every_op(tuple(blocks[:1])) if op.name in fetches)


def fetches_in(items: Items, fetched: Collection[str], gathered: Collection[str]) -> frozenset[str]:
    """The names of the ops in blocks that fetch: those of `fetched`, and gathers of what is in `gathered`."""
    inside = (op for item in items if isinstance(item, Repeat) for op in item.items if isinstance(op, Op))
    return frozenset(
        op.name for op in inside if op.name in fetched or (op.kind == "all_gather" and op.inputs[0].name in gathered)
    )
