"""Lives of jobs: every second is in one account, closed forms hold on average, and what cannot matter changes nothing."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simpy.events import Event

from hw import RunError, System, load_chip
from simulator import Simulation, parse_graph
from simulator.faults import Away, Checkpoints, Fault, Job, Life, Poisson, Replay, Slowdown, Strike, Trace, live

HOUR, DAY = 3600.0, 86400.0
SPOT = Job(
    steps=31 * 40,
    step_s=60.0,
    checkpoints=Checkpoints(every_s=31 * 60.0, write_s=120.0),
    restart_s=600.0,
    failures=Poisson(4 * HOUR),
)
SEEDS = range(200)


@dataclass(frozen=True)
class _IsAway:
    """One machine is away from the first, for good."""

    machine: int

    def strikes(self, _machines: int, _draws: random.Random) -> Iterator[Strike]:
        yield Strike(-1.0, self.machine, 1e6)

    def mtbf_s(self, _machines: int) -> float:
        return math.inf


def parts(life: Life) -> float:
    return life.work_s + life.slow_s + life.checkpoint_s + life.lost_s + life.restart_s + life.away_s


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def agree(values: list[float], expected: float) -> bool:
    """Whether the mean of draws is what is expected: within four standard errors, which it misses once in 16,000."""
    middle = mean(values)
    variance = sum((value - middle) ** 2 for value in values) / (len(values) - 1)
    return abs(middle - expected) <= 4 * math.sqrt(variance / len(values)) + 1e-9 * expected


JOBS = st.builds(
    Job,
    steps=st.integers(1, 300),
    step_s=st.sampled_from([0.25, 60.0, 700.0]),
    machines=st.integers(1, 6),
    spares=st.integers(0, 2),
    least=st.sampled_from([None, 1]),
    checkpoints=st.builds(
        Checkpoints,
        every_s=st.sampled_from([30.0, 1800.0, 5000.0]),
        write_s=st.sampled_from([0.0, 20.0, 300.0]),
        overlap=st.booleans(),
    ),
    restart_s=st.sampled_from([0.0, 600.0]),
    failures=st.sampled_from([None, Poisson(10 * HOUR), Poisson(30 * HOUR, 2 * HOUR)]),
    slowdowns=st.sampled_from([(), (Slowdown(name="slow", every_s=HOUR, lasts_s=900.0, factor=1.5),)]),
    jitter=st.sampled_from([0.0, 0.05]),
    spread=st.sampled_from([0.0, 0.05]),
    away=st.sampled_from([None, Away(((HOUR, 2 * HOUR), (5 * HOUR, 5.5 * HOUR)), 12 * HOUR)]),
)


@given(JOBS, st.integers(0, 1000))
def test_every_second_is_in_one_account(job: Job, seed: int) -> None:
    life = live(job, seed)
    assert life.time_s == pytest.approx(parts(life), rel=1e-9)
    assert life.work_s == pytest.approx(job.work_s, rel=1e-12)
    assert min(life.slow_s, life.checkpoint_s, life.lost_s, life.restart_s, life.away_s) >= 0
    assert life == live(job, seed)


@given(st.integers(1, 500), st.integers(1, 60), st.sampled_from([0.0, 30.0]), st.booleans())
def test_a_job_to_which_nothing_happens(steps: int, between: int, write_s: float, overlap: bool) -> None:
    """It works, and waits for every checkpoint, or for the last one if it works on meanwhile."""
    checkpoints = Checkpoints(every_s=10.0 * between, write_s=write_s, overlap=overlap)
    life = live(Job(steps=steps, step_s=10.0, checkpoints=checkpoints))
    written = math.ceil(steps / between)
    waits_s = written * write_s
    if overlap:  # a write that is longer than an interval holds the next one up
        whole = (steps - 1) // between
        waits_s = write_s + whole * max(0.0, write_s - 10.0 * between)
        last = steps - whole * between
        if whole:
            waits_s += max(0.0, write_s - 10.0 * last) - max(0.0, write_s - 10.0 * between)
    assert life.time_s == pytest.approx(10.0 * steps + waits_s, rel=1e-12)
    assert (life.failures, life.lost_s) == (0, 0.0)


@pytest.mark.parametrize("every", [10, 31, 90])
@pytest.mark.parametrize("restart_s", [0.0, 1800.0])
def test_the_exact_time_of_renewals(every: int, restart_s: float) -> None:
    """Daly 2006: M exp(R/M) (exp((t+d)/M) - 1) an interval, also where an interval is a third of M."""
    job = replace(
        SPOT,
        steps=every * 40,
        checkpoints=Checkpoints(every_s=every * 60.0, write_s=120.0),
        restart_s=restart_s,
    )
    mtbf_s = 4 * HOUR
    expected = 40 * mtbf_s * math.exp(restart_s / mtbf_s) * math.expm1((every * 60.0 + 120.0) / mtbf_s)
    assert agree([live(job, seed).time_s for seed in SEEDS], expected)


def test_without_checkpoints_all_is_done_again() -> None:
    job = Job(steps=60, step_s=60.0, failures=Poisson(HOUR), restart_s=60.0)
    expected = HOUR * math.exp(60 / HOUR) * math.expm1(1.0)
    assert agree([live(job, seed).time_s for seed in SEEDS], expected)


def test_a_thousand_cards_fail_every_fifty_hours() -> None:
    """50,000 h each: 50 h together, whatever the job does between failures."""
    job = Job(
        steps=500,
        step_s=HOUR,
        machines=1000,
        checkpoints=Checkpoints(every_s=2 * HOUR, write_s=60.0),
        failures=Poisson(50_000 * HOUR),
    )
    lives = [live(job, seed) for seed in SEEDS]
    assert job.failures is not None
    assert job.failures.mtbf_s(1000) == 50 * HOUR
    assert sum(life.time_s for life in lives) / sum(life.failures for life in lives) == pytest.approx(
        50 * HOUR, rel=0.1
    )
    # 2000 failures: a Poisson count is within 4 / sqrt(2000) = 9 % of its mean


@pytest.mark.parametrize("overlap", [False, True])
def test_many_machines_are_one_that_fails_as_often(overlap: bool) -> None:
    checkpoints = Checkpoints(every_s=31 * 60.0, write_s=120.0, overlap=overlap)
    one = replace(SPOT, checkpoints=checkpoints)
    many = replace(one, machines=7, failures=Poisson(7 * 4 * HOUR))
    for seed in range(10):
        assert live(one, seed).time_s == live(many, seed).time_s


@given(st.integers(0, 100))
def test_a_leap_over_many_intervals_is_the_same_as_each_by_itself(seed: int) -> None:
    """A slowdown of factor 1 ends every leap where it comes and goes, and slows nothing."""
    idle = Slowdown(name="idle", every_s=1000.0, lasts_s=100.0, factor=1.0)
    assert live(SPOT, seed) == live(replace(SPOT, slowdowns=(idle,)), seed)


def test_writing_beside_the_work_costs_only_what_is_lost() -> None:
    """Time at risk goes from t + d at most to t + d at most, but nobody waits: sooner done on average, and never a wait."""
    beside = replace(SPOT, checkpoints=Checkpoints(every_s=31 * 60.0, write_s=120.0, overlap=True))
    lives = [live(beside, seed) for seed in SEEDS]
    assert max(life.checkpoint_s for life in lives) <= 120.0 + 1e-9
    assert mean([life.time_s for life in lives]) < mean([live(SPOT, seed).time_s for seed in SEEDS])


def test_the_share_of_time_in_which_a_machine_is_slow() -> None:
    """Slowdowns come at rate n / every and last L: one lasts at a time with chance 1 - exp(-n L / every), in which a
    second of steps takes two. That is the share of the time of a long job, but for its first L, in which they only
    begin to come."""
    slow = Slowdown(name="slow", every_s=100 * HOUR, lasts_s=1800.0, factor=2.0)
    job = Job(steps=100_000, step_s=60.0, machines=50, slowdowns=(slow,))
    share = 1 - math.exp(-50 * 1800.0 / (100 * HOUR))
    assert mean([live(job, seed).time_s for seed in range(20)]) == pytest.approx(job.work_s / (1 - share / 2), rel=0.01)


@pytest.mark.parametrize("machines", [1, 8, 1000])
def test_jitter_waits_for_the_slowest(machines: int) -> None:
    """1 + j H_n a step: the mean of the largest of n exponential draws is the harmonic number."""
    job = Job(steps=2000, step_s=1.0, machines=machines, jitter=0.1)
    harmonic = sum(1 / n for n in range(1, machines + 1))
    assert agree([live(job, seed).time_s / job.work_s for seed in range(50)], 1 + 0.1 * harmonic)


@pytest.mark.parametrize(("machines", "largest"), [(1, 0.3989), (8, 1.4240), (1000, 3.2414)])
def test_the_slowest_machine_sets_the_pace(machines: int, largest: float) -> None:
    """1 + s E[max(0, largest of n normal draws)] a step; one machine: s / sqrt(2 pi)."""
    job = Job(steps=100, step_s=1.0, machines=machines, spread=0.02)
    assert agree([live(job, seed).time_s / job.work_s for seed in range(100)], 1 + 0.02 * largest)


def test_a_machine_that_stands_in_has_a_pace_of_its_own() -> None:
    """Each machine in turn is away for good: only without the slowest is the job faster, if the spare is faster."""
    job = Job(steps=100, step_s=1.0, machines=8, spares=1, spread=0.1)
    faster = 0
    for seed in range(10):
        all_there = live(job, seed).time_s
        times = [live(replace(job, failures=_IsAway(machine)), seed).time_s for machine in range(8)]
        others = [time for time in times if time >= all_there]
        assert len(others) >= 7
        assert len(set(others)) == 1
        faster += 8 - len(others)
    assert faster >= 5


def test_machines_that_are_taken_away() -> None:
    """Two hours of steps, saved every half an hour without cost; away from 0:45 to 1:45: a quarter of an hour is lost."""
    checkpoints = Checkpoints(every_s=1800.0)
    away = Away(((2700.0, 6300.0),))
    life = live(Job(steps=120, step_s=60.0, checkpoints=checkpoints, restart_s=300.0, away=away))
    assert (life.lost_s, life.away_s, life.restart_s) == (900.0, 3600.0, 300.0)
    assert life.time_s == 2 * HOUR + 900.0 + 3600.0 + 300.0


def one_fault(begin_s: float, end_s: float) -> Replay:
    """A failure of machine 0 of 4, in a year of record that is replayed from its begin."""
    return Replay(Trace(4, 365 * DAY, (Fault(0, begin_s, end_s),)))


class _FromTheBegin(random.Random):
    """Draws that begin a trace where it begins, its machines in their order."""

    def random(self) -> float:
        return 0.0


def job_with_one_fault(monkeypatch: pytest.MonkeyPatch, **changed: object) -> Life:
    """Four hours of steps on four machines, of which one is away from 0:45 to 1:45; saved every half an hour."""
    strikes = [*zip(range(1), one_fault(2700.0, 6300.0).strikes(4, _FromTheBegin()), strict=False)]
    (_, strike) = strikes[0]
    monkeypatch.setattr(Replay, "strikes", lambda *_: iter([replace(strike, machine=0)]))
    job = Job(
        steps=240,
        step_s=60.0,
        machines=4,
        checkpoints=Checkpoints(every_s=1800.0),
        restart_s=300.0,
        failures=one_fault(2700.0, 6300.0),
    )
    return live(replace(job, **changed))  # type: ignore[arg-type]


def test_who_has_no_spare_waits_for_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    life = job_with_one_fault(monkeypatch)
    assert (life.lost_s, life.away_s, life.restart_s) == (900.0, 3600.0, 300.0)
    assert (life.failures, life.rollbacks) == (1, 1)


def test_who_has_a_spare_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    life = job_with_one_fault(monkeypatch, spares=1)
    assert (life.lost_s, life.away_s, life.restart_s) == (900.0, 0.0, 300.0)


def test_who_shrinks_goes_on_with_three_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back at 0:30 of its steps at 0:50; half an hour of steps takes 40 min then, up to 1:30 and 2:10, where the
    fourth machine joins again: 600 s slower each time, and another restart."""
    life = job_with_one_fault(monkeypatch, least=3)
    assert (life.lost_s, life.away_s, life.restart_s, life.slow_s) == (900.0, 0.0, 600.0, 1200.0)
    assert life.time_s == 4 * HOUR + 900.0 + 600.0 + 1200.0


