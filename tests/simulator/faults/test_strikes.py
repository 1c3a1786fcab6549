"""Single failures at given times: what is lost, who waits, and what does not matter; each worked out by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from simulator.faults import Checkpoints, Fault, Job, Life, Replay, Strike, Trace, live


@dataclass(frozen=True)
class At:
    """Failures at given times."""

    strikes_s: tuple[Strike, ...]

    def strikes(self, machines: int, draws: random.Random) -> Iterator[Strike]:
        return iter(self.strikes_s)

    def mtbf_s(self, machines: int) -> float:
        return 1.0


def struck(*strikes: tuple[float, int, float], steps: int = 60, restart_s: float = 0.0, **more: object) -> Life:
    """A life of steps of a minute, struck at (time, machine, repair)."""
    failures = At(tuple(Strike(*each) for each in strikes))
    return live(Job(steps=steps, step_s=60.0, restart_s=restart_s, failures=failures, **more))  # type: ignore[arg-type]


def test_what_was_being_written_before_a_failure_is_never_there() -> None:
    """Intervals of 5 min, writes of 10 beside them. At 500 s the snapshot of 300 s is lost; that of 800 s, which would be
    there at 1400 s, is lost at 1000 s: it is not saved by the end of the first write, at 900 s."""
    saved = Checkpoints(every_s=300.0, write_s=600.0, overlap=True)
    life = struck((500.0, 0, 0.0), (1000.0, 0, 0.0), checkpoints=saved)
    assert life.lost_s == 1000.0
    assert life.rollbacks == 2


@pytest.mark.parametrize(("machine", "failures"), [(0, 1), (1, 0)])
def test_a_spare_that_fails_is_no_failure(machine: int, failures: int) -> None:
    life = struck((1000.0, machine, 500.0), spares=1)
    assert (life.failures, life.rollbacks) == (failures, failures)
    assert (life.lost_s, life.away_s) == (1000.0 * failures, 0.0)


def test_a_failure_in_a_restart_begins_it_anew() -> None:
    """Back after 300 s; struck at 1000 s and 200 s into that."""
    life = struck((1000.0, 0, 0.0), (1200.0, 0, 0.0), restart_s=300.0)
    assert (life.restart_s, life.lost_s) == (500.0, 1000.0)
    assert (life.failures, life.rollbacks) == (2, 1)


def test_a_machine_that_fails_while_it_is_repaired_is_back_after_the_later_repair() -> None:
    life = struck((100.0, 0, 100.0), (150.0, 0, 150.0))
    assert (life.away_s, life.lost_s, life.failures) == (200.0, 100.0, 1)
    shorter = struck((100.0, 0, 200.0), (150.0, 0, 10.0))
    assert shorter.away_s == 200.0


class _Half(random.Random):
    """Draws that begin a trace at the half of it."""

    def random(self) -> float:
        return 0.5


def test_who_is_away_where_a_trace_begins_is_away_at_first() -> None:
    """A failure from 40 s to 90 s of 100 s: seen from the half on, one that is over after 40 s; the next is 90 s later."""
    replay = Replay(Trace(1, 100.0, (Fault(0, 40.0, 90.0),)))
    strikes = replay.strikes(1, _Half(1))
    assert next(strikes) == Strike(-10.0, 0, 40.0)
    assert next(strikes) == Strike(90.0, 0, 50.0)
    life = struck((-10.0, 0, 40.0))
    assert (life.away_s, life.failures, life.restart_s) == (40.0, 0, 0.0)


def test_a_failure_as_a_checkpoint_is_there_loses_nothing() -> None:
    """Saved at 1800 s and for a minute; struck as that ends, or a second before."""
    saved = Checkpoints(every_s=1800.0, write_s=60.0)
    assert struck((1860.0, 0, 0.0), checkpoints=saved).lost_s == 0.0
    assert struck((1859.0, 0, 0.0), checkpoints=saved).lost_s == 1859.0


def test_machines_that_never_failed_go_on_for_ever() -> None:
    """Of ten recorded machines one failed; a job on one of the others has no failure, and comes to its end."""
    replay, drawn = Replay(Trace(10, 100.0, (Fault(0, 40.0, 90.0),))), random.Random(1)
    assert list(replay.strikes(1, drawn)) == []
    lives = [live(Job(steps=2, step_s=60.0, failures=replay), seed) for seed in range(8)]
    assert sum(life.failures == 0 for life in lives) >= 5
