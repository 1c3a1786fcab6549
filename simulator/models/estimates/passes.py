"""The passes of a chunk: their longest paths, and their work.

Model: a pass begins when its input is there and its stage's compute queue is free. Of what passes before it left to do in
other queues, that of the one queue is counted that has most to do beside compute: it goes about it in order, too, and, where
it reduces gradients, holds up passes that are not to be further ahead. Behind the
last pass stand the reductions of gradients and the optimizer's step; before the first one the gathers of weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from simulator.models.estimates.chunks import ChunkSort
from simulator.models.estimates.course import NEVER, Course, Timed
from simulator.models.estimates.paths import Walk
from simulator.models.estimates.program import LEFT
from simulator.models.estimates.rows import COMPUTE, FIRST, Binder, Rows, Sections
from simulator.models.estimates.stages import ChunkPasses, Pass, Paths
from simulator.models.estimates.work import Work

HOST = "host"
"""The queue of what issues kernels."""

PASSES = ("forward", "backward", "weights")


@dataclass(frozen=True, slots=True)
class ChunkCosts:
    """What a chunk takes in time, and its work in a step of so many microbatches."""

    passes: ChunkPasses
    work: Mapping[tuple[str, bool], Work]

    def work_in(self, microbatches: int) -> Work:
        """All of its work in a step."""
        total = Work()
        for name in ("begin", "end"):
            total.include(self.work[name, False])
        for name in PASSES:
            total.include(self.work[name, False], microbatches - 1)
            total.include(self.work[name, True])
        return total


def rows_of(sort: ChunkSort, binder: Binder) -> dict[tuple[str, bool], Rows]:
    """The rows of all sections of a chunk, passes also as the last microbatch has them."""
    structure = sort.structure
    rows = {(name, False): binder.rows(structure, name) for name in ("begin", *PASSES, "end")}
    # most passes are the same for the last microbatch: those are worked out once
    own = {name for name, last in structure.sections if last}
    last = {name: binder.rows(structure, name, last=True) for name in PASSES if name in own}
    return rows | {(name, True): last.get(name, rows[name, False]) for name in PASSES}


def costs_of(sort: ChunkSort, rows: Sections, courses: Courses) -> ChunkCosts:
    """The passes of a chunk and their work."""
    work = {key: work_of(each) for key, each in rows.items() if not key[1]}
    for name in PASSES:
        same = rows[name, True] is rows[name, False]
        work[name, True] = work[name, False] if same else work_of(rows[name, True])
    return ChunkCosts(passes_of(sort, rows, courses, work), work)


def passes_of(sort: ChunkSort, rows: Sections, courses: Courses, work: Mapping[tuple[str, bool], Work]) -> ChunkPasses:
    """The passes of a chunk, whose serial seconds are those of their `work`."""
    beside = _beside(rows)
    walks = _Walks(sort, rows, courses, beside)
    done = [name for name in PASSES if rows[name, False]]
    passes = {name: walks.one(name, work[name, False].serial) for name in done}
    last = {name: walks.last(name, each, work[name, True].serial, name == done[-1]) for name, each in passes.items()}
    return ChunkPasses(
        passes=passes,
        last=last,
        first=walks.first(),
        before=work["begin", False].serial,
        behind=work["end", False].serial,
        tied=_tied(rows["end", False]),
        beside=beside,
    )


def work_of(rows: Rows) -> Work:
    """The work of some rows."""
    total = Work()
    for stretch in rows:
        total.include(stretch.alone, stretch.count)
        for at in stretch.sends:
            total.add(stretch.prices[at], stretch.count)
    return total


def _beside(rows: Sections) -> str:
    """The queue of communication in which the passes of a microbatch have most to do; none where they have nothing."""
    seconds: dict[str, float] = {}
    for name in PASSES:
        for queue, each in _in_queues(rows[name, False]).items():
            seconds[queue] = seconds.get(queue, 0.0) + each
    return max(seconds, key=lambda queue: seconds[queue], default="")


def _in_queues(rows: Rows) -> dict[str, float]:
    """Seconds of communication that rows have for queues other than compute."""
    found: dict[str, float] = {}
    for stretch in rows:
        for at in stretch.sends:
            price = stretch.prices[at]
            if price.queue != COMPUTE:
                found[price.queue] = found.get(price.queue, 0.0) + stretch.count * price.least
    return found


def _busy(rows: Rows, inside: Collection[str]) -> dict[str, float]:
    """Seconds of every queue that rows have something for, of others than compute what is done while the pass goes on; of
    the host what it takes to issue them."""
    found: dict[str, float] = {}
    for stretch in rows:
        for kernel, price in zip(stretch.kernels, stretch.prices, strict=True):
            if price.queue == COMPUTE or not set(kernel.ops).isdisjoint(inside):
                found[price.queue] = found.get(price.queue, 0.0) + stretch.count * price.least
            found[HOST] = found.get(HOST, 0.0) + stretch.count * price.issue
    return found


def _queues(rows: Sections) -> dict[str, str]:
    """The queue of each op that sends something in a pass of a microbatch."""
    found: dict[str, str] = {}
    for name in PASSES:
        for stretch in rows[name, False]:
            found |= {op: stretch.prices[at].queue for at in stretch.sends for op in stretch.kernels[at].ops}
    return found


def _tied(rows: Rows) -> tuple[float, float] | None:
    """Serial seconds of what a chunk exchanges with another one behind all passes, and of what follows."""
    together, after = 0.0, 0.0
    for stretch in rows:
        for kernel, price in zip(stretch.kernels, stretch.prices, strict=True):
            if kernel.communication is not None and kernel.communication.pair:
                together, after = together + after + price.serial, 0.0
            elif together:
                after += stretch.count * price.serial
    return (together, after) if together else None


class Courses:
    """The courses of sorts of chunks, each with the slots that it is walked through for."""

    def __init__(self) -> None:
        self._known: dict[tuple[ChunkSort, tuple[str, ...]], Course] = {}

    def of(self, sort: ChunkSort, names: tuple[str, ...], rows: Rows, wanted: Sequence[int]) -> Course:
        """The course of some sections."""
        key = sort, names
        if key not in self._known:
            self._known[key] = Course(rows, wanted)
        return self._known[key]


class _Walks:
    """The walks through the rows of a chunk."""

    def __init__(self, sort: ChunkSort, rows: Sections, courses: Courses, beside: str) -> None:
        seed = (sort.seed,)
        self._sort, self._rows, self._courses, self._beside = sort, rows, courses, beside
        self._takes = {"forward": sort.takes("forward"), "backward": sort.takes("backward") or seed, "weights": ()}
        self._makes = {"forward": sort.gives("forward") or seed, "backward": sort.gives("backward"), "weights": ()}
        # whether what later passes wait for is made in the queue beside compute
        made = {name for name, queue in _queues(rows).items() if queue == beside}
        self._holds_up = bool(sort.reductions) and sort.reductions <= made
        self._left = sort.structure.slot(LEFT)
        self._slots = len(sort.structure.slots)
        self._timed: dict[tuple[str, ...], tuple[Course, Timed]] = {}

    def one(self, name: str, serial: float) -> Pass:
        """A pass of any microbatch."""
        rows = self._rows[name, False]
        by_input, by_queue = (self._paths(walk, name) for walk in self._sources(name, (name,), rows))
        seconds = _in_queues(rows).get(self._beside, 0.0)
        by_beside = Paths(NEVER, NEVER, beside=seconds)
        if name == self._sort.structure.chunk.final and self._holds_up:
            found = self._paths(self._through(self._from_beside(), name, (name,), rows), name)
            by_beside = replace(found, beside=max(found.beside, seconds))
        # few schedules ask for it
        busy = partial(_busy, rows, self._sort.structure.inside(name))
        return Pass(by_input, by_queue, serial, by_beside, busy)

    def _from_beside(self) -> Walk:
        """From when the queue beside compute is free: what passes before have left is there if that is where it is made."""
        ready = (self._left,) if self._holds_up else ()
        return Walk.of(self._slots, ready=ready, queues=(self._beside,))

    def last(self, name: str, found: Pass, serial: float, ends: bool) -> Pass:
        """That of the last microbatch, which does at least as much as any; `ends`: with what stands behind it."""
        if not ends:
            return replace(found, serial=serial)
        rows = (*self._rows[name, True], *self._rows["end", False])
        sections = name, "last", "end"
        by_input, by_queue = (walk.latest for walk in self._sources(name, sections, rows))
        by_beside = self._through(self._from_beside(), name, sections, rows).latest
        return Pass(
            found.from_input.until(by_input),
            found.from_queue.until(by_queue),
            serial,
            found.from_beside.until(by_beside),
            found.busy,
        )

    def first(self) -> Paths:
        """The forward pass of the first microbatch, from the begin of the step."""
        forward = self._rows.get(FIRST, self._rows["forward", False])
        rows = (*self._rows["begin", False], *forward)
        walk = Walk.of(self._slots, start=0.0)
        return self._paths(self._through(walk, "forward", ("begin", "forward"), rows), "forward")

    def _sources(self, name: str, sections: tuple[str, ...], rows: Rows) -> tuple[Walk, Walk]:
        """From the pass's input, and from when its queue is free."""
        given = self._takes[name]
        by_input, by_queue = Walk.of(self._slots, ready=given), Walk.of(self._slots, queues=(COMPUTE,))
        return self._through(by_input, name, sections, rows), self._through(by_queue, name, sections, rows)

    def _through(self, walk: Walk, name: str, sections: tuple[str, ...], rows: Rows) -> Walk:
        """A walk through the rows of some sections, whose seconds are the same for all that begin differently."""
        if sections not in self._timed:
            course = self._courses.of(self._sort, sections, rows, self._makes[name])
            self._timed[sections] = course, course.timed(rows)
        course, timed = self._timed[sections]
        return walk.through(course, rows, timed)

    def _paths(self, walk: Walk, name: str) -> Paths:
        out = max((walk.slot[each] for each in self._makes[name]), default=NEVER)
        return Paths(out, walk.queue.get(COMPUTE, NEVER), beside=walk.queue.get(self._beside, NEVER))
