"""The table of goals: what is met and what is missed is told rightly, and the record has what the table has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.commands import whole
from benchmarks.goals import BENCHMARKS
from benchmarks.table import RECORDS, Benchmark, Figure, machine, record, rows


@pytest.mark.parametrize(
    ("value", "unit", "at_least", "verdict"),
    [
        (5.0, "CPU s", False, "met"),
        (5.1, "CPU s", False, "missed"),
        (4.9, "CPU s", True, "missed"),  # stopped before it ended
        (5.1, "rows/s", False, "met"),
        (4.9, "rows/s", False, "missed"),
    ],
)
def test_a_goal_is_met_or_missed(value: float, unit: str, at_least: bool, verdict: str) -> None:
    benchmark = Benchmark(name="a", what="something", goals={unit: 5.0})
    (row,) = rows(benchmark, {unit: Figure(value, at_least)})
    assert row.verdict == verdict
    assert verdict in str(row)


def test_what_cannot_be_measured_is_said() -> None:
    (row,) = rows(Benchmark(name="a", what="something", goals={"CPU s": 5.0}, missing="no such thing yet"), {})
    assert row.verdict == "not yet"
    assert str(row).endswith("no such thing yet")


def test_a_figure_without_a_goal_is_a_row() -> None:
    benchmark = Benchmark(name="a", what="something", goals={"CPU s": 5.0})
    found = rows(benchmark, {"CPU s": Figure(1.0), "MiB": Figure(2.0)})
    assert [(row.unit, row.goal, row.verdict) for row in found] == [("CPU s", 5.0, "met"), ("MiB", None, "")]


def test_a_record_has_the_commit_and_every_figure(tmp_path: Path) -> None:
    path = tmp_path / "records" / "one.json"
    benchmark = Benchmark(name="a", what="something", goals={"CPU s": 5.0})
    record([(benchmark, {"CPU s": Figure(6.0, at_least=True)})], {"when": "2026-11-28T12:00Z", **machine()}, path)
    found = json.loads(path.read_text("utf-8"))
    assert found["figures"] == {"a": {"CPU s": {"value": 6.0, "at_least": True, "goal": 5.0}}}
    assert {"commit", "version", "when", "python", "machine", "cores", "load"} <= set(found)


def test_every_row_has_a_name_of_its_own_and_is_measured_or_says_why_not() -> None:
    names = [each.name for each in BENCHMARKS]
    assert len(set(names)) == len(names)
    assert [each.name for each in BENCHMARKS if (each.measure is None) != bool(each.missing)] == []
    assert {"core-free", "layers", "graph-1e6", "study-dims", "messages", "llama3-405b", "help"} <= set(names)


def test_records_are_of_rows_that_are_known() -> None:
    """A row that is renamed is renamed there, too, so that a figure can be followed over commits."""
    names = {each.name for each in BENCHMARKS}
    for path in sorted(RECORDS.glob("*.json")):
        found = json.loads(path.read_text("utf-8"))
        assert set(found["figures"]) <= names, path.name
        assert not found["commit"].endswith("+"), f"{path.name}: measured with changes that no commit has"


@pytest.mark.long
def test_a_command_is_measured_apart_from_who_asks() -> None:
    """A child of a large process would begin with its peak."""
    large = bytearray(300 * 2**20)
    large[:: 2**12] = b"1" * len(large[:: 2**12])  # so that the memory is really there
    figures = whole(["--help"])
    assert 0 < figures["CPU s"].value < 60
    assert 5 < figures["MiB"].value < 200


@pytest.mark.long
def test_a_command_that_fails_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="unknown chip"):
        whole(["chips", "h200000"])
