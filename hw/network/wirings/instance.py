"""One instance of a level, as the facts of a wiring are worked out on it.

Model: alike instances (of the same rates, wire by wire) are looked at once. Where unlike chips make the wires of one
instance unlike, a closed form at the slowest one's pace is a bound from below, and is called so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hw.network.bisection import CLOSED_FORM, Bisection, Bound
from hw.network.topology import Level, Topology, Wire


@dataclass(frozen=True)
class Instance:
    """The wires of one instance by their numbers, and its chips."""

    topology: Topology
    number: int
    level: Level
    chips: range
    wires: Mapping[int, Wire]

    def __repr__(self) -> str:
        return (
            f"Instance({self.level.text}: chips {self.chips.start} to {self.chips.stop - 1}, {len(self.wires)} wires)"
        )

    @property
    def slowest(self) -> float:
        """The rate of the slowest wire."""
        return min((wire.bytes_per_s for wire in self.wires.values()), default=0.0)

    @property
    def alike(self) -> bool:
        """Whether all wires from chips have one rate."""
        chips = self.topology.chip_numbers
        return len({wire.bytes_per_s for wire in self.wires.values() if wire.source in chips}) <= 1

    def cut(self, bytes_per_s: float, bound: Bound = "exact", method: str = CLOSED_FORM) -> Bisection:
        """A cut by a formula; unlike chips make it a lower bound."""
        if not self.alike:
            return Bisection(bytes_per_s, "at least", f"{method}, every link at the slowest one's pace")
        return Bisection(bytes_per_s, bound, method)


def instances(topology: Topology, number: int) -> list[Instance]:
    """The instances of a level, alike ones once: they differ only by the rates of their wires."""
    level = topology.levels[number]
    span = level.inner * level.children
    wires: list[dict[int, Wire]] = [{} for _ in range(topology.size // span)]
    for at, wire in topology.of_level(number):
        wires[_instance_of(topology, wire, span)][at] = wire
    unlike = {tuple(wire.bytes_per_s for wire in here.values()): at for at, here in enumerate(wires)}
    return [Instance(topology, number, level, range(at * span, (at + 1) * span), wires[at]) for at in unlike.values()]


def _instance_of(topology: Topology, wire: Wire, span: int) -> int:
    """The instance of its level that a wire belongs to: by a chip at one of its ends, or by the node at its source."""
    for node in (wire.source, wire.target):
        chip = topology.chip_numbers.get(node)
        if chip is not None:
            return chip // span
    return topology.nodes[wire.source].instance
