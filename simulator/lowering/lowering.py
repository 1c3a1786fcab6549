"""Lowering: from kernels to a program of tasks, one per chip and chunk; a collective is one task of its whole group.

An op runs where its inputs are: `recv` brings a tensor to one chip, and what needs only it runs there. Chunk i of an op
waits for chunk i of the op that feeds it when both have equally many chunks, else for all of them.
The two ends of a send and recv are one task in a queue of each chip, where each end stands in that chip's program; of
those along a mesh axis, one task for each class of alike pairs of chips.
Only one chip of each class of alike ones gets tasks (`simulator.lowering.folding`); a task that stands for several
carries on each resource what all of them ask there, and takes the time of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from hw import Dimension, RunError, SpecError, System
from hw.input import show
from simulator.engine.engine import Engine
from simulator.engine.program import PS_PER_S, Queue, Shape
from simulator.graph.op_graph import OpGraph
from simulator.lowering.cost import Cost
from simulator.lowering.fabric import Fabric
from simulator.lowering.messages import MessageTasks
from simulator.lowering.network import NO_TRAFFIC, Joined, Network, Traffic
from simulator.lowering.pairs import Transfers, match_pairs
from simulator.lowering.plan import Plan, PlannedKernel, Variants, queue_name
from simulator.lowering.resources import SystemResources
from simulator.lowering.task_shapes import NOBODY, TaskShapes, Together
from simulator.lowering.variants import variants_of
from simulator.ops.kernel import Communication, Kernel
from simulator.options import RunOptions
from simulator.passes.placement import Placement, placements
from simulator.passes.planner import Sharded, shard

MAX_TASKS = 20_000_000
"""Tasks that one run may have; beyond that memory runs out before patience does."""


def lower(graph: OpGraph, system: System, options: RunOptions) -> Plan:
    """The plan of a graph on a system. Raises SpecError for what is wrong, RunError for what cannot run."""
    cost = Cost(graph, system, options).seconds

    def run_s(sharded: Sharded) -> float:
        try:
            engine = Engine(_lowered(sharded, system, options).program, order=options.order)
        except (SpecError, RunError):
            return math.inf
        engine.run()
        return math.inf if engine.waiting_tasks() else engine.makespan_ps / PS_PER_S

    return _lowered(shard(graph, system, options.sharding, cost, run_s), system, options)


def _lowered(sharded: Sharded, system: System, options: RunOptions) -> Plan:
    """The plan of a graph that has all its collectives."""
    plan = Plan(system, sharded.graph, options, inserted=sharded.inserted)
    plan.split, variants = variants_of(plan)
    kernels = variants[0]
    issue = _Issue(plan, variants)
    messages = sum(issue.fabric.messages().values())
    tasks = sum(kernel.schedule.chunks for kernel in kernels) * plan.classes + messages
    if tasks > MAX_TASKS:
        way_out = "; run.network: task has one for each collective" if messages > tasks / 2 else ""
        most = f"{MAX_TASKS} is the most for one run{way_out}"
        raise RunError(f"{tasks} tasks on {plan.classes} chips are too many; {most}")
    for index in range(len(kernels)):
        issue.add(index)
    return plan


class _Issue:
    """Appends the tasks of kernels to a plan's program, in program order."""

    def __init__(self, plan: Plan, variants: Sequence[Sequence[Kernel]]) -> None:
        kernels = variants[0]
        self.plan = plan
        self.program = plan.program
        self.resources = SystemResources(plan.system, plan.options, plan.program)
        self.network = Network(plan.system, plan.options)
        self.kernels = kernels
        self.partner = plan.partner = match_pairs(kernels)
        self.places = placements(kernels, plan.system)
        self.pair_tasks: dict[int, dict[tuple[int, ...], int]] = {}
        self.given, self.given_at = 0, -1
        # where a tensor is made, or an op run: name -> chip -> tasks by chunk
        self.makers: dict[str, dict[int, list[int]]] = {}
        self.lanes: dict[tuple[int, str], int] = {}
        self._placed: dict[Placement, tuple[int, ...]] = {}
        self._joins: dict[tuple[Traffic, Placement], dict[tuple[int, ...], Together]] = {}
        self._hosts: dict[Traffic, dict[tuple[int, ...], Together]] = {}
        variants_of_kernel = Variants(plan, self.resources)
        planned = [variants_of_kernel.of(each) for each in zip(*variants, strict=True)]
        self.variants = planned
        self.fabric = Fabric(plan, self.network, planned, self.places)
        self.folding = plan.folding = self.fabric.folding
        self.shapes = TaskShapes(plan, self.resources, self.network, self.folding)
        self.transfers = Transfers(kernels, self.partner, self.places, self.fabric, self.shapes)
        self.resources.add_chips(self.folding.chips)
        simulated = {wire: self.network.wires[wire] for wire in sorted(set(self.folding.wire))}
        self.resources.add_wires(simulated, self.network.rates)

    def add(self, index: int) -> None:
        """Plan one kernel and append its tasks."""
        kernel = self.kernels[index]
        communication, asked = kernel.communication, self.fabric.traffic.get(index, NO_TRAFFIC)
        joins, ways = (asked, NO_TRAFFIC) if communication is not None else (NO_TRAFFIC, asked)
        network_s, host_s = (self.network.busiest_seconds(each) for each in (joins, ways))
        chips = self._simulated_of(self.places[index])
        variants = self.variants[index]
        self.plan.kernels.append(PlannedKernel(kernel, variants, joins, network_s, queue_name(kernel), chips, host_s))
        if communication is None:
            self._tasks(index, {**{(chip,): NOBODY for chip in chips}, **self._ways(ways)})
        elif not communication.pair:
            self._tasks(index, self._groups(index, communication))
        elif self.partner[index] > index:
            self._open_pairs(index)
        else:
            self._close_pairs(index, communication)

    def _simulated_of(self, placement: Placement) -> tuple[int, ...]:
        """The simulated chips of a placement."""
        if placement not in self._placed:
            first = self.folding.chip
            self._placed[placement] = tuple(chip for chip in placement.chips if first[chip] == chip)
        return self._placed[placement]

    def _groups(self, index: int, communication: Communication) -> dict[tuple[int, ...], Together]:
        """By the simulated chips that a group joins: all groups of its class that take part, its own first. Worked out
        once for each traffic and placement. Raises RunError if only some of a group's chips can come."""
        key = (self.plan.kernels[index].traffic, self.places[index])
        if key not in self._joins:
            self._joins[key] = self._joined(index, communication)
        return self._joins[key]

    def _joined(self, index: int, communication: Communication) -> dict[tuple[int, ...], Together]:
        planned, here = self.plan.kernels[index], self.places[index].members
        classes = self.fabric.class_of[planned.traffic]
        joined: dict[int, list[Joined]] = {}
        for number, group in enumerate(planned.traffic.groups):
            present = here.intersection(group.members)
            if present and len(present) < len(group.members):
                raise RunError(self._never(planned.kernel, communication.axes, number, present))
            if present:
                joined.setdefault(classes[number], []).append(group)
        return {self._simulated(groups[0].members): self.shapes.together(groups) for groups in joined.values()}

    def _never(self, kernel: Kernel, axes: str, number: int, present: frozenset[int]) -> str:
        """That members of a group never come, and how to say it if the others are meant alone."""
        mesh = self.plan.system.mesh
        members = self.plan.system.groups(axes)[number]
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

    def _ways(self, traffic: Traffic) -> dict[tuple[int, ...], Together]:
        """By simulated chip, the ways to their hosts of all chips that it stands for; worked out once for each traffic."""
        if traffic not in self._hosts:
            joined: dict[tuple[int, ...], list[Joined]] = {}
            for group in traffic.groups:
                joined.setdefault(self._simulated(group.members), []).append(group)
            self._hosts[traffic] = {chips: self.shapes.together(groups) for chips, groups in joined.items()}
        return self._hosts[traffic]

    def _simulated(self, chips: Iterable[int]) -> tuple[int, ...]:
        """The simulated chips that stand for some chips."""
        return tuple(dict.fromkeys(self.folding.chip[chip] for chip in chips))

    def _tasks(self, index: int, joined: Mapping[tuple[int, ...], Together]) -> None:
        """One task per class of groups of chips, and chunk."""
        planned = self.plan.kernels[index]
        made: dict[int, list[int]] = {}
        for group, alike in joined.items():
            needs = {chip: self._times(planned, chip) for chip in group}
            shape = self.shapes.number(planned, needs, alike)
            lanes = [self._lane(chip, planned.queue) for chip in group]
            for chunk in range(planned.kernel.schedule.chunks):
                before = self._before(planned.kernel, group, chunk)
                task = self.program.add(lanes, shape, before, index, chunk)
                self._prioritise(task, planned)
                for chip in group:
                    made.setdefault(chip, []).append(task)
        self._remember(planned.kernel, made)
        if planned.traffic.steps:
            self._messages(index, made)

    def _messages(self, index: int, made: Mapping[int, Sequence[int]]) -> None:
        """The messages of a collective that goes by messages."""
        planned = self.plan.kernels[index]
        times = {chip: self._times(planned, chip) for chip in made}
        messages = MessageTasks(
            self.program,
            self.folding,
            planned,
            self.shapes.message,
            lambda chip, lane: self._inner(chip, planned.queue, lane),
        )
        messages.prepare(self.fabric.class_of, times, planned.kernel.fixed_s + self.plan.launch_s(made))
        for chunk in range(planned.kernel.schedule.chunks):
            messages.issue({chip: tasks[chunk] for chip, tasks in made.items()}, index, chunk)

    def _inner(self, chip: int, queue: str, lane: str) -> int:
        number = self.lanes.get((chip, f"{queue}/{lane}"))
        if number is None:
            number = self.lanes[chip, f"{queue}/{lane}"] = len(self.program.queues)
            self.program.queues.append(Queue(chip, f"{queue}/{lane}", inner=True))
        return number

    def _times(self, planned: PlannedKernel, chip: int) -> Mapping[str, float]:
        return self.plan.variant(planned, chip).times_s

    def _prioritise(self, task: int, planned: PlannedKernel) -> None:
        if planned.kernel.schedule.priority:
            self.program.priority[task] = planned.kernel.schedule.priority

    def _open_pairs(self, index: int) -> None:
        """The first end of transfers makes their tasks, one for each class of alike ones; each stands here in the queue of
        this end."""
        planned = self.plan.kernels[index]
        # what it costs is known when the other end is: until then the shape is empty
        shape = self.program.intern(Shape.of(0, (), 1.0, 1.0))
        made: dict[int, list[int]] = {}
        tasks = self.pair_tasks[index] = {}
        for ends in self.transfers.alike(index):
            here, there = self.transfers.from_here(index, ends)
            lanes = [self._pair_lane(here, index), self._pair_lane(there, self.partner[index])]
            task = tasks[ends] = self.program.add(lanes, shape, self._before(planned.kernel, (here,), 0), index)
            self._prioritise(task, planned)
            made[here] = [task]
        self._remember(planned.kernel, made)

    def _close_pairs(self, index: int, communication: Communication) -> None:
        """The second end adds what it waits for, its place in its queue, and the cost of the whole."""
        planned, first = self.plan.kernels[index], self.plan.kernels[self.partner[index]]
        other = first.kernel.communication
        if other is None or (other.nbytes, other.group_bytes) != (communication.nbytes, communication.group_bytes):
            sizes = " and ".join(show(each.nbytes, Dimension.DATA) for each in (other, communication) if each)
            raise RunError(
                f"{first.kernel.name} and {planned.kernel.name} are one transfer but differ in bytes: {sizes}"
            )
        sender = planned if communication.kind == "send" else first
        made: dict[int, list[int]] = {}
        tasks = self.pair_tasks.pop(self.partner[index])
        for ends, alike in self.transfers.alike(index).items():
            here, there = self.transfers.from_here(index, ends)
            task = tasks[ends]
            for before in self._before(planned.kernel, (here,), 0):
                self.program.wait(task, before)
            self.program.places[task, self._pair_lane(here, index)] = self._place_here()
            self._prioritise(task, planned)
            needs = {here: self._times(planned, here), there: self._times(first, there)}
            self.program.shape[task] = self.program.intern(self.shapes.shape(sender, needs, alike))
            made[here] = [task]
        self._remember(planned.kernel, made)

    def _place_here(self) -> float:
        """A place in a queue after all tasks so far and all places given so far, before the next task."""
        self.given = self.given + 1 if self.given_at == len(self.program) else 0
        self.given_at = len(self.program)
        return len(self.program) - 1 + (self.given + 1) / (self.given + 2)

    def _pair_lane(self, chip: int, index: int) -> int:
        return self._lane(chip, self.kernels[index].schedule.queue or "p2p")

    def _remember(self, kernel: Kernel, made: dict[int, list[int]]) -> None:
        for name in (*(access.tensor for access in kernel.writes), *kernel.ops):
            self.makers[name] = made

    def _before(self, kernel: Kernel, group: Iterable[int], chunk: int) -> list[int]:
        """The tasks that chunk number `chunk` on the (simulated) chips `group` waits for."""
        found: dict[int, None] = {}
        for access in kernel.reads:
            for chip in group:
                tasks = self.makers.get(access.tensor, {}).get(chip, [])
                paired = len(tasks) == kernel.schedule.chunks > 1
                found.update(dict.fromkeys(tasks[chunk : chunk + 1] if paired else tasks))
        for name in kernel.schedule.after:
            ran = self.makers.get(name, {})
            for chip in group:
                # where the op did not run itself, it has to be over wherever it ran
                here = [ran[chip]] if chip in ran else ran.values()
                found.update(dict.fromkeys(task for tasks in here for task in tasks))
        return list(found)

    def _lane(self, chip: int, name: str) -> int:
        number = self.lanes.get((chip, name))
        if number is None:
            number = self.lanes[chip, name] = len(self.program.queues)
            self.program.queues.append(Queue(chip, name))
        return number
