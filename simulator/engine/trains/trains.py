"""Trains: tasks of one chip that follow each other with nobody beside them take one event together.

Model: `simulator.engine.trains.couplings` tells which tasks follow each other, each alone or two beside each other. While no
other flow is on their chip's resources, tasks alone take the times that they take alone, and pairs those that they take
beside each other, so that a whole train of them ends at a time known in advance. Who arrives in between breaks the train:
what has ended by then has ended, and what is under way becomes flows like any others, which have come as far as they would
have by themselves. Times are the same whole picoseconds as without trains.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.engine.clock import Clock
from simulator.engine.fluid_pool import Flow, Pool, Progress, Use
from simulator.engine.program import Program
from simulator.engine.trains.couplings import Couplings

FEW = 2_000
"""Programs of fewer tasks go without: finding trains costs more than it saves."""

SHORT = 2
"""A train has at least so many tasks after its first."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What a train has come to at an instant: the tasks before `stop` have begun, and those in `goes_on` have not ended, of
    which it says how far they have come (nowhere: they begin now). `tight` and `freed`: the resources that they fill, and
    those of them from which one went in this instant."""

    stop: int
    goes_on: dict[int, Progress | None]
    since: int
    tight: frozenset[int] = frozenset()
    freed: tuple[int, ...] = ()


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

    def __init__(
        self, program: Program, lasts: Any, constant: Sequence[int], uses: Sequence[Use], paired: bool
    ) -> None:
        """`lasts`: by task, the ps that it takes alone, -1 if it is in no train. By shape: the constant time that it takes
        (ps), else a number below 0; what it asks. `paired`: two tasks may be beside each other in a train."""
        shape = np.asarray(program.shape, dtype=np.int64)
        chips = np.asarray([queue.chip for queue in program.queues], dtype=np.int64)
        couplings = Couplings(program, chips)
        coupled, pairs = couplings.coupled(lasts >= 0, paired)
        count = len(shape)
        # a train ends with the next task that is not coupled to the one after it, and none begins in a pair
        ends = np.where(coupled, count, np.arange(count))
        last = np.minimum.accumulate(ends[::-1])[::-1]
        second = np.zeros(count, dtype=bool)
        second[pairs + 1] = True
        last[pairs], last[second] = pairs, pairs + 1
        self.last: Sequence[int] = last.tolist()
        self._beside = _Beside(len(program.resources), constant, uses)
        steps = np.maximum(lasts, 0)
        steps[pairs], steps[pairs + 1] = self._beside.times(shape[pairs], shape[pairs + 1])
        lasts = steps.copy()
        steps[pairs], steps[pairs + 1] = 0, np.maximum(steps[pairs], steps[pairs + 1])
        begins = np.concatenate([[0], np.cumsum(steps)])
        self._times = Timetable(begins, begins[:-1] + lasts, second)
        within = coupled | np.concatenate([[False], coupled[:-1]])
        self._resources = _resources(shape, chips[couplings.queue], within, [use.resources for use in uses])
        self._chip: Sequence[int] = chips.tolist()
        self._queue, self._shape = program.queue, program.shape

    def resources(self, task: int) -> tuple[int, ...]:
        """What the trains on the chip of a task ask for, of resources that can be full: each needs them for itself."""
        return self._resources[self.chip(task)]

    def chip(self, task: int) -> int:
        """The chip of a task of one queue."""
        return self._chip[self._queue[task]]

    def led_by(self, task: int, now: int) -> Train:
        """The train from a task on that begins now."""
        return Train(task, self.last[task], now - int(self._times.begins[task]), self._times)

    def under_way(self, train: Train, now: int) -> UnderWay:
        """What a train has come to at an instant."""
        unit = train.at(now)
        since = train.begin(unit[0])
        if since == now:
            return UnderWay(unit.stop, dict.fromkeys(unit), since)
        return self._beside.at(unit, [self._shape[task] for task in unit], since, now)


class _Beside:
    """Tasks of some shapes that begin together, with nobody else there: run in a pool of their own, where it is 0 when they
    begin."""

    def __init__(self, resources: int, constant: Sequence[int], uses: Sequence[Use]) -> None:
        self._constant, self._uses = constant, uses
        self._pool = Pool(Clock(), resources)

    def times(self, ones: Any, others: Any) -> tuple[Any, Any]:
        """How long tasks of pairs of shapes take (ps)."""
        pairs, of = np.unique(np.stack([ones, others]), axis=1, return_inverse=True)
        lasts = np.asarray([self._lasts(pair) for pair in pairs.T.tolist()], dtype=np.int64).reshape(-1, 2)
        found = lasts[of.reshape(-1)].T
        return found[0], found[1]

    def _lasts(self, shapes: Sequence[int]) -> list[int]:
        found = [self._constant[shape] for shape in shapes]
        begin = self._pool.env.now

        def ended(place: int) -> None:
            found[place] = self._pool.env.now - begin

        self._start(shapes, ended)
        self._pool.env.run()
        return found

    def _start(self, shapes: Sequence[int], ended: Callable[[int], object]) -> dict[int, Flow]:
        flows = {
            place: self._pool.start(place, self._uses[shape], ended)
            for place, shape in enumerate(shapes)
            if self._constant[shape] < 0
        }
        self._pool.touch()
        return flows

    def at(self, tasks: range, shapes: Sequence[int], since: int, now: int) -> UnderWay:
        """How far tasks that began at some instant have come at a later one, at which one of them may end."""
        env, pool, begin = self._pool.env, self._pool, self._pool.env.now
        over = {place for place, shape in enumerate(shapes) if -1 < self._constant[shape] <= now - since}
        flows = self._start(shapes, over.add)
        while env.due and env.due[0][0] < begin + now - since:
            env.step()
        # of what ends in this very instant the others do not know yet
        ending = [flow for place, flow in flows.items() if place not in over and flow.ends == begin + now - since]
        over |= {flow.key for flow in ending}
        later = since - begin
        goes_on = {
            task: Progress(flows[place].left, flows[place].rate, flows[place].since + later, flows[place].ends + later)
            if place in flows
            else None
            for place, task in enumerate(tasks)
            if place not in over
        }
        tight = frozenset(pool.tight)
        freed = tuple(resource for flow in ending for resource in flow.use.resources if resource in tight)
        env.run()
        return UnderWay(tasks.stop, goes_on, since, tight, freed)


class TrainRuns:
    """The trains that are under way in a pool. Whoever runs the tasks says how tasks of a train are passed, how one goes on
    by itself, and how the last one ends."""

    def __init__(
        self,
        trains: Trains,
        pool: Pool,
        passed: Callable[[Train, int, Collection[int]], object],
        goes_on: Callable[[Flow, UnderWay], object],
        ended: Callable[[int], object],
    ) -> None:
        self._trains, self._pool = trains, pool
        self._passed, self._goes_on, self._ended = passed, goes_on, ended
        # by resource the flow of the train that has it for itself, and the trains by their first tasks
        self._on: dict[int, Flow] = {}
        self._under_way: dict[int, Train] = {}

    def lead(self, flow: Flow, lasts: int) -> int:
        """How many ps a flow lasts that begins: its own, or those of the train that it leads if there is room for one."""
        trains, key = self._trains, flow.key
        if trains.last[key] < key + SHORT:
            return lasts
        resources = trains.resources(key)
        for resource in resources:
            here = self._pool.flows[resource]
            if resource in self._on or len(here) > 1 or (here and key not in here):
                return lasts
        now = self._pool.env.now
        train = trains.led_by(key, now)
        self._on.update(dict.fromkeys(resources, flow))
        self._under_way[key] = train
        flow.done = self._has_ended
        return train.end - now

    def make_way(self) -> None:
        """Who begins now on the resources of a train breaks it."""
        for arrival in list(self._pool.arrivals) if self._on else ():
            for resource in arrival.use.resources:
                if resource in self._on:
                    self._break(self._on[resource])

    def _break(self, flow: Flow) -> None:
        train, now = self._leave(flow.key), self._pool.env.now
        under_way = self._trains.under_way(train, now)
        self._passed(train, under_way.stop, under_way.goes_on)
        self._goes_on(flow, under_way)

    def _has_ended(self, first: int) -> None:
        train = self._leave(first)
        self._passed(train, train.last + 1, (train.last,))
        self._ended(train.last)

    def _leave(self, first: int) -> Train:
        """A train has its resources no longer for itself."""
        for resource in self._trains.resources(first):
            del self._on[resource]
        return self._under_way.pop(first)


def _resources(shape: Any, chip: Any, within: Any, asked: Sequence[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """By chip, what its tasks that may be in trains ask for."""
    found: dict[int, dict[int, None]] = {}
    pairs = np.flatnonzero(np.bincount(chip[within] * len(asked) + shape[within]))
    for each, number in zip(*(column.tolist() for column in np.divmod(pairs, len(asked))), strict=True):
        found.setdefault(each, {}).update(dict.fromkeys(asked[number]))
    return {each: tuple(resources) for each, resources in found.items()}
