"""What the stages of a step hold: all the time, and at the most, by owner.

Model: weights, states of the optimizer and sums of gradients are given, and so is what each microbatch brings along; a pass
moves the level by what it keeps for a later one or lets go of (`held`); a stage goes about its passes in the order of the
schedule. So what is held follows from counts of passes: at most S - s microbatches of activations with 1F1B, all with GPipe.
Assumes: program order. In a run what is received may come early, and what is sent or reduced may stay a little longer: some
tensors of the stream and of a part's gradients more or less at the peak. Without a pipeline, and with nothing reduced
beside the backward pass, the peak is that of a run.
Law: no run holds less than `least`, counted in the same way from that part of each life which every run has (`lives`): the
kernels of a chip's compute queue run one after the other, in that order, whatever goes on beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator.graph.owners import OWNERS, Owner
from simulator.models.estimates.chunks import ChunkSort
from simulator.models.estimates.held import Sizes, Swing, swings_of
from simulator.models.estimates.lives import Lives, Part, lives_of
from simulator.models.estimates.passes import PASSES
from simulator.models.estimates.rows import Binder, Rows
from simulator.models.estimates.stages import steps_of

Swings = Mapping[tuple[str, bool], Swing]
"""By pass, and whether it is that of the last microbatch."""

_NUMBER = {owner: at for at, owner in enumerate(OWNERS)}


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a chunk holds: `given` once, `each`: given for each microbatch, by owner; how passes move it, and, `sure`, how
    they move what every run holds."""

    given: Any
    each: Any
    passes: Swings
    sure: Swings


@dataclass
class Holdings:
    """What chunks hold; lives are the same for all configurations of a structure."""

    _known: dict[int, tuple[Lives, Lives]] = field(default_factory=dict)

    def of(self, sort: ChunkSort, rows: Mapping[tuple[str, bool], Rows], binder: Binder, is_sent: bool) -> Held:
        """What a chunk holds; `is_sent`: what it takes in comes from another chip."""
        plain, last = self._lives(sort, rows)
        sizes = _sizes(sort, rows, binder)
        passes = _named(swings_of(plain, sizes, plain.whole, since=1), swings_of(last, sizes, last.whole))
        certain = sizes if is_sent else _without(sizes, (*sort.takes("forward"), *sort.takes("backward")))
        sure = _named(swings_of(plain, certain, plain.sure, since=1), swings_of(last, certain, last.sure))
        given, each = np.zeros(len(OWNERS)), np.zeros(len(OWNERS))
        shared = {sort.structure.slots.get(name) for name in sort.begun}
        taken = {slot for part in ("forward", "backward") for slot in sort.takes(part)}
        for slot, (times, part) in last.given.items():
            if slot not in taken:
                total = given if slot in shared or part in ("begin", "end") else each
                total[sizes.owner[slot]] += times * sizes.nbytes[slot]
        return Held(given, each, passes, sure)

    def _lives(self, sort: ChunkSort, rows: Mapping[tuple[str, bool], Rows]) -> tuple[Lives, Lives]:
        if id(sort) not in self._known:
            names = ("begin", *PASSES)
            plain = [self._part(sort, name, rows[name, False]) for name in names]
            last = [self._part(sort, name, rows[name, name in PASSES]) for name in (*names, "end")]
            self._known[id(sort)] = lives_of(plain), lives_of(last)
        return self._known[id(sort)]

    @staticmethod
    def _part(sort: ChunkSort, name: str, rows: Rows) -> Part:
        return Part(name=name, rows=rows, takes=sort.takes(name), gives=sort.gives(name))


def _named(middle: Sequence[Swing], whole: Sequence[Swing]) -> Swings:
    """Swings by their passes: those of any microbatch, behind the begin, and those of the last."""
    found = {(name, False): swing for name, swing in zip(PASSES, middle[1:], strict=True)}
    return found | {(name, True): swing for name, swing in zip(("begin", *PASSES, "end"), whole, strict=True)}


def _without(sizes: Sizes, slots: Sequence[int]) -> Sizes:
    """Sizes without some slots, which the chunk before has already."""
    nbytes = sizes.nbytes.copy()
    nbytes[list(slots)] = 0.0
    return Sizes(nbytes, sizes.owner)


