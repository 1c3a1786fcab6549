"""Which chips run a kernel: those that have all of its inputs.

Graph inputs are everywhere. `send` runs on its source and `recv` on its target, and so what a recv brings is on that chip
only; whatever needs it runs there. `on=` restricts an op to some chips: the first stage of a pipeline. With `over=P` the
ends of a transfer are places along P, and `on=P@0` names places too: all chips there.
Chips are compared once for each pair of placements, never once for each kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hw import RunError, System
from hw.input import chips_named
from simulator.ops.kernel import Chips, Communication, Kernel


def end_of(communication: Communication) -> int:
    """The chip on which one end of a send or recv runs, or its place along their axes."""
    return communication.source if communication.kind == "send" else communication.target


def chips_of(on: Chips, system: System) -> frozenset[int]:
    """The chips that are named by their numbers, or by their places along axes."""
    if not on.axes:
        return frozenset(on.at)
    return frozenset().union(*(system.at(on.axes, place) for place in on.at))


@dataclass(frozen=True, eq=False)
class Placement:
    """Chips on which kernels run, in order: one object for all kernels that run on the same, so that what follows from it
    is worked out once."""

    chips: tuple[int, ...]
    members: frozenset[int]


@dataclass
class _Placements:
    """The placements on one system: one object for each set of chips."""

    system: System
    known: dict[frozenset[int], Placement] = field(default_factory=dict)
    named: dict[Chips, Placement] = field(default_factory=dict)
    met: dict[tuple[Placement, Placement], Placement] = field(default_factory=dict)

    def of(self, chips: frozenset[int]) -> Placement:
        """The placement of some chips."""
        found = self.known.get(chips)
        if found is None:
            found = self.known[chips] = Placement(tuple(sorted(chips)), chips)
        return found

    def on(self, chips: Chips) -> Placement:
        """The placement of chips that an op names."""
        found = self.named.get(chips)
        if found is None:
            found = self.named[chips] = self.of(chips_of(chips, self.system))
        return found

    def both(self, one: Placement, other: Placement) -> Placement:
        """The chips of both."""
        if one is other:
            return one
        found = self.met.get((one, other))
        if found is None:
            found = self.met[one, other] = self.of(one.members & other.members)
        return found


def placements(kernels: Sequence[Kernel], system: System) -> list[Placement]:
    """The placement of each kernel. Raises RunError for one that can run nowhere."""
    placed = _Placements(system)
    everywhere = placed.of(frozenset(range(system.size)))
    where: dict[str, Placement] = {}
    result: list[Placement] = []
    for kernel in kernels:
        here = everywhere
        for asked in _asked(kernel):
            here = placed.both(here, placed.on(asked))
        for access in kernel.reads:
            there = where.get(access.tensor)
            if there is not None:
                here = placed.both(here, there)
        if not here.chips:
            raise RunError(f"{kernel.name} ({kernel.kind}) can run nowhere: {_why(kernel, placed, where)}")
        for access in kernel.writes:
            where[access.tensor] = here
        for name in kernel.ops:
            where[name] = here
        result.append(here)
    return result


def _asked(kernel: Kernel) -> list[Chips]:
    """The chips that a kernel is written for, by `on=` and as one end of a transfer."""
    asked = [kernel.schedule.on] if kernel.schedule.on is not None else []
    communication = kernel.communication
    if communication is not None and communication.pair:
        asked.append(Chips((end_of(communication),), communication.axes))
    return asked


def _why(kernel: Kernel, placed: _Placements, where: Mapping[str, Placement]) -> str:
    """What asks for which chips."""
    parts = {access.tensor: where[access.tensor].chips for access in kernel.reads if access.tensor in where}
    said = [f"{name} is on {chips_named(chips)}" for name, chips in parts.items()]
    asked = [placed.on(chips).members for chips in _asked(kernel)]
    if asked:
        said.append(f"it is written for {chips_named(frozenset.intersection(*asked))}")
    return ", ".join(said)
