"""What can be said of a topology at a glance: hops and bisection bandwidth, level by level.

Model: hops are those that latency counts (up to a switch and down again is one). The diameter adds up level by level, as
routes do. The bisection bandwidth of a level is what its wires carry one way between halves of its children (sizes differ by
one at most), as its wiring says (`hw.network.wirings`): of a lattice by the closed form, of a switch by its narrowest
children, of a tree by the narrowest assignment of leaves, of a full mesh by counting pairs; others are cut by search
(`hw.network.bisection`). Where unlike chips make the instances of a level unlike, the narrowest one's is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hw.network.bisection import Bisection
from hw.network.topology import Level, Topology
from hw.network.wirings.instance import instances
from hw.network.wirings.registry import WIRINGS


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """One level: how often it is there, hops across it, bytes/s one way between halves of one of them."""

    level: Level
    instances: int
    hops: int
    bisection: Bisection

    def __repr__(self) -> str:
        return f"LevelFacts({self.level.text}: {self.instances} of these, {self.hops} hops, {self.bisection})"


def diameter(facts: Sequence[LevelFacts]) -> int:
    """Hops between the chips that are furthest apart: inside, then across, unless a shared fabric is entered at once."""
    total = 0
    for each in facts:
        total = max(total, each.hops) if each.level.shared else total + each.hops
    return total


def overall_cut(facts: Sequence[LevelFacts]) -> Bisection | None:
    """The bisection of the outermost level that joins anything."""
    return next((each.bisection for each in reversed(facts) if each.level.children > 1), None)


def level_facts(topology: Topology) -> list[LevelFacts]:
    """What there is to say of each level, inside out."""
    result = []
    for number, level in enumerate(topology.levels):
        wiring = WIRINGS[level.kind]
        found = [wiring.facts(instance) for instance in instances(topology, number)]
        hops, cut = min(found, key=lambda each: each[1].bytes_per_s)
        result.append(LevelFacts(level, topology.size // (level.inner * level.children), hops, cut))
    return result
