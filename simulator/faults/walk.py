"""The life of a job to which nothing but failures happens, told from failure to failure: no events, the same picoseconds.

Model: that of `simulator.faults.life`, for a job whose machines all take as long as each other and are there again at once,
and that waits for its checkpoints. Between two failures lie a restart, whole intervals with a checkpoint each, and a part of
one, which is lost. What this leaves to the process on a clock: machines that are away, and slower ones; jitter; writing
beside the work; a failure in the very picosecond in which something else ends; a job that is given up.
Law: a life is that of the process, to the picosecond.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from simulator.engine.shape import PS_PER_S
from simulator.faults.job import Job
from simulator.faults.ledger import Ledger, Life
from simulator.faults.machines import draws_of, most_time

MOST_FRUITLESS = 10_000
"""After so many failures in a row between which nothing is saved, a job is given up."""


def walk(job: Job, seed: int) -> Life | None:
    """One life of a job; None where it takes a process to tell."""
    step = round(job.step_s * PS_PER_S)
    if step <= 0 or not _has_failures_only(job):
        return None
    walking = _Walk(job, step)
    for at in _strikes(job, seed):
        if at is None:
            return None
        walking.go(at)
        if walking.unclear:
            return None
        if walking.has_ended:
            return walking.ledger.life(walking.now, walking.failures, walking.rollbacks)
    return None


def _has_failures_only(job: Job) -> bool:
    checkpoints = job.checkpoints
    beside = checkpoints is not None and checkpoints.overlap
    other = job.slowdowns or job.jitter or job.spread or job.away or beside
    return job.failures is not None and not other and job.fewest <= job.machines


def _strikes(job: Job, seed: int) -> Iterator[int | None]:
    """When machines that are used fail; None where that, or what comes of it, takes a process to tell."""
    assert job.failures is not None
    before, most = 0, most_time(job)
    for strike in job.failures.strikes(job.machines + job.spares, draws_of(seed, "failures")):
        at = round(strike.at_s * PS_PER_S)
        if not before < at <= most or round(strike.repair_s * PS_PER_S) > 0:
            yield None
            return
        before = at
        if strike.machine < job.machines:
            yield at


class _Walk:
    """A job on its way. `unclear`: something else happened in the picosecond of a failure, or too much was in vain."""

    def __init__(self, job: Job, step: int) -> None:
        self.need, self.interval = step * job.steps, step * job.steps_between
        # as the process has it, whose pace is a number with 53 bits
        self.wall = math.ceil(self.interval * 1.0)
        self.write = round(job.checkpoints.write_s * PS_PER_S) if job.checkpoints is not None else 0
        self.restart_after, self.restart = round(job.restart_s * PS_PER_S), 0  # the first start takes no time
        self.ledger, self.now = Ledger(), 0
        self.failures = self.rollbacks = 0
        self.kept_before = self.fruitless = 0
        self.has_ended = self.unclear = False

    def go(self, at: int) -> None:
        """On to the end, or to the next failure."""
        room, self.now = at - self.now, at
        restart, self.restart = self.restart, self.restart_after
        self.unclear = room == restart
        if room <= restart:
            self._strike()
            self.ledger.restart += room
            return
        self.ledger.restart += restart
        self._work(room - restart)

    def _work(self, room: int) -> None:
        """Work and writing in so much time."""
        ledger, cycle = self.ledger, self.wall + self.write
        intervals, rest = divmod(self.need - ledger.kept.nominal, self.interval)
        leap, last = intervals * cycle, math.ceil(rest * 1.0)
        end = leap + (last + self.write if rest else 0)
        self.unclear = room in (leap, leap + last, end)
        if room > end:
            self._keep(intervals)
            ledger.kept.work += last
            ledger.kept.nominal += rest
            ledger.kept.saving += self.write if rest else 0
            self.now -= room - end
            self.has_ended = True
            return
        if room < leap:
            self._strike()  # what was kept on the way is counted when it is over
            whole, lost = divmod(room, cycle)
            self._keep(whole)
        else:
            self._keep(intervals)
            self._strike()
            lost = room - leap
        ledger.lost += lost
        self.rollbacks += 1

    def _keep(self, intervals: int) -> None:
        kept = self.ledger.kept
        kept.work += intervals * self.wall
        kept.nominal += intervals * self.interval
        kept.saving += intervals * self.write

    def _strike(self) -> None:
        self.failures += 1
        kept = self.ledger.kept.nominal
        self.fruitless = self.fruitless + 1 if kept == self.kept_before else 0
        self.kept_before = kept
        self.unclear = self.unclear or self.fruitless > MOST_FRUITLESS
