"""The passes of a pipeline in time, given what each pass of a chunk takes: a recurrence over stages and microbatches.

Model: a stage goes about its passes in the order of the schedule (`simulator.passes.pipeline.schedules`); a pass needs what
comes from the chunk before or behind it, by a transfer. Two recurrences: `earliest`, in which a pass begins when its stage's
compute queue is free and its input is there, and ends for the next chunk and for its own queue as its longest paths say,
and in which the busiest queue beside compute goes about what passes leave to it in their order, too, and holds up a pass
whose paths say so; passes that are a turn begin it together, and it lasts at least as long as any queue has to do for both;
and `serial`, in which a chip does one thing at a time, transfers included, in program order.
Law: both are max-plus linear in times. Where every pass of every chunk is a period behind that of the microbatch before it,
for as many microbatches as a stage ever has ahead, it stays so: more microbatches add so many periods. They are not gone
through one by one. What is left to a queue beside them must not get less: then the end moves on by at least as much.
Pipelines that go about the same passes in the same order are gone through together: their times are columns, of one
recurrence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.models.estimates.moves import Moves, moves_of
from simulator.models.estimates.sharing.turns import Turns
from simulator.models.estimates.stages import NEVER, UNBOUND, Numbers, Pass, Pipe

_SAME = 1e-9
_FEW = 6
"""Pipelines that are as fast one by one as in columns."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds before which no run of a pipeline ends, and those with nothing overlapping on a chip."""

    earliest: float
    serial: float


def bounds_of(pipes: Sequence[Pipe]) -> list[Bounds]:
    """The bounds of some pipelines."""
    first, then = earliest_of(pipes), _ends(pipes, _serially)
    return [Bounds(one, other) for one, other in zip(first, then, strict=True)]


def earliest_of(pipes: Sequence[Pipe]) -> list[float]:
    """Seconds before which no run of some pipelines ends."""
    return _ends(pipes, _earliest)


@dataclass(frozen=True, slots=True)
class _Walked:
    """When some pipelines end, and when each of their passes does, by its number, then microbatch; and what it leaves to the
    queue beside compute, if that is counted."""

    end: Any
    passes: Sequence[Sequence[Any]]
    beside: Sequence[Sequence[Any]] = ()


_Walk = Callable[[Moves, Sequence[Pipe], Numbers], _Walked]


def _ends(pipes: Sequence[Pipe], walk: _Walk) -> list[float]:
    """The end of all microbatches of each pipeline, from some of them where the rest go on in the same way."""
    found: dict[int, float] = {}
    for mine in _alike(pipes, range(len(pipes)), [pipe.walked() for pipe in pipes]):
        found |= _extended(pipes, mine, pipes[mine[0]].walked(), walk)
    left = [at for at in range(len(pipes)) if at not in found]
    for mine in _alike(pipes, left, [pipe.microbatches for pipe in pipes]):
        count = pipes[mine[0]].microbatches
        ends = _walked([pipes[at] for at in mine], count, walk).end
        found |= dict(zip(mine, np.atleast_1d(ends).tolist(), strict=True))
    return [found[at] for at in range(len(pipes))]


