"""What a collective asks of the wires, and whom it joins: the words that collectives, folding and lowering share.

Model: a transfer moves bytes over wires in one or more phases that follow each other; the wires of a phase work side by
side, and a phase lasts as long as its slowest wire. `latency_s` is the hops and messages that follow one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hw import Topology
from hw.routing import Router
from hw.topology import Axis

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
        """Two transfers in sequence; over the same wires in the same shares they are one longer phase."""
        latency, sent = self.latency_s + other.latency_s, self.sent_bytes + other.sent_bytes
        if len(self.phases) == len(other.phases) == 1 and self.phases[0].keys() == other.phases[0].keys():
            return Transfer((added(*self.phases, *other.phases),), latency, sent)
        return Transfer((*self.phases, *other.phases), latency, sent)

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


class Message(NamedTuple):
    """Bytes from one chip to another."""

    source: int
    target: int
    nbytes: float


@dataclass(frozen=True)
class Group:
    """The chips of one collective in the order of their wiring, the axes along which they lie (inside out, strides in
    places of `chips`), and how messages get there."""

    topology: Topology
    router: Router
    chips: Sequence[int]
    pieces: tuple[Axis, ...]

    @property
    def size(self) -> int:
        """How many chips take part."""
        return len(self.chips)

    @property
    def line(self) -> Line:
        """All of it as one line: its own axis if it has just one, else its chips in order, over routes."""
        if len(self.pieces) == 1:
            return Line(self.topology, self.router, self.chips, self.pieces[0])
        return Line(self.topology, self.router, self.chips, Axis("graph", self.size, 1, 0))

    @cached_property
    def one_sided(self) -> Router:
        """Routes that never split: between the two chips of a ring of two, a shard takes one link. In a graph that is no
        known wiring they do: which of its links would come first is a matter of names."""
        if any(piece.kind == "graph" for piece in self.pieces) and self.topology.levels[0].drawn:
            return self.router
        return Router(self.topology, "single", by_axes=True)

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
            yield Line(self.topology, self.router, chips, piece)

    @cached_property
    def place_of(self) -> Mapping[int, int]:
        """The place of each chip in `chips`."""
        return {chip: at for at, chip in enumerate(self.chips)}


@dataclass(frozen=True)
class Line:
    """Chips along one axis, in order."""

    topology: Topology
    router: Router
    chips: Sequence[int]
    axis: Axis

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

    def hop_s(self, wires: Sequence[int]) -> float:
        """Seconds of one hop and one message over the slowest of some wires."""
        found = [self.topology.wires[wire] for wire in wires]
        return max((wire.latency_s + wire.message_s for wire in found), default=0.0)
