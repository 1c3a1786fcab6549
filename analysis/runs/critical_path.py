"""Why a run takes as long as it does: every instant of it, given to one task and one cause.

Model: walk back from the last end. A task began when the last thing that it waited for was over: an input, the task
before it in a queue; the walk goes on there. So the segments tile the run
from 0 to its end without a gap, and their lengths add up to its time exactly, in whole picoseconds.
A task's own span is its fixed time (overhead), then the pipeline T = max(t_r) + (sum(t_r) - max(t_r)) / k: all of the
slowest stage's time and 1/k of each other's, under the word of its resource; what it took beyond T is contention. In
which order these lie inside a task is a convention: under contention they mix. A gap before a task that nothing in the
program explains (a user's process) is held; where the task holds cores, which others had, it is contention. There is no
waiting on a path, it goes on to what was waited for.
Where several things ended at the same instant, an input comes before a queue, then the first in program order.
Of a folded run the simulated chips are walked; a collective is one task, also where it goes by messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from analysis.words.causes import CAUSES, NETWORK, OF_RESOURCES, OVERHEAD
from simulator import Resource, Result, Shape

CONTENTION = "contention"
"""A segment that a task took longer for because others shared its resource."""
HELD = "held"
"""A segment in which a process of the user's held a task back."""
PATH_CAUSES = (*(cause.name for cause in CAUSES.values() if cause.of_ops), CONTENTION, HELD)
"""What a segment can be due to: the words of `bound_by` but waiting, contention, and what a user's process held back."""

_NOISE_PS = 2
"""What rounding to the clock may add to a task; more than this (and 1e-9 of it) is contention."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the run, in whole ps: the task that it belongs to, its kernel's name, the chip, and the cause."""

    task: int
    op: str
    chip: int
    cause: str
    begin_ps: int
    end_ps: int


def schedule_path(result: Result) -> list[Segment]:
    """The segments that cover [0, time of the run], in order, without gap or overlap; none is empty."""
    if not len(result.plan.program):
        return []
    found = list(_Walk(result).back())
    return found[::-1]


class _Walk:
    """The way back through one run."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.plan, self.program = result.plan, result.plan.program
        self.inputs: list[list[int]] = [[] for _ in range(len(self.program))]
        for task in self.program.outer():
            for after in self.program.successors[task]:
                self.inputs[after].append(task)
        self.before = _before_in_queue(result)
        self.seen: set[int] = set()
        self.spans: dict[tuple[int, int], list[tuple[str, int, int]]] = {}

    def back(self) -> Iterator[Segment]:
        """The segments from the last to the first."""
        begin, end = self.result.begin_ps, self.result.end_ps
        task = max(self.program.outer(), key=lambda task: (end[task], -task))
        while True:
            self.seen.add(task)
            yield from self._within(task)
            if not begin[task]:
                return
            found = self._waited_for(task)
            reached = 0 if found is None else end[found]
            if reached < begin[task]:
                waits_for_cores = self.program.shapes[self.program.shape[task]].held is not None
                cause = CONTENTION if waits_for_cores else HELD
                yield Segment(task, *self._name(task), cause, reached, begin[task])
            if found is None:
                return
            task = found

    def _waited_for(self, task: int) -> int | None:
        """What was over last before a task began."""
        begin, end = self.result.begin_ps, self.result.end_ps
        found = [
            (end[each], rank, -each)
            for rank, group in ((1, self.inputs[task]), (0, self.before.get(task, ())))
            for each in group
            if end[each] <= begin[task] and each not in self.seen
        ]
        return -max(found)[2] if found else None

    def _within(self, task: int) -> Iterator[Segment]:
        """The segments of a task's own span, from the last to the first."""
        begin, end = self.result.begin_ps[task], self.result.end_ps[task]
        alike = (self.program.shape[task], end - begin)
        spans = self.spans.get(alike)
        if spans is None:
            spans = self.spans[alike] = self._spans(*alike)
        if spans:
            op, chip = self._name(task)
            for cause, start, stop in spans:
                yield Segment(task, op, chip, cause, begin + start, begin + stop)

    def _spans(self, number: int, lasted: int) -> list[tuple[str, int, int]]:
        """(cause, from, to) inside a task of a shape, ps from its begin, from the last to the first; none is empty."""
        parts = list(_parts(self.program.shapes[number], self.program.resources))
        alone = sum(time for _, time in parts)
        crowded = lasted - alone > max(_NOISE_PS, 1e-9 * lasted)
        spans: list[tuple[str, int, int]] = []
        reached, before = 0.0, 0
        for cause, time in parts:
            reached += time
            upto = min(lasted, round(reached))
            spans.append((cause, before, upto))
            before = upto
        if crowded or not parts:
            spans.append((CONTENTION, before, lasted))
        else:  # rounding to the clock goes to the last part
            spans[-1] = (spans[-1][0], spans[-1][1], lasted)
        return [span for span in reversed(spans) if span[2] > span[1]]

    def _name(self, task: int) -> tuple[str, int]:
        """The name of a task's kernel, and its first chip."""
        chip = self.program.queues[self.program.queue[task]].chip
        return self.plan.kernels.kernels.names.kernel_name(self.plan.kernel_on(task, chip)), chip


