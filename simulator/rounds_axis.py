"""Step forms along one axis, and the words of all step forms: rounds of messages.

- ring, line: shards are passed on, one lane each way; the shard of the antipode goes forward only.
- direct: everyone to everyone, in one round. halving_doubling: a round for each partner. ring_one_way: n-1 rounds.
- fat tree: direct; where that would crowd its trunks, between like places of the leaves first, then inside them, in slices.
Source: the same as `simulator.collectives_axis` and `simulator.algorithms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from simulator.algorithms import doublings, everyone, one_way_round
from simulator.collectives import Ask
from simulator.transfer import Group, Message

SLICES = 8
"""Pieces, at least, into which the step form cuts what a macro form streams."""

MOST_SLICES = 64
PIPELINED = 20_000
"""Messages up to which more pieces are cut, so that filling the pipeline costs little."""

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """Messages of one step. `after`: the rounds whose messages to a sender must have come before it sends."""

    messages: Messages
    lane: int = 0
    after: tuple[int, ...] = ()


Rounds = list[Round]


def chain(rounds: Rounds, messages: Sequence[Messages], lane: int, after: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Append rounds of one lane, each passing on what the one before brought; returns the last one's number."""
    for each in messages:
        rounds.append(Round(each, lane, after))
        after = (len(rounds) - 1,)
    return after


