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
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

from hw import Dimension, RunError, SpecError, System
from hw.input import show
from simulator.engine.engine import Engine
from simulator.engine.program import PS_PER_S, Queue, Shape
from simulator.graph.op_graph import OpGraph
from simulator.lowering.cost import Cost
from simulator.lowering.fabric import Basis, Fabric
from simulator.lowering.joins import Joins
from simulator.lowering.messages import MessageTasks
from simulator.lowering.network import Network
from simulator.lowering.pairs import Transfers, match_pairs
from simulator.lowering.plan import Plan, PlannedKernel, PlannedKernels
from simulator.lowering.resources import SystemResources
from simulator.lowering.sorts import shares_cores, sorts_of
from simulator.lowering.task_shapes import TaskShapes
from simulator.lowering.variants import variants_of
from simulator.ops.kernel import Communication
from simulator.options import RunOptions
from simulator.passes.kernels import Kernels
from simulator.passes.planner import Sharded, shard

MAX_TASKS = 20_000_000
"""Tasks that one run may have; beyond that memory runs out before patience does."""


def lower(graph: OpGraph, system: System, options: RunOptions) -> Plan:
    """The plan of a graph on a system. Raises SpecError for what is wrong, RunError for what cannot run."""

    @cache
    def cost() -> Cost:
        return Cost(graph, system, options)

    def run_s(sharded: Sharded) -> float:
        try:
            engine = Engine(_lowered(sharded, system, options).plan.program, order=options.order)
        except (SpecError, RunError):
            return math.inf
        engine.run()
        return math.inf if engine.waiting_tasks() else engine.makespan_ps / PS_PER_S

    sharded = shard(graph, system, options.sharding, lambda op: cost().seconds(op), run_s)
    issue = _lowered(sharded, system, options)
    basis = Basis(graph, sharded, issue.plan.split, issue.variants, issue.fabric)
    issue.plan.again = partial(_lower_again, basis)
    return issue.plan


def _lower_again(basis: Basis, graph: OpGraph, system: System, options: RunOptions) -> Plan:
    """The plan of another run, with what holds for it of the plan that the basis is of."""
    if not basis.has_kernels(graph, system, options):
        return lower(graph, system, options)
    return _lowered(basis.sharded, system, options, basis).plan


def _lowered(sharded: Sharded, system: System, options: RunOptions, basis: Basis | None = None) -> _Issue:
    """A graph that has all its collectives, lowered."""
    plan = Plan(system, sharded.graph, options, inserted=sharded.inserted)
    if basis is None:
        plan.split, variants = variants_of(plan)
        issue = _Issue(plan, variants)
    else:
        plan.split = basis.split
        issue = _Issue(plan, basis.variants, basis.fabric if basis.has_wires(options) else None)
    messages = issue.fabric.messages()
    tasks = sum(sort.kernel.schedule.chunks * sort.count for sort in issue.sorts) * plan.classes + messages
    if tasks > MAX_TASKS:
        way_out = "; run.network: task has one for each collective" if messages > tasks / 2 else ""
        most = f"{MAX_TASKS} is the most for one run{way_out}"
        raise RunError(f"{tasks} tasks on {plan.classes} chips are too many; {most}")
    for index in range(len(plan.kernels)):
        issue.add(index)
    return issue


@dataclass(frozen=True, slots=True)
class _Issued:
    """How kernels of a sort are issued: the simulated chips, lanes and shape of each of their groups, the place of the group
    that a chip is in, and chunks. The task of place p and chunk c is the p * chunks + c-th of its kernel."""

    groups: tuple[tuple[tuple[int, ...], tuple[int, ...], int], ...]
    place: Mapping[int, int]
    chunks: int