def _before_in_queue(result: Result) -> dict[int, list[int]]:
    """The task that stood before each one, in every one of its queues."""
    begin, end = result.begin_ps, result.end_ps
    before: dict[int, list[int]] = {}
    program = result.plan.program
    for queue, lane in zip(program.queues, program.lanes(), strict=True):
        if queue.inner:
            continue
        if result.plan.options.order == "ready":
            lane.sort(key=lambda task: (begin[task], end[task], task))
        for earlier, later in pairwise(lane):
            before.setdefault(later, []).append(earlier)
    return before


def _parts(shape: Shape, resources: list[Resource]) -> Iterator[tuple[str, float]]:
    """(cause, ps) of a task alone: its fixed time, what filling the pipeline costs, and its slowest stage."""
    if shape.fixed_ps:
        yield OVERHEAD.name, float(shape.fixed_ps)
    times = shape.stage_ps
    if not times:
        return
    longest = max(range(len(times)), key=lambda at: times[at])
    rest = sum(times) - times[longest]
    share = (shape.alone_ps - times[longest]) / rest if rest > 0 else 0.0
    causes = _stage_causes(shape, resources)
    for at, time in enumerate(times):
        if at != longest and share > 0:
            yield causes[at], time * share
    yield causes[longest], times[longest]


def _stage_causes(shape: Shape, resources: list[Resource]) -> list[str]:
    """The word of each stage. The wires are the last stage of a transfer; any other is known by its time, which is that
    of its slowest resource."""
    count = len(shape.stage_ps)
    causes: list[str | None] = [None] * count
    if any(OF_RESOURCES[resources[resource].cause] is NETWORK for resource, _ in shape.demands):
        causes[-1] = NETWORK.name
    for resource, time in shape.demands:
        at = next((at for at in range(count) if causes[at] is None and shape.stage_ps[at] == time), None)
        if at is not None:
            causes[at] = _word(resources[resource])
    slowest = max(shape.demands, key=lambda demand: demand[1], default=None)
    other = _word(resources[slowest[0]]) if slowest is not None else NETWORK.name
    return [cause or other for cause in causes]


def _word(resource: Resource) -> str:
    return OF_RESOURCES[resource.cause].name


def path_work_ps(segments: list[Segment]) -> dict[tuple[str, str], int]:
    """Segments added up: (op, cause) -> ps, in the order in which they first appear."""
    total: dict[tuple[str, str], int] = {}
    for each in segments:
        key = (each.op, each.cause)
        total[key] = total.get(key, 0) + each.end_ps - each.begin_ps
    return total
