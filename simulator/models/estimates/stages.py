"""The passes of a pipeline in time, given what each pass of a chunk takes: a recurrence over stages and microbatches.

Model: a stage goes about its passes in the order of the schedule (`simulator.passes.pipeline.schedules`); a pass needs what
comes from the chunk before or behind it, by a transfer. Two recurrences: `earliest`, in which a pass begins when its stage's
compute queue is free and its input is there, and ends for the next chunk and for its own queue as its longest paths say;
and `serial`, in which a chip does one thing at a time, transfers included, in program order.
Law: both are max-plus linear in times. Where every pass of every chunk is a period behind that of the microbatch before it,
for as many microbatches as a stage ever has ahead, it stays so: more microbatches add so many periods. They are not gone
through one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from simulator.passes.pipeline.schedules import schedule

NEVER = -math.inf
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Paths:
    """Seconds of a pass to what it gives on, to the end of its last kernel in the compute queue, and to the end of what
    follows it, if it is the last."""

    out: float
    queue: float
    end: float = NEVER


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass of a chunk: its paths from its input and from when the compute queue is free, and its serial seconds."""

    from_input: Paths
    from_queue: Paths
    serial: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPasses:
    """The passes of a chunk by their names, those of the last microbatch apart, and `first`: when the first one is over at
    the earliest, counted from the begin of the step, with what is there before. Serial seconds of what stands `before` all
    passes and `behind` them; of that, what two chunks exchange, and what follows it (`tied`), if they do."""

    passes: Mapping[str, Pass]
    last: Mapping[str, Pass]
    first: Paths
    before: float
    behind: float
    tied: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """A pipeline: its chunks in the order of the model, stages, microbatches, schedule; transfers, (alone, serially) in
    seconds, from each chunk to the next, `there`, and from each to the one before, `back`. `blocking`: a stage goes on only
    when what it sends has come."""

    chunks: Sequence[ChunkPasses]
    stages: int
    microbatches: int
    schedule: str
    there: Sequence[tuple[float, float]] = ()
    back: Sequence[tuple[float, float]] = ()
    blocking: bool = False

    @property
    def interleave(self) -> int:
        """Chunks a stage."""
        return len(self.chunks) // self.stages


@dataclass(frozen=True, slots=True)
class _Run:
    """When a run ends, and when each pass does, by what it does and chunk, then microbatch."""

    end: float
    passes: Mapping[tuple[str, int], Sequence[float]]


def earliest(pipe: Pipe) -> float:
    """Seconds before which no run of the pipeline ends."""
    return _extended(pipe, _earliest)


def serially(pipe: Pipe) -> float:
    """Seconds of the pipeline with nothing overlapping on a chip."""
    return _extended(pipe, _serially)


def _extended(pipe: Pipe, run: Callable[[Pipe, int], _Run]) -> float:
    """The end of all microbatches, from a run of some of them where the rest go on in the same way."""
    group = pipe.stages if pipe.interleave > 1 else 1
    ahead = pipe.stages * (2 if pipe.interleave > 1 else 1)
    fewer = 3 * ahead + 2
    fewer += (pipe.microbatches - fewer) % group
    # to find out that they do not would cost as much again
    if 2 * fewer >= pipe.microbatches:
        return run(pipe, pipe.microbatches).end
    found = run(pipe, fewer)
    steady = range(ahead, fewer - ahead)
    periods: dict[str, float] = {}
    for (does, _), ends in found.passes.items():
        for number in steady:
            step = ends[number] - ends[number - group]
            if abs(step - periods.setdefault(does, step)) > _SAME * abs(ends[number]):
                return run(pipe, pipe.microbatches).end
    # passes of one microbatch go on beside those of another, but for gpipe: there all of a kind come first
    period = sum(periods.values()) if pipe.schedule == "gpipe" else max(periods.values())
    if pipe.schedule != "gpipe" and period - min(periods.values()) > _SAME * found.end:
        return run(pipe, pipe.microbatches).end
    return found.end + period * (pipe.microbatches - fewer) / group


def _earliest(pipe: Pipe, microbatches: int) -> _Run:
    free = [0.0] * pipe.stages
    came = _empty(pipe, microbatches)
    ends: dict[tuple[str, int], list[float]] = {}
    lanes: dict[tuple[str, int], float] = {}
    end, last = 0.0, microbatches - 1
    numbers = _numbers(pipe)
    for does, number, at, stage, hop, there in moves_of(pipe.schedule, pipe.stages, microbatches, pipe.interleave):
        done = numbers.get((does, at))
        if done is None:
            continue
        by_out, by_queue, own_out, own_queue, final, told = done
        given, queue = came[does][at][number], free[stage]
        # comparisons, and no max(): this is gone through for every pass of every stage
        out, other = given + by_out, queue + own_out
        out = other if other > out else out
        now, other = given + by_queue, queue + own_queue
        now = other if other > now else now
        if not number and does == "forward":
            out, now = max(out, pipe.chunks[at].first.out), max(now, pipe.chunks[at].first.queue)
        if number == last:
            end = max(end, given + final[0], queue + final[1])
        free[stage] = now = now if now > queue else queue
        ends.setdefault((does, at), []).append(out if out > now else now)
        if hop < 0:
            if does == "forward":
                came["backward"][at][number] = out
            continue
        if there != stage:
            out_lane, in_lane = (does, stage), (does, -1 - there)
            out = max(out, lanes.get(out_lane, 0.0), lanes.get(in_lane, 0.0)) + told
            lanes[out_lane] = lanes[in_lane] = out
            if pipe.blocking and out > now:
                free[stage] = out
        came[does][hop][number] = out
    return _Run(max(end, *(times[-1] for times in ends.values()), *lanes.values()), ends)


