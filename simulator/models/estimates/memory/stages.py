"""What the stages of a step hold: all the time, and at the most, by owner.

Model: a stage goes about the passes of its chunks (`chunk`) in the order of the schedule. So what is held follows from
counts of passes: at most S - s microbatches of activations with 1F1B, all with GPipe.
What a pass leaves to other queues is there beside what comes right behind it, less the seconds for which the stage waits in
between for others (`_idle`).
Assumes: passes in program order. In a run what is received may come early, and what is sent may stay a little longer: some
tensors of the stream more at the peak. Where gradients are reduced before they are added up or weights gathered late, lives
are in seconds (`beside`), and where something lives on the host so are passes (`in_time`); elsewhere they are in program
order. Kernels that slow each other down, and wires that stages share, move what waits by a little, and with it whether
that is there at the peak. Without a pipeline, and with nothing beside the backward pass, the peak is that of a run.
Law: no run holds less than `least`, counted in the same way from that part of each life which every run has (`lives`): the
kernels of a chip's compute queue run one after the other, in that order, whatever goes on beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np

from simulator.graph.owners import OWNERS, Owner
from simulator.models.estimates.memory.chunk import Held, Move
from simulator.models.estimates.memory.clocked import Key
from simulator.models.estimates.memory.held import Rise, Swing
from simulator.models.estimates.memory.in_time import stages_in_time
from simulator.models.estimates.moves import Moves as Program
from simulator.models.estimates.moves import moves_of
from simulator.models.estimates.passes import PASSES
from simulator.passes.pipeline.schedules import PAIRED, schedule

_SETTLED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What each stage does, a row each, one after the other: which of the `sorts` (a chunk of a stage, by number, and a
    pass), behind which other one, and how often; 0 times behind the last one."""

    sorts: Sequence[tuple[int, Key]]
    sort: Any
    before: Any
    times: Any

    def of(self, found: Sequence[Mapping[Key, Move]]) -> list[Move]:
        """The move of each sort, given those of each chunk of a stage."""
        return [found[at][key] for at, key in self.sorts]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes on a chip of a stage: what is given for the whole step, the most at once in program order, by owner, and what
    every run holds at once at the `least`; `late`: the most at once where what goes to the host is there as late as it may
    be, else the peak; `until`: when all is done, in seconds, where something is on the host, else 0."""

    given: Mapping[Owner, float]
    at_peak: Mapping[Owner, float]
    least: float
    late: float
    until: float = 0.0

    @property
    def peak(self) -> float:
        """The most bytes at once."""
        return sum(self.at_peak.values())


def stages_memory(held: Sequence[Held], stages: int, microbatches: int, schedule: str) -> list[StageMemory]:
    """What a chip of each stage holds, given what each chunk does."""
    about = _gone_about(held, stages, microbatches, schedule)
    given = [_given(mine, microbatches) for mine in about.kinds]
    least = _highest([_sure(mine) for mine in about.kinds], about, about.sure)
    late = [[each.late or _in_all(each.passes) for each in mine] for mine in about.kinds]
    goes = [any(each.late for each in mine) for mine in about.kinds]
    latest = _highest(late, about, about.moves) if any(goes) else least
    peaks, until = _in_time(held, about)
    found = []
    for kind, each, peak, most, over in zip(about.kind, least, peaks, latest, until, strict=True):
        mine, there = given[kind], float(given[kind].sum())
        at_peak = mine + peak
        at_most = float(at_peak.sum())
        found.append(
            StageMemory(
                given=_by_owner(mine),
                at_peak=_by_owner(at_peak),
                least=there + each,
                late=max(at_most, there + most) if goes[kind] else at_most,
                until=over,
            )
        )
    return found


def least_memory(held: Sequence[Held], stages: int, microbatches: int, schedule: str) -> float:
    """What every run holds at once on a chip of the stage that holds most; the same as of `stages_memory`."""
    about = _gone_about(held, stages, microbatches, schedule)
    given = [float(_given(mine, microbatches).sum()) for mine in about.kinds]
    least = _highest([_sure(mine) for mine in about.kinds], about, about.sure)
    return max(given[kind] + each for kind, each in zip(about.kind, least, strict=True))


def _sure(mine: Sequence[Held]) -> list[Mapping[Key, Rise]]:
    return [each.sure for each in mine]


@dataclass(frozen=True, slots=True, eq=False)
class _About:
    """What stages go about: `kinds` of stages, which have the same chunks, and that of each stage; their moves of as many
    microbatches as matter, as they hold what every run does, and how many `more` there are; `shape`: the schedule, stages,
    those microbatches, and chunks of a stage."""

    kinds: Sequence[Sequence[Held]]
    kind: Sequence[int]
    moves: Moves
    sure: Moves
    more: int
    shape: tuple[str, int, int, int]


def _gone_about(held: Sequence[Held], stages: int, microbatches: int, schedule: str) -> _About:
    """What the stages of a pipeline go about."""
    interleave = len(held) // stages
    # with gpipe all are held at once; else no more than so many, and those behind them only leave what they leave
    ahead = 2 if interleave == 1 and schedule not in PAIRED else 2 * interleave + 2
    most = microbatches if schedule == "gpipe" else min(microbatches, ahead * stages)
    numbers: dict[tuple[int, ...], int] = {}
    kind = [numbers.setdefault(tuple(map(id, held[at::stages])), len(numbers)) for at in range(stages)]
    kinds = [held[kind.index(number) :: stages] for number in range(len(numbers))]
    shape = schedule, stages, most, interleave
    return _About(kinds, kind, *_moves(*shape), microbatches - most, shape)


@cache
def _moves(schedule: str, stages: int, microbatches: int, interleave: int) -> tuple[Moves, Moves]:
    """What each stage does, from begin to end, and as it holds what every run does."""
    turns: list[list[_Turn]] = []
    for order in _orders(schedule, stages, microbatches, interleave):
        moves = [*((at, ("begin", True)) for at in range(interleave)), *order]
        moves += [(at, ("end", True)) for at in range(interleave)]
        turns.append(_alike(moves))
    mine = _in_columns([[(at, key, count) for at, key, many in each for count in _counts(many)] for each in turns])
    return mine, _in_columns([_parted(each) for each in turns]) if schedule in PAIRED else mine


def _alike(moves: Sequence[tuple[int, Key]]) -> list[_Turn]:
    """Moves that are alike, one after the other, as one."""
    return [(*move, len(list(alike))) for move, alike in groupby(moves)]


def _counts(many: int) -> tuple[int, ...]:
    """So many moves that are alike: the first comes behind another one, the rest behind their like."""
    return (1, many - 1) if many > 1 else (1,)


_Turn = tuple[int, Key, int]
"""A chunk of a stage, by number, a pass, and how often one after the other."""


def _in_columns(turns: Sequence[Sequence[_Turn]]) -> Moves:
    """The turns of all stages as columns, as long as the most."""
    sorts = dict.fromkeys((at, key) for mine in turns for at, key, _ in mine)
    numbers = {sort: number for number, sort in enumerate(sorts)}
    longest = max(map(len, turns))
    sort, times = np.zeros((2, len(turns), longest), dtype=np.int64)
    for row, mine in enumerate(turns):
        sort[row, : len(mine)] = [numbers[at, key] for at, key, _ in mine]
        times[row, : len(mine)] = [count for _, _, count in mine]
    before = np.roll(sort, 1, axis=1)
    before[:, 0] = sort[:, 0]
    return Moves(tuple(numbers), sort, before, times)


def _parted(moves: Sequence[_Turn]) -> list[_Turn]:
    """Moves in which the passes of a turn come the other way round: a run may let go of what the backward pass frees before
    it has what the forward pass keeps."""
    found: list[_Turn] = []
    for move in moves:
        if not found or (found[-1][1][0], move[1][0]) != ("forward", "backward"):
            found.append(move)
            continue
        at, key, times = found.pop()
        found += [(at, key, times - 1)] if times > 1 else []
        found += [(*move[:2], 1), (at, key, 1)]
        found += [(*move[:2], move[2] - 1)] if move[2] > 1 else []
    return found


def _orders(name: str, stages: int, microbatches: int, interleave: int) -> list[list[tuple[int, Key]]]:
    """The passes of each stage in their order."""
    if name == "gpipe" and interleave == 1:
        # all of a kind, as the schedule says, however many there are: in no need of being put in order with other stages
        kinds: tuple[Key, ...] = tuple((does, last) for does in ("forward", "backward") for last in (False, True))
        order = [(0, kind) for kind in kinds for _ in range(1 if kind[1] else microbatches - 1)]
        return [order] * stages
    return [
        [(chunk // stages, (does, number == microbatches - 1)) for does, number, chunk in order]
        for order in schedule(name, stages, microbatches, interleave)
    ]


def _in_all(swings: Mapping[Key, Swing]) -> dict[Key, Rise]:
    """The same moves without owners."""
    return {key: Rise(swing.peak, swing.left_bytes) for key, swing in swings.items()}


def _given(mine: Sequence[Held], microbatches: int) -> Any:
    """What a stage is given for the whole step, by owner."""
    return sum((each.given + microbatches * each.each for each in mine), np.zeros(len(OWNERS)))


def _in_time(held: Sequence[Held], about: _About) -> tuple[list[Any], list[float]]:
    """The most by owner of each stage, beside what is given, and when it is over: by a clock where something is on the
    host, else as they are in program order and 0."""
    chunks = [each.in_time for each in held if each.in_time is not None]
    if len(chunks) < len(held):
        return _peaks(about), [0.0] * about.shape[1]
    schedule, stages, most, _ = about.shape
    # so many that what one more takes shows: that of a stage's turn between the first microbatch and the last
    microbatches = min(most + about.more, max(most, stages + _SETTLED))
    more = most + about.more - microbatches
    behind = [_left_behind(mine, more) for mine in about.kinds]
    stood = stages_in_time(chunks, stages, microbatches, schedule)
    # what is held goes by what computes, which copies slow down; what waits for copies goes by these
    beside = [each.beside for each in held if each.beside is not None]
    slowed = stages_in_time(beside, stages, microbatches, schedule)
    peaks = [each.at_peak + behind[kind] for each, kind in zip(slowed, about.kind, strict=True)]
    return peaks, [each.seconds + more * each.period for each in stood]


def _peaks(about: _About) -> list[Any]:
    """The most by owner of each stage, beside what is given, where `more` microbatches leave what they leave."""
    moves, times = about.moves, about.moves.times
    done = [moves.of([each.passes for each in mine]) for mine in about.kinds]
    behind_others = _behind_others(done, about)
    left = _in_rows([[each.left_bytes for each in mine] for mine in done], about, moves)
    peak = _in_rows([[each.peak for each in mine] for mine in done], about, moves)
    for (stage, at), swing in behind_others.items():
        peak[stage, at] = swing.peak
    # of passes alike, each of which leaves as much, the first or the last is the highest
    turn = np.where(left > 0, times - 1, 0)
    top = np.where(times > 0, _before(times * left) + turn * left + peak, -np.inf)
    highest = top.argmax(axis=1)
    by_owner = [np.stack([each.left for each in mine]) for mine in done]
    behind = [_left_behind(mine, about.more) for mine in about.kinds]
    found = []
    for stage, (kind, best) in enumerate(zip(about.kind, highest.tolist(), strict=True)):
        if top[stage, best] <= 0.0:
            best = times.shape[1]
        sorts, counts = moves.sort[stage], times[stage]
        level = (counts[:best, None] * by_owner[kind][sorts[:best]]).sum(axis=0)
        if best < len(sorts):
            swing = behind_others.get((stage, best), done[kind][sorts[best]])
            level = level + (turn[stage, best] * swing.left + swing.at_peak)
        found.append(level + behind[kind])
    return found


def _behind_others(done: Sequence[Sequence[Swing]], about: _About) -> dict[tuple[int, int], Swing]:
    """Moves that are higher behind others, by their stage and place, while what those have left is there."""
    moves = about.moves
    leaves = [np.asarray([each.leaves for each in mine]) for mine in done]
    if not any(each.any() for each in leaves):
        return {}
    idle = _idle(done, about)
    known: dict[tuple[int, int, int, float], Swing] = {}
    found = {}
    for stage, kind in enumerate(about.kind):
        before, sort = moves.before[stage], moves.sort[stage]
        for at in np.flatnonzero((moves.times[stage] > 0) & (leaves[kind][before] > idle[stage])).tolist():
            key = kind, int(before[at]), int(sort[at]), float(idle[stage, at])
            if key not in known:
                known[key] = done[kind][key[2]].after(done[kind][key[1]], key[3])
            if known[key] is not done[kind][key[2]]:
                found[stage, at] = known[key]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Walked:
    """A pipeline to be gone through in time: its passes; and those of each stage, by number and microbatch, with where each
    of its moves begins among them."""

    program: Program
    stages: Sequence[tuple[Any, Any, Any]]


@cache
def _walked(name: str, stages: int, microbatches: int, interleave: int) -> _Walked:
    # further microbatches of gpipe go on as these do
    few = min(microbatches, 2 * stages + 2) if name == "gpipe" else microbatches
    orders = schedule(name, stages, few, interleave)
    has = tuple(does for does in PASSES if any(each.does == does for each in orders[0]))
    program = moves_of(name, stages, few, (has,) * (stages * interleave))
    numbers = {each: number for number, each in enumerate(program.passes)}
    found = []
    for order in orders:
        moves: list[tuple[int, Key]] = [(at // stages, (does, number == few - 1)) for does, number, at in order]
        counts = [count for _, _, many in _alike(moves) for count in _counts(many)]
        where = np.cumsum([0, *counts[:-1]])
        found.append((where, [numbers[each.does, each.chunk] for each in order], [each.microbatch for each in order]))
    return _Walked(program, found)


def _idle(done: Sequence[Sequence[Swing]], about: _About) -> Any:
    """For how many seconds each stage does nothing before each of its moves, where passes take what they do alone and what
    goes from stage to stage is there at once."""
    found = np.zeros(about.moves.sort.shape)
    _, stages, _, interleave = about.shape
    if stages == 1:
        return found
    walked, sorts = _walked(*about.shape), {sort: at for at, sort in enumerate(about.moves.sorts)}
    moves = walked.program
    seconds = np.zeros(len(moves.passes))
    for number, (does, chunk) in enumerate(moves.passes):
        at, kind = chunk // stages, about.kind[chunk % stages]
        sort = sorts.get((at, (does, False)), sorts.get((at, (does, True))))
        seconds[number] = done[kind][sort].seconds if sort is not None else 0.0
    free, came = np.zeros(stages), np.zeros(moves.slots)
    idle = np.zeros((len(moves.passes), moves.microbatches))
    for sweep in moves.sweeps:
        begin = np.maximum(free[sweep.stage], came[sweep.source])
        idle[sweep.key, sweep.number] = begin - free[sweep.stage]
        free[sweep.stage] = came[sweep.target] = begin + seconds[sweep.key]
    for stage, (where, keys, microbatches) in enumerate(walked.stages):
        # before and behind its passes stand begin and end of each of its chunks
        mine = slice(interleave, interleave + len(where))
        found[stage, mine] = np.minimum.reduceat(idle[keys, microbatches], where)
    return found


def _left_behind(mine: Sequence[Held], more: int) -> Any:
    """What so many microbatches leave, by owner."""
    each = (more * sum(held.passes[does, False].left for does in PASSES) for held in mine)
    return sum(each, np.zeros(len(OWNERS)))


def _in_rows(numbers: Sequence[Sequence[float]], about: _About, moves: Moves) -> Any:
    """A number of each move of each stage, given those of the sorts of moves of each kind of stage."""
    return np.asarray(numbers)[np.asarray(about.kind)[:, None], moves.sort]


def _before(moved: Any) -> Any:
    """The level before each of some moves."""
    return np.concatenate([np.zeros((len(moved), 1)), np.cumsum(moved[:, :-1], axis=1)], axis=1)


def _highest(rises: Sequence[Sequence[Mapping[Key, Rise]]], about: _About, moves: Moves) -> list[float]:
    """The most that each stage holds beside what is given, as `_peaks`, given how the chunks of each kind of stage rise."""
    done, times = [moves.of(mine) for mine in rises], moves.times
    left = _in_rows([[each.left for each in mine] for mine in done], about, moves)
    peak = _in_rows([[each.peak for each in mine] for mine in done], about, moves)
    top = _before(times * left) + np.maximum(0.0, (times - 1) * left) + peak
    best = np.where(times > 0, top, 0.0).max(axis=1, initial=0.0)
    behind = [about.more * sum(each[does, False].left for each in mine for does in PASSES) for mine in rises]
    return [each + behind[kind] for each, kind in zip(best.tolist(), about.kind, strict=True)]


def _by_owner(nbytes: Any) -> dict[Owner, float]:
    return {owner: float(each) for owner, each in zip(OWNERS, nbytes, strict=True) if abs(each) > 0.5}
