"""Trains: tasks of one chip that follow each other with nobody beside them take one event together.

Model: `simulator.engine.trains.couplings` tells which tasks follow each other, each alone or two beside each other. While
nobody else holds units of their chip or has a flow on its resources, tasks alone take the times that they take alone, and
pairs those that they take beside each other (`simulator.engine.trains.beside`), so that a whole train of them ends at a
time known in advance. Who comes in between breaks the train (`simulator.engine.trains.runs`): what has ended by then has
ended, and what is under way goes on by itself, from where it would have come without. Times are the same whole picoseconds
as without.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.rows import equal_lines
from simulator.engine.program import Program
from simulator.engine.trains.beside import Beside
from simulator.engine.trains.couplings import Couplings
from simulator.engine.work import Asked, UnderWay

FEW = 2_000
"""Programs of fewer tasks go without: finding trains costs more than it saves."""

SHORT = 2
"""A train has at least so many tasks after its first."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """By task of a program, when it begins and ends if trains ran one after the other (ps), and whether it is the second of
    a pair; `begins` has one more."""

    begins: Any
    ends: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Train:
    """Tasks with numbers one after the other. `zero`: when the times of the table are counted from (ps)."""

    first: int
    last: int
    zero: int
    times: Timetable

    def at(self, now: int) -> range:
        """The task, or the pair, that is under way at an instant, or begins in it."""
        later = self.times.begins[self.first + 1 : self.last + 1]
        task = self.first + int(later.searchsorted(now - self.zero, side="right"))
        return range(task - int(self.times.second[task]), task + 1)

    def begin(self, task: int) -> int:
        """When a task begins (ps)."""
        return self.zero + int(self.times.begins[task])

    @property
    def end(self) -> int:
        """When the last task ends (ps)."""
        return self.begin(self.last + 1)

    def write(self, stop: int, begin: Any, end: Any) -> None:
        """Write down when the tasks before one of them begin and end."""
        for times, into in ((self.times.begins, begin), (self.times.ends, end)):
            into[self.first : stop] = array("q", (times[self.first : stop] + self.zero).tobytes())


class Trains:
    """The trains of a program: `last[task]` is the last task of the one that a task leads."""

    def __init__(self, program: Program, asked: Asked) -> None:
        shape, queue = (np.asarray(each, dtype=np.int64) for each in (program.shape, program.queue))
        chips = np.asarray([queue.chip for queue in program.queues], dtype=np.int64)
        self._beside = Beside(program, asked)
        lasts = self._lasts_alone(program, shape)
        coupled, pairs = Couplings(program, chips).coupled(lasts >= 0)
        ones, others = self._lasts_beside(shape, pairs)
        # two that do not begin at once are no pair, and nobody follows them alone
        fits = (ones >= 0) & (others >= 0)
        for each in (-1, 0, 1):
            coupled[pairs[~fits] + each] = False
        pairs, ones, others = pairs[fits], ones[fits], others[fits]
        count = len(shape)
        # a train ends with the next task that is not coupled to the one after it, and none begins in a pair
        ends = np.where(coupled, count, np.arange(count))
        last = np.minimum.accumulate(ends[::-1])[::-1]
        second = np.zeros(count, dtype=bool)
        second[pairs + 1] = True
        last[pairs], last[second] = pairs, pairs + 1
        self.last: Sequence[int] = last.tolist()
        self._times = _timetable(lasts, pairs, (ones, others), second)
        within = coupled | np.concatenate([[False], coupled[:-1]])
        self._resources = _resources(shape, chips[queue], within, [use.resources for use in asked.uses])
        self._chip: Sequence[int] = chips.tolist()
        self._queue = program.queue

    def _lasts_alone(self, program: Program, shape: Any) -> Any:
        """By task, how many ps it lasts where nobody else is on its chip; -1 of those that are on several."""
        found = np.full(len(shape), -1, dtype=np.int64)
        single = np.ones(len(shape), dtype=bool)
        single[list(program.groups)] = False
        tasks = np.flatnonzero(single)
        number, first = equal_lines(shape[tasks])
        known = [
            -1 if program.shapes[program.shape[task]].opens else self._beside.lasts([task])[0]
            for task in tasks[first].tolist()
        ]
        found[tasks] = np.asarray(known, dtype=np.int64)[number]
        return found

    def _lasts_beside(self, shape: Any, pairs: Any) -> tuple[Any, Any]:
        """How many ps the two of each pair last; -1 where they do not begin at once."""
        if not len(pairs):
            return pairs, pairs
        number, first = equal_lines(shape[pairs], shape[pairs + 1])
        known = [self._beside.lasts([task, task + 1]) for task in pairs[first].tolist()]
        ones, others = np.asarray(known, dtype=np.int64)[number].T
        return ones, others

    def resources(self, task: int) -> tuple[int, ...]:
        """What the trains on the chip of a task ask for, of resources that can be full: each needs them for itself."""
        return self._resources[self.chip(task)]

    def chip(self, task: int) -> int:
        """The chip of a task of one queue."""
        return self._chip[self._queue[task]]

    def led_by(self, task: int, now: int) -> Train:
        """The train from a task on that begins now."""
        return Train(task, self.last[task], now - int(self._times.begins[task]), self._times)

    def under_way(self, train: Train, unit: range, now: int) -> UnderWay:
        """What the task, or the pair, of a train that is under way has come to before an instant."""
        return self._beside.at(unit, train.begin(unit[0]), now)


def _timetable(lasts: Any, pairs: Any, beside: tuple[Any, Any], second: Any) -> Timetable:
    """When tasks begin and end. `lasts`: by task, alone; `beside`: the two of each pair; `second`: by task, whether it is
    the second one of a pair."""
    steps = np.maximum(lasts, 0)
    steps[pairs], steps[pairs + 1] = beside
    lasts = steps.copy()
    steps[pairs], steps[pairs + 1] = 0, np.maximum(*beside)
    begins = np.concatenate([[0], np.cumsum(steps)])
    return Timetable(begins, begins[:-1] + lasts, second)


def _resources(shape: Any, chip: Any, within: Any, asked: Sequence[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """By chip, what its tasks that may be in trains ask for."""
    found: dict[int, dict[int, None]] = {}
    pairs = np.flatnonzero(np.bincount(chip[within] * len(asked) + shape[within]))
    for each, number in zip(*(column.tolist() for column in np.divmod(pairs, len(asked))), strict=True):
        found.setdefault(each, {}).update(dict.fromkeys(asked[number]))
    return {each: tuple(resources) for each, resources in found.items()}
