"""Trains of tasks that hold units of their chip: each has the chip for itself, so that what it lasts is known in advance.

Model: as long as nobody else holds units of the chip, or has a flow on its resources, tasks that follow each other take the
times that they take alone: fixed times, waves and last waves included. A train is led by whoever begins on such a chip, and
is broken by whoever comes to work on it: the task that is under way then goes on by itself, from where it has come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from simpy.events import Event

from simulator.engine.cores import Cores
from simulator.engine.fluid_pool import Pool
from simulator.engine.trains.trains import SHORT, Train, Trains


class _End(Event):
    """The event at the end of a train."""

    __slots__ = ("train",)

    _ok = True
    _value = None

    def __init__(self, callbacks: Any, train: Train) -> None:
        self.callbacks, self.train = callbacks, train


class LoneTrains:
    """The trains that are under way on chips whose units tasks hold. Whoever runs the tasks says how tasks of a train are
    passed, how one goes on by itself that began at an instant, and how the last one ends."""

    def __init__(
        self,
        trains: Trains,
        pool: Pool,
        cores: Cores,
        passed: Callable[[Train, int, Collection[int]], object],
        goes_on: Callable[[int, int], object],
        ended: Callable[[int], object],
    ) -> None:
        self._trains, self._pool, self._cores = trains, pool, cores
        self._passed, self._goes_on, self._ended = passed, goes_on, ended
        # the ends of trains, by the chip and the resources that each has for itself
        self._by_chip: dict[int, _End] = {}
        self._on: dict[int, _End] = {}

    def lead(self, task: int) -> bool:
        """Let a task that begins now lead its train, if it leads one and has its chip for itself."""
        trains = self._trains
        if trains.last[task] < task + SHORT:
            return False
        chip, resources, flows = trains.chip(task), trains.resources(task), self._pool.flows
        if chip in self._by_chip or self._cores.is_busy(chip):
            return False
        if any(resource in self._on or flows[resource] for resource in resources):
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
        met = [self._by_chip[chip] for chip in self._cores.coming() if chip in self._by_chip]
        asked = (resource for arrival in self._pool.arrivals for resource in arrival.use.resources)
        met += [self._on[resource] for resource in asked if resource in self._on]
        broken = list(dict.fromkeys(met))
        for end in broken:
            self._break(end)
        return bool(broken)

    def _break(self, end: _End) -> None:
        train, now = end.train, self._pool.env.now
        end.callbacks = ()
        self._leave(train)
        (task,) = train.at(now)
        self._passed(train, task + 1, (task,))
        self._goes_on(task, train.begin(task))

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
