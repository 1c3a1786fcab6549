"""An estimate of a training step: bounds of its time, its work, what it holds, without a simulation of the whole.

Model: each distinct chunk of the step (embedding and blocks, blocks, blocks and head) is built once, its kernels bound and
priced once; passes of a chunk are longest paths over those, stages and microbatches a recurrence over passes. What is alike
between configurations of a model (the structure of its chunks, kernels of one size, collectives of one mesh) is kept by the
`Estimator`, so that a search pays for what is new.
- `lower_bound` and `t_*`: the work of the busiest resource, as in a run: equal to a run's where no two groups of a
  collective share a wire, else at most that.
- `earliest`: no run ends before: dependencies and queues in program order, every kernel alone. A run in which nothing
  contends takes that, but for what a pass leaves to the next one in queues other than compute. Queues that run what is ready
  (`run.order`, and pipelines whose passes are paired) may be faster, and a host that issues kernels (`run.dispatch`) runs
  ahead from one pass to the next, where here it begins anew with each: of those it is `lower_bound`.
- `expected`: the same in program order, where kernels beside collectives have the cores that these leave them, as in a run
  of `calibration: measured`, and where passes wait for what goes to the host and comes back, those of all microbatches
  one after the other. No bound.
- `least_memory`: no run's peak is below; `peak_memory`: the peak of the program in its order, with what goes on beside it as
  long as it takes alone: that of a run within a few percent. `late_memory`: the same beside a host of which nothing is
  known: what goes there is there until it is fetched back, and what comes from there as early as it may be. Both are no
  bounds: a run of a pipeline has what is received early and what is still being sent, too, and what waits for slower wires.
- `upper_bound`: nothing overlaps on a chip. Where chips are all alike (no pipeline) it is that of the run, a theorem.
Assumes: chips of one kind; program order; collectives as one task; groups over one axis lie alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hw import Mark, Problem, SpecError, System
from hw.input import Dimension, show
from hw.systems import mesh_problems
from simulator.measured import kernel_times_of
from simulator.models.description import Transformer
from simulator.models.estimates.chunks import Chunks, Sized, passes_of
from simulator.models.estimates.laid import Known, Laid, lower_of, schedule_of, times_of
from simulator.models.estimates.memory import Holdings, StageMemory, least_memory, stages_memory
from simulator.models.estimates.passes import Courses, rows_of
from simulator.models.estimates.prices import Prices
from simulator.models.estimates.recurrence import Bounds, bounds_of, earliest_of
from simulator.models.estimates.rows import Asked, Binder, Bound
from simulator.models.estimates.stages import Pipe
from simulator.models.estimates.work import Work
from simulator.models.steps.layout import Parallel
from simulator.models.steps.training import Step, Training
from simulator.options import RunOptions
from simulator.passes.pipeline.schedules import PAIRED, check_schedule

_KEPT = 200
"""So many chunks are kept for the next configuration, which may differ in its schedule only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is known of a step without running it, in seconds and FLOPs of one chip; see the module for what is exact.

    `stages`: the work of a chip of each stage."""

    lower_bound: float
    earliest: float
    expected: float
    upper_bound: float
    t_math: float
    t_vector: float
    t_memory: float
    t_network: float
    matrix_flops: float
    stages: tuple[Work, ...]
    memory: tuple[StageMemory, ...]

    @property
    def peak_memory(self) -> float:
        """The most bytes on a chip of the stage that holds most, in program order."""
        return max(stage.peak for stage in self.memory)

    @property
    def late_memory(self) -> float:
        """The same where what goes to the host is there as late as it may be."""
        return max(stage.late for stage in self.memory)

    @property
    def least_memory(self) -> float:
        """Bytes that in every run are held at once on a chip of the stage that holds most."""
        return max(stage.least for stage in self.memory)

    def __repr__(self) -> str:
        earliest, latest = (show(each, Dimension.TIME) for each in (self.expected, self.upper_bound))
        return f"Estimate({earliest} to {latest}, {len(self.stages)} stages)"


@dataclass(frozen=True, slots=True)
class Bounded:
    """What no run of a step is below: `least_memory`, bytes on a chip of the stage that holds most, and, where there is room
    for that, seconds: `lower_bound` and `earliest`, as in an `Estimate`."""

    least_memory: float
    lower_bound: float | None = None
    earliest: float | None = None

    def __repr__(self) -> str:
        seconds = "" if self.earliest is None else f", {show(self.earliest, Dimension.TIME)}"
        return f"Bounded({show(self.least_memory, Dimension.DATA)}{seconds})"


class Estimator:
    """Estimates of training steps of one model on one system, whose mesh follows from each parallelism."""

    def __init__(self, model: Transformer, system: System, options: RunOptions | None = None) -> None:
        if len(system.kinds) > 1:
            raise SpecError([Problem(Mark("system"), "an estimate is of chips that are all alike")])
        self.model, self._system = model, system
        self._options = options or RunOptions()
        self._chunks = Chunks(model)
        self._bound = Bound()
        self._holdings, self._courses = Holdings(), Courses()
        self._meshes: dict[tuple[tuple[str, int], ...], tuple[Prices, Bound]] = {}
        self._first: Prices | None = None
        self._known: dict[tuple[Sized, Parallel, Training], Known] = {}

    def estimate(self, parallel: Parallel, training: Training) -> Estimate:
        """The estimate of one configuration. Raises SpecError where it cannot be built, as its graph does."""
        parts = self._parts(parallel, training)
        return _estimates([parts])[0]

    def estimates(self, asked: Iterable[tuple[Parallel, Training]]) -> list[Estimate | SpecError]:
        """The estimates of many configurations, or why there is none: faster than one by one."""
        tried: list[_Parts | SpecError] = []
        for parallel, training in asked:
            try:
                tried.append(self._parts(parallel, training))
            except SpecError as error:
                tried.append(error)
        found = iter(_estimates([each for each in tried if not isinstance(each, SpecError)]))
        return [each if isinstance(each, SpecError) else next(found) for each in tried]

    def bounds(self, asked: Iterable[tuple[Parallel, Training]], room: float = math.inf) -> list[Bounded | SpecError]:
        """What no run of many configurations is below, or why there can be none. Seconds only where no more than `room`
        bytes are held on a chip in every run: to leave out what does not fit costs less than its estimate."""
        found: list[Bounded | SpecError] = []
        pipes: dict[int, tuple[Pipe, Bounded]] = {}
        for at, (parallel, training) in enumerate(asked):
            try:
                laid = self._laid(parallel, training)
                bounded = Bounded(laid.of_held(least_memory))
                if bounded.least_memory <= room:
                    pipe, works = laid.timed(self._courses)
                    pipes[at] = pipe, replace(bounded, lower_bound=lower_of(times_of(works), works))
                found.append(bounded)
            except SpecError as error:
                found.append(error)
        ends = earliest_of([pipe for pipe, _ in pipes.values()])
        for (at, (_, bounded)), end in zip(pipes.items(), ends, strict=True):
            lower = bounded.lower_bound or 0.0
            found[at] = replace(bounded, earliest=max(end, lower) if self._is_bound(pipes[at][0].schedule) else lower)
        return found

    def _parts(self, parallel: Parallel, training: Training) -> _Parts:
        """What the estimate of a configuration is made of."""
        laid = self._laid(parallel, training)
        pipe, works = laid.timed(self._courses)
        slowed = laid.slowed(self._courses)
        memory = tuple(laid.of_held(stages_memory))
        return _Parts(pipe, slowed, works, memory, self._is_bound(pipe.schedule))

    def _is_bound(self, schedule: str) -> bool:
        """Whether no run beats the longest path: queues go in program order, and no host could be ahead."""
        by_host = self._options.by_host and kernel_times_of(self._options, self._system.chip) is not None
        return self._options.order == "program" and schedule not in PAIRED and not by_host

    def _laid(self, parallel: Parallel, training: Training) -> Laid:
        """The chunks of a configuration, as far as memory depends on them. Raises SpecError where it cannot be built."""
        step = Step(self.model, parallel, training)
        priced = self._priced(parallel)
        try:
            check_schedule(schedule_of(step), parallel.pp, step.microbatches, parallel.interleave)
        except ValueError as error:
            raise SpecError([Problem(Mark("parallel.schedule"), str(error))]) from None
        sorts = self._chunks.of(step)
        if len(self._known) > _KEPT:
            self._known.clear()
        # schedules that have the same passes have the same chunks
        alike = replace(parallel, schedule=passes_of(step))
        known = {sized: self._held(sized, alike, step, priced) for sized in dict.fromkeys(sorts)}
        return Laid(step, sorts, known, *priced)

    def _held(self, sized: Sized, parallel: Parallel, step: Step, priced: tuple[Prices, Bound]) -> Known:
        """The rows of a chunk, and what it holds."""
        key = sized, parallel, step.training
        if key not in self._known:
            prices, on_mesh = priced
            sort = sized.sort
            dims = {**step.sizes, **sort.dims(parallel, step.sizes)}
            binder = Binder(Asked(dims, dict(sized.rounds), sized.last_stage), prices, self._bound, on_mesh)
            rows = rows_of(sort, binder)
            self._known[key] = Known(sort, rows, self._holdings.of(sort, rows, binder, parallel.pp > 1))
        return self._known[key]

    def _priced(self, parallel: Parallel) -> tuple[Prices, Bound]:
        """Prices under the mesh of a parallelism. Raises SpecError where it does not lie on the system."""
        key = tuple(parallel.mesh.items())
        if key not in self._meshes:
            found = [message for _, message in mesh_problems(parallel.mesh, self._system.topology)]
            if found:
                raise SpecError([Problem(Mark("parallel"), message) for message in found])
            system = self._system.under(parallel.mesh)
            prices = self._first.under(system) if self._first else Prices(system, self._options)
            self._first = self._first or prices
            self._meshes[key] = prices, Bound()
        return self._meshes[key]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an estimate is made of: the pipeline in seconds, that beside collectives that hold cores, if there are any, the
    work of a chip of each stage, what it holds, and whether no run beats the pipeline."""

    pipe: Pipe
    slowed: Pipe | None
    works: Sequence[Work]
    memory: tuple[StageMemory, ...]
    is_bound: bool


def _estimates(parts: Sequence[_Parts]) -> list[Estimate]:
    bounds = bounds_of([each.pipe for each in parts])
    slowed = iter(earliest_of([each.slowed for each in parts if each.slowed is not None]))
    expected = [0.0 if each.slowed is None else next(slowed) for each in parts]
    return [_estimate(*each) for each in zip(parts, bounds, expected, strict=True)]


def _estimate(parts: _Parts, bounds: Bounds, expected: float) -> Estimate:
    works = parts.works
    times = times_of(works)
    lower = lower_of(times, works)
    return Estimate(
        lower_bound=lower,
        earliest=max(bounds.earliest, lower) if parts.is_bound else lower,
        # what slows down at the ends of a pass may be counted twice; no run is longer than all of it in a row
        expected=min(bounds.serial, max(bounds.earliest, lower, expected, *(stage.until for stage in parts.memory))),
        upper_bound=bounds.serial,
        matrix_flops=max(work.matrix_flops for work in works),
        stages=tuple(works),
        memory=parts.memory,
        **times,
    )
