"""The passes of a pipeline in one order, with where each takes its input from and where it gives on what it makes.

Model: stages go about their passes in the order of the schedule (`simulator.passes.pipeline.schedules`), swept through
stage by stage, so that every pass stands behind those that it needs. All of it as numbers, worked out once for a schedule,
its stages and microbatches: a recurrence over passes then looks nothing up by name.
Assumes: two stages exchange what goes one way by one lane out of the one and one lane into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from simulator.passes.pipeline.schedules import partners, schedule

_DOES = ("forward", "backward", "weights")


def _hop(does: str, chunk: int, chunks: int) -> int:
    """The chunk to which a pass gives on what it makes; -1 for none."""
    if does == "forward" and chunk + 1 < chunks:
        return chunk + 1
    return chunk - 1 if does == "backward" and chunk else -1


Steps = tuple[tuple[str, int, int], ...]
"""Passes in one order: what, microbatch, chunk."""


def steps_of(name: str, stages: int, microbatches: int, interleave: int) -> Steps:
    """All passes in the order of the program. Raises ValueError as `schedule` does."""
    orders = schedule(name, stages, microbatches, interleave)
    return tuple(_swept(orders, stages * interleave - 1))


Move = tuple[int, int, int, int, int, int, int, int]
"""A pass: its number in `Moves.passes`, microbatch, stage; the slots of what it takes in and of what it gives on; the lanes
by which that leaves its stage and gets to another one, and which one that is, -1 where it stays."""


@dataclass(frozen=True, slots=True)
class Moves:
    """All passes in the order of the program, of so many stages and microbatches: what they are by number, (what it does,
    chunk); rows, and by row whether it goes on `beside` the one before of its stage; how many slots, the last of which
    nothing takes in, and lanes there are."""

    stages: int
    microbatches: int
    passes: tuple[tuple[str, int], ...]
    rows: tuple[Move, ...]
    beside: tuple[bool, ...]
    slots: int
    lanes: int


@cache
def moves_of(name: str, stages: int, microbatches: int, interleave: int) -> Moves:
    """The passes with where they are and where what they make goes, as numbers."""
    count = stages * interleave
    passes = tuple((does, at) for does in _DOES for at in range(count))
    numbers = {each: number for number, each in enumerate(passes)}
    fixed = {(does, at): _fixed(does, at, stages, count) for does, at in passes}
    slots = len(passes) * microbatches
    rows = []
    for does, number, at in steps_of(name, stages, microbatches, interleave):
        key = numbers[does, at]
        given, out_lane, in_lane, there = fixed[does, at]
        target = numbers[given] * microbatches + number if given is not None else slots
        source = key * microbatches + number
        rows.append((key, number, at % stages, source, target, out_lane, in_lane, there))
    beside = tuple(partners(name, ((row[2], passes[row[0]][0]) for row in rows)))
    return Moves(stages, microbatches, passes, tuple(rows), beside, slots + 1, 2 * len(_DOES) * stages)


def _fixed(does: str, at: int, stages: int, chunks: int) -> tuple[tuple[str, int] | None, int, int, int]:
    """The pass to which a pass gives on what it makes, and the two lanes and the other stage of that."""
    hop = _hop(does, at, chunks)
    if hop < 0:
        return ("backward", at) if does == "forward" else None, -1, -1, -1
    stage, there = at % stages, hop % stages
    if stage == there:
        return (does, hop), -1, -1, -1
    lane = 2 * stages * _DOES.index(does)
    return (does, hop), lane + stage, lane + stages + there, there


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
