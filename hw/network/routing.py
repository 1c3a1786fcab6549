"""Routes between chips: static, the same on every machine, remembered.

Model: a route moves the shares of a message over wires. Between levels it goes inside out: first to the chip of like place
in its own node, then across; a level that is one shared fabric is entered straight from the sending chip. On tori it goes
axis by axis in order; in trees up to the first switch that both chips are under, and down; in dragonflies and custom graphs
over the fewest wires, chips being waypoints like any node. Where several shortest ways exist, `Routing` says which:
- split (default): all of them share alike (a message to the antipode of a ring goes half each way);
- single: one way, the forward one on a ring, the first in the order of the wires elsewhere (one-sided);
- ecmp: one way, picked by a hash of the two chips;
- minimal: like split, and on tori over all orders of the axes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Literal

from hw.input.units import Dimension, show
from hw.network.axes import Axis
from hw.network.routes import GraphRoutes, Pick, Spread, TreeRoutes, spread_over
from hw.network.topology import Topology
from hw.network.wirings.registry import WIRINGS
from hw.rows import largest

Routing = Literal["split", "single", "ecmp", "minimal"]
ROUTINGS: tuple[Routing, ...] = ("split", "single", "ecmp", "minimal")
"""How messages may take their way through a network, by name."""


@dataclass(frozen=True, slots=True)
class Route:
    """Shares of a message by wire, and the seconds that its longest way takes a byte (hops, and one message)."""

    shares: Mapping[int, float]
    latency_s: float

    def __repr__(self) -> str:
        return f"Route(over {len(self.shares)} wires, {show(self.latency_s, Dimension.TIME)})"


def _pick(routing: Routing, ends: tuple[int, int]) -> Pick:
    """Which of several ways is taken: all of them (None), the first, or one by the digits of a hash of the two chips."""
    if routing in ("split", "minimal"):
        return lambda _count: None
    left = zlib.crc32(f"{ends[0]}>{ends[1]}".encode()) if routing == "ecmp" else 0

    def pick(count: int) -> int:
        nonlocal left
        left, digit = divmod(left, count)
        return digit

    return pick


@dataclass
class Router:
    """Routes on one topology; each is worked out once."""

    topology: Topology
    routing: Routing = "split"
    by_axes: bool = False
    """Whether a message goes along the axes that were recognised in a graph, as collectives do, rather than over its fewest
    wires: nobody has said that it routes by axes."""
    _known: dict[tuple[int, int], Route] = field(default_factory=dict)
    _searched: dict[int, TreeRoutes | GraphRoutes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Router({self.routing}, {self.topology})"

    def route(self, source: int, target: int) -> Route:
        """The route between two chips. Raises ValueError if there is none, or no such chip."""
        found = self._known.get((source, target))
        if found is None:
            for chip in (source, target):
                if not 0 <= chip < self.topology.size:
                    raise ValueError(
                        f"there is no chip {chip}: {self.topology} has chips 0 to {self.topology.size - 1}"
                    )
            found = self._known[source, target] = self._route(source, target)
        return found

    def _route(self, source: int, target: int) -> Route:
        pick = _pick(self.routing, (source, target))
        legs = self._legs(source, target)
        orders = self._orders(legs)
        only = pick(len(orders))
        chosen = orders if only is None else [orders[only]]
        shares: dict[int, float] = {}
        latency = 0.0
        for order in chosen:
            spreads = [self._spread(leg, ends, pick) for leg, ends in _walked(order, source)]
            latency = largest([latency, sum(spread.latency_s for spread in spreads)])
            for spread in spreads:
                for wire, share in spread.shares.items():
                    shares[wire] = shares.get(wire, 0.0) + share / len(chosen)
        wires = self.topology.wires
        return Route(shares, latency + largest((wires[wire].message_s for wire in shares), default=0.0))

    def _legs(self, source: int, target: int) -> list[tuple[Axis, int]]:
        """The axes that a message takes and the change of position along each, in order, inside out."""
        for level in reversed(self.topology.levels):
            apart = [axis for axis in level.axes if axis.place(source) != axis.place(target)]
            if not apart:
                continue
            if level.shared:
                return [(apart[0], target - source)]
            if level.drawn and not self.by_axes:
                axis = apart[0]
                return [(axis, axis.position(target) - axis.position(source))]
            across = [(axis, (axis.place(target) - axis.place(source)) * axis.stride) for axis in apart]
            inside = target
            for axis, change in across:
                inside = axis.moved(inside, -change)
            return [*self._legs(source, inside), *across]
        return []

    def _orders(self, legs: list[tuple[Axis, int]]) -> list[list[tuple[Axis, int]]]:
        """The orders in which the legs may be taken: any within one level, for the routings that try all."""
        if self.routing not in ("minimal", "ecmp"):
            return [legs]
        orders: list[list[tuple[Axis, int]]] = [[]]
        for level in dict.fromkeys(axis.level for axis, _ in legs):
            inside = [leg for leg in legs if leg[0].level == level]
            orders = [[*order, *more] for order in orders for more in permutations(inside)]
        return orders

    def _spread(self, axis: Axis, ends: tuple[int, int], pick: Pick) -> Spread:
        """The shares of one leg."""
        drawn = self.topology.levels[axis.level].drawn
        wiring = WIRINGS[axis.kind]
        if wiring.ways is not None and not (drawn and not self.by_axes):
            return spread_over(self.topology, wiring.ways(self.topology, axis, ends), pick)
        if axis.level not in self._searched:
            # a tree that somebody drew may be deeper on one side than on the other
            search = GraphRoutes if drawn else wiring.search
            self._searched[axis.level] = search(self.topology, axis.level)
        return self._searched[axis.level].spread(ends, pick)


def _walked(order: Sequence[tuple[Axis, int]], source: int) -> Iterator[tuple[Axis, tuple[int, int]]]:
    """Each leg with the chips where it begins and ends."""
    for axis, change in order:
        target = axis.moved(source, change)
        yield axis, (source, target)
        source = target
