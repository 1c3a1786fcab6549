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
from simulator.models.estimates.memory.lives import Lives, Span


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


@dataclass(frozen=True, slots=True)
class Rise:
    """How a pass moves what is held, in all: its peak above where it begins, and what it leaves behind."""

    peak: float
    left: float


@dataclass(frozen=True, slots=True, eq=False)
class _Moved:
    """What is made and let go of: bytes, first step, step behind the last, row among the lives."""

    nbytes: Any
    first: Any
    behind: Any
    row: Any


def _moved(lives: Lives, sizes: Sizes, span: Span, more: int, since: int) -> _Moved:
    nbytes = sizes.nbytes[lives.slot]
    if len(lives.within):
        lies_in = np.bincount(lives.within_at, sizes.nbytes[lives.within_slot], len(lives.within))
        nbytes[lives.within] = np.maximum(0.0, nbytes[lives.within] - lies_in)
    nbytes[: lives.since[since]] = 0.0
    if not more:
        return _Moved(nbytes, span.begin, span.end, slice(None))
    return _Moved(
        np.concatenate([nbytes, more * nbytes[span.rows]]),
        np.concatenate([span.begin, span.since]),
        np.concatenate([span.end, span.until]),
        np.concatenate([np.arange(len(nbytes)), span.rows]),
    )


def rises_of(lives: Lives, sizes: Sizes, span: Span, more: int, since: int = 0) -> list[Rise]:
    """How each part moves what is held in all; as `swings_of`."""
    moved, steps = _moved(lives, sizes, span, more, since), lives.bounds[-1]
    made = np.cumsum(np.bincount(moved.first, moved.nbytes, steps + 2))
    freed = np.cumsum(np.bincount(moved.behind, moved.nbytes, steps + 2))
    level = made - freed
    # between two steps: what ends with the first is gone, what the second makes is not there yet
    between = [float(made[at - 1] - freed[at]) if at else 0.0 for at in lives.bounds]
    return [
        Rise(float(level[begin:end].max()) - before, after - before) if end > begin else Rise(0.0, 0.0)
        for (begin, end), (before, after) in zip(pairwise(lives.bounds), pairwise(between), strict=True)
    ]


def swings_of(lives: Lives, sizes: Sizes, span: Span, more: int, since: int = 0) -> list[Swing]:
    """How each part moves what is held, of lives so long, with so many `more` rounds than were walked through; what parts
    before number `since` make is not counted."""
    moved, steps = _moved(lives, sizes, span, more, since), lives.bounds[-1]
    nbytes, first, behind = moved.nbytes, moved.first, moved.behind
    level = np.cumsum(np.bincount(first, nbytes, steps + 2) - np.bincount(behind, nbytes, steps + 2))
    parts = list(pairwise(lives.bounds))
    peaks = [begin + int(level[begin:end].argmax()) if end > begin else begin for begin, end in parts]
    owner = sizes.owner[lives.slot][moved.row]
    # between two steps: what ends with the first is gone, what the second makes is not there yet
    between = [_by_owner((first < at) & (behind > at), nbytes, owner) for at in lives.bounds]
    found = []
    for number, ((begin, end), peak) in enumerate(zip(parts, peaks, strict=True)):
        if begin == end:
            found.append(_STILL)
            continue
        at_peak = _by_owner((first <= peak) & (behind > peak), nbytes, owner) - between[number]
        left = between[number + 1] - between[number]
        found.append(Swing(float(at_peak.sum()), at_peak, left, float(left.sum())))
    return found


_STILL = Swing(0.0, np.zeros(len(OWNERS)), np.zeros(len(OWNERS)), 0.0)
"""Of a pass that does nothing."""


def _by_owner(there: Any, nbytes: Any, owner: Any) -> Any:
    return np.bincount(owner[there], nbytes[there], len(OWNERS))
