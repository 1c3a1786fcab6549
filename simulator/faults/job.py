"""What a long job is: so many steps of a known time, on machines that fail, slow down or are taken away.

Model: the job is synchronous, all its machines do each step together: one that fails stops all, the slowest sets the
pace. Machines fail one by one. A job of more machines than are there waits, or goes on with at least `least` of them,
each with the more work; a machine that is back joins at the next checkpoint, which costs a restart.
Assumes: a step's time is known (a run's, or measured), and it is the same for every step but for what is said here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Strike:
    """A failure: when, of which machine, and after what time the machine is there again."""

    at_s: float
    machine: int
    repair_s: float


class Failures(Protocol):
    """Where failures come from."""

    def strikes(self, machines: int, draws: random.Random) -> Iterator[Strike]:
        """Failures of so many machines in the order of time, without end; one before 0 is of a machine that is away
        at first."""

    def mtbf_s(self, machines: int) -> float:
        """The mean time between failures of so many machines together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """How often the job is saved, and how long that takes. `overlap`: it works on meanwhile; what it saves counts
    from the end of the writing."""

    every_s: float
    write_s: float = 0.0
    overlap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowdown:
    """Something that makes each step take `factor` times as long while it lasts; it comes to each machine every
    `every_s` on average. Of several at once the worst counts."""

    name: str
    every_s: float
    lasts_s: float
    factor: float


@dataclass(frozen=True, slots=True)
class Away:
    """Stretches of time in which all machines are taken away, again and again every `period_s` (None: once)."""

    stretches: tuple[tuple[float, float], ...]
    period_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job and what may happen to it. Without checkpoints it begins anew after a failure. `jitter`: the mean share by
    which a machine's part of a step takes longer, each time anew; `spread`: the standard deviation of how long machines
    take for the same, as a share, each for good."""

    steps: int
    step_s: float
    machines: int = 1
    spares: int = 0
    least: int | None = None
    checkpoints: Checkpoints | None = None
    restart_s: float = 0.0
    failures: Failures | None = None
    slowdowns: tuple[Slowdown, ...] = ()
    jitter: float = 0.0
    spread: float = 0.0
    away: Away | None = None

    @property
    def steps_between(self) -> int:
        """Steps from one checkpoint to the next: a whole number, at least one."""
        if self.checkpoints is None:
            return self.steps
        return min(self.steps, max(1, round(self.checkpoints.every_s / self.step_s)))

    @property
    def work_s(self) -> float:
        """The time of all steps, if nothing happens and nothing is saved."""
        return self.steps * self.step_s

    @property
    def fewest(self) -> int:
        """With how many machines it goes on."""
        return self.machines if self.least is None else self.least