def test_a_trace_is_replayed_round_and_round() -> None:
    trace = Trace(5, 100.0, (Fault(1, 10.0, 12.0), Fault(3, 40.0, 90.0)))
    strikes = [strike for strike, _ in zip(Replay(trace).strikes(5, random.Random(1)), range(9), strict=False)]
    times = [strike.at_s for strike in strikes if strike.at_s > 0]
    gaps = {round(after - before, 6) for before, after in itertools.pairwise(times)}
    assert gaps == {30.0, 70.0}
    assert len({strike.machine for strike in strikes}) == 2
    assert Replay(trace).mtbf_s(5) == 50.0
    assert trace.fitted() == Poisson(250.0, 26.0)


def test_a_trace_of_few_machines_says_nothing_of_many() -> None:
    job = Job(steps=10, step_s=60.0, machines=5, failures=one_fault(1.0, 2.0))
    with pytest.raises(ValueError, match="a trace of 4 machines says nothing of 5"):
        live(job)


@pytest.mark.long
def test_what_never_ends_is_told() -> None:
    hopeless = Job(steps=100, step_s=HOUR, failures=Poisson(HOUR))
    with pytest.raises(RunError, match="10,000 failures in a row"):
        live(hopeless)
    with pytest.raises(RunError, match="10,000 failures in a row"):
        live(replace(SPOT, failures=Poisson(30.0)))  # a restart takes twenty of these
    gone = Job(steps=10, step_s=60.0, away=Away(((60.0, math.inf),)))
    with pytest.raises(RunError, match="never come"):
        live(gone)


def test_other_processes_may_live_on_the_same_clock() -> None:
    """A monitor of a user's own looks every hour; the job's life is the same with it."""
    clock = Simulation(parse_graph(["y:bf16[1] = relu(x:bf16[1])"], {}), System(load_chip("h100_sxm"))).env
    looks = []

    def monitor() -> Generator[Event, None, None]:
        while True:
            yield clock.timeout(round(HOUR * 1e12))
            looks.append(clock.now)

    clock.process(monitor())
    life = live(SPOT, 3, clock)
    assert life == live(SPOT, 3)
    assert len(looks) == int(life.time_s // HOUR)
