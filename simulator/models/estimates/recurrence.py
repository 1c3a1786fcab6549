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
from simulator.models.estimates.stages import NEVER, UNBOUND, Pass, Paths, Pipe

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
    """When some pipelines end, and when each of their passes does: by its number, microbatch and pipeline; and what it
    leaves to the queue beside compute, if that is counted."""

    end: Any
    passes: Any
    beside: Any = None


_Walk = Callable[[Moves, Sequence[Pipe]], _Walked]


def _ends(pipes: Sequence[Pipe], walk: _Walk) -> list[float]:
    """The end of all microbatches of each pipeline, from some of them where the rest go on in the same way."""
    found: dict[int, float] = {}
    for mine in _alike(pipes, range(len(pipes)), [pipe.walked() for pipe in pipes]):
        found |= _extended(pipes, mine, pipes[mine[0]].walked(), walk)
    left = [at for at in range(len(pipes)) if at not in found]
    for mine in _alike(pipes, left, [pipe.microbatches for pipe in pipes]):
        count = pipes[mine[0]].microbatches
        ends = walk(_moves(pipes[mine[0]], count), [pipes[at] for at in mine]).end
        found |= dict(zip(mine, ends.tolist(), strict=True))
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
    return list(groups.values())


def _moves(pipe: Pipe, microbatches: int) -> Moves:
    """The moves of so many of a pipeline's microbatches."""
    return moves_of(pipe.schedule, pipe.stages, microbatches, tuple(tuple(each.passes) for each in pipe.chunks))


def _extended(pipes: Sequence[Pipe], mine: Sequence[int], fewer: int, walk: _Walk) -> dict[int, float]:
    """The ends of those pipelines, alike, of which the microbatches behind so many go on in the same way."""
    some = [pipes[at] for at in mine]
    one = some[0]
    moves = _moves(one, fewer)
    ran = walk(moves, some)
    ends = ran.end
    if one.microbatches == fewer:
        return dict(zip(mine, ends.tolist(), strict=True))
    steady = slice(one.ahead, fewer - one.ahead)
    before = slice(one.ahead - one.group, fewer - one.ahead - one.group)
    goes_on = np.ones(len(some), dtype=bool)
    periods: dict[str, Any] = {}
    done = [(number, does) for number, (does, at) in enumerate(moves.passes) if does in one.chunks[at].passes]
    for number, does in done:
        column = ran.passes[number]
        step = column[steady] - column[before]
        off = np.abs(step - periods.setdefault(does, step[0])) > _SAME * np.abs(column[steady])
        goes_on &= ~off.any(axis=0)
    for number, does in done if ran.beside is not None else ():
        column = ran.beside[number]
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


def _earliest(moves: Moves, pipes: Sequence[Pipe]) -> _Walked:
    ways, count = _Ways.of(moves, pipes), len(pipes)
    free, beside = np.zeros((2, moves.stages, count))
    came, lanes = np.full((moves.slots, count), NEVER), np.zeros((moves.lanes, count))
    over = np.full((len(moves.passes), moves.microbatches, count), NEVER)
    left = over.copy() if pipes[0].has_beside else None
    end = np.zeros(count)
    turns = Turns(moves, pipes) if any(len(sweep.beside) for sweep in moves.sweeps) else None
    for sweep in moves.sweeps:
        key, stage, given, over_by = sweep.key, sweep.stage, came[sweep.source], free[sweep.stage]
        queue = over_by if turns is None else turns.begin(sweep, given, over_by)
        by = np.maximum(given[:, None] + ways.given[key], queue[:, None] + ways.own[key])
        out, now = by[:, _OUT], by[:, _QUEUE]
        if left is not None:
            busy = beside[stage]
            if len(sweep.last):
                end = np.maximum(end, (busy[sweep.last] + ways.ends_left[key[sweep.last]]).max(axis=0))
            beside[stage] = left[key, sweep.number] = np.maximum(by[:, _BESIDE], busy + ways.left[key])
            if ways.held_up is not None:
                held = busy[:, None] + ways.held_up[key]
                out, now = np.maximum(out, held[:, _OUT]), np.maximum(now, held[:, _QUEUE])
        if len(sweep.first):
            first = ways.first[key[sweep.first]]
            out[sweep.first] = np.maximum(out[sweep.first], first[:, _OUT])
            now[sweep.first] = np.maximum(now[sweep.first], first[:, _QUEUE])
        if len(sweep.last):
            end = np.maximum(end, by[sweep.last, _END].max(axis=0))
        now = np.maximum(now, over_by if turns is None else turns.end(sweep, over_by))
        over[key, sweep.number] = np.maximum(out, now)
        if len(sweep.sent):
            at, lane = sweep.sent, np.maximum(lanes[sweep.out_lane], lanes[sweep.in_lane])
            gone = np.maximum(out[at], lane) + ways.told[key[at]]
            out[at] = lanes[sweep.out_lane] = lanes[sweep.in_lane] = gone
            if pipes[0].blocking:
                now[at] = np.maximum(now[at], gone)
        free[stage], came[sweep.target] = now, out
    return _Walked(np.concatenate([end[None], lanes, beside, over[:, -1]]).max(axis=0), over, left)