def _numbers(pipe: Pipe) -> Mapping[tuple[str, int], tuple[float, float, float, float, tuple[float, float], float]]:
    """By what a pass does and its chunk: from its input and from its queue to what it makes and to its queue's end, both to
    the end of all that follows, and the transfer of what it makes."""
    found = {}
    for at, chunk in enumerate(pipe.chunks):
        for does, done in chunk.passes.items():
            last = chunk.last[does]
            final = last.from_input.end, last.from_queue.end
            paths = done.from_input.out, done.from_input.queue, done.from_queue.out, done.from_queue.queue
            found[does, at] = (*paths, final, _told(pipe, does, at)[0])
    return found


def _told(pipe: Pipe, does: str, at: int) -> tuple[float, float]:
    """The transfer of what a pass makes."""
    hops = pipe.there if does == "forward" else pipe.back
    return hops[at] if at < len(hops) else (0.0, 0.0)


def _empty(pipe: Pipe, microbatches: int) -> dict[str, list[list[float]]]:
    """When what a pass takes in has come, by what it does, chunk and microbatch: never so far."""
    return {does: [[NEVER] * microbatches for _ in pipe.chunks] for does in ("forward", "backward", "weights")}


def _serially(pipe: Pipe, microbatches: int) -> _Run:
    free = [0.0] * pipe.stages
    for at, chunk in enumerate(pipe.chunks):
        free[at % pipe.stages] += chunk.before
    came = _empty(pipe, microbatches)
    ends: dict[tuple[str, int], list[float]] = {}
    last = microbatches - 1
    for does, number, at, stage, hop, there in moves_of(pipe.schedule, pipe.stages, microbatches, pipe.interleave):
        chunk = pipe.chunks[at]
        done = (chunk.last if number == last else chunk.passes).get(does)
        if done is None:
            continue
        out, begin = came[does][at][number], free[stage]
        out = free[stage] = (out if out > begin else begin) + done.serial
        ends.setdefault((does, at), []).append(out)
        if hop < 0:
            continue
        if there != stage:
            out = free[stage] = free[there] = max(out, free[there]) + _told(pipe, does, at)[1]
        came[does][hop][number] = out
    return _Run(_ended(pipe, free), ends)


def _ended(pipe: Pipe, free: list[float]) -> float:
    """The end of what stands behind all passes; the two chunks that exchange something wait for each other."""
    met: dict[int, tuple[float, float]] = {}
    for at, chunk in enumerate(pipe.chunks):
        stage = at % pipe.stages
        if chunk.tied is None:
            waits = met.get(stage)
            met.update({stage: (waits[0], waits[1] + chunk.behind)} if waits else {})
            free[stage] += 0.0 if waits else chunk.behind
        else:
            together, after = chunk.tied
            free[stage] += chunk.behind - together - after
            met[stage] = together, after
    begin = max((free[stage] for stage in met), default=0.0)
    for stage, (together, after) in met.items():
        free[stage] = begin + together + after
    return max(free)


def _hop(does: str, chunk: int, chunks: int) -> int:
    """The chunk to which a pass gives on what it makes; -1 for none."""
    if does == "forward" and chunk + 1 < chunks:
        return chunk + 1
    return chunk - 1 if does == "backward" and chunk else -1


Steps = tuple[tuple[str, int, int], ...]
"""Passes in one order: what, microbatch, chunk."""


@cache
def steps_of(name: str, stages: int, microbatches: int, interleave: int) -> Steps:
    """All passes in the order of the program. Raises ValueError as `schedule` does."""
    orders = schedule(name, stages, microbatches, interleave)
    lists = [[(step.does, step.microbatch, step.chunk) for step in order] for order in orders]
    return tuple(_swept(lists, stages * interleave - 1))


Move = tuple[str, int, int, int, int, int]
"""A pass: what, microbatch, chunk, its stage; the chunk to which it gives on what it makes, -1 for none, and its stage."""


@cache
def moves_of(name: str, stages: int, microbatches: int, interleave: int) -> tuple[Move, ...]:
    """The same with where they are and where what they make goes."""
    count = stages * interleave
    found = []
    for does, number, at in steps_of(name, stages, microbatches, interleave):
        hop = _hop(does, at, count)
        found.append((does, number, at, at % stages, hop, hop % stages if hop >= 0 else -1))
    return tuple(found)


def _swept(orders: Sequence[Sequence[tuple[str, int, int]]], last: int) -> list[tuple[str, int, int]]:
    """Sweep by sweep, as `simulator.passes.pipeline.schedules.in_one_order` has it."""
    done: set[tuple[str, int, int]] = set()
    at = [0] * len(orders)
    found: list[tuple[str, int, int]] = []
    total = sum(map(len, orders))
    while len(found) < total:
        sweep = []
        for stage, order in enumerate(orders):
            if at[stage] < len(order) and _ready(order[at[stage]], last, done):
                sweep.append(order[at[stage]])
                at[stage] += 1
        if not sweep:
            raise ValueError("stages wait for each other")
        found += sweep
        done.update(sweep)
    return found


def _ready(step: tuple[str, int, int], last: int, done: set[tuple[str, int, int]]) -> bool:
    does, number, chunk = step
    if does == "forward":
        return chunk == 0 or ("forward", number, chunk - 1) in done
    if does == "weights":
        return ("backward", number, chunk) in done
    return ("forward", number, chunk) in done and (chunk == last or ("backward", number, chunk + 1) in done)