class _Issue:
    """Appends the tasks of kernels to a plan's program, in program order."""

    def __init__(self, plan: Plan, variants: Sequence[Kernels], known: Fabric | None = None) -> None:
        self.plan, self.variants = plan, variants
        self.program = plan.program
        self.resources = SystemResources(plan.system, plan.options, plan.program)
        self.network = known.network if known is not None else Network(plan.system, plan.options)
        self.kernels = variants[0]
        self.partner = plan.partner = match_pairs(self.kernels)
        self.sorts, code = sorts_of(plan, variants, self.resources)
        self.given, self.given_at = 0, -1
        # by value the kernel that makes it, by kernel its first task
        self.maker = array("i", [-1]) * self.kernels.values
        self.first = array("q", [-1]) * len(self.kernels)
        self.lanes: dict[tuple[int, str], int] = {}
        # by sort; of an end of transfers by kernel
        self._issued: dict[int, _Issued] = {}
        self._ends: dict[int, _Issued] = {}
        self._message_tasks: dict[int, MessageTasks] = {}
        self.fabric = Fabric(plan, self.network, self.sorts, known)
        self.folding = plan.folding = self.fabric.folding
        self.shapes = TaskShapes(plan, self.resources, self.network, self.folding, shares_cores(self.sorts))
        self.resources.add_chips(self.folding.chips)
        simulated = {wire: self.network.wires[wire] for wire in sorted(set(self.folding.wire))}
        self.resources.add_wires(simulated, self.network.rates)
        plan.kernels = PlannedKernels(self.kernels, variants, self.fabric.planned(), code)
        self.joins = Joins(plan, self.fabric, self.shapes)
        self.transfers = Transfers(plan, self.fabric, self.shapes)

    def add(self, index: int) -> None:
        """Append the tasks of a kernel."""
        communication = self.plan.kernels.sort(index).kernel.communication
        if communication is None or not communication.pair:
            self._tasks(index)
        elif self.partner[index] > index:
            self._open_pairs(index)
        else:
            self._close_pairs(index, communication)

    def _issued_as(self, index: int) -> _Issued:
        """How a kernel is issued: worked out for the first of its sort."""
        code = self.plan.kernels.code[index]
        if code not in self._issued:
            planned = self.plan.kernels.sorts[code]
            groups = []
            for group, alike in self.joins.of(index).items():
                shape = self.shapes.number(planned, {chip: self._times(planned, chip) for chip in group}, alike)
                groups.append((group, tuple(self._lane(chip, planned.queue) for chip in group), shape))
            place = {chip: at for at, (group, _, _) in enumerate(groups) for chip in group}
            self._issued[code] = _Issued(tuple(groups), place, planned.kernel.schedule.chunks)
        return self._issued[code]

    def _tasks(self, index: int) -> None:
        """One task per class of groups of chips, and chunk."""
        planned, issued, program = self.plan.kernels.sort(index), self._issued_as(index), self.program
        priority = planned.kernel.schedule.priority
        first = len(program)
        for group, lanes, shape in issued.groups:
            for chunk in range(issued.chunks):
                task = program.add(lanes, shape, self._before(index, group, chunk), index, chunk)
                if priority:
                    program.priority[task] = priority
        self._remember(index, first)
        if planned.traffic.steps:
            self._messages(index, {chip: self._made_on(index, chip) for chip in issued.place})

    def _made_on(self, index: int, chip: int) -> Sequence[int]:
        """The tasks of a kernel on a chip by chunk; none where it does not run."""
        issued = self._issuing(index)
        if (place := issued.place.get(chip)) is None:
            return ()
        first = self.first[index] + place * issued.chunks
        return range(first, first + issued.chunks)

    def _issuing(self, index: int) -> _Issued:
        """How a kernel that has been issued was."""
        return self._ends.get(index) or self._issued[self.plan.kernels.code[index]]

    def _messages(self, index: int, made: Mapping[int, Sequence[int]]) -> None:
        """The messages of a collective that goes by messages."""
        code = self.plan.kernels.code[index]
        planned = self.plan.kernels.sorts[code]
        if code not in self._message_tasks:
            times = {chip: self._times(planned, chip) for chip in made}
            messages = self._message_tasks[code] = MessageTasks(
                self.program,
                self.folding,
                planned,
                self.shapes.message,
                lambda chip, lane: self._inner(chip, planned.queue, lane),
            )
            messages.prepare(self.fabric.class_of, times, planned.kernel.fixed_s + self.plan.launch_s(made))
        for chunk in range(planned.kernel.schedule.chunks):
            self._message_tasks[code].issue({chip: tasks[chunk] for chip, tasks in made.items()}, index, chunk)

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
        planned, first = self.plan.kernels.sort(index), len(self.program)
        # what it costs is known when the other end is: until then the shape is empty
        shape = self.program.intern(Shape.of(0, (), 1.0, 1.0))
        place: dict[int, int] = {}
        for at, ends in enumerate(self.transfers.alike(index)):
            here, there = self.transfers.from_here(index, ends)
            lanes = [self._pair_lane(here, index), self._pair_lane(there, self.partner[index])]
            task = self.program.add(lanes, shape, self._before(index, (here,), 0), index)
            self._prioritise(task, planned)
            place[here] = at
        self._ends[index] = _Issued((), place, 1)
        self._remember(index, first)

    def _close_pairs(self, index: int, communication: Communication) -> None:
        """The second end adds what it waits for, its place in its queue, and the cost of the whole."""
        planned, other_end = self.plan.kernels.sort(index), self.plan.kernels.sort(self.partner[index])
        other = other_end.kernel.communication
        if other is None or (other.nbytes, other.group_bytes) != (communication.nbytes, communication.group_bytes):
            sizes = " and ".join(show(each.nbytes, Dimension.DATA) for each in (other, communication) if each)
            names = (self.kernels[each].name for each in (self.partner[index], index))
            raise RunError(f"{' and '.join(names)} are one transfer but differ in bytes: {sizes}")
        sender = planned if communication.kind == "send" else other_end
        place: dict[int, int] = {}
        first = self.first[self.partner[index]]
        for at, (ends, alike) in enumerate(self.transfers.alike(index).items()):
            here, there = self.transfers.from_here(index, ends)
            task = first + at
            for before in self._before(index, (here,), 0):
                self.program.wait(task, before)
            self.program.places[task, self._pair_lane(here, index)] = self._place_here()
            self._prioritise(task, planned)
            needs = {here: self._times(planned, here), there: self._times(other_end, there)}
            self.program.shape[task] = self.program.intern(self.shapes.shape(sender, needs, alike))
            place[here] = at
        self._ends[index] = _Issued((), place, 1)
        self._remember(index, first)

    def _place_here(self) -> float:
        """A place in a queue after all tasks so far and all places given so far, before the next task."""
        self.given = self.given + 1 if self.given_at == len(self.program) else 0
        self.given_at = len(self.program)
        return len(self.program) - 1 + (self.given + 1) / (self.given + 2)

    def _pair_lane(self, chip: int, index: int) -> int:
        return self._lane(chip, self.plan.kernels.sort(index).kernel.schedule.queue or "p2p")

    def _remember(self, index: int, first: int) -> None:
        self.first[index] = first
        for value in self.kernels.made_by(index):
            self.maker[value] = index

    def _before(self, index: int, group: Sequence[int], chunk: int) -> list[int]:
        """The tasks that chunk number `chunk` of a kernel on some (simulated) chips waits for."""
        schedule = self.plan.kernels.sort(index).kernel.schedule
        found: dict[int, None] = {}
        for maker in [self.maker[value] for value in self.kernels.read_by(index) if value >= 0]:
            if maker < 0:
                continue
            issued = self._issuing(maker)
            for place in [issued.place[chip] for chip in group if chip in issued.place]:
                begin = self.first[maker] + place * issued.chunks
                if issued.chunks == schedule.chunks:
                    found[begin + chunk] = None
                else:
                    found.update(dict.fromkeys(range(begin, begin + issued.chunks)))
        for name in schedule.after:
            ran = self.maker[value] if (value := self._named.get(name, -1)) >= 0 else -1
            for chip in group if ran >= 0 else ():
                # where the op did not run itself, it has to be over wherever it ran
                places = self._issuing(ran).place
                here = (chip,) if chip in places else tuple(places)
                found.update(dict.fromkeys(task for each in here for task in self._made_on(ran, each)))
        return list(found)

    @cached_property
    def _named(self) -> Mapping[str, int]:
        """The values of names."""
        return self.kernels.values_named()

    def _lane(self, chip: int, name: str) -> int:
        number = self.lanes.get((chip, name))
        if number is None:
            number = self.lanes[chip, name] = len(self.program.queues)
            self.program.queues.append(Queue(chip, name))
        return number
