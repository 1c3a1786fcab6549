"""How far ahead of its turn a stage fetches what a pass reads: weights that are gathered, activations from the host.

Model: blocks say by rounds how many rounds ahead they fetch; at the begin of a pass there is no round before. So what a pass
fetches in its blocks waits for the pass before of its stage, until that is as many rounds before its end. Without it short
chunks, all of whose rounds are the first ones, would fetch for all microbatches as soon as the wires are free, and hold it.
Source: PyTorch, torch/distributed/fsdp/_fully_shard/_fsdp_state.py (`_root_pre_forward`: the streams that gather wait for
the one that computes).
"""

from __future__ import annotations

from collections.abc import Collection

from simulator.graph.items import Items, Op, Repeat, Round
from simulator.ops.registry import find_kind
from simulator.passes.pipeline.chunks import Left


def pace_of(items: Items, ahead: int) -> Left:
    """What fetches of the pass behind some items wait for: what is over `ahead` rounds before the end of their last block,
    or, where there are not as many, when its first round is over; without a block their last op."""
    for item in reversed(items):
        if isinstance(item, Repeat):
            end = dict(item.carry).values()
            name = next(iter(end), None)
            if name is not None and isinstance(item.count, int):
                left = min(ahead, item.count - 1)
                number = left if item.reverse else item.count - 1 - left
                return ((name, (Round(number),) if left else ()),)
    ops = [item for item in items if isinstance(item, Op) and not find_kind(item).view]
    return ((ops[-1].name, ()),) if ops else ()


def paced_in(items: Items, fetched: Collection[str], gathered: Collection[str]) -> frozenset[str]:
    """The names of the ops in blocks that fetch: those of `fetched`, and gathers of what is in `gathered`."""
    inside = (op for item in items if isinstance(item, Repeat) for op in item.items if isinstance(op, Op))
    return frozenset(
        op.name for op in inside if op.name in fetched or (op.kind == "all_gather" and op.inputs[0].name in gathered)
    )
