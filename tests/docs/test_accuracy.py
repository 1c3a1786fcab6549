"""The tables of accuracy.md are what the records say, and what has got worse than is recorded is noticed."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """docs/accuracy_tables.py: a script beside the pages, no part of a package."""
    spec = importlib.util.spec_from_file_location("accuracy_tables", DOCS / "accuracy_tables.py")
    assert spec is not None
    assert spec.loader is not None
    before = list(sys.path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


@pytest.fixture
def records(script: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(script.RECORDS.read_text("utf-8"))
    return found


def test_the_page_has_the_recorded_errors(script: ModuleType, records: dict[str, Any]) -> None:
    text = script.PAGE.read_text("utf-8")
    assert script.page(text, records) == text, "run `python docs/accuracy_tables.py`"
    records["groups"][0]["mean"] += 0.1
    assert script.page(text, records) != text


def test_every_row_of_a_published_table_is_judged_or_left_out(script: ModuleType, records: dict[str, Any]) -> None:
    for name in script.TYPED:
        lines = [line for line in (script.TABLES / name).read_text("utf-8").splitlines() if line[0] != "#"]
        judged = [each for each in records["groups"] if each["file"] == name and "fitted" not in each]
        assert sum(each["count"] + each["left_out"] for each in judged) == len(list(csv.DictReader(lines))), name


@pytest.mark.parametrize(
    ("mean", "count", "worse"), [(0.02, 8, False), (0.03, 8, True), (0.02, 7, True), (0.01, 8, False)]
)
def test_what_has_got_worse_is_noticed(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, mean: float, count: int, worse: bool
) -> None:
    monkeypatch.setattr(script, "TYPED", ["one.csv"])
    monkeypatch.setattr(script, "steps_of", lambda _path: ([{"name": "one", "mean": mean, "count": count}], []))
    recorded = {"groups": [{"file": "one.csv", "name": "one", "mean": 0.02, "count": 8}]}
    assert bool(script.grown_worse(recorded)) == worse
    assert script.grown_worse({"groups": []})
