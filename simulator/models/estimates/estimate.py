"""An estimate of a training step: bounds of its time, its work, what it holds, without a simulation of the whole.

Model: each distinct chunk of the step (embedding and blocks, blocks, blocks and head) is built once, its kernels bound and
priced once; passes of a chunk are longest paths over those, stages and microbatches a recurrence over passes. What is alike
between configurations of a model (the structure of its chunks, kernels of one size, collectives of one mesh) is kept by the
`Estimator`, so that a search pays for what is new.
- `lower_bound` and `t_*`: the work of the busiest resource, as in a run: equal to a run's where no two groups of a
  collective share a wire, else at most that.
- `earliest`: no run ends before: dependencies and queues in program order, every kernel alone. A run in which nothing
  contends takes that, but for what a pass leaves to the next one in queues other than compute.
- `least_memory`: no run's peak is below; `peak_memory`: the peak of the program in its order, near that of a run.
- `upper_bound`: nothing overlaps on a chip. Where chips are all alike (no pipeline) it is that of the run, a theorem.
With a host that issues kernels (`run.dispatch`), which begins anew with each pass, `earliest` is an estimate and no bound.
Assumes: chips of one kind; program order; collectives as one task; groups over one axis lie alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hw import Mark, Mesh, Problem, SpecError, System
from hw.systems import mesh_problems
from simulator.graph.items import Op
from simulator.graph.op_graph import OpGraph
from simulator.models.description import Transformer
from simulator.models.estimates.chunks import Chunks, Sized, passes_of
from simulator.models.estimates.memory import Held, Holdings, StageMemory, stages_memory
from simulator.models.estimates.passes import ChunkCosts, Courses, costs_of, rows_of
from simulator.models.estimates.prices import Price, Prices
from simulator.models.estimates.recurrence import Bounds, bounds_of, check
from simulator.models.estimates.rows import Asked, Binder, Bound
from simulator.models.estimates.stages import Pipe
from simulator.models.estimates.work import Work
from simulator.models.steps.layout import Parallel
from simulator.models.steps.training import Step, Training
from simulator.ops.kernel import Kernel
from simulator.options import RunOptions
from simulator.passes.binding import bind_op

_AXIS = "P"
"""The axis of a pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is known of a step without running it, in seconds and FLOPs of one chip; see the module for what is exact.

    `stages`: the work of a chip of each stage."""

    lower_bound: float
    earliest: float
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
    def least_memory(self) -> float:
        """Bytes that in every run are held at once on a chip of the stage that holds most."""
        return max(stage.least for stage in self.memory)

    def __repr__(self) -> str:
        return f"Estimate({self.earliest:.4g} to {self.upper_bound:.4g} s, {len(self.stages)} stages)"


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
        self._known: dict[tuple[Sized, Parallel, Training], tuple[ChunkCosts, Held]] = {}

    def estimate(self, parallel: Parallel, training: Training) -> Estimate:
        """The estimate of one configuration. Raises SpecError where it cannot be built, as its graph does, and for matmuls
        in chunks, which are not known here."""
        parts = self._parts(parallel, training)
        return _estimate(parts, bounds_of([parts.pipe])[0])

    def estimates(self, asked: Iterable[tuple[Parallel, Training]]) -> list[Estimate | SpecError]:
        """The estimates of many configurations, or why there is none: faster than one by one."""
        tried: list[_Parts | SpecError] = []
        for parallel, training in asked:
            try:
                tried.append(self._parts(parallel, training))
            except SpecError as error:
                tried.append(error)
        parts = [each for each in tried if not isinstance(each, SpecError)]
        bounds = iter(bounds_of([each.pipe for each in parts]))
        return [each if isinstance(each, SpecError) else _estimate(each, next(bounds)) for each in tried]

    def _parts(self, parallel: Parallel, training: Training) -> _Parts:
        """What the estimate of a configuration is made of."""
        if parallel.collective_matmul > 1:
            raise SpecError([Problem(Mark("parallel.collective_matmul"), "an estimate is of matmuls in one piece")])
        step = Step(self.model, parallel, training)
        prices, priced = self._priced(parallel)
        sorts = self._chunks.of(step)
        # schedules that have the same passes have the same chunks
        alike = replace(parallel, schedule=passes_of(step))
        found = {sized: self._costed(sized, alike, step) for sized in dict.fromkeys(sorts)}
        chunks = [found[sized][0] for sized in sorts]
        hops = _Hops(step, sorts, prices, priced)
        there = [hops.price(at, at + 1) for at in range(len(sorts) - 1)]
        back = [hops.price(at + 1, at) for at in range(len(sorts) - 1)]
        works = _works(step, chunks, (there, back))
        pipe = _pipe(step, chunks, (there, back))
        try:
            check(pipe)
            memory = stages_memory([found[sized][1] for sized in sorts], parallel.pp, step.microbatches, pipe.schedule)
        except ValueError as error:
            raise SpecError([Problem(Mark("parallel.schedule"), str(error))]) from None
        return _Parts(pipe, works, tuple(memory))

    def _costed(self, sized: Sized, parallel: Parallel, step: Step) -> tuple[ChunkCosts, Held]:
        """What a chunk takes in time, and what it holds."""
        key = sized, parallel, step.training
        if key not in self._known:
            prices, priced = self._priced(parallel)
            sort = sized.sort
            dims = {**step.sizes, **sort.dims(parallel, step.sizes)}
            binder = Binder(Asked(dims, dict(sized.rounds), sized.last_stage), prices, self._bound, priced)
            rows = rows_of(sort, binder)
            held = self._holdings.of(sort, rows, binder, parallel.pp > 1)
            self._known[key] = costs_of(sort, rows, self._courses), held
        return self._known[key]

    def _priced(self, parallel: Parallel) -> tuple[Prices, Bound]:
        """Prices under the mesh of a parallelism. Raises SpecError where it does not lie on the system."""
        key = tuple(parallel.mesh.items())
        if key not in self._meshes:
            found = [message for _, message in mesh_problems(parallel.mesh, self._system.topology)]
            if found:
                raise SpecError([Problem(Mark("parallel"), message) for message in found])
            system = replace(self._system, mesh=Mesh(parallel.mesh))
            prices = self._first.under(system) if self._first else Prices(system, self._options)
            self._first = self._first or prices
            self._meshes[key] = prices, Bound()
        return self._meshes[key]


class _Hops:
    """What goes from chunk to chunk: the stream of a microbatch, or its gradient, which is as large."""

    def __init__(self, step: Step, sorts: Sequence[Sized], prices: Prices, known: Bound) -> None:
        self._stages, self._prices, self._known = step.parallel.pp, prices, known.hops
        self._ends: tuple[Kernel, Kernel] | None = None
        if self._stages > 1:
            stream = sorts[0].sort.chunk.ends.makes
            graph = OpGraph(step.sizes, ())
            told = (("over", _AXIS), ("from", "0"), ("to", "1"))
            ops = (Op(replace(stream, name="sent"), "send", (stream,), told), Op(stream, "recv", (), told))
            sent, got = (bind_op(op, graph, prices.system)[0] for op in ops)
            self._ends = sent, got

    def price(self, source: int, target: int) -> tuple[Price, Price] | None:
        """The two ends of a transfer between two chunks; None where they are on one stage."""
        stages = source % self._stages, target % self._stages
        if self._ends is None or stages[0] == stages[1]:
            return None
        key = self._ends[0].communication, stages
        if key not in self._known:
            self._known[key] = self._prices.sent(self._ends, stages)
        return self._known[key]


Hops = Sequence[tuple[Price, Price] | None]


def _schedule(step: Step) -> str:
    return step.parallel.schedule if step.parallel.chunks > 1 else "1f1b"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an estimate is made of: the pipeline in seconds, the work of a chip of each stage, and what it holds."""

    pipe: Pipe
    works: Sequence[Work]
    memory: tuple[StageMemory, ...]


