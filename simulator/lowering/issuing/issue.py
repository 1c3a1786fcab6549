"""Kernels as tasks of a program, in program order: what follows from their sorts is worked out once for each, and the tasks
are appended as columns.

Model: the two ends of transfers are tasks in a queue of each chip, where each end stands in that chip's program: the first
end makes them, the second closes them. A collective that goes by messages is followed by those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hw import Dimension, RunError
from hw.input import show
from hw.rows import equal_lines
from simulator.engine.program import Queue, Tasks
from simulator.engine.shape import Shape
from simulator.lowering.fabric import Fabric
from simulator.lowering.issuing.issued import Group, Issued
from simulator.lowering.issuing.waits import Waits, waits_of
from simulator.lowering.joins import Joins
from simulator.lowering.messages import MessageTasks
from simulator.lowering.network import Network
from simulator.lowering.pairs import Transfers, match_pairs
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.planned import PlannedKernel, PlannedKernels
from simulator.lowering.resources import SystemResources
from simulator.lowering.sorts import shares_cores, sorts_of
from simulator.lowering.task_shapes import TaskShapes
from simulator.passes.kernels import Kernels


class Issue:
    """Appends the tasks of kernels to a plan's program, in program order."""

    def __init__(self, plan: Plan, variants: Sequence[Kernels], known: Fabric | None = None) -> None:
        self.plan, self.variants = plan, variants
        self.program = plan.program
        self.resources = SystemResources(plan.system, plan.options, plan.program)
        self.network = known.network if known is not None else Network(plan.system, plan.options)
        self.kernels = variants[0]
        self.partner = plan.partner = match_pairs(self.kernels)
        self.sorts, code = sorts_of(plan, variants, self.resources)
        self.lanes: dict[tuple[int, str], int] = {}
        self._message_tasks: dict[int, MessageTasks] = {}
        self.fabric = Fabric(plan, self.network, self.sorts, known)
        self.folding = plan.folding = self.fabric.folding
        shares = shares_cores(self.sorts, self.fabric.traffic)
        self.shapes = TaskShapes(plan, self.resources, self.network, self.folding, shares)
        self.resources.add_chips(self.folding.chips)
        simulated = {wire: self.network.wires[wire] for wire in sorted(set(self.folding.wire))}
        self.resources.add_wires(simulated, self.network.rates)
        plan.kernels = PlannedKernels(self.kernels, variants, self.fabric.planned(), code)
        self.joins = Joins(plan, self.fabric, self.shapes)
        self.transfers = Transfers(plan, self.fabric, self.shapes)
        # by kernel, its first task; by kind of kernels, how these are issued
        self._first: Any = np.full(len(self.kernels), -1, dtype=np.int64)
        self._issued: list[Issued] = []
        # the places given behind the last task, and how many tasks there were
        self._given, self._given_at = 0, -1

    def all(self) -> None:
        """Append the tasks of all kernels."""
        self._kind, firsts = self._kinds()
        self._waits: Waits = waits_of(self.kernels)
        self._known_waits: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        by_messages = np.asarray([bool(sort.traffic.steps) for sort in self.plan.kernels.sorts], dtype=bool)
        stops = np.flatnonzero(by_messages[np.asarray(self.plan.kernels.code, dtype=np.int64)]).tolist()
        since = 0
        for stop in stops:
            self._run(since, stop + 1, [first for first in firsts if since <= first <= stop])
            self._messages(stop)
            since = stop + 1
        self._run(since, len(self.kernels), [first for first in firsts if since <= first])

    def _kinds(self) -> tuple[Any, list[int]]:
        """By kernel, the number of how it is issued, and the first kernel of each number: its sort decides, of one end of
        transfers that of the other end, too, and which of them comes first."""
        code = np.asarray(self.plan.kernels.code, dtype=np.int64)
        other, opens = np.zeros(len(code), dtype=np.int64), np.zeros(len(code), dtype=np.int64)
        for at, partner in self.partner.items():
            other[at], opens[at] = 1 + code[partner], partner > at
        number, first = equal_lines(code, other, opens)
        return number, first.tolist()

    def _run(self, since: int, until: int, firsts: Sequence[int]) -> None:
        """Append the tasks of some kernels, of which some are the first of their kind."""
        self._issued += [self._made(first) for first in firsts]
        kind = self._kind[since:until]
        counts = np.asarray([each.tasks for each in self._issued], dtype=np.int64)[kind]
        self._first[since:until] = len(self.program) + np.cumsum(counts) - counts
        closing = np.asarray([each.closes for each in self._issued], dtype=bool)[kind]
        tasks_before = {at: int(self._first[at]) for at in (since + np.flatnonzero(closing)).tolist()}
        for at in tasks_before:
            self._first[at] = self._first[self.partner[at]]
        self._append(since, kind, counts)
        for at, tasks in tasks_before.items():
            self._close(at, tasks)
        self.program.wait_all(*self._task_waits(self._waits.of(since, until)))

    def _append(self, since: int, kind: Any, counts: Any) -> None:
        """Append the tasks of kernels of some kinds, so many each."""
        each = [list(_tasks(issued)) for issued in self._issued]
        start = np.cumsum([0, *map(len, each)])[:-1]
        queues = [queues for tasks in each for queues, _, _ in tasks]
        columns = np.asarray(
            [(line[0], shape, chunk) for tasks in each for line, shape, chunk in tasks], dtype=np.int64
        )
        columns = columns.reshape(-1, 3)
        at = np.arange(int(counts.sum())) + np.repeat(start[kind] - np.cumsum(counts) + counts, counts)
        kernel = since + np.repeat(np.arange(len(kind)), counts)
        joined = np.flatnonzero(np.asarray([len(line) > 1 for line in queues], dtype=bool)[at])
        groups = {task: queues[at[task]] for task in joined.tolist()}
        priority = np.asarray([issued.priority for issued in self._issued], dtype=np.int64)[kind]
        first = len(self.program)
        self.program.add_all(Tasks(columns[at, 0], columns[at, 1], kernel, columns[at, 2], groups))
        for task in np.flatnonzero(np.repeat(priority, counts)).tolist():
            self.program.priority[first + task] = int(priority[kernel[task] - since])

    def _task_waits(self, waits: Waits) -> tuple[Any, Any]:
        """Tasks that wait, and what each of them waits for, in program order; each once."""
        pair = self._kind[waits.reader], self._kind[waits.maker], waits.named.astype(np.int64)
        number, first = equal_lines(*pair)
        lists = [self._waits_between(*kinds) for kinds in zip(*(each[first].tolist() for each in pair), strict=True)]
        size = np.asarray([len(each) for each in lists], dtype=np.int64)
        flat = np.asarray([line for each in lists for line in each], dtype=np.int64).reshape(-1, 2)
        count = size[number]
        line = np.repeat(np.arange(len(count)), count)
        at = np.arange(len(line)) + np.repeat((np.cumsum(size) - size)[number] - np.cumsum(count) + count, count)
        own, made = flat[at].T
        reader = waits.reader[line]
        order = np.lexsort((own, reader))
        reader, own = reader[order], own[order]
        before = (self._first[waits.maker[line]] + made)[order]
        # what is waited for twice counts once, where it first stands
        key = (reader * (int(own.max(initial=0)) + 1) + own) * (len(self.program) + 1) + before
        once = np.sort(np.unique(key, return_index=True)[1])
        return (self._first[reader] + own)[once], before[once]

    def _waits_between(self, reader: int, maker: int, named: int) -> list[tuple[int, int]]:
        """What tasks of a kind wait for of another kind."""
        key = reader, maker, named
        if key not in self._known_waits:
            own, other = self._issued[reader], self._issued[maker]
            self._known_waits[key] = own.waits_by_name(other) if named else own.waits(other)
        return self._known_waits[key]

    def _made(self, index: int) -> Issued:
        """How a kernel is issued, and all of its kind."""
        planned = self.plan.kernels.sort(index)
        communication = planned.kernel.communication
        if communication is not None and communication.pair:
            return self._opened(index, planned) if self.partner[index] > index else self._closed(index, planned)
        groups = []
        for group, alike in self.joins.of(index).items():
            shape = self.shapes.number(planned, {chip: self._times(planned, chip) for chip in group}, alike)
            groups.append(Group(group, tuple(self._lane(chip, planned.queue) for chip in group), shape))
        schedule = planned.kernel.schedule
        return Issued(tuple(groups), schedule.chunks, schedule.priority)

    def _opened(self, index: int, planned: PlannedKernel) -> Issued:
        """The first end of transfers: a task for each class of alike ones, in a queue of both ends."""
        # what it costs is known when the other end is: until then the shape is empty
        shape = self.program.intern(Shape.of(0, (), 1.0, 1.0))
        groups = []
        for ends in self.transfers.alike(index):
            here, there = self.transfers.from_here(index, ends)
            queues = self._pair_lane(here, index), self._pair_lane(there, self.partner[index])
            groups.append(Group((here,), queues, shape))
        return Issued(tuple(groups), 1, planned.kernel.schedule.priority)

    def _closed(self, index: int, planned: PlannedKernel) -> Issued:
        """The second end of transfers, and the cost of the whole. Raises RunError where the ends are of unlike sizes."""
        other_end = self.plan.kernels.sort(self.partner[index])
        one, other = planned.kernel.communication, other_end.kernel.communication
        assert one is not None
        if other is None or (other.nbytes, other.group_bytes) != (one.nbytes, one.group_bytes):
            sizes = " and ".join(show(each.nbytes, Dimension.DATA) for each in (other, one) if each)
            names = (self.kernels[each].name for each in (self.partner[index], index))
            raise RunError(f"{' and '.join(names)} are one transfer but differ in bytes: {sizes}")
        sender = planned if one.kind == "send" else other_end
        groups = []
        for ends, alike in self.transfers.alike(index).items():
            here, there = self.transfers.from_here(index, ends)
            needs = {here: self._times(planned, here), there: self._times(other_end, there)}
            shape = self.program.intern(self.shapes.shape(sender, needs, alike))
            groups.append(Group((here,), (self._pair_lane(here, index),), shape))
        return Issued(tuple(groups), 1, planned.kernel.schedule.priority, closes=True)

    def _close(self, index: int, tasks: int) -> None:
        """Give the tasks of transfers their cost and their places in the queues of the second end, behind so many tasks."""
        issued, program = self._issued[self._kind[index]], self.program
        for task, group in enumerate(issued.groups, start=int(self._first[index])):
            program.shape[task] = group.shape
            program.places[task, group.queues[0]] = self._place_behind(tasks)
            if issued.priority:
                program.priority[task] = issued.priority

    def _place_behind(self, tasks: int) -> float:
        """A place in a queue after so many tasks and all places given there so far, before the next task."""
        self._given = self._given + 1 if self._given_at == tasks else 0
        self._given_at = tasks
        return tasks - 1 + (self._given + 1) / (self._given + 2)

    def _messages(self, index: int) -> None:
        """The messages of a collective that goes by messages."""
        code, issued = self.plan.kernels.code[index], self._issued[self._kind[index]]
        planned = self.plan.kernels.sorts[code]
        if code not in self._message_tasks:
            times = {chip: self._times(planned, chip) for chip in issued.place}
            messages = self._message_tasks[code] = MessageTasks(
                self.program,
                self.folding,
                planned,
                self.shapes.message,
                lambda chip, lane: self._inner(chip, planned.queue, lane),
            )
            messages.prepare(self.fabric.class_of, times, planned.kernel.fixed_s + self.plan.launch_s(issued.place))
        first = int(self._first[index])
        for chunk in range(issued.chunks):
            parents = {chip: first + place * issued.chunks + chunk for chip, place in issued.place.items()}
            self._message_tasks[code].issue(parents, index, chunk)

    def _inner(self, chip: int, queue: str, lane: str) -> int:
        return self._queue(chip, f"{queue}/{lane}", inner=True)

    def _times(self, planned: PlannedKernel, chip: int) -> Mapping[str, float]:
        return self.plan.variant(planned, chip).times_s

    def _pair_lane(self, chip: int, index: int) -> int:
        return self._lane(chip, self.plan.kernels.sort(index).kernel.schedule.queue or "p2p")

    def _lane(self, chip: int, name: str) -> int:
        return self._queue(chip, name, inner=False)

    def _queue(self, chip: int, name: str, inner: bool) -> int:
        number = self.lanes.get((chip, name))
        if number is None:
            number = self.lanes[chip, name] = len(self.program.queues)
            self.program.queues.append(Queue(chip, name, inner=inner))
        return number


def _tasks(issued: Issued) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """The queues, shape and chunk of each task that a kernel appends."""
    for group in () if issued.closes else issued.groups:
        for chunk in range(issued.chunks):
            yield group.queues, group.shape, chunk