def _alike(pipes: Sequence[Pipe], wanted: Sequence[int], counts: Sequence[int]) -> list[list[int]]:
    """Pipelines, by number, that go about the same passes in the same order in so many microbatches."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for at in wanted:
        pipe = pipes[at]
        has = tuple(tuple(chunk.passes) for chunk in pipe.chunks)
        walked = counts[at], pipe.microbatches == counts[at]
        walks = pipe.schedule, pipe.stages, pipe.interleave, pipe.blocking, pipe.has_beside
        groups[*walks, walked, has].append(at)
    found = []
    for mine in groups.values():
        found += [mine] if len(mine) > _FEW else [[at] for at in mine]
    return found


def _walked(pipes: Sequence[Pipe], microbatches: int, walk: _Walk) -> _Walked:
    one = pipes[0]
    moves = moves_of(one.schedule, one.stages, microbatches, one.interleave)
    return walk(moves, pipes, Numbers(len(pipes)))


def _extended(pipes: Sequence[Pipe], mine: Sequence[int], fewer: int, walk: _Walk) -> dict[int, float]:
    """The ends of those pipelines, alike, of which the microbatches behind so many go on in the same way."""
    some = [pipes[at] for at in mine]
    one = some[0]
    ran = _walked(some, fewer, walk)
    ends = np.atleast_1d(ran.end)
    if one.microbatches == fewer:
        return dict(zip(mine, ends.tolist(), strict=True))
    steady = slice(one.ahead, fewer - one.ahead)
    before = slice(one.ahead - one.group, fewer - one.ahead - one.group)
    moves = moves_of(one.schedule, one.stages, fewer, one.interleave)
    goes_on = np.ones(len(some), dtype=bool)
    periods: dict[str, Any] = {}
    for (does, _), times in zip(moves.passes, ran.passes, strict=True):
        if times:
            column = np.asarray(times).reshape(fewer, len(some))
            step = column[steady] - column[before]
            off = np.abs(step - periods.setdefault(does, step[0])) > _SAME * np.abs(column[steady])
            goes_on &= ~off.any(axis=0)
    for (does, _), times in zip(moves.passes, ran.beside, strict=False):
        if times:
            column = np.asarray(times).reshape(fewer, len(some))
            slower = column[steady] - column[before] < periods[does] - _SAME * np.abs(column[steady])
            goes_on &= ~slower.any(axis=0)
    # passes of one microbatch go on beside those of another, but for gpipe: there all of a kind come first
    lengths = np.asarray(list(periods.values()))
    if one.schedule == "gpipe":
        period = lengths.sum(axis=0)
    else:
        period = lengths.max(axis=0)
        goes_on &= period - lengths.min(axis=0) <= _SAME * ends
    whole = ends + period * (np.asarray([pipe.microbatches - fewer for pipe in some]) / one.group)
    return {at: end for at, end, holds in zip(mine, whole.tolist(), goes_on.tolist(), strict=True) if holds}


def _earliest(moves: Moves, pipes: Sequence[Pipe], numbers: Numbers) -> _Walked:
    passes = [_path_numbers(pipes, does, at, numbers) for does, at in moves.passes]
    larger, last = numbers.larger, moves.microbatches - 1
    moves_on_late = pipes[0].blocking
    turns = Turns(moves, pipes, numbers) if any(moves.beside) else None
    free = [numbers.nothing] * moves.stages
    came, lanes = [numbers.never] * moves.slots, [numbers.nothing] * moves.lanes
    ends: list[list[Any]] = [[] for _ in passes]
    besides: list[list[Any]] = [[] for _ in passes]
    end = numbers.nothing
    beside = [numbers.nothing] * moves.stages
    for at, (key, number, stage, source, target, out_lane, in_lane, _) in enumerate(moves.rows):
        done = passes[key]
        if done is None:
            continue
        by_out, by_queue, own_out, own_queue, told, final, first, left = done
        given, queue = came[source], free[stage]
        if turns is not None:
            queue = turns.begin(at, key, stage, given, queue)
        out = larger(given + by_out, queue + own_out)
        now = larger(given + by_queue, queue + own_queue)
        if left is not None:
            if number == last:
                end = larger(end, beside[stage] + left[3])
            busy = beside[stage]
            beside[stage] = late = larger(larger(given + left[0], queue + left[1]), busy + left[2])
            besides[key].append(late)
            if left[4] is not None:
                out, now = larger(out, busy + left[4]), larger(now, busy + left[5])
        if not number:
            out, now = larger(out, first[0]), larger(now, first[1])
        if number == last:
            end = larger(larger(end, given + final[0]), queue + final[1])
        free[stage] = now = larger(now, queue if turns is None else turns.end(stage, free[stage]))
        ends[key].append(larger(out, now))
        if out_lane >= 0:
            out = larger(larger(out, lanes[out_lane]), lanes[in_lane]) + told
            lanes[out_lane] = lanes[in_lane] = out
            if moves_on_late:
                free[stage] = larger(now, out)
        came[target] = out
    for each in (*lanes, *beside, *(times[-1] for times in ends if times)):
        end = larger(end, each)
    return _Walked(end, ends, besides)


def _path_numbers(pipes: Sequence[Pipe], does: str, at: int, numbers: Numbers) -> tuple[Any, ...] | None:
    """Of a pass: from its input and from its queue to what it makes and to its queue's end, the transfer of what it makes;
    both to the end of all that follows it; when it is over at the earliest if it is the first; what it leaves to the queue
    beside compute, None where that is not counted. None where there is none."""
    if does not in pipes[0].chunks[at].passes:
        return None
    mine = [pipe.chunks[at] for pipe in pipes]
    done, last = [chunk.passes[does] for chunk in mine], [chunk.last[does] for chunk in mine]
    first = [chunk.first if does == "forward" else UNBOUND for chunk in mine]
    of = numbers.of
    return (
        of([each.from_input.out for each in done]),
        of([each.from_input.queue for each in done]),
        of([each.from_queue.out for each in done]),
        of([each.from_queue.queue for each in done]),
        of([pipe.told(does, at)[0] for pipe in pipes]),
        (of([each.from_input.end for each in last]), of([each.from_queue.end for each in last])),
        (of([each.out for each in first]), of([each.queue for each in first])),
        _beside_numbers(done, last, of) if pipes[0].has_beside else None,
    )


def _beside_numbers(
    done: Sequence[Pass], last: Sequence[Pass], of: Callable[[Sequence[float]], Any]
) -> tuple[Any, ...]:
    """Of a pass: from its input, from its queue and from when the queue beside it is free to when that is free again, and
    from then to the end of all that follows the last one, to what it makes and to its queue's end, if that holds it up."""
    holds_up = any(each.from_beside.queue > NEVER for each in done)
    return (
        of([each.from_input.beside for each in done]),
        of([each.from_queue.beside for each in done]),
        of([each.from_beside.beside for each in done]),
        of([each.from_beside.end for each in last]),
        of([each.from_beside.out for each in done]) if holds_up else None,
        of([each.from_beside.queue for each in done]) if holds_up else None,
    )


