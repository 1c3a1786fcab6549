"""The trains that are under way in a run.

Model: a train is led by whoever begins on a chip that nobody else is on: none of its units are held, and no other flow is on
its resources. Who comes to work there breaks it: what has ended by then has ended, and what is under way goes on by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from simpy.events import Event

from simulator.engine.trains.trains import SHORT, Train, Trains
from simulator.engine.work import Work

_NOTHING: Any = ()
"""The callbacks of an event that no longer counts."""


class _End(Event):
    """The event at the end of a train."""

    __slots__ = ("train",)

    _ok = True
    _value = None

    def __init__(self, callbacks: Any, train: Train) -> None:
        self.callbacks, self.train = callbacks, train


class TrainRuns:
    """The trains among tasks that are at work. Whoever runs the tasks says how those of a train are passed that have begun,
    and how its last one ends."""

    def __init__(
        self,
        trains: Trains,
        work: Work,
        passed: Callable[[Train, int, Collection[int]], object],
        ended: Callable[[int], object],
    ) -> None:
        self._trains, self._work, self._pool, self._cores = trains, work, work.pool, work.cores
        self._passed, self._ended = passed, ended
        # the ends of trains, by the chip and by the resources that each has for itself
        self._by_chip: dict[int, _End] = {}
        self._on: dict[int, _End] = {}

    def begin(self, task: int) -> None:
        """A task begins: it leads its train, if it leads one and is alone on its chip. The pool's `touch()` must follow."""
        if self._trains.last[task] < task + SHORT or not self._lead(task):
            self._work.begin(task)

    def _lead(self, task: int) -> bool:
        trains, flows = self._trains, self._pool.flows
        chip, resources = trains.chip(task), trains.resources(task)
        if chip in self._by_chip or (self._cores is not None and self._cores.is_busy(chip)):
            return False
        for resource in resources:
            if flows[resource] or resource in self._on:
                return False
        train = trains.led_by(task, self._pool.env.now)
        end = self._by_chip[chip] = _End((self._has_ended,), train)
        self._on.update(dict.fromkeys(resources, end))
        self._pool.env.after(train.end - train.begin(task), end)
        return True

    def make_way(self) -> bool:
        """Break the trains that those meet who come to work in this instant; whether there was one."""
        if not self._by_chip:
            return False
        met: dict[_End, None] = {}
        for chip in self._cores.coming() if self._cores is not None else ():
            if chip in self._by_chip:
                met[self._by_chip[chip]] = None
        for arrival in self._pool.arrivals:
            for resource in arrival.use.resources:
                if resource in self._on:
                    met[self._on[resource]] = None
        for end in met:
            self._break(end)
        return bool(met)

    def _break(self, end: _End) -> None:
        train, now = end.train, self._pool.env.now
        end.callbacks = _NOTHING
        self._leave(train)
        unit, going = train.at(now), list(train.at(now))
        if train.begin(unit[0]) < now:
            going = self._work.take_over(self._trains.under_way(train, unit, now))
        else:  # they begin in this instant, as whoever comes does
            for task in unit:
                self._work.begin(task)
        self._passed(train, unit.stop, going)

    def _has_ended(self, end: _End) -> None:
        train = end.train
        self._leave(train)
        self._passed(train, train.last + 1, (train.last,))
        self._ended(train.last)
        self._pool.touch()

    def _leave(self, train: Train) -> None:
        """A train has its chip no longer for itself."""
        del self._by_chip[self._trains.chip(train.first)]
        for resource in self._trains.resources(train.first):
            del self._on[resource]
