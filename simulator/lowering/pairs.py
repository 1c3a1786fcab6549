"""Sends and their recvs: which two ends are one transfer, and which transfers of two ops are alike.

Model: a send and its recv between two chips are one transfer; along mesh axes they are as many as there are groups over
these, each of two chips, and of those of a class one is simulated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hw import RunError
from hw.input import chips_named
from simulator.collectives.traffic import Joined, Traffic
from simulator.lowering.fabric import Fabric
from simulator.lowering.planning.plan import Plan
from simulator.lowering.task_shapes import TaskShapes, Together
from simulator.ops.kernel import Communication, Kernel
from simulator.passes.kernels import Kernels
from simulator.passes.placement import Placement


def match_pairs(kernels: Kernels) -> Mapping[int, int]:
    """The other end of every send and recv: the n-th of a pair of chips, or of places, meets the n-th. Raises RunError for a
    lone one."""
    partner: dict[int, int] = {}
    open_ends: dict[tuple[str, int, int, str], deque[int]] = {}
    ends_of = [_end(template) for template in kernels.templates]
    for index, code in enumerate(kernels.code if any(ends_of) else ()):
        communication = ends_of[code]
        if communication is None:
            continue
        ends = (communication.axes, communication.source, communication.target)
        other = open_ends.get((*ends, "recv" if communication.kind == "send" else "send"))
        if other:
            partner[index] = other.popleft()
            partner[partner[index]] = index
        else:
            open_ends.setdefault((*ends, communication.kind), deque()).append(index)
    alone = [
        f"{kernels[index].name} ({kind} on {f'place {end} of {axes}' if axes else f'chip {end}'})"
        for (axes, source, target, kind), ends in open_ends.items()
        for end in [source if kind == "send" else target]
        for index in ends
    ]
    if alone:
        raise RunError(
            f"deadlock: {', '.join(alone)} waits for ever, the other end of the transfer is missing "
            "(every send needs a recv with the same from= and to=, and over= where it has one, and the reverse)"
        )
    return partner


@dataclass
class Transfers:
    """The transfers that each send and its recv make; worked out once for each traffic between two placements."""

    plan: Plan
    fabric: Fabric
    shapes: TaskShapes
    _known: dict[tuple[Traffic, Placement, Placement], dict[tuple[int, ...], Together]] = field(default_factory=dict)

    def alike(self, index: int) -> Mapping[tuple[int, ...], Together]:
        """By the simulated chips (sender, receiver), all transfers of their class. Raises RunError if only one end of one
        comes."""
        ends = (index, self.plan.partner[index])
        sends, recvs = sorted(ends, key=lambda at: self.plan.kernels.sort(at).kernel.kind == "recv")
        key = (self.fabric.traffic[self.plan.kernels.code[sends]], self._place(sends), self._place(recvs))
        if key not in self._known:
            self._known[key] = self._joined(sends, recvs)
        return self._known[key]

    def _place(self, index: int) -> Placement:
        return self.fabric.sorts[self.plan.kernels.code[index]].place

    def from_here(self, index: int, ends: tuple[int, ...]) -> tuple[int, int]:
        """The end of a transfer on which a kernel runs, then the other one."""
        source, target = ends
        return (source, target) if self.plan.kernels.sort(index).kernel.kind == "send" else (target, source)

    def _joined(self, sends: int, recvs: int) -> dict[tuple[int, ...], Together]:
        traffic, first = self.fabric.traffic[self.plan.kernels.code[sends]], self.fabric.folding.chip
        classes = self.fabric.class_of[traffic]
        joined: dict[int, list[Joined]] = {}
        alone: dict[int, list[int]] = {sends: [], recvs: []}
        for number, group in enumerate(traffic.groups):
            source, target = group.members
            sent, got = source in self._place(sends).members, target in self._place(recvs).members
            if sent and got:
                joined.setdefault(classes[number], []).append(group)
            elif sent:
                alone[sends].append(source)
            elif got:
                alone[recvs].append(target)
        self._check_met(alone)
        alike = joined.values()
        return {tuple(first[chip] for chip in each[0].members): self.shapes.together(each) for each in alike}

    def _check_met(self, alone: Mapping[int, Sequence[int]]) -> None:
        """Raise RunError where one end of transfers comes to chips whose counterparts do not have the other."""
        for index, chips in alone.items():
            if chips:
                kernels, partner = self.plan.kernels.kernels, self.plan.partner[index]
                kernel, other = kernels[index], kernels[partner]
                raise RunError(
                    f"deadlock: {kernel.name} ({kernel.kind}) waits for ever on {chips_named(chips)}: "
                    f"{other.name} ({other.kind}) runs on {chips_named(self._place(partner).chips)} alone"
                )


def _end(kernel: Kernel) -> Communication | None:
    """What a kernel is the end of, if it is a send or recv."""
    communication = kernel.communication
    return communication if communication is not None and communication.pair else None