_OUT, _QUEUE, _BESIDE, _END = range(4)
"""To where a pass takes seconds: to what it gives on, to the end of the compute queue, to that of the queue beside it, and
to the end of all that follows the last microbatch."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """Of each pass, by number, the seconds of its paths in each pipeline: from its input (`given`) and from its queue
    (`own`) to each of those places; to the first two when it is the first and over at the earliest (`first`); the transfer
    of what it makes (`told`); from when the queue beside it is free to when that is free again (`left`), to the end of all
    that follows the last one (`ends_left`), and to the first two places (`held_up`), None where that holds nothing up."""

    given: Any
    own: Any
    first: Any
    told: Any
    left: Any
    ends_left: Any
    held_up: Any

    @classmethod
    def of(cls, moves: Moves, pipes: Sequence[Pipe]) -> _Ways:
        """Those of some pipelines that go about the same passes."""
        passes = [(does, at) for does, at in moves.passes]
        done = [[pipe.chunks[at].passes.get(does, _IDLE) for pipe in pipes] for does, at in passes]
        last = [[pipe.chunks[at].last.get(does, _IDLE) for pipe in pipes] for does, at in passes]
        first = [[pipe.chunks[at].first if does == "forward" else UNBOUND for pipe in pipes] for does, at in passes]

        def columns(of: Callable[[Pass], Paths]) -> Any:
            """Those of a path to each place, by pass, place and pipeline."""
            told = [
                [_to_places(of(one), of(end)) for one, end in zip(*each, strict=True)]
                for each in zip(done, last, strict=True)
            ]
            return np.ascontiguousarray(np.asarray(told).transpose(0, 2, 1))

        beside = columns(lambda each: each.from_beside)
        held_up = beside[:, (_OUT, _QUEUE)]
        return cls(
            given=columns(lambda each: each.from_input),
            own=columns(lambda each: each.from_queue),
            first=np.asarray([[[each.out for each in mine], [each.queue for each in mine]] for mine in first]),
            told=np.asarray([[pipe.told(does, at)[0] for pipe in pipes] for does, at in passes]),
            left=beside[:, _BESIDE],
            ends_left=beside[:, _END],
            held_up=held_up if (held_up > NEVER).any() else None,
        )


def _to_places(one: Paths, last: Paths) -> tuple[float, float, float, float]:
    """Seconds to each of the places, given the paths of any microbatch and of the last."""
    return one.out, one.queue, one.beside, last.end


_IDLE = Pass(UNBOUND, UNBOUND, 0.0)
"""Of what no chunk does."""


class _Numbers:
    """How to go about the times of pipelines: one alone has floats, several have columns."""

    def __init__(self, count: int) -> None:
        self._alone = count == 1
        self.larger: Callable[[Any, Any], Any] = max if self._alone else np.maximum
        self.nothing: Any = 0.0 if self._alone else np.zeros(count)
        self.never: Any = NEVER if self._alone else np.full(count, NEVER)

    def of(self, values: Sequence[float]) -> Any:
        """A number of each pipeline."""
        return values[0] if self._alone else np.asarray(values)


def _serially(moves: Moves, pipes: Sequence[Pipe]) -> _Walked:
    if 1 < len(pipes) <= _FEW:
        alone = [_serially(moves, [pipe]) for pipe in pipes]
        ends, passes = [each.end for each in alone], [each.passes for each in alone]
        return _Walked(np.concatenate(ends), np.concatenate(passes, axis=-1))
    numbers = _Numbers(len(pipes))
    seconds = [_serial_numbers(pipes, does, at, numbers) for does, at in moves.passes]
    larger, last = numbers.larger, moves.microbatches - 1
    free = [numbers.nothing] * moves.stages
    for at in range(len(pipes[0].chunks)):
        free[at % moves.stages] = free[at % moves.stages] + numbers.of([pipe.chunks[at].before for pipe in pipes])
    came = [numbers.never] * moves.slots
    over = [[numbers.never] * moves.microbatches for _ in moves.passes]
    for key, number, stage, source, target, _, _, there in moves.rows:
        done = seconds[key]
        out = larger(came[source], free[stage]) + (done[1] if number == last else done[0])
        free[stage] = out
        over[key][number] = out
        if there >= 0:
            free[stage] = free[there] = out = larger(out, free[there]) + done[2]
        came[target] = out
    columns = [np.atleast_1d(each) for each in free]
    end = [_ended(pipe, [float(column[at]) for column in columns]) for at, pipe in enumerate(pipes)]
    return _Walked(np.asarray(end), np.asarray(over).reshape(len(over), moves.microbatches, len(pipes)))


def _serial_numbers(pipes: Sequence[Pipe], does: str, at: int, numbers: _Numbers) -> tuple[Any, Any, Any]:
    """Serial seconds of a pass, of that of the last microbatch, and of the transfer of what it makes."""
    mine = [pipe.chunks[at] for pipe in pipes]
    return (
        numbers.of([chunk.passes.get(does, _IDLE).serial for chunk in mine]),
        numbers.of([chunk.last.get(does, _IDLE).serial for chunk in mine]),
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
