"""Message forms along one axis, and the words of all message forms: rounds of messages.

- ring, line: shards are passed on, one lane each way; the shard of the antipode goes forward only, or half each way.
- direct: everyone to everyone, in one round.
- a tree with crowded trunks: across leaves, then inside them (`simulator.collectives.leaves`).
- anything else: shards passed on from chip to next chip, over routes.
A scatter goes backwards. A message goes the way that the closed form charges (`simulator.collectives.one_axis`).
Source: the same as there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from simulator.collectives.leaves import leaves_of, stages
from simulator.collectives.one_axis import ring_wires, to_next
from simulator.collectives.transfer import Line, Message

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """Messages of one step. `after`: the rounds whose messages to a sender must have come before it sends; with `gate`
    those to everyone."""

    messages: Messages
    lane: int = 0
    after: tuple[int, ...] = ()
    gate: bool = False


Rounds = list[Round]

Build = Callable[[Line, float, bool], Rounds]
"""The rounds of a gather of so many bytes along a line, or of a scatter where it is to go backwards."""


def chain(rounds: Rounds, messages: Sequence[Messages], lane: int, after: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Append rounds of one lane, each passing on what the one before brought; returns the last one's number."""
    for each in messages:
        rounds.append(Round(each, lane, after))
        after = (len(rounds) - 1,)
    return after


def _neighbours(line: Line, nbytes: float, wires: Sequence[int]) -> list[Message]:
    """A message over each of the wires, from the chip at its one end to that at its other."""
    topology = line.topology
    numbers = topology.chip_numbers
    ends = [(numbers[topology.wires[wire].source], numbers[topology.wires[wire].target], wire) for wire in wires]
    return [Message(here, there, nbytes, line.way(wire)) for here, there, wire in ends]


def ring(line: Line, nbytes: float, _scatter: bool) -> Rounds:
    """Whole shards both ways round."""
    size, shard = line.size, nbytes / line.size
    forward, backward = ring_wires(line)
    rounds: Rounds = []
    chain(rounds, [tuple(_neighbours(line, shard, forward))] * (size // 2), 0)
    chain(rounds, [tuple(_neighbours(line, shard, backward))] * ((size - 1) // 2), 1)
    return rounds


def one_way_ring(line: Line, nbytes: float, _scatter: bool) -> Rounds:
    """Whole shards from each chip to the next."""
    rounds: Rounds = []
    hop = tuple(_neighbours(line, nbytes / line.size, line.steps(True)))
    chain(rounds, [hop] * (line.size - 1), 0)
    return rounds


def balanced_ring(line: Line, nbytes: float, scatter: bool) -> Rounds:
    """The same with half of the antipode's shard each way."""
    size, shard = line.size, nbytes / line.size
    rounds: Rounds = []
    for lane, forward in enumerate((True, False)):
        wires = line.steps(forward)
        steps = [tuple(_neighbours(line, shard, wires))] * ((size - 1) // 2)
        if size % 2 == 0:
            steps.append(tuple(_neighbours(line, shard / 2, wires)))
        chain(rounds, steps[::-1] if scatter else steps, lane)
    return rounds


def line(along: Line, nbytes: float, scatter: bool) -> Rounds:
    """In hop h of a gather the shards that started h-1 places back are passed on; a scatter's partial sums come from the
    far ends, what has far to go first."""
    size, shard = along.size, nbytes / along.size
    rounds: Rounds = []
    for lane, forward in enumerate((True, False)):
        wires = along.steps(forward)
        hops = _neighbours(along, shard, wires if forward else wires[::-1])
        sent = [hops[: at + 1] if scatter else hops[at:] for at in range(size - 1)]
        chain(rounds, [tuple(each) for each in sent], lane)
    return rounds


def everyone(along: Line, nbytes: float, _scatter: bool) -> Rounds:
    """Everyone to everyone in one round."""
    chips, shard = along.chips, nbytes / along.size
    return [Round(tuple(Message(here, there, shard) for here in chips for there in chips if here != there))]


def fabric(along: Line, nbytes: float, scatter: bool) -> Rounds:
    """Everyone to everyone; where that would crowd trunks, across leaves and inside them."""
    leaves = leaves_of(along)
    if leaves is None:
        return everyone(along, nbytes, scatter)
    rounds: Rounds = []
    after: tuple[int, ...] = ()
    for lane, messages in enumerate(stages(leaves, nbytes / along.size, scatter)):
        after = chain(rounds, [tuple(messages)], lane, after)
    return rounds


def over_routes(along: Line, nbytes: float, _scatter: bool) -> Rounds:
    """Whole shards both ways round the chips, each over the route to the next."""
    size, shard = along.size, nbytes / along.size
    rounds: Rounds = []
    chain(rounds, [tuple(to_next(along, shard))] * (size // 2), 0)
    chain(rounds, [tuple(to_next(along, shard, forward=False))] * ((size - 1) // 2), 1)
    return rounds


BY_KIND: Mapping[str, Build] = {
    "ring": ring,
    "line": line,
    "one_way_ring": one_way_ring,
    "switch": fabric,
    "fat_tree": fabric,
    "full": everyone,
}
"""The rounds by kind of axis; other kinds go over routes."""


def rounds_along(along: Line, nbytes: float, scatter: bool, balanced: bool = False) -> Rounds:
    """The rounds of a gather, or a scatter, along one line."""
    build = balanced_ring if balanced else BY_KIND.get(along.axis.kind, over_routes)
    return build(along, nbytes, scatter)