def _sizes(sort: ChunkSort, rows: Mapping[tuple[str, bool], Rows], binder: Binder) -> Sizes:
    """Bytes and owners of all slots: of a tensor what it takes on a chip, of what is made beside one what is written."""
    structure = sort.structure
    nbytes = np.zeros(len(structure.slots))
    owner = np.full(len(structure.slots), _NUMBER["activations"])
    beside: dict[str, float] = {}
    for each in rows.values():
        for stretch in each:
            for kernel in stretch.kernels:
                beside.update({access.tensor: access.nbytes for access in kernel.writes if access.memory == "hbm"})
    for name, slot in structure.slots.items():
        tensor = structure.types.get(name)
        owner[slot] = _NUMBER[sort.roles.get(name.partition("/")[0], "activations")]
        nbytes[slot] = binder.nbytes(tensor) if tensor is not None else beside.get(name, 0.0)
    return Sizes(nbytes, owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMemory:
    """Bytes on a chip of a stage: what is given for the whole step, the most at once in program order, by owner, and what
    every run holds at once at the `least`."""

    given: Mapping[Owner, float]
    at_peak: Mapping[Owner, float]
    least: float

    @property
    def peak(self) -> float:
        """The most bytes at once."""
        return sum(self.at_peak.values())


def stages_memory(held: Sequence[Held], stages: int, microbatches: int, schedule: str) -> list[StageMemory]:
    """What a chip of each stage holds, given what each chunk does."""
    interleave = len(held) // stages
    # with gpipe all are held at once; else no more than so many, and those behind them only leave what they leave
    most = microbatches if schedule == "gpipe" else min(microbatches, (2 * interleave + 2) * stages)
    orders: list[list[tuple[str, int, int]]] = [[] for _ in range(stages)]
    for step in steps_of(schedule, stages, most, interleave):
        orders[step[2] % stages].append(step)
    return [
        _stage([held[each] for each in range(at, len(held), stages)], order, (most, microbatches))
        for at, order in enumerate(orders)
    ]


Moves = Sequence[tuple[int, str, bool]]
"""What a stage does: a chunk of it, by number, a pass, and whether it is that of the last microbatch."""


def _stage(mine: Sequence[Held], order: Sequence[tuple[str, int, int]], microbatches: tuple[int, int]) -> StageMemory:
    """A stage that goes about the first of so many microbatches of all in some order."""
    most, count = microbatches
    given = sum((each.given + count * each.each for each in mine), np.zeros(len(OWNERS)))
    chunks = {chunk: at for at, chunk in enumerate(sorted({chunk for _, _, chunk in order}))}
    moves = [
        *((at, "begin", True) for at in range(len(mine))),
        *((chunks[chunk], does, number == most - 1) for does, number, chunk in order),
        *((at, "end", True) for at in range(len(mine))),
    ]
    whole, sure = ([chunk.passes for chunk in mine], [chunk.sure for chunk in mine])
    at_peak = given + _peak(whole, moves, count - most)
    least = given + _peak(sure, moves, count - most)
    return StageMemory(given=_by_owner(given), at_peak=_by_owner(at_peak), least=float(least.sum()))


def _peak(swings: Sequence[Swings], moves: Moves, more: int) -> Any:
    """The most by owner, where so many more microbatches leave what they leave."""
    level, best, best_at = 0.0, 0.0, len(moves)
    for place, (at, does, is_last) in enumerate(moves):
        swing = swings[at][does, is_last]
        if level + swing.peak > best:
            best, best_at = level + swing.peak, place
        level += swing.left_bytes
    found = np.zeros(len(OWNERS))
    for at, does, is_last in moves[:best_at]:
        found += swings[at][does, is_last].left
    if best_at < len(moves):
        at, does, is_last = moves[best_at]
        found += swings[at][does, is_last].at_peak
    for each in swings:
        found += more * sum(each[does, False].left for does in PASSES)
    return found


def _by_owner(nbytes: Any) -> dict[Owner, float]:
    return {owner: float(each) for owner, each in zip(OWNERS, nbytes, strict=True) if abs(each) > 0.5}
