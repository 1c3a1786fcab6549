"""Points of studies that are worked out together: that each is its own run, and how few runs they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from scenarios import load_scenario, sweep
from scenarios.building.run_one import words_of
from scenarios.studies import batches
from scenarios.studies.worker import Job, run_each, run_point


def assert_alone(path: str, points: Sequence[Mapping[str, Any]]) -> None:
    """Each point as it comes together is the point by itself."""
    job = Job.of(load_scenario(path))
    with pytest.MonkeyPatch.context() as patched:  # few rows go together, too
        patched.setattr(batches, "_FEW", 1)
        patched.setattr(batches, "_TRIES", len(points))
        together = dict(run_each(job, points))
    assert [together[number] for number in range(len(points))] == [run_point(job, point) for point in points]


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
