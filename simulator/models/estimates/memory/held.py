"""What a chunk holds: bytes that are there all the time, and how each pass moves the level, by owner.

Model: sizes are of what tensors take on a chip; what lies in the memory of something else counts with what it adds.
Passes are walked in program order: what runs beside them in other queues lives as long as it would one after the other, or,
where much may wait for it, for as many seconds as that takes (`beside`). What a pass leaves to other queues is there beside
what the next one holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from simulator.graph.owners import OWNERS
from simulator.models.estimates.memory.beside import Timed
from simulator.models.estimates.memory.lives import Lives
from simulator.models.estimates.memory.walk import Span


@dataclass(frozen=True, slots=True, eq=False)
class Swing:
    """How a pass moves what is held: its peak above where it begins, the owners of that, and what it leaves behind (less
    than nothing where it frees more), by owner and in all."""

    peak: float
    at_peak: Any
    left: Any
    left_bytes: float
    course: Course | None = None

    @property
    def seconds(self) -> float:
        """How long it takes, as far as that is known."""
        return self.course.seconds if self.course is not None else 0.0

    def lasting(self, more: float) -> Swing:
        """The same that takes so many seconds more."""
        if self.course is None or not more:
            return self
        return replace(self, course=replace(self.course, seconds=self.course.seconds + more))

    @property
    def leaves(self) -> float:
        """For how many seconds something is there that it has left to other queues."""
        return float(self.course.waiting.end.max(initial=0.0)) if self.course is not None else 0.0

    def after(self, before: Swing, idle: float) -> Swing:
        """The same so many seconds behind another pass, while what that has left to other queues is there still."""
        if before.course is None or self.course is None or not len(self.course.level):
            return self
        waiting = before.course.waiting
        there = waiting.there(self.course.begin + idle, self.course.end + idle)
        # what waits for all that was left to be reduced begins when it is
        there[:, self.course.held_up :] = False
        level = self.course.level + waiting.nbytes @ there
        step = int(level.argmax())
        if level[step] <= self.peak:
            return self
        owners = np.bincount(waiting.owner, waiting.nbytes * there[:, step], len(self.left))
        return replace(self, peak=float(level[step]), at_peak=self.course.owners(step) + owners)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """What a pass leaves to other queues: bytes, owners, and from when to when each is there, in seconds behind the pass."""

    nbytes: Any
    owner: Any
    begin: Any
    end: Any

    def there(self, begin: Any, end: Any) -> Any:
        """Which of that is there, a row each, at some times."""
        return (self.begin[:, None] < end) & (self.end[:, None] > begin)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """A pass step by step: the level above where it begins, from when to when, in seconds; the owners at a step; what it
    leaves to other queues; its first step that waits for what passes before have left; and how many seconds it takes."""

    level: Any
    begin: Any
    end: Any
    owners: Callable[[int], Any]
    waiting: Waiting
    held_up: int
    seconds: float


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


def sizes_of_rows(lives: Lives, sizes: Sizes, since: int) -> Any:
    """Bytes of each row, none of those that parts before number `since` make; what lies in something else counts with what
    it adds."""
    nbytes = sizes.nbytes[lives.slot]
    if len(lives.within):
        lies_in = np.bincount(lives.within_at, sizes.nbytes[lives.within_slot], len(lives.within))
        nbytes[lives.within] = np.maximum(0.0, nbytes[lives.within] - lies_in)
    nbytes[: lives.since[since]] = 0.0
    return nbytes


def _moved(lives: Lives, sizes: Sizes, span: Span, more: int, since: int) -> _Moved:
    nbytes = sizes_of_rows(lives, sizes, since)
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


def swings_of(
    lives: Lives, sizes: Sizes, span: Span, more: int, since: int = 0, timed: Timed | None = None
) -> list[Swing]:
    """How each part moves what is held, of lives so long, with so many `more` rounds than were walked through; what parts
    before number `since` make is not counted. `timed`: what they leave to other queues."""
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
        course = None
        if timed is not None:
            owners = partial(_owners_at, moved, owner, between[number], begin)
            course = _course(timed, number, (begin, end), level - between[number].sum(), owners, (nbytes, owner))
        found.append(Swing(float(at_peak.sum()), at_peak, left, float(left.sum()), course))
    return found


def _owners_at(moved: _Moved, owner: Any, before: Any, begin: int, step: int) -> Any:
    """Bytes by owner at a step of a part, above those before it."""
    at = begin + step
    return _by_owner((moved.first <= at) & (moved.behind > at), moved.nbytes, owner) - before


def _course(
    timed: Timed,
    number: int,
    steps: tuple[int, int],
    level: Any,
    owners: Callable[[int], Any],
    of: tuple[Any, Any],
) -> Course:
    """The course of a part, given the level at all steps, and bytes and owners of all rows."""
    begin, end = steps
    clock, left, (nbytes, owner) = timed.clock, timed.left[number], of
    there = nbytes[left.rows] > 0.0
    rows = left.rows[there]
    waiting = Waiting(nbytes[rows], owner[rows], left.begin[there], left.end[there])
    since, held_up = clock.begin[begin], timed.held_up[number]
    return Course(
        level=level[begin:end],
        begin=clock.begin[begin:end] - since,
        end=clock.end[begin:end] - since,
        owners=owners,
        waiting=waiting,
        held_up=end - begin if held_up is None else held_up - begin,
        seconds=float(clock.end[end - 1] - since),
    )


_STILL = Swing(0.0, np.zeros(len(OWNERS)), np.zeros(len(OWNERS)), 0.0)
"""Of a pass that does nothing."""


def _by_owner(there: Any, nbytes: Any, owner: Any) -> Any:
    return np.bincount(owner[there], nbytes[there], len(OWNERS))