def _works(step: Step, chunks: Sequence[ChunkCosts], hops: tuple[Hops, Hops]) -> list[Work]:
    """The work of a chip of each stage."""
    stages, count = step.parallel.pp, step.microbatches
    works = [Work() for _ in range(stages)]
    for at, chunk in enumerate(chunks):
        works[at % stages].include(chunk.work_in(count))
    for ways, step_by in zip(hops, (1, -1), strict=True):
        for at, hop in enumerate(ways):
            if hop is not None:
                ends = (at, at + 1) if step_by > 0 else (at + 1, at)
                for stage, price in zip(ends, hop, strict=True):
                    works[stage % stages].add(price, count)
    return works


def _pipe(step: Step, chunks: Sequence[ChunkCosts], hops: tuple[Hops, Hops]) -> Pipe:
    there, back = hops
    return Pipe(
        chunks=[chunk.passes for chunk in chunks],
        stages=step.parallel.pp,
        microbatches=step.microbatches,
        schedule=_schedule(step),
        blocking=step.blocking,
        there=[_seconds(hop) for hop in there],
        # of the chunk from which it goes back
        back=[(0.0, 0.0), *(_seconds(hop) for hop in back)],
    )


def _estimate(parts: _Parts, bounds: Bounds) -> Estimate:
    works = parts.works
    times = {
        "t_math": max(work.of("matrix_unit") for work in works),
        "t_vector": max(work.of("vector_unit") for work in works),
        "t_memory": max(work.of("hbm") for work in works),
        "t_network": max(work.network for work in works),
    }
    lower = max(*times.values(), *(time for work in works for time in work.chip.values()))
    return Estimate(
        lower_bound=lower,
        earliest=max(bounds.earliest, lower),
        upper_bound=bounds.serial,
        matrix_flops=max(work.matrix_flops for work in works),
        stages=tuple(works),
        memory=parts.memory,
        **times,
    )


def _seconds(hop: tuple[Price, Price] | None) -> tuple[float, float]:
    return (hop[0].least, hop[0].serial) if hop is not None else (0.0, 0.0)
