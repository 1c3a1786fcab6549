"""Which simulated chips the tasks of a kernel join, and what each of them asks of the wires.

Model: a collective has a task for each class of its groups, which carries what all groups of the class ask. Another kernel
has one on each chip, with the ways to their hosts of all chips that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hw import RunError
from simulator.collectives.traffic import NO_TRAFFIC, Joined, Traffic
from simulator.lowering.fabric import Fabric
from simulator.lowering.planning.plan import Plan
from simulator.lowering.task_shapes import NOBODY, TaskShapes, Together
from simulator.ops.kernel import Communication, Kernel
from simulator.passes.placement import Placement

Tasks = Mapping[tuple[int, ...], Together]
"""By the simulated chips that a task joins, what it asks of wires."""


class Joins:
    """What the kernels of a plan join, worked out once for each traffic and placement."""

    def __init__(self, plan: Plan, fabric: Fabric, shapes: TaskShapes) -> None:
        self._plan, self._fabric, self._shapes = plan, fabric, shapes
        self._groups: dict[tuple[Traffic, Placement], Tasks] = {}
        self._hosts: dict[Traffic, Tasks] = {}

    def of(self, index: int) -> Tasks:
        """The tasks of a kernel; of a group its own chips first. Raises RunError if only some of a group's can come."""
        code = self._plan.kernels.code[index]
        sort, asked = self._plan.kernels.sorts[code], self._fabric.traffic.get(code, NO_TRAFFIC)
        communication, place = sort.kernel.communication, self._fabric.sorts[code].place
        if communication is None:
            return {**{(chip,): NOBODY for chip in sort.chips}, **self._ways(asked)}
        if (asked, place) not in self._groups:
            self._groups[asked, place] = self._joined(index, communication, asked, place)
        return self._groups[asked, place]

    def _joined(self, index: int, communication: Communication, traffic: Traffic, place: Placement) -> Tasks:
        classes, here = self._fabric.class_of[traffic], place.members
        joined: dict[int, list[Joined]] = {}
        for number, group in enumerate(traffic.groups):
            present = here.intersection(group.members)
            if present and len(present) < len(group.members):
                kernel = self._plan.kernels.kernels[index]
                raise RunError(self._never(kernel, communication.axes, number, present))
            if present:
                joined.setdefault(classes[number], []).append(group)
        return {self._simulated(groups[0].members): self._shapes.together(groups) for groups in joined.values()}

    def _ways(self, traffic: Traffic) -> Tasks:
        """The ways to their hosts of all chips that each simulated one stands for."""
        if traffic not in self._hosts:
            joined: dict[tuple[int, ...], list[Joined]] = {}
            for group in traffic.groups:
                joined.setdefault(self._simulated(group.members), []).append(group)
            self._hosts[traffic] = {chips: self._shapes.together(groups) for chips, groups in joined.items()}
        return self._hosts[traffic]

    def _simulated(self, chips: Iterable[int]) -> tuple[int, ...]:
        """The simulated chips that stand for some chips."""
        return tuple(dict.fromkeys(self._fabric.folding.chip[chip] for chip in chips))

    def _never(self, kernel: Kernel, axes: str, number: int, present: frozenset[int]) -> str:
        """That members of a group never come, and how to say it if the others are meant alone."""
        mesh = self._plan.system.mesh
        members = self._plan.system.groups(axes)[number]
        absent = ", ".join(str(chip) for chip in members if chip not in present)
        named, whose = mesh.members(axes) is not None, "the group"
        if named:
            whose = f"group {axes[number]}"
        written = bool(kernel.schedule.on) and not named
        hint = "; to go over the first alone, name them in system.groups and write over= that name" if written else ""
        return (
            f"deadlock: {kernel.name} ({kernel.kind} over {axes}) waits for ever on chips "
            f"{', '.join(map(str, sorted(present)))}: chips {absent} of {whose} do not have its input and never come{hint}"
        )