def ring_gather(group: Group, nbytes: float) -> Rounds:
    """Whole shards both ways round."""
    chips, size = group.chips, group.size
    shard = nbytes / size
    ahead = tuple(one_way_round(group, shard))
    back = tuple(Message(target, source, shard) for source, target, _ in ahead)
    rounds: Rounds = []
    chain(rounds, [ahead] * (size // 2), 0)
    chain(rounds, [back] * ((size - 1) // 2), 1)
    return rounds if len(chips) > 1 else []


def line_gather(group: Group, nbytes: float) -> Rounds:
    """In hop h, the shards that started h-1 places back are passed on."""
    chips, size = group.chips, group.size
    shard = nbytes / size
    rounds: Rounds = []
    for lane, order in enumerate((list(chips), list(chips)[::-1])):
        hops = list(pairwise(order))
        chain(rounds, [tuple(Message(a, b, shard) for a, b in hops[at:]) for at in range(size - 1)], lane)
    return rounds


def line_scatter(group: Group, nbytes: float) -> Rounds:
    """Partial sums for a chip come from the far ends; what has far to go is sent first."""
    chips, size = group.chips, group.size
    shard = nbytes / size
    rounds: Rounds = []
    for lane, order in enumerate((list(chips), list(chips)[::-1])):
        hops = list(pairwise(order))
        chain(rounds, [tuple(Message(a, b, shard) for a, b in hops[: at + 1]) for at in range(size - 1)], lane)
    return rounds


def _both(scatter: Rounds, gather: Rounds) -> Rounds:
    """A reduce-scatter, then an all-gather: the second waits for the last rounds of the first."""
    last = tuple(ends(scatter))
    later = [
        Round(each.messages, each.lane, tuple(before + len(scatter) for before in each.after) or last)
        for each in gather
    ]
    return [*scatter, *later]


def ends(rounds: Rounds) -> list[int]:
    """The last round of each lane."""
    return list({each.lane: at for at, each in enumerate(rounds)}.values())


Build = Callable[[Group, Ask], Rounds]


def gathered(scatter: Callable[[Group, float], Rounds], gather: Callable[[Group, float], Rounds]) -> Build:
    """All-gather, reduce-scatter, and all-reduce as the one after the other."""

    def build(group: Group, ask: Ask) -> Rounds:
        kinds: Mapping[str, Callable[[], Rounds]] = {
            "all_gather": lambda: gather(group, ask.nbytes),
            "reduce_scatter": lambda: scatter(group, ask.nbytes),
            "all_reduce": lambda: _both(scatter(group, ask.nbytes), gather(group, ask.nbytes)),
        }
        return kinds[ask.kind]()

    return build


def one_way(group: Group, nbytes: float) -> Rounds:
    """Whole shards one way round, n-1 rounds."""
    rounds: Rounds = []
    chain(rounds, [tuple(one_way_round(group, nbytes / group.size))] * (group.size - 1), 0)
    return rounds


def at_once(group: Group, nbytes: float) -> Rounds:
    """Everyone to everyone in one round."""
    return [Round(tuple(everyone(group, nbytes / group.size)))]


def fabric(group: Group, ask: Ask) -> Rounds:
    """Everyone to everyone; where that would crowd trunks, like places of the leaves first, then inside them."""
    leaves = _leaves(group)
    if leaves is None:
        return gathered(at_once, at_once)(group, ask)
    crossing = [tuple(chips) for chips in zip(*leaves, strict=True)]
    inside: list[tuple[Sequence[Sequence[int]], float]] = [
        (leaves, ask.nbytes),
        (crossing, ask.nbytes / len(leaves[0])),
    ]
    order = {"reduce_scatter": inside, "all_gather": inside[::-1], "all_reduce": [*inside, *inside[::-1]]}[ask.kind]
    messages = sum(len(each) * len(each[0]) ** 2 for each, _ in order)
    slices = min(MOST_SLICES, max(SLICES, PIPELINED // messages))
    rounds: Rounds = []
    stages = [
        tuple(
            Message(here, there, nbytes / slices / len(chips))
            for chips in lines
            for here in chips
            for there in chips
            if here != there
        )
        for lines, nbytes in order
    ]
    for _ in range(slices):
        after: tuple[int, ...] = ()
        for lane, stage in enumerate(stages):
            after = chain(rounds, [stage], lane, after)
    return rounds


def _leaves(group: Group) -> list[list[int]] | None:
    """The chips behind each trunk, place by place; None if nothing is shared that is narrower than the chips' ports."""
    topology, level = group.topology, group.pieces[0].level
    trunks = [trunk for trunk in topology.trunks(level) if 0 < len(set(group.chips) & set(trunk.chips)) < group.size]
    wires, port = topology.wires, topology.wires[topology.port_out(group.chips[0], level)].bytes_per_s
    crowded = [
        trunk
        for trunk in trunks
        if (behind := len(set(group.chips) & set(trunk.chips))) * (group.size - behind) * port
        > (group.size - 1) * sum(wires[wire].bytes_per_s for wire in trunk.up) * (1 + 1e-9)
    ]
    by_trunk: dict[tuple[bool, ...], list[int]] = {}
    for chip in group.chips:
        by_trunk.setdefault(tuple(chip in trunk.chips for trunk in crowded), []).append(chip)
    leaves = list(by_trunk.values())
    alike = len({len(leaf) for leaf in leaves}) == 1 and len(leaves[0]) > 1
    return leaves if crowded and len(leaves) > 1 and alike else None


def doubling(group: Group, nbytes: float) -> Rounds:
    """Partners 1, 2, 4, ... places away exchange all they have."""
    rounds: Rounds = []
    chain(rounds, [tuple(each) for each in doublings(group, nbytes)], 0)
    return rounds


def halving(group: Group, nbytes: float) -> Rounds:
    """The same backwards."""
    rounds: Rounds = []
    chain(rounds, [tuple(each) for each in doublings(group, nbytes)][::-1], 0)
    return rounds


def direct(group: Group, ask: Ask) -> Rounds:
    """Everyone to everyone, by leaves where that is the way of a fat tree."""
    along = group.pieces[0].kind if len(group.pieces) == 1 else ""
    return fabric(group, ask) if along == "fat_tree" else gathered(at_once, at_once)(group, ask)


RING = gathered(ring_gather, ring_gather)
LINE = gathered(line_scatter, line_gather)
ONE_WAY = gathered(one_way, one_way)
DOUBLING = gathered(halving, doubling)
