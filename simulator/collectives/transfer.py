"""What a collective asks of the wires, and whom it joins: the words that collectives, folding and lowering share.

Model: a transfer moves bytes over wires in one or more phases that follow each other; the wires of a phase work side by
side, and a phase lasts as long as its slowest wire. `latency_s` is the hops and messages that follow one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from hw import Axis, Router, Topology

Loads = Mapping[int, float]
"""Bytes by wire number."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes by wire, phase by phase; seconds of latency; bytes that the busiest chip puts on its links."""

    phases: tuple[Loads, ...] = ()
    latency_s: float = 0.0
    sent_bytes: float = 0.0

    @property
    def wires(self) -> dict[int, float]:
        """Bytes by wire over all phases."""
        return added(*self.phases)

    def then(self, other: Transfer) -> Transfer:
        """Two transfers in sequence; the same loads again are one phase that lasts as long as both."""
        latency, sent = self.latency_s + other.latency_s, self.sent_bytes + other.sent_bytes
        if len(self.phases) == 1 and self.phases == other.phases:
            return Transfer((added(*self.phases, *other.phases),), latency, sent)
        return Transfer((*self.phases, *other.phases), latency, sent)

    def times(self, count: int) -> Transfer:
        """The bytes of so many alike ones, and the latency of each."""
        phases = tuple({wire: nbytes * count for wire, nbytes in loads.items()} for loads in self.phases)
        return Transfer(phases, self.latency_s, self.sent_bytes * count)

    def beside(self, other: Transfer) -> Transfer:
        """Two transfers as one pipelined phase: bytes side by side, latencies one after the other."""
        phase = added(*self.phases, *other.phases)
        return Transfer((phase,), self.latency_s + other.latency_s, self.sent_bytes + other.sent_bytes)


def added(*loads: Loads) -> dict[int, float]:
    """Loads summed wire by wire."""
    if len(loads) == 1:
        return dict(loads[0])
    total: dict[int, float] = {}
    for each in loads:
        for wire, nbytes in each.items():
            total[wire] = total.get(wire, 0.0) + nbytes
    return total


class Way(NamedTuple):
    """Wires that a message takes, its seconds of latency over them, and other chips that it reaches as well."""

    wires: tuple[int, ...]
    latency_s: float
    also: tuple[int, ...] = ()


class Message(NamedTuple):
    """Bytes from one chip to another, over its route or over a `way` of its own."""

    source: int
    target: int
    nbytes: float
    way: Way | None = None


def way_of(router: Router, message: Message) -> tuple[Mapping[int, float], float]:
    """The share of a message on every wire that it takes, and its seconds of latency."""
    if message.way is not None:
        return dict.fromkeys(message.way.wires, 1.0), message.way.latency_s
    route = router.route(message.source, message.target)
    return route.shares, route.latency_s


@dataclass(frozen=True)
class Group:
    """The chips of one collective in the order of their wiring, the axes along which they lie (inside out, strides in
    places of `chips`), and how messages get there."""

    topology: Topology
    router: Router
    chips: Sequence[int]
    pieces: tuple[Axis, ...]
    rates: Sequence[float] = ()

    def bytes_per_s(self, wire: int) -> float:
        """What a wire carries: `rates` where they are given, else what its link says."""
        return self.rates[wire] if self.rates else self.topology.wires[wire].bytes_per_s

    @property
    def size(self) -> int:
        """How many chips take part."""
        return len(self.chips)

    @property
    def line(self) -> Line:
        """All of it as one line: its own axis if it has just one, else its chips in order, over routes."""
        if len(self.pieces) == 1:
            return Line(self, self.chips, self.pieces[0])
        return Line(self, self.chips, Axis("graph", self.size, 1, 0))

    @cached_property
    def one_sided(self) -> Router:
        """Routes that never split: between the two chips of a ring of two, a shard takes one link. In a graph that is no
        known wiring they do: which of its links would come first is a matter of names."""
        if any(piece.kind == "graph" for piece in self.pieces) and self.topology.levels[0].drawn:
            return self.router
        return Router(self.topology, "single", by_axes=True)

    def unsplit(self, messages: Iterable[Message]) -> list[Message]:
        """The same messages over the routes that never split."""
        if self.one_sided is self.router:
            return list(messages)
        found = []
        for message in messages:
            route = self.one_sided.route(message.source, message.target)
            found.append(message._replace(way=Way(tuple(route.shares), route.latency_s)))
        return found

    @cached_property
    def two_way(self) -> bool:
        """Whether each link leads both ways: only a graph may have others."""
        topology = self.topology
        if not topology.levels[0].drawn:
            return True
        return all(
            len(topology.between(wire.target, wire.source)) == len(topology.between(wire.source, wire.target))
            for wire in topology.wires
        )

    @cached_property
    def reverse(self) -> Mapping[int, int]:
        """The other direction of every wire."""
        wires, back = self.topology.wires, dict[int, int]()
        for number, wire in enumerate(wires):
            here, there = (
                self.topology.between(*ends) for ends in ((wire.source, wire.target), (wire.target, wire.source))
            )
            back[number] = there[here.index(number)]
        return back

    def along(self, piece: Axis) -> Iterator[Line]:
        """The lines of its chips along one piece."""
        if len(self.pieces) == 1:
            yield self.line
            return
        lines: dict[int, list[int]] = {}
        for at, chip in enumerate(self.chips):
            lines.setdefault(at - piece.place(at) * piece.stride, []).append(chip)
        for chips in lines.values():
            yield Line(self, chips, piece)

    @cached_property
    def place_of(self) -> Mapping[int, int]:
        """The place of each chip in `chips`."""
        return {chip: at for at, chip in enumerate(self.chips)}


@dataclass(frozen=True)
class Line:
    """Chips of a group along one axis, in order."""

    group: Group
    chips: Sequence[int]
    axis: Axis

    @property
    def topology(self) -> Topology:
        """What the chips are part of."""
        return self.group.topology

    @property
    def router(self) -> Router:
        """How messages get from chip to chip."""
        return self.group.router

    @cached_property
    def alone(self) -> Group:
        """These chips as a group of their own."""
        return Group(self.topology, self.router, tuple(self.chips), (replace(self.axis, stride=1),), self.group.rates)

    @property
    def size(self) -> int:
        """How many chips there are."""
        return len(self.chips)

    def steps(self, forward: bool) -> list[int]:
        """The wire from each chip to its neighbour; on a line the last one has none."""
        chips, size = self.chips, self.size
        ends = range(size)
        if self.axis.kind == "line":
            ends = range(size - 1) if forward else range(1, size)
        found = []
        for at in ends:
            there = chips[(at + 1) % size if forward else at - 1]
            wires = self.topology.between(f"chip{chips[at]}", f"chip{there}")
            # on a ring of two, the way round through the wraparound is the second link
            wraps = size == 2 and forward == (at == 1)
            found.append(wires[-1] if wraps else wires[0])
        return found

    def hop_s(self, wires: Iterable[int]) -> float:
        """Seconds of one hop and one message over the slowest of some wires."""
        return max((self.way(wire).latency_s for wire in wires), default=0.0)

    def way(self, wire: int) -> Way:
        """One wire as the way of a message."""
        here = self.topology.wires[wire]
        return Way((wire,), here.latency_s + here.message_s)
