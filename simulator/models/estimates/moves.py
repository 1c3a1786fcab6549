"""The passes of a pipeline in one order, with where each takes its input from and where it gives on what it makes.

Model: stages go about their passes in the order of the schedule (`simulator.passes.pipeline.schedules`), swept through
stage by stage, so that every pass stands behind those that it needs; no pass of a sweep needs another one of it. All of it
as numbers, worked out once for a schedule, its stages and microbatches: a recurrence over passes then looks nothing up by
name, and goes through a sweep at a time.
Assumes: two stages exchange what goes one way by one lane out of the one and one lane into the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from simulator.passes.pipeline.schedules import PAIRED, partners, schedule

_DOES = ("forward", "backward", "weights")


def _hop(does: str, chunk: int, chunks: int) -> int:
    """The chunk to which a pass gives on what it makes; -1 for none."""
    if does == "forward" and chunk + 1 < chunks:
        return chunk + 1
    return chunk - 1 if does == "backward" and chunk else -1


Does = tuple[str, int]
"""A pass of any microbatch: what it does, and of which chunk."""

Move = tuple[int, int, int, int, int, int, int, int]
"""A pass: its number in `Moves.passes`, microbatch, stage; the slots of what it takes in and of what it gives on; the lanes
by which that leaves its stage and gets to another one, and which one that is, -1 where it stays."""


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Passes of different stages, none of which needs another: columns of `Move`, and places among them. `sent`: of those
    whose work leaves its stage; `first` and `last`: of those of the first and of the last microbatch; `beside`: of those
    that go on beside the one before of their stage, and `alone`: of the others."""

    key: Any
    number: Any
    stage: Any
    source: Any
    target: Any
    sent: Any
    out_lane: Any
    in_lane: Any
    first: Any
    last: Any
    beside: Any
    alone: Any


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """All passes in the order of the program, of so many stages and microbatches: what they are by number; rows, and the
    same in sweeps; how many slots, the last of which nothing takes in, and lanes there are."""

    stages: int
    microbatches: int
    passes: tuple[Does, ...]
    rows: tuple[Move, ...]
    sweeps: tuple[Sweep, ...]
    slots: int
    lanes: int


@cache
def moves_of(name: str, stages: int, microbatches: int, has: tuple[tuple[str, ...], ...]) -> Moves:
    """The passes with where they are and where what they make goes, as numbers. `has`: by chunk, which passes it has: of
    others nothing is done. Raises ValueError as `schedule` does."""
    count = len(has)
    passes = tuple((does, at) for does in _DOES for at in range(count))
    numbers = {each: number for number, each in enumerate(passes)}
    slots = len(passes) * microbatches
    fixed = [_fixed(does, at, stages, count) for does, at in passes]
    is_done = [does in has[at] for does, at in passes]
    rows: list[Move] = []
    bounds = [0]
    for sweep in _swept(schedule(name, stages, microbatches, count // stages), numbers, microbatches):
        for key, number in sweep:
            if is_done[key]:
                given, out_lane, in_lane, there = fixed[key]
                source = key * microbatches + number
                target = slots if given is None else numbers[given] * microbatches + number
                rows.append((key, number, key % stages, source, target, out_lane, in_lane, there))
        bounds.append(len(rows))
    beside = np.zeros(len(rows), dtype=bool)
    if name in PAIRED:
        beside[:] = partners(name, ((row[2], passes[row[0]][0]) for row in rows))
    sweeps = tuple(_sweeps(rows, bounds, beside, microbatches - 1))
    return Moves(stages, microbatches, passes, tuple(rows), sweeps, slots + 1, 2 * len(_DOES) * stages)


def _sweeps(rows: Sequence[Move], bounds: Sequence[int], beside: Any, last: int) -> list[Sweep]:
    """Rows as columns, sweep by sweep; `beside`: those that go on beside the one before of their stage."""
    columns = np.asarray(rows, dtype=np.int64).reshape(-1, 8).T
    found = []
    for begin, end in pairwise(bounds):
        if begin < end:
            key, number, stage, source, target, out_lane, in_lane, _ = columns[:, begin:end]
            sent = np.flatnonzero(out_lane >= 0)
            first, final = np.flatnonzero(number == 0), np.flatnonzero(number == last)
            lanes = out_lane[sent], in_lane[sent]
            alone, other = np.flatnonzero(~beside[begin:end]), np.flatnonzero(beside[begin:end])
            found.append(Sweep(key, number, stage, source, target, sent, *lanes, first, final, other, alone))
    return found


def _fixed(does: str, at: int, stages: int, chunks: int) -> tuple[Does | None, int, int, int]:
    """The pass to which a pass gives on what it makes, and the two lanes and the other stage of that."""
    hop = _hop(does, at, chunks)
    if hop < 0:
        return ("backward", at) if does == "forward" else None, -1, -1, -1
    stage, there = at % stages, hop % stages
    if stage == there:
        return (does, hop), -1, -1, -1
    lane = 2 * stages * _DOES.index(does)
    return (does, hop), lane + stage, lane + stages + there, there


_Steps = list[tuple[int, int]]
"""Passes, by number, and their microbatches."""


def _swept(
    orders: Sequence[Sequence[tuple[str, int, int]]], numbers: Mapping[Does, int], microbatches: int
) -> list[_Steps]:
    """Sweep by sweep, as `simulator.passes.pipeline.schedules.in_one_order` has it."""
    needs = [_needs(does, at, numbers) for does, at in numbers]
    waiting = [iter([(numbers[does, chunk], number) for does, number, chunk in order]) for order in orders]
    done = [bytearray(microbatches) for _ in numbers]
    heads = [next(each, None) for each in waiting]
    found: list[_Steps] = []
    left = sum(map(len, orders))
    while left:
        sweep: _Steps = []
        for stage, head in enumerate(heads):
            if head is None:
                continue
            key, number = head
            for needed in needs[key]:
                if not done[needed][number]:
                    break
            else:
                sweep.append(head)
                heads[stage] = next(waiting[stage], None)
        if not sweep:
            raise ValueError("stages wait for each other")
        for key, number in sweep:
            done[key][number] = True
        found.append(sweep)
        left -= len(sweep)
    return found


def _needs(does: str, chunk: int, numbers: Mapping[Does, int]) -> tuple[int, ...]:
    """The passes, by number, that a pass needs of the same microbatch."""
    needed = {
        "forward": [("forward", chunk - 1)],
        "weights": [("backward", chunk)],
        "backward": [("forward", chunk), ("backward", chunk + 1)],
    }
    return tuple(numbers[each] for each in needed[does] if each in numbers)
