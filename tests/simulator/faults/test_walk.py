"""A job to which nothing but failures happens is told from failure to failure: the life of a process, to the digit."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import RunError, System, load_chip
from simulator import Simulation, parse_graph
from simulator.faults import Checkpoints, Job, Life, Poisson, Strike, live


@dataclass(frozen=True)
class _At:
    """Failures of some machines at known seconds, then never again."""

    strikes_s: tuple[tuple[float, int], ...]

    def strikes(self, _machines: int, _draws: random.Random) -> Iterator[Strike]:
        for at_s, machine in self.strikes_s:
            yield Strike(at_s, machine, 0.0)
        yield Strike(1e6, 0, 0.0)

    def mtbf_s(self, _machines: int) -> float:
        return math.inf


def as_a_process(job: Job, seed: int = 0) -> Life | str:
    """The same life beside others on a clock; or why it has no end."""
    clock = Simulation(parse_graph(["y:bf16[1] = relu(x:bf16[1])"], {}), System(load_chip("h100_sxm"))).env
    try:
        return live(job, seed, clock)
    except RunError as error:
        return str(error)


def told(job: Job, seed: int = 0) -> Life | str:
    try:
        return live(job, seed)
    except RunError as error:
        return str(error)


@given(
    st.builds(
        Job,
        steps=st.integers(1, 400),
        step_s=st.sampled_from([0.25, 60.0, 7200.0]),
        machines=st.integers(1, 6),
        spares=st.integers(0, 2),
        checkpoints=st.none()
        | st.builds(
            Checkpoints,
            every_s=st.sampled_from([30.0, 1800.0, 50_000.0]),
            write_s=st.sampled_from([0.0, 20.0, 300.0]),
        ),
        restart_s=st.sampled_from([0.0, 1.0, 600.0]),
    ),
    st.sampled_from([0.05, 0.3, 2.0, 10.0]),
    st.integers(0, 1000),
)
def test_a_life_is_that_of_the_process(job: Job, failures: float, seed: int) -> None:
    """So many times the time of an interval passes between failures, on average."""
    between_s = job.steps_between * job.step_s * max(failures, 0.3 if job.steps_between == job.steps else 0.0)
    job = replace(job, failures=Poisson(job.machines * between_s))
    assert told(job, seed) == as_a_process(job, seed)


EXACT = Job(steps=7, step_s=1.0, machines=2, spares=1, checkpoints=Checkpoints(every_s=2.0, write_s=0.5), restart_s=3.0)
"""Ends of intervals at 2.5, 5 and 7.5 s, of the last step at 8.5, of the last checkpoint at 9."""


@pytest.mark.parametrize("first_s", [0.0, 1.0, 2.0, 2.25, 2.5, 5.0, 7.5, 8.0, 8.5, 8.75, 9.0])
def test_failures_when_something_else_ends(first_s: float) -> None:
    """A second one in the restart, when that ends, in an interval, and at the end of one; on a spare, it is none."""
    for after_s, machine in itertools.product((0.0, 1.0, 3.0, 4.0, 5.5, 8.0, 50.0), (0, 2)):
        job = replace(EXACT, failures=_At(((first_s, 1), (first_s + after_s, machine))))
        assert told(job) == as_a_process(job), (after_s, machine)


def test_a_life_by_hand() -> None:
    """Struck at 6 s, one second after the second checkpoint, and at 7 s in the restart, which takes until 10."""
    life = live(replace(EXACT, failures=_At(((6.0, 0), (7.0, 1), (8.0, 2)))))
    assert (life.time_s, life.work_s, life.checkpoint_s) == (6 + 1 + 3 + 4, 7, 2)
    assert (life.lost_s, life.restart_s, life.failures, life.rollbacks) == (1, 1 + 3, 2, 1)


def test_it_takes_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.faults.life.Clock", None)
    assert live(replace(EXACT, failures=Poisson(20.0))).work_s == 7
    with pytest.raises(TypeError):
        live(replace(EXACT, failures=Poisson(20.0), jitter=0.1))
