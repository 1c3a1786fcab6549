"""Failures by chance, and failures as they were recorded.

Model: every machine fails by itself, memoryless with a mean of `machine_mtbf_s`. Of machines alike the failures
together are one Poisson process with the sum of the rates, and each strikes any machine with the same chance: one
stream instead of one a machine, exactly. A machine is away for an exponential time of mean `repair_s` (0: another
stands in its place at once). A trace is replayed from a place that the seed draws, round and round, its machines in
an order that the seed draws, so that many seeds show what the same record can do to a job; a machine that is away
there at first is away at first.
Source: superposition of Poisson processes, any textbook on them (Kingman, Poisson Processes, 1993, section 2.2).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from simulator.faults.job import Strike


@dataclass(frozen=True, slots=True)
class Poisson:
    """Failures by chance: the mean time between those of one machine, and how long a machine is then away on average."""

    machine_mtbf_s: float
    repair_s: float = 0.0

    def mtbf_s(self, machines: int) -> float:
        """The mean time between failures of so many machines together."""
        return self.machine_mtbf_s / machines

    def strikes(self, machines: int, draws: random.Random) -> Iterator[Strike]:
        """Failures of so many machines, without end."""
        mean_s, at_s = self.mtbf_s(machines), 0.0
        while True:
            at_s += exponential(mean_s, draws)
            machine = int(draws.random() * machines)
            repair_s = exponential(self.repair_s, draws) if self.repair_s else 0.0
            yield Strike(at_s, machine, repair_s)


@dataclass(frozen=True, slots=True)
class Fault:
    """One recorded failure: of which machine, from when to when."""

    machine: int
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Trace:
    """What was recorded of so many machines in a span of time."""

    machines: int
    span_s: float
    faults: tuple[Fault, ...]

    def __repr__(self) -> str:
        return f"Trace({len(self.faults)} failures of {self.machines} machines in {self.span_s / 86400:.4g} days)"

    def fitted(self) -> Poisson:
        """The failures by chance that are most like it: the same number in that time, away for the same time on
        average.

        Both are the maximum likelihood of exponential times.
        """
        away_s = sum(fault.end_s - fault.begin_s for fault in self.faults)
        return Poisson(self.machines * self.span_s / len(self.faults), away_s / len(self.faults))


@dataclass(frozen=True, slots=True)
class Replay:
    """Failures as a trace has them."""

    trace: Trace

    def mtbf_s(self, machines: int) -> float:
        """The mean time between failures of so many machines together."""
        return self.trace.fitted().mtbf_s(machines)

    def strikes(self, machines: int, draws: random.Random) -> Iterator[Strike]:
        """The trace, round and round, from a place of its time that is drawn; its first machines in an order that is
        drawn.

        Raises ValueError if it has not so many machines.
        """
        trace = self.trace
        if machines > trace.machines:
            raise ValueError(f"a trace of {trace.machines} machines says nothing of {machines}")
        begin_s = draws.random() * trace.span_s
        place = dict(zip(draws.sample(range(trace.machines), machines), range(machines), strict=True))
        struck = [fault for fault in trace.faults if fault.machine in place]
        faults = sorted(struck, key=lambda fault: (fault.begin_s, fault.machine))
        for turn in _from(-1) if faults else ():  # machines of which none ever failed go on for ever
            for fault in faults:
                at_s = turn * trace.span_s + fault.begin_s - begin_s
                back_s = at_s + fault.end_s - fault.begin_s
                if back_s > 0:
                    yield Strike(at_s, place[fault.machine], back_s - max(0.0, at_s))


def _from(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def exponential(mean: float, draws: random.Random) -> float:
    """A draw of the exponential distribution, by inversion: one number of the stream, the same everywhere."""
    return -mean * math.log(1.0 - draws.random())
