"""Points of studies that are worked out together: that each is its own run, and how few runs they take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from scenarios import load_scenario, sweep
from scenarios.building.run_one import words_of
from scenarios.studies import batches
from scenarios.studies.worker import Job, Ran, run_each, run_point


def assert_alone(path: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Each point as it comes together is the point by itself."""
    job = Job.of(load_scenario(path))
    with pytest.MonkeyPatch.context() as patched:  # few rows go together, too
        patched.setattr(batches, "_FEW", 1)
        patched.setattr(batches, "_TRIES", len(points))
        assert_each_alone(job, points)


def assert_each_alone(job: Job, points: Sequence[Mapping[str, Any]]) -> None:
    """Each point of a job as it comes together, or does not, is the point by itself."""
    with by_itself_once() as alone:
        for number, ran in run_each(job, points):
            assert ran == alone(job, points[number])


@contextmanager
def by_itself_once() -> Iterator[Callable[[Job, Mapping[str, Any]], Ran]]:
    """Runs of points by themselves, each once: what does not go together is such a run already, and points repeat."""
    known: dict[tuple[bytes, str], Ran] = {}

    def alone(job: Job, point: Mapping[str, Any]) -> Ran:
        key = (job.number, json.dumps(point))
        if key not in known:
            known[key] = run_point(job, point)
        return known[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("scenarios.studies.worker.run_point", alone)
        yield alone


def runs_of(path: str, changes: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many rows a study has, and how often a scenario was put into words for them."""
    runs = 0

    def counted(*arguments: Any) -> dict[str, Any]:
        nonlocal runs
        runs += 1
        return words_of(*arguments)

    monkeypatch.setattr(batches, "words_of", counted)
    monkeypatch.setattr("scenarios.studies.worker.words_of", counted)
    study = sweep(path, changes, jobs=1)
    assert not study.failed
    return len(study.rows), runs
