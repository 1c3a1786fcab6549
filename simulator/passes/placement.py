"""Which chips run a kernel: those that have all of its inputs.

Graph inputs are everywhere. `send` runs on its source and `recv` on its target, and so what a recv brings is on that chip
only; whatever needs it runs there. `on=` restricts an op to some chips: the first stage of a pipeline. With `over=P` the
ends of a transfer are places along P, and `on=P@0` names places too: all chips there.
Chips are compared once for each pair of placements, never once for each kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from hw import RunError, System
from hw.input import chips_named
from simulator.ops.kernel import Chips, Communication, Kernel
from simulator.passes.kernels import Columns, Kernels, listed


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

    def asked_by(self, kernel: Kernel) -> Placement | None:
        """The placement that a kernel is written for; None for any."""
        asked = [self.on(chips) for chips in _asked(kernel)]
        return reduce(self.both, asked) if asked else None

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
    return list(placed(listed(kernels), system).each())


@dataclass(frozen=True, slots=True)
class Placed:
    """Where kernels run: placements, each once, and which of them each kernel has."""

    distinct: Sequence[Placement]
    of: Any

    def each(self) -> Iterator[Placement]:
        """The placement of every kernel."""
        return map(self.distinct.__getitem__, self.of.tolist())


def placed(kernels: Kernels, system: System) -> Placed:
    """The same of kernels as columns."""
    known = _Placements(system)
    everywhere = known.of(frozenset(range(system.size)))
    asked = [known.asked_by(template) for template in kernels.templates]
    if all(each is None for each in asked):
        return Placed(
            [everywhere], np.zeros(len(kernels), dtype=np.int64)
        )  # what is made everywhere is read everywhere
    wanted = [each or everywhere for each in asked]
    if all(each.chips for each in wanted) and _come_together(kernels, wanted):
        distinct = [*dict.fromkeys(wanted)]
        place_of = {each: at for at, each in enumerate(distinct)}
        return Placed(distinct, np.asarray([place_of[each] for each in wanted], dtype=np.int64)[kernels.code])
    where: dict[int, Placement] = {}
    number: dict[Placement, int] = {}
    of: list[int] = []
    for at, code in enumerate(kernels.code):
        here = asked[code] or everywhere
        for value in kernels.read_by(at):
            there = where.get(value)
            if there is not None and there is not here:
                here = known.both(here, there)
        if not here.chips:
            kernel = kernels[at]
            named = {kernels.names.value_name(value): on for value, on in where.items()}
            raise RunError(f"{kernel.name} ({kernel.kind}) can run nowhere: {_why(kernel, known, named)}")
        for value in kernels.made_by(at):
            where[value] = here
        of.append(number.setdefault(here, len(number)))
    return Placed(list(number), np.asarray(of, dtype=np.int64))


def _come_together(kernels: Kernels, wanted: Sequence[Placement]) -> bool:
    """Whether every kernel can run where its template wants to, as all that it reads is there: so in most pipelines."""
    columns = Columns.of(kernels)
    count = len(kernels.templates)
    reader = np.repeat(columns.code, columns.read_at[1:] - columns.read_at[:-1])
    maker = np.repeat(columns.code, columns.made_at[1:] - columns.made_at[:-1])
    lowest = min(columns.reads.min(initial=0), columns.makes.min(initial=0))
    # by value, the template of the kernel that makes it
    made_by = np.full(max(columns.reads.max(initial=0), columns.makes.max(initial=0)) - lowest + 1, -1)
    made_by[columns.makes - lowest] = maker
    # a value that several kernels make has one place only if they have
    if (maker != made_by[columns.makes - lowest]).any():
        return False
    met_with = made_by[columns.reads - lowest]
    known = met_with >= 0
    met = np.unique(reader[known] * count + met_with[known]).tolist()
    return all(wanted[each // count].members <= wanted[each % count].members for each in met)


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
