"""What the stages of a step hold: all the time, and at the most, by owner.

Model: a stage goes about the passes of its chunks (`chunk`) in the order of the schedule. So what is held follows from
counts of passes: at most S - s microbatches of activations with 1F1B, all with GPipe.
Assumes: program order, and beside it all as early as it may be. In a run what is received may come early, and what is sent
may stay a little longer: some tensors of the stream more at the peak, and from ZeRO-2 on gradients of two parts. What is
fetched may come later where wires are slow: a run holds less by at most the weights that may be gathered ahead. What is
copied to the host is let go in program order, and in a run when it is there: no later than it is fetched back, which `most`
counts. States that live there come one copy ahead of the step of their weights, and go one after the other. Without a
pipeline, and with nothing beside the backward pass, the peak is that of a run.
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
from simulator.models.estimates.memory.chunk import Held, Key, Move
from simulator.models.estimates.memory.held import Rise, Swing
from simulator.models.estimates.passes import PASSES
from simulator.passes.pipeline.schedules import PAIRED, schedule


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What each stage does, a row each, one after the other: which of the `sorts` (a chunk of a stage, by number, and a
    pass), and how often; 0 times behind the last one."""

    sorts: Sequence[tuple[int, Key]]
    sort: Any
    times: Any

    def of(self, found: Sequence[Mapping[Key, Move]]) -> list[Move]:
        """The move of each sort, given those of each chunk of a stage."""
        return [found[at][key] for at, key in self.sorts]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes on a chip of a stage: what is given for the whole step, the most at once in program order, by owner, and what
    every run holds at once at the `least`; `most`: the most at once where what goes to the host is there as late as it may
    be, else the peak."""

    given: Mapping[Owner, float]
    at_peak: Mapping[Owner, float]
    least: float
    most: float

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
    found = []
    for kind, each, peak, most in zip(about.kind, least, _peaks(about), latest, strict=True):
        mine, there = given[kind], float(given[kind].sum())
        at_peak = mine + peak
        at_most = float(at_peak.sum())
        found.append(
            StageMemory(
                given=_by_owner(mine),
                at_peak=_by_owner(at_peak),
                least=there + each,
                most=max(at_most, there + most) if goes[kind] else at_most,
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
    microbatches as matter, as they hold what every run does, and how many `more` there are."""

    kinds: Sequence[Sequence[Held]]
    kind: Sequence[int]
    moves: Moves
    sure: Moves
    more: int


def _gone_about(held: Sequence[Held], stages: int, microbatches: int, schedule: str) -> _About:
    """What the stages of a pipeline go about."""
    interleave = len(held) // stages
    # with gpipe all are held at once; else no more than so many, and those behind them only leave what they leave
    ahead = 2 if interleave == 1 and schedule not in PAIRED else 2 * interleave + 2
    most = microbatches if schedule == "gpipe" else min(microbatches, ahead * stages)
    numbers: dict[tuple[int, ...], int] = {}
    kind = [numbers.setdefault(tuple(map(id, held[at::stages])), len(numbers)) for at in range(stages)]
    kinds = [held[kind.index(number) :: stages] for number in range(len(numbers))]
    return _About(kinds, kind, *_moves(schedule, stages, most, interleave), microbatches - most)


@cache
def _moves(schedule: str, stages: int, microbatches: int, interleave: int) -> tuple[Moves, Moves]:
    """What each stage does, from begin to end, and as it holds what every run does."""
    turns: list[list[_Turn]] = []
    for order in _orders(schedule, stages, microbatches, interleave):
        moves = [*((at, ("begin", True)) for at in range(interleave)), *order]
        moves += [(at, ("end", True)) for at in range(interleave)]
        turns.append([(*move, len(list(alike))) for move, alike in groupby(moves)])
    mine = _in_columns(turns)
    return mine, _in_columns([_parted(each) for each in turns]) if schedule in PAIRED else mine


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
    return Moves(tuple(numbers), sort, times)


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


def _peaks(about: _About) -> list[Any]:
    """The most by owner of each stage, beside what is given, where `more` microbatches leave what they leave."""
    moves, times = about.moves, about.moves.times
    done = [moves.of([each.passes for each in mine]) for mine in about.kinds]
    left = _in_rows([[each.left_bytes for each in mine] for mine in done], about, moves)
    peak = _in_rows([[each.peak for each in mine] for mine in done], about, moves)
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
            swing = done[kind][sorts[best]]
            level = level + (turn[stage, best] * swing.left + swing.at_peak)
        found.append(level + behind[kind])
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
