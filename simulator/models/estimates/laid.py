"""A configuration laid out as chunks: what each holds and takes, what goes from one to the next, the work of each stage.

Model: chunks of one sort are one, worked out once, and their times only when they are asked for: what holds too much needs
none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from simulator.graph.items import Op
from simulator.graph.op_graph import OpGraph
from simulator.models.estimates.chunks import ChunkSort, Sized
from simulator.models.estimates.memory import Held
from simulator.models.estimates.passes import ChunkCosts, Courses, costs_of, passes_of
from simulator.models.estimates.prices import Hop, Price, Prices
from simulator.models.estimates.rows import Bound, Sections
from simulator.models.estimates.sharing.cores import beside_collectives
from simulator.models.estimates.sharing.wires import on_shared_wires
from simulator.models.estimates.stages import ChunkPasses, Pipe
from simulator.models.estimates.work import Work
from simulator.models.steps.layout import Parallel
from simulator.models.steps.training import Step
from simulator.passes.binding import bind_op
from simulator.passes.pipeline.schedules import PAIRED

_AXIS = "P"
"""The axis of a pipeline."""


@dataclass(slots=True)
class Known:
    """A chunk of a configuration: its rows, what it holds, and, once that is asked for, what it takes."""

    sort: ChunkSort
    rows: Sections
    held: Held
    _costs: ChunkCosts | None = None
    _slowed: dict[bool, ChunkPasses] = field(default_factory=dict)

    def costs(self, courses: Courses) -> ChunkCosts:
        """What it takes in time."""
        if self._costs is None:
            self._costs = costs_of(self.sort, self.rows, courses)
        return self._costs

    def slowed(self, courses: Courses, prices: Prices, parallel: Parallel, in_turns: bool) -> ChunkPasses:
        """Its passes beside collectives that hold cores, `in_turns` those of another pass, and that share wires; those alone
        where none does."""
        if in_turns not in self._slowed:
            costs = self.costs(courses)
            beside = beside_collectives(self.rows, costs.passes, prices, in_turns)
            rows = beside
            # where passes wait for their host, reductions are over before the next gather begins
            if parallel.overlap_gradients and self.held.in_time is None:
                rows = on_shared_wires(beside or self.rows, parallel.prefetch > 0) or beside
            slowed = costs.passes if rows is None else passes_of(self.sort, rows, courses, costs.work)
            self._slowed[in_turns] = slowed
        return self._slowed[in_turns]


Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Laid:
    """A configuration as chunks: of which sort each is, what is known of each sort; prices under its mesh, and what others
    on that share."""

    step: Step
    sorts: Sequence[Sized]
    known: Mapping[Sized, Known]
    prices: Prices
    priced: Bound

    def of_held(self, memory: Callable[[Sequence[Held], int, int, str], Told]) -> Told:
        """What follows from what each chunk holds, and the order of passes."""
        held = [self.known[sized].held for sized in self.sorts]
        return memory(held, self.step.parallel.pp, self.step.microbatches, schedule_of(self.step))

    def timed(self, courses: Courses) -> tuple[Pipe, list[Work]]:
        """It as a pipeline in seconds, and the work of a chip of each stage."""
        costs = {sized: known.costs(courses) for sized, known in self.known.items()}
        chunks = [costs[sized] for sized in self.sorts]
        hops = self._hops()
        return _pipe(self.step, [chunk.passes for chunk in chunks], hops), _works(self.step, chunks, hops)

    def slowed(self, courses: Courses) -> Pipe | None:
        """The pipeline beside collectives that hold cores or share wires; None where none does."""
        in_turns = schedule_of(self.step) in PAIRED
        parallel = self.step.parallel
        passes = {sized: known.slowed(courses, self.prices, parallel, in_turns) for sized, known in self.known.items()}
        if all(passes[sized] is known.costs(courses).passes for sized, known in self.known.items()):
            return None
        return _pipe(self.step, [passes[sized] for sized in self.sorts], self._hops())

    def _hops(self) -> tuple[Hops, Hops]:
        """What goes from each chunk to the next, and back: the stream of a microbatch, or its gradient, which is as large.
        None where both are on one stage."""
        stages = self.step.parallel.pp
        if stages == 1:
            return [None] * (len(self.sorts) - 1), [None] * (len(self.sorts) - 1)
        hop = self._hop()
        ways = [((at - 1) % stages, at % stages) for at in range(1, len(self.sorts))]
        return [hop(way) for way in ways], [hop((there, here)) for here, there in ways]

    def _hop(self) -> Hop:
        """The two ends of a transfer between two stages."""
        stream, sizes = self.sorts[0].sort.chunk.ends.makes, self.step.sizes
        known = self.priced.hops
        key = stream, tuple(sizes[dim.size] if isinstance(dim.size, str) else dim.size for dim in stream.dims)
        if key not in known:
            graph, system = OpGraph(sizes, ()), self.prices.system
            told = (("over", _AXIS), ("from", "0"), ("to", "1"))
            ops = (Op(replace(stream, name="sent"), "send", (stream,), told), Op(stream, "recv", (), told))
            sent, got = (bind_op(op, graph, system)[0] for op in ops)
            known[key] = self.prices.hop((sent, got))
        return known[key]


Hops = Sequence[tuple[Price, Price] | None]
"""The transfers from each chunk to the next, or to the one before."""


def schedule_of(step: Step) -> str:
    """The schedule of a step; without a pipeline one is as any other."""
    return step.parallel.schedule if step.parallel.chunks > 1 else "1f1b"


def _works(step: Step, chunks: Sequence[ChunkCosts], hops: tuple[Hops, Hops]) -> list[Work]:
    """The work of a chip of each stage."""
    stages, count = step.parallel.pp, step.microbatches
    works = [Work() for _ in range(stages)]
    of_chunks = {id(chunk): chunk.work_in(count) for chunk in {id(each): each for each in chunks}.values()}
    for at, chunk in enumerate(chunks):
        works[at % stages].include(of_chunks[id(chunk)])
    for ways, step_by in zip(hops, (1, -1), strict=True):
        for at, hop in enumerate(ways):
            if hop is not None:
                ends = (at, at + 1) if step_by > 0 else (at + 1, at)
                for stage, price in zip(ends, hop, strict=True):
                    works[stage % stages].add(price, count)
    return works


def _pipe(step: Step, chunks: Sequence[ChunkPasses], hops: tuple[Hops, Hops]) -> Pipe:
    there, back = hops
    return Pipe(
        chunks=chunks,
        stages=step.parallel.pp,
        microbatches=step.microbatches,
        schedule=schedule_of(step),
        blocking=step.blocking,
        there=[_seconds(hop) for hop in there],
        # of the chunk from which it goes back
        back=[(0.0, 0.0), *(_seconds(hop) for hop in back)],
    )


def times_of(works: Sequence[Work]) -> dict[str, float]:
    """The words of work, of the busiest chip."""
    return {
        "t_math": max(work.of("matrix_unit") for work in works),
        "t_vector": max(work.of("vector_unit") for work in works),
        "t_memory": max(work.of("hbm") for work in works),
        "t_network": max(work.network for work in works),
    }


def lower_of(times: Mapping[str, float], works: Sequence[Work]) -> float:
    """Seconds of the busiest resource."""
    return max(*times.values(), *(time for work in works for time in work.chip.values()))


def _seconds(hop: tuple[Price, Price] | None) -> tuple[float, float]:
    return (hop[0].least, hop[0].serial) if hop is not None else (0.0, 0.0)
