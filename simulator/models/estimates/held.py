"""What a chunk holds: bytes that are there all the time, and how each pass moves the level, by owner.

Model: sizes are of what tensors take on a chip; what lies in the memory of something else counts with what it adds.
Passes are walked in program order: what runs beside them in other queues lives as long as it would one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from simulator.graph.owners import OWNERS
from simulator.models.estimates.lives import Lives


@dataclass(frozen=True, slots=True, eq=False)
class Swing:
    """How a pass moves what is held: its peak above where it begins, the owners of that, and what it leaves behind (less
    than nothing where it frees more), by owner and in all."""

    peak: float
    at_peak: Any
    left: Any
    left_bytes: float


@dataclass(frozen=True, slots=True, eq=False)
class Sizes:
    """By slot of a structure: bytes on a chip, and the number of the owner."""

    nbytes: Any
    owner: Any


def swings_of(lives: Lives, sizes: Sizes, since: int = 0) -> list[Swing]:
    """How each part moves what is held; what parts before number `since` make is not counted."""
    nbytes = sizes.nbytes[lives.slot]
    for row, slots in lives.within.items():
        nbytes[row] = max(0.0, nbytes[row] - sum(sizes.nbytes[slot] for slot in slots))
    nbytes = np.where(lives.part < since, 0.0, nbytes)
    steps = lives.bounds[-1]
    made, freed = np.zeros((len(OWNERS), steps + 2)), np.zeros((len(OWNERS), steps + 2))
    owner = sizes.owner[lives.slot]
    np.add.at(made, (owner, lives.begin), nbytes)
    np.add.at(freed, (owner, lives.end), nbytes)
    made, freed = np.cumsum(made, axis=1), np.cumsum(freed, axis=1)
    level = made - freed
    # between two steps: what ends with the first is gone, what the second makes is not there yet
    between = np.concatenate([-freed[:, :1], made[:, :-1] - freed[:, 1:]], axis=1)
    return [_swing(level, between, begin, end) for begin, end in pairwise(lives.bounds)]


def _swing(level: Any, between: Any, begin: int, end: int) -> Swing:
    before = between[:, begin]
    if begin == end:
        return Swing(0.0, np.zeros(len(level)), np.zeros(len(level)), 0.0)
    total = level[:, begin:end].sum(axis=0)
    at = begin + int(total.argmax())
    left = between[:, end] - before
    return Swing(float(total.max() - before.sum()), level[:, at] - before, left, float(left.sum()))
