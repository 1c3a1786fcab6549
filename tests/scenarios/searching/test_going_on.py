"""A search goes on from its store, after it was killed, and on any executor."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from scenarios import load_scenario
from scenarios.questions.searching.search import search
from scenarios.studies import search_runs as runs_module
from scenarios.studies.executors import Workers, process_pool
from scenarios.studies.executors import given as given_workers
from scenarios.studies.search_runs import search_runs
from tests.scenarios.searching.cases import ASKED, SPACE, file_of, summed_up


def test_a_search_goes_on_from_its_store(tmp_path: Path) -> None:
    """What is in the store is not run again, by as many processes as are asked for, and comes to the same."""
    file = file_of(tmp_path, "slow links")
    space: Mapping[str, list[Any]] = {
        "tp": [1, 2, 4],
        "pp": [1, 2],
        "zero": [0],
        "microbatch": [2],
        "recompute": ["none"],
    }
    scenario = load_scenario(file)
    alone = search(scenario, space)
    with search_runs(scenario, tmp_path / "runs.db") as runs:
        search(scenario, space, most=1, runs=runs)
        assert runs.known == 0
    with search_runs(scenario, tmp_path / "runs.db", jobs=2) as runs:
        found = search(scenario, space, runs=runs)
        assert runs.known == 1
    assert found.best is not None
    assert alone.best is not None
    assert found.best.values == alone.best.values
    assert found.best.words == alone.best.words
    with search_runs(scenario, tmp_path / "runs.db", jobs=2) as runs:
        again = search(scenario, space, runs=runs)
        assert runs.known == len(again.ran)
    assert [each.words for each in again.ran] == [each.words for each in found.ran]


@pytest.mark.long
def test_a_search_that_is_killed_goes_on(tmp_path: Path) -> None:
    file, store = file_of(tmp_path, "slow links"), tmp_path / "runs.db"
    # every layout is worth a run: none is the best in both
    asked = [*ASKED, "--goal", "time", "--goal", "memory", "--store", str(store)]
    going = subprocess.Popen([sys.executable, "-m", "overlapse", "search", file, *asked], stdout=subprocess.DEVNULL)
    try:
        while rows_in(store) < 2 and going.poll() is None:
            time.sleep(0.05)
        going.kill()
    finally:
        going.wait()
    kept = rows_in(store)
    assert kept >= 2
    scenario = load_scenario(file)
    with search_runs(scenario, store) as runs:
        found = search(scenario, SPACE, goals=("time", "memory"), runs=runs)
        assert runs.known == kept
    alone = search(scenario, SPACE, goals=("time", "memory"))
    assert [each.words for each in found.front] == [each.words for each in alone.front]


def rows_in(store: Path) -> int:
    """Rows that are committed."""
    if not store.exists():
        return 0
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])
        except sqlite3.OperationalError:  # its table is not there yet
            return 0


def test_a_search_runs_on_any_executor(tmp_path: Path) -> None:
    """As on the workers of a cluster: bounds and runs, to the same end."""
    scenario = load_scenario(file_of(tmp_path, "slow links"))
    space = {**SPACE, "recompute": ["none"], "pp": [1, 2]}
    with (
        ThreadPoolExecutor(2) as threads,
        search_runs(scenario, cluster=nullcontext(given_workers(threads, 2))) as runs,
    ):
        assert runs.at_once == 2
        found = search(scenario, space, runs=runs)
    alone = search(scenario, space)
    assert summed_up(found) == summed_up(alone)


@pytest.mark.parametrize(("start_s", "started"), [(1e-9, 1), (1e9, 0)])
def test_processes_start_when_runs_have_taken_as_long_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_s: float, started: int
) -> None:
    """Where nobody says how many: the first run is made here, the others by processes; and it comes to the same."""
    monkeypatch.setattr(runs_module, "_START_S", start_s)
    monkeypatch.setattr(runs_module, "cpu_count", lambda: 2)
    pools: list[int] = []

    def counted(jobs: int) -> AbstractContextManager[Workers]:
        pools.append(jobs)
        return process_pool(jobs)

    monkeypatch.setattr(runs_module, "process_pool", counted)
    scenario = load_scenario(file_of(tmp_path, "slow links"))
    space = {**SPACE, "recompute": ["none"], "pp": [1, 2]}
    with search_runs(scenario, jobs=None) as runs:
        found = search(scenario, space, goals=("time", "memory"), runs=runs)
    assert len(found.ran) > 1
    assert pools == [2] * started
    assert summed_up(found) == summed_up(search(scenario, space, goals=("time", "memory")))