def _serially(moves: Moves, pipes: Sequence[Pipe], numbers: Numbers) -> _Walked:
    seconds = [_serial_numbers(pipes, does, at, numbers) for does, at in moves.passes]
    larger, last = numbers.larger, moves.microbatches - 1
    free = [numbers.nothing] * moves.stages
    for at in range(len(pipes[0].chunks)):
        free[at % moves.stages] = free[at % moves.stages] + numbers.of([pipe.chunks[at].before for pipe in pipes])
    came = [numbers.never] * moves.slots
    ends: list[list[Any]] = [[] for _ in moves.passes]
    for key, number, stage, source, target, _, _, there in moves.rows:
        done = seconds[key]
        if done is None:
            continue
        out = larger(came[source], free[stage]) + (done[1] if number == last else done[0])
        free[stage] = out
        ends[key].append(out)
        if there >= 0:
            free[stage] = free[there] = out = larger(out, free[there]) + done[2]
        came[target] = out
    columns = [np.atleast_1d(each) for each in free]
    end = [_ended(pipe, [float(column[at]) for column in columns]) for at, pipe in enumerate(pipes)]
    return _Walked(numbers.of(end), ends)


def _serial_numbers(pipes: Sequence[Pipe], does: str, at: int, numbers: Numbers) -> tuple[Any, Any, Any] | None:
    """Serial seconds of a pass, of that of the last microbatch, and of the transfer of what it makes; None where there is no
    such pass."""
    mine = [pipe.chunks[at] for pipe in pipes]
    if does not in mine[0].passes:
        return None
    return (
        numbers.of([chunk.passes[does].serial for chunk in mine]),
        numbers.of([chunk.last[does].serial for chunk in mine]),
        numbers.of([pipe.told(does, at)[1] for pipe in pipes]),
    )


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
