"""What the stages of a step hold: all the time, and at the most, by owner.

Model: weights, states of the optimizer and sums of gradients are given, and so is what each microbatch brings along; a pass
moves the level by what it keeps for a later one or lets go of (`held`); a stage goes about its passes in the order of the
schedule. So what is held follows from counts of passes: at most S - s microbatches of activations with 1F1B, all with GPipe.
Assumes: program order. In a run what is received may come early, and what is sent or reduced may stay a little longer: some
tensors of the stream and of a part's gradients more or less at the peak. Without a pipeline, and with nothing reduced
beside the backward pass, the peak is that of a run.
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

_NUMBER = {owner: at for at, owner in enumerate(OWNERS)}


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a chunk holds: `given` once, `each`: given for each microbatch, by owner; how passes move it."""

    given: Any
    each: Any
    passes: Mapping[tuple[str, bool], Swing]


@dataclass
class Holdings:
    """What chunks hold; lives are the same for all configurations of a structure."""

    _known: dict[int, tuple[Lives, Lives]] = field(default_factory=dict)

    def of(self, sort: ChunkSort, rows: Mapping[tuple[str, bool], Rows], binder: Binder) -> Held:
        """What a chunk holds."""
        plain, last = self._lives(sort, rows)
        sizes = _sizes(sort, rows, binder)
        middle = swings_of(plain, sizes, since=1)
        whole = swings_of(last, sizes)
        passes = {(name, False): swing for name, swing in zip(PASSES, middle[1:], strict=True)}
        passes |= {(name, True): swing for name, swing in zip(("begin", *PASSES, "end"), whole, strict=True)}
        given, each = np.zeros(len(OWNERS)), np.zeros(len(OWNERS))
        shared = {sort.structure.slots.get(name) for name in sort.begun}
        taken = {slot for part in ("forward", "backward") for slot in sort.takes(part)}
        for slot, (times, part) in last.given.items():
            if slot not in taken:
                total = given if slot in shared or part in ("begin", "end") else each
                total[sizes.owner[slot]] += times * sizes.nbytes[slot]
        return Held(given, each, passes)

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
    """Bytes on a chip of a stage: what is given for the whole step, and the most at once, by owner."""

    given: Mapping[Owner, float]
    at_peak: Mapping[Owner, float]

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


def _stage(mine: Sequence[Held], order: Sequence[tuple[str, int, int]], microbatches: tuple[int, int]) -> StageMemory:
    """A stage that goes about the first of so many microbatches of all in some order."""
    most, count = microbatches
    given = sum((each.given + count * each.each for each in mine), np.zeros(len(OWNERS)))
    moves = [(at, "begin", True) for at in range(len(mine))]
    chunks = {chunk: at for at, chunk in enumerate(sorted({chunk for _, _, chunk in order}))}
    moves += [(chunks[chunk], does, number == most - 1) for does, number, chunk in order]
    moves += [(at, "end", True) for at in range(len(mine))]
    level, best, best_at = 0.0, 0.0, len(moves)
    for place, (at, does, is_last) in enumerate(moves):
        swing = mine[at].passes[does, is_last]
        if level + swing.peak > best:
            best, best_at = level + swing.peak, place
        level += swing.left_bytes
    at_peak = given.copy()
    for at, does, is_last in moves[:best_at]:
        at_peak += mine[at].passes[does, is_last].left
    if best_at < len(moves):
        at, does, is_last = moves[best_at]
        at_peak += mine[at].passes[does, is_last].at_peak
    for each in mine:
        at_peak += (count - most) * sum(each.passes[does, False].left for does in PASSES)
    return StageMemory(given=_by_owner(given), at_peak=_by_owner(at_peak))


def _by_owner(nbytes: Any) -> dict[Owner, float]:
    return {owner: float(each) for owner, each in zip(OWNERS, nbytes, strict=True) if abs(each) > 0.5}
