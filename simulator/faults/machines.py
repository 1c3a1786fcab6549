"""The machines of a job: which are there, which it uses, and how fast they let it go; each change is told.

Model: failures, slowdowns and the taking away of machines are processes of their own on the job's clock, each with a
random stream of its own: another interval between checkpoints meets the same failures, and a slowdown more changes
none of them. A failure of a machine that the job does not use is no failure of the job. With a `spread` s a machine
takes 1 + s z times as long as most, z a normal draw that it keeps for the life; the job goes as the slowest that it
uses, and not faster than its step's time: on n machines 1 + s E[largest of n normal draws], 1.42 s on 8, 3.24 s on
1000. Where a slowdown is worse, that counts: it mostly comes to a machine like most.
Source: P. Sinha et al., "Not all GPUs are created equal: characterizing variability in large-scale, accelerator-rich
systems", SC22: cards of one kind differ for good, by their chips and their cooling.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Generator

import numpy as np
from simpy.events import Event

from hw import RunError
from simulator.engine.clock import Clock
from simulator.engine.shape import PS_PER_S
from simulator.faults.failures import exponential
from simulator.faults.job import Away, Failures, Job, Slowdown, Strike

Waits = Generator[Event, None, None]
"""A process."""

MOST_TIMES = 1000
"""A job that is not over after so many times its work will never be."""


def most_time(job: Job) -> int:
    """After how many picoseconds a job is given up."""
    return MOST_TIMES * (1 + round(job.work_s * PS_PER_S))


def draws_of(seed: int, name: str) -> random.Random:
    """The random stream of one thing that may happen in a life."""
    return random.Random(f"{seed}:{name}")


class Machines:
    """The machines in one life of a job. `tell(failed)` is called at every change: whether the job itself has failed."""

    def __init__(self, job: Job, seed: int, clock: Clock, tell: Callable[[bool], None]) -> None:
        self.job, self.clock, self.tell = job, clock, tell
        self.all = job.machines + job.spares
        self.used: Collection[int] = ()
        self.failures = 0
        self.taken_away = False
        self._back_at: dict[int, int] = {}
        self._slow: dict[Slowdown, int] = dict.fromkeys(job.slowdowns, 0)
        self._seed = seed
        self._paces = self._drawn_paces()
        self._slowest = 1.0  # of those that are used
        self._limit = most_time(job)
        if job.failures is not None:
            clock.process(self._failing(job.failures))
        for slowdown in job.slowdowns:
            clock.process(self._slowing(slowdown))
        if job.away is not None:
            clock.process(self._leaving(job.away))

    @property
    def there(self) -> int:
        """How many the job could use."""
        return 0 if self.taken_away else min(self.job.machines, self.all - len(self._back_at))

    @property
    def are_too_few(self) -> bool:
        """Whether the job has to wait."""
        return self.there < self.job.fewest

    @property
    def slowness(self) -> float:
        """How much longer a step takes than its time, of all that slows it now the worst."""
        worst = max((each.factor for each, count in self._slow.items() if count), default=1.0)
        return max(worst, self._slowest)

    def take(self) -> int:
        """Use what is there; how many those are."""
        if self._back_at:
            there = [machine for machine in range(self.all) if machine not in self._back_at]
            self.used = frozenset(there[: self.job.machines])
        else:
            self.used = range(self.job.machines)
        if self._paces is not None and self.used:
            self._slowest = max(1.0, float(self._paces[list(self.used)].max()))
        return len(self.used)

    def let_go(self) -> None:
        """Use none."""
        self.used = ()

    def draws(self, name: str) -> random.Random:
        """The random stream of one thing that may happen."""
        return draws_of(self._seed, name)

    def _drawn_paces(self) -> np.ndarray | None:
        """How much longer than most each machine takes; None where all take as long."""
        if not self.job.spread:
            return None
        draws = np.random.Generator(np.random.PCG64(self.draws("spread").getrandbits(64)))
        return 1.0 + self.job.spread * draws.standard_normal(self.all)

    def _failing(self, failures: Failures) -> Waits:
        for strike in failures.strikes(self.all, self.draws("failures")):
            at = round(strike.at_s * PS_PER_S)
            if at > self.clock.now:
                yield self.clock.timeout(at - self.clock.now)
            self._strike(strike)
            if self.clock.now > self._limit:
                raise RunError(
                    f"the job does not come to its end: it has taken {MOST_TIMES} times the time of its steps"
                )

    def _strike(self, strike: Strike) -> None:
        back_at = self.clock.now + round(strike.repair_s * PS_PER_S)
        if back_at > self.clock.now:
            self._back_at[strike.machine] = max(back_at, self._back_at.get(strike.machine, 0))
            self.clock.process(self._coming_back(strike.machine, back_at - self.clock.now))
        if strike.machine in self.used:
            self.failures += 1
            self.tell(True)

    def _coming_back(self, machine: int, after: int) -> Waits:
        yield self.clock.timeout(after)
        if self._back_at.get(machine) == self.clock.now:
            del self._back_at[machine]
            self.tell(False)

    def _slowing(self, slowdown: Slowdown) -> Waits:
        draws, mean_s = self.draws(f"slowdowns.{slowdown.name}"), slowdown.every_s / self.job.machines
        while True:
            yield self.clock.timeout(round(exponential(mean_s, draws) * PS_PER_S))
            self.clock.process(self._slow_for(slowdown))

    def _slow_for(self, slowdown: Slowdown) -> Waits:
        self._slow_by(slowdown, 1)
        yield self.clock.timeout(round(slowdown.lasts_s * PS_PER_S))
        self._slow_by(slowdown, -1)

    def _slow_by(self, slowdown: Slowdown, count: int) -> None:
        """So many more of a slowdown; told where that changes the pace."""
        before = self.slowness
        self._slow[slowdown] += count
        if self.slowness != before:
            self.tell(False)

    def _leaving(self, away: Away) -> Waits:
        turn_s = 0.0
        while True:
            for begin_s, end_s in away.stretches:
                yield from self._until(turn_s + begin_s)
                self.taken_away = True
                self.tell(bool(self.used))
                yield from self._until(turn_s + end_s)
                self.taken_away = False
                self.tell(False)
            if away.period_s is None:
                return
            turn_s += away.period_s

    def _until(self, time_s: float) -> Waits:
        if math.isinf(time_s):
            yield self.clock.event()
        delay = round(time_s * PS_PER_S) - self.clock.now
        if delay > 0:
            yield self.clock.timeout(delay)
