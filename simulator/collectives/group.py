"""The chips that take part in a collective: all of them, and those of them that lie along one axis of their wiring.

Model: chips stand in the order of their wiring, inside out. A wiring has axes (a ring, a line, a switch, ...); the chips
that differ only in their place along one of them are an axis group, which is what a ring collective goes round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps
from typing import Any, TypeVar

from hw import Axis, Router, Topology
from hw.network import GRAPH, ROUTES, WIRINGS, routed_axis
from hw.rows import largest
from simulator.collectives.transfer import Message, Way

Told = TypeVar("Told")


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
    def as_one(self) -> AxisGroup:
        """All of it along one axis: its own if it has just one, else its chips in order, over routes."""
        if len(self.pieces) == 1:
            return AxisGroup(self, self.chips, self.pieces[0])
        return AxisGroup(self, self.chips, routed_axis(self.size))

    @cached_property
    def bends(self) -> bool:
        """Whether it is a wiring of its own across axes of the topology, such as a ring round a block of a grid."""
        return sum(places > 1 for _, places in self._spread) > len(self.pieces)

    @cached_property
    def strays(self) -> bool:
        """Whether routes between its chips may leave it: it bends; it is half of a ring or more, but not all of it, so
        that the short way between its ends leads round the outside; or it is some chips of a graph, whose other links are
        as short as their own."""
        drawn = any(axis.kind == GRAPH and places < axis.size for axis, places in self._spread)
        outside = drawn or any(
            WIRINGS[axis.kind].wraps and places < axis.size <= 2 * (places - 1) for axis, places in self._spread
        )
        return outside or self.bends

    @cached_property
    def _spread(self) -> list[tuple[Axis, int]]:
        """Of each axis of the topology, in how many places along it there are chips."""
        return [(axis, len({axis.place(chip) for chip in self.chips})) for axis in self.topology.axes]

    @cached_property
    def one_sided(self) -> Router:
        """Routes that never split: between the two chips of a ring of two, a shard takes one link. In a graph that is no
        known wiring they do: which of its links would come first is a matter of names."""
        if any(piece.kind in (GRAPH, ROUTES) for piece in self.pieces) and self.topology.levels[0].drawn:
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

    def along(self, piece: Axis) -> Sequence[AxisGroup]:
        """Its chips along one piece, group by group."""
        if piece not in self._along:
            self._along[piece] = self._lines(piece)
        return self._along[piece]

    @cached_property
    def _along(self) -> dict[Axis, Sequence[AxisGroup]]:
        return {}

    def _lines(self, piece: Axis) -> Sequence[AxisGroup]:
        if len(self.pieces) == 1:
            return [self.as_one]
        lines: dict[int, list[int]] = {}
        for at, chip in enumerate(self.chips):
            lines.setdefault(at - piece.place(at) * piece.stride, []).append(chip)
        return [AxisGroup(self, chips, piece) for chips in lines.values()]

    @cached_property
    def place_of(self) -> Mapping[int, int]:
        """The place of each chip in `chips`."""
        return {chip: at for at, chip in enumerate(self.chips)}


@dataclass(frozen=True)
class AxisGroup:
    """Chips of a group along one axis, in order; `known`: what has been worked out `once` of them."""

    group: Group
    chips: Sequence[int]
    axis: Axis
    known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        wiring = WIRINGS[self.axis.kind]
        if wiring.neighbours and not wiring.wraps:
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
        return largest((self.way(wire).latency_s for wire in wires), default=0.0)

    def way(self, wire: int) -> Way:
        """One wire as the way of a message."""
        here = self.topology.wires[wire]
        return Way((wire,), here.latency_s + here.message_s)


def once(work: Callable[[AxisGroup], Told]) -> Callable[[AxisGroup], Told]:
    """Work that is the same for all bytes that chips along an axis exchange, and is done once for each such group."""

    @wraps(work)
    def of(along: AxisGroup) -> Told:
        if work not in along.known:
            along.known[work] = work(along)
        found: Told = along.known[work]
        return found

    return of
