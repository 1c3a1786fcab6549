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
from simulator.models.estimates.lives import Lives, Span


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


def swings_of(lives: Lives, sizes: Sizes, span: Span, since: int = 0) -> list[Swing]:
    """How each part moves what is held, of lives so long; what parts before number `since` make is not counted."""
    nbytes = sizes.nbytes[lives.slot]
    for row, slots in lives.within.items():
        nbytes[row] = max(0.0, nbytes[row] - sum(sizes.nbytes[slot] for slot in slots))
    nbytes = np.where(lives.part < since, 0.0, nbytes)
    steps = lives.bounds[-1]
    made = np.cumsum(np.bincount(span.begin, nbytes, steps + 2))
    freed = np.cumsum(np.bincount(span.end, nbytes, steps + 2))
    level = made - freed
    parts = list(pairwise(lives.bounds))
    peaks = [begin + int(level[begin:end].argmax()) if end > begin else begin for begin, end in parts]
    owner = sizes.owner[lives.slot]
    # between two steps: what ends with the first is gone, what the second makes is not there yet
    between = [_by_owner((span.begin < at) & (span.end > at), nbytes, owner) for at in lives.bounds]
    found = []
    for number, ((begin, end), peak) in enumerate(zip(parts, peaks, strict=True)):
        if begin == end:
            found.append(_STILL)
            continue
        at_peak = _by_owner((span.begin <= peak) & (span.end > peak), nbytes, owner) - between[number]
        left = between[number + 1] - between[number]
        found.append(Swing(float(at_peak.sum()), at_peak, left, float(left.sum())))
    return found


_STILL = Swing(0.0, np.zeros(len(OWNERS)), np.zeros(len(OWNERS)), 0.0)
"""Of a pass that does nothing."""


def _by_owner(there: Any, nbytes: Any, owner: Any) -> Any:
    return np.bincount(owner[there], nbytes[there], len(OWNERS))
