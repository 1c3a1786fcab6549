"""One life of a job: from its first step to the checkpoint after its last, on the engine's clock.

Model: steps are done one after the other, after so many of them the job is saved; after the last, too. A failure
throws away what is not saved; the job starts again, which takes `restart_s`, also if machines fail meanwhile, then
from anew. The first start takes no time. Failures strike steps, writing and restarts alike. Where too few machines
are there it waits. A change of pace counts at once, in the middle of a step. With `jitter` j every machine's part of
a step takes an exponential time of mean j steps longer, and the step waits for the slowest of the n machines: 1 + j
H_n on average, H_n the harmonic number.
Cost: intervals in which nothing happens are passed in one leap, so that a life costs some events a failure, not a
checkpoint; where nothing but failures can happen it costs none (`simulator.faults.walk`).
Law: without slowness and spares a life takes on average, for each interval of length t with a checkpoint of length d,
M exp(R/M) (exp((t+d)/M) - 1).
Source: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3), 2006;
exponential noise and the slowest of n: S. Agarwal, R. Garg, N. Vishnoi, "The impact of noise on the scaling of
collectives", HiPC 2005.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from typing import Any

import numpy as np
from simpy.events import Event, Process
from simpy.exceptions import Interrupt

from hw import RunError
from simulator.engine.clock import Clock
from simulator.engine.shape import PS_PER_S
from simulator.faults.job import Job
from simulator.faults.ledger import Ledger, Life, Stretch
from simulator.faults.machines import Machines
from simulator.faults.walk import MOST_FRUITLESS, walk

Waits = Generator[Event, Any, int]
"""A process that comes to a time: how much of what was wanted has passed."""

_MOST_DRAWS = 100_000
"""Steps whose jitter is drawn at once."""


def live(job: Job, seed: int = 0, clock: Clock | None = None) -> Life:
    """One life of a job; the same seed gives the same life. `clock`: of others that live beside it. Raises RunError
    where it never ends."""
    if clock is None:
        if (walked := walk(job, seed)) is not None:
            return walked
        clock = Clock()
    living = _Living(job, seed, clock)
    try:
        clock.run(until=living.process)
    except RuntimeError as error:
        if living.process.is_alive and not clock.due:
            raise RunError("the job waits for machines that never come") from error
        raise
    return living.summary()


class _Living:
    """A job at work."""

    def __init__(self, job: Job, seed: int, clock: Clock) -> None:
        self.job, self.clock, self.began = job, clock, clock.now
        step = round(job.step_s * PS_PER_S)
        if step <= 0:
            raise RunError("a job of steps that take no time has no interval between checkpoints")
        self.step, self.need, self.interval = step, step * job.steps, step * job.steps_between
        checkpoints = job.checkpoints
        self.write = round(checkpoints.write_s * PS_PER_S) if checkpoints is not None else 0
        self.overlaps = checkpoints is not None and checkpoints.overlap and self.write > 0
        self.restart = 0  # the first start takes no time
        self.ledger, self.rollbacks = Ledger(), 0
        self.is_struck = self.is_started = self.is_due = False
        self.active = job.machines
        self.kept_before, self.fruitless = 0, 0  # of failures, those in a row between which nothing was kept
        self.write_left = 0  # of a checkpoint that all wait for
        self.written_at = 0  # when one that is written beside the work will be there
        self.lives = 0  # tells what is written from what was before a failure
        self.factor = 1.0  # of the jitter of this interval
        self.machines = Machines(job, seed, clock, self._told)
        draws = self.machines.draws("jitter").getrandbits(64)
        self.noise = np.random.Generator(np.random.PCG64(draws))
        self.process: Process = clock.process(self._live())

    def summary(self) -> Life:
        """Where the time went."""
        return self.ledger.life(self.clock.now - self.began, self.machines.failures, self.rollbacks)

    def _told(self, has_failed: bool) -> None:
        self.is_struck = self.is_struck or has_failed
        if has_failed:
            kept = self.ledger.kept.nominal
            self.fruitless = self.fruitless + 1 if kept == self.kept_before else 0
            self.kept_before = kept
            if self.fruitless > MOST_FRUITLESS:
                raise RunError(
                    f"the job does not come to its end: {MOST_FRUITLESS:,} failures in a row, and nothing saved between"
                )
        if self.process.is_alive and self.process.target is not None:
            self.process.interrupt()

    def _spend(self, delay: int) -> Waits:
        """Let time pass until something changes; how much has passed."""
        begin = self.clock.now
        with contextlib.suppress(Interrupt):
            yield self.clock.timeout(delay)
        return self.clock.now - begin

    def _live(self) -> Generator[Event, Any, None]:
        yield from self._spend(0)  # who is away at first goes before
        while self.ledger.kept.nominal < self.need:
            if self.is_struck:
                self._fail()
            if self.machines.are_too_few:
                self.ledger.away += yield from self._wait()
            elif not self.is_started:
                yield from self._start()
            elif not self.ledger.at_risk and self._may_grow():
                self._stop()
            elif self.write_left or self.is_due:
                yield from self._save()
            else:
                yield from self._work()

    def _fail(self) -> None:
        self.is_struck = False
        if self.is_started:
            self.rollbacks += 1
            self.ledger.fail()
            self._stop()

    def _stop(self) -> None:
        """What comes next is a start."""
        self.is_started = self.is_due = False
        self.write_left, self.written_at = 0, 0
        self.lives += 1
        self.machines.let_go()

    def _wait(self) -> Waits:
        if self.is_started:  # machines are gone without a failure: none is lost that was not used
            self.is_struck = True
            return 0
        begin = self.clock.now
        with contextlib.suppress(Interrupt):
            yield self.clock.event()
        return self.clock.now - begin

    def _start(self) -> Generator[Event, Any, None]:
        self.active = self.machines.take()
        left = self.restart
        while left > 0 and not self.is_struck:
            spent = yield from self._spend(left)
            self.ledger.restart += spent
            left -= spent
        self.restart = round(self.job.restart_s * PS_PER_S)
        self.is_started = not self.is_struck
        if self.is_struck:
            self.machines.let_go()

    def _may_grow(self) -> bool:
        return self.machines.there > self.active

    @property
    def _pace(self) -> float:
        """The time of the clock for a second of steps, but for jitter: fewer machines have the more to do each."""
        return self.machines.slowness * self.job.machines / self.active

    def _work(self) -> Generator[Event, Any, None]:
        """Steps up to the next checkpoint, or many intervals in one leap."""
        done = self.ledger.done
        left = min(self.interval - done % self.interval, self.need - done)
        if left == self.interval and not (self.overlaps or self.job.jitter):
            yield from self._leap((self.need - done) // self.interval)
            return
        if done % self.interval == 0:
            self.factor = self._jitter(left // self.step)
        pace = self._pace * self.factor
        wall = math.ceil(left * pace)
        spent = yield from self._spend(wall)
        self.ledger.open.work += spent
        self.ledger.open.nominal += left if spent == wall else min(left, int(spent / pace))
        self.is_due = self.ledger.done == done + left

    def _leap(self, intervals: int) -> Generator[Event, Any, None]:
        """Whole intervals, each saved, until something changes."""
        pace = self._pace
        wall = math.ceil(self.interval * pace)
        spent = yield from self._spend(intervals * (wall + self.write))
        whole, rest = divmod(spent, wall + self.write)
        ledger = self.ledger
        ledger.kept.work += whole * wall
        ledger.kept.nominal += whole * self.interval
        ledger.kept.saving += whole * self.write
        worked = min(rest, wall)
        ledger.open.work += worked
        ledger.open.nominal += self.interval if worked == wall else min(self.interval, int(worked / pace))
        if worked == wall:
            ledger.snapshot()
            ledger.pending.saving += rest - wall
            self.write_left = self.write - (rest - wall)

    def _save(self) -> Generator[Event, Any, None]:
        """Write a checkpoint: all wait for it, or only the next one does."""
        ledger = self.ledger
        if self.is_due and self.written_at <= self.clock.now and not ledger.pending.nominal:
            self.is_due = False
            ledger.snapshot()
            if not self.overlaps:
                self.write_left = self.write
                if not self.write:
                    ledger.written()
                return
            self._write_beside()
            if ledger.done < self.need and not self._may_grow():
                return
            self.write_left = self.write
        waits_for = self.write_left or self.written_at - self.clock.now
        spent = yield from self._spend(max(0, waits_for))
        self._saved_into().saving += spent
        self.write_left = max(0, self.write_left - spent)
        if not self.overlaps and not self.write_left:
            ledger.written()

    def _saved_into(self) -> Stretch:
        """Whose time waiting for a checkpoint is: what is to be saved next, what is being written, what has just been."""
        ledger = self.ledger
        if self.is_due:
            return ledger.open
        return ledger.pending if ledger.pending.nominal else ledger.kept

    def _write_beside(self) -> None:
        """Write while the steps go on."""
        life, end = self.lives, self.clock.timeout(self.write)
        self.written_at = self.clock.now + self.write

        def there(_event: Event) -> None:
            if life == self.lives:
                self.ledger.written()

        assert end.callbacks is not None
        end.callbacks.append(there)

    def _jitter(self, steps: int) -> float:
        """The mean over some steps of how much longer each takes: the largest of n exponential draws."""
        if not self.job.jitter:
            return 1.0
        total, left = 0.0, steps
        while left > 0:
            count = min(left, _MOST_DRAWS)
            lowest = self.noise.random(count) ** (1.0 / self.active)  # the largest of so many even draws
            total -= float(np.log1p(-lowest).sum())
            left -= count
        return 1.0 + self.job.jitter * total / steps
