"""In which order the chips of a group carry out a collective.

Model: a regular wiring says how chips lie along its axes (`hw.systems`), and that is their order. Where chips reach each
other by routes they go round in a tour; along the links of a graph a chain goes from its root from chip to chip; a line or a
ring that is some part of a graph begins where its links say, not its names. What is written by places (`permute`) goes by
those.
Assumes: along which axis of a graph a message would go first is a matter of names, so that unequal parts go all ways alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hw import Router, System
from hw.network import GRAPH, ROUTES, WIRINGS, walk_from
from simulator.collectives.group import Group
from simulator.collectives.tour import toured, turned
from simulator.ops.kernel import Communication

_CHAINS = ("broadcast", "reduce_to")
"""Collectives that go along a chain from chip to chip where the wiring has no form of its own."""

_PERMUTE = "permute"

BY_PLACES = (*_CHAINS, _PERMUTE)
"""Collectives whose order depends on what they are, and not only on where their chips lie."""


@dataclass
class Orders:
    """The orders of groups of a system's chips, each worked out once. `router`: how messages along mesh axes go, None where
    nothing joins chips; `sends`: how those of a pair go; `rates`: bytes a second of every wire."""

    system: System
    router: Router | None
    sends: Router | None
    rates: Sequence[float]
    _walks: dict[int, list[int]] = field(default_factory=dict)
    _tours: dict[tuple[tuple[int, ...], int | None], Sequence[int]] = field(default_factory=dict)

    def group(self, chips: Sequence[int], communication: Communication) -> Group:
        """Some chips as a group, in the order in which they carry out a collective."""
        router = self.router
        assert router is not None
        lies = self.system.lying(communication.axes, chips)
        drawn = Group(router.topology, router, lies.chips, lies.pieces) if router.topology.levels[0].drawn else None
        # unequal shards are not alike where the axes of a graph are
        unequal = bool(communication.held or communication.shares) and len(lies.pieces) > 1
        if drawn is not None and (unequal or drawn.bends):
            # along which axis of a graph a message would go first is a matter of names: it goes all ways alike
            router = self.sends
            assert router is not None
        if communication.kind == _PERMUTE:
            # it goes by the places that are written
            return Group(router.topology, router, chips, lies.pieces, self.rates)
        lies = lies.in_twos()
        kinds = [piece.kind for piece in lies.pieces]
        root = chips[communication.root] if communication.kind in _CHAINS else None
        order = lies.chips
        if kinds == [ROUTES]:
            key = (tuple(lies.chips), root)
            if key not in self._tours:
                self._tours[key] = toured(router, lies.chips, root)
            order = self._tours[key]
        elif kinds == [GRAPH] and root is not None:
            order = self._chain(chips, root)
        elif len(kinds) == 1 and WIRINGS[kinds[0]].neighbours and self._some_of_graph(lies.chips):
            order = self._turned(router, lies.chips, WIRINGS[kinds[0]].wraps)
        return Group(router.topology, router, order, lies.pieces, self.rates)

    def _some_of_graph(self, chips: Sequence[int]) -> bool:
        """Whether these are some chips of a graph, but not all: where the whole begins is known from its links."""
        assert self.router is not None
        level = self.router.topology.levels[0]
        return bool(level.drawn) and len(chips) < level.children

    def _turned(self, router: Router, chips: Sequence[int], is_ring: bool) -> Sequence[int]:
        """Chips of a graph that stand in a line or a ring, from where names do not say."""
        key = (tuple(chips), None)
        if key not in self._tours:
            self._tours[key] = turned(router, chips, is_ring)
        return self._tours[key]

    def _chain(self, chips: Sequence[int], root: int) -> Sequence[int]:
        """Some chips of a graph in the order in which a chain from one of them goes through them."""
        topology = self.system.topology
        if topology is None or not topology.levels[0].drawn:
            return chips
        if root not in self._walks:
            self._walks[root] = walk_from(topology, root)
        wanted = set(chips)
        walk = [chip for chip in self._walks[root] if chip in wanted]
        return walk if len(walk) == len(chips) else chips  # chips of several nodes of a larger system
