"""Studies on workers: one table whoever runs the points, whatever dies, and whatever stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hw import RunError
from scenarios import Scenario, load_scenario, sweep
from scenarios.studies.executors import given, process_pool, run_on
from scenarios.studies.worker import Job, Ran
from tests.support.studies import MATMUL, B, D, F, stored, write

ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path, MATMUL)


@pytest.fixture
def scenario(file: str) -> Scenario:
    return load_scenario(file)


# Whoever runs it

CHANGES = {B: "1:12", D: [512, 0], "derive": {F: "16 * B"}}


@pytest.fixture
def reference(scenario: Scenario) -> pd.DataFrame:
    return sweep(scenario, CHANGES, jobs=1).frame


def test_threads_and_processes_make_the_same_table(scenario: Scenario, reference: pd.DataFrame) -> None:
    assert sweep(scenario, CHANGES, jobs=2).frame.equals(reference)
    with ThreadPoolExecutor(3) as threads:
        assert sweep(scenario, CHANGES, executor=threads).frame.equals(reference)


def test_any_executor_will_do(scenario: Scenario, reference: pd.DataFrame) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert sweep(scenario, CHANGES, executor=pool, jobs=1).frame.equals(reference)


def test_short_studies_stay_in_this_process(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_jobs: int) -> Iterator[None]:
        raise AssertionError("a pool was started")

    monkeypatch.setattr("scenarios.studies.executors.process_pool", refuse)
    assert sweep(scenario, CHANGES).ran == 24


def test_long_studies_move_to_a_pool(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, reference: pd.DataFrame
) -> None:
    started: list[int] = []

    def noted(jobs: int) -> Any:
        started.append(jobs)
        return process_pool(1)

    monkeypatch.setattr("scenarios.studies.executors.process_pool", noted)
    monkeypatch.setattr("scenarios.studies.executors.cpu_count", lambda: 2)
    monkeypatch.setattr("scenarios.studies.executors._TRIAL_S", 0.0)
    monkeypatch.setattr("scenarios.studies.executors._PAYS_S", 0.0)
    assert sweep(scenario, CHANGES).frame.equals(reference)
    assert started == [2]


def test_a_script_without_a_guard_is_told(tmp_path: Path, file: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"from scenarios import sweep\nsweep({file!r}, {{'{B}': [1, 2, 3]}}, jobs=2)\n")
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert "a script that sweeps needs `if __name__ == '__main__':`" in done.stderr


# Workers that die


class Deadly:
    """A value that kills the process that receives it; only the first time, if there is a file to note that."""

    def __init__(self, noted: Path | None = None) -> None:
        self.noted = noted

    def __reduce__(self) -> Any:
        return _die, (str(self.noted) if self.noted else "",)


def _die(noted: str) -> int:
    if noted and Path(noted).exists():
        return 48
    if noted:
        Path(noted).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_a_worker_that_dies_once_costs_nothing(scenario: Scenario, tmp_path: Path) -> None:
    tasks: list[tuple[int, dict[str, Any]]] = [(number, {B: 16 * number}) for number in range(1, 30)]
    tasks[2] = (3, {B: Deadly(tmp_path / "noted")})
    with process_pool(2) as workers:
        found = dict(run_on(workers, Job.of(scenario), tasks))
    assert sorted(found) == list(range(1, 30))
    assert [ran.error for ran in found.values()] == [""] * 29
    expected = sweep(scenario, {B: "16:464:+16"}, jobs=1)
    assert [found[number].as_dict()["time"] for number in range(1, 30)] == expected.frame["time"].tolist()


def test_a_point_that_always_kills_its_worker_is_an_error_and_no_other(scenario: Scenario) -> None:
    tasks: list[tuple[int, dict[str, Any]]] = [(number, {B: 16 * number}) for number in range(1, 20)]
    tasks[5] = (6, {B: Deadly()})
    with process_pool(1) as workers:
        found = dict(run_on(workers, Job.of(scenario), tasks))
    assert sorted(found) == list(range(1, 20))
    assert {number for number, ran in found.items() if ran.error} == {6}
    assert found[6].error == "no result in 3 tries: its worker died"
    assert not found[6].lasting


@pytest.mark.long
def test_a_broken_executor_of_the_users_is_told(scenario: Scenario) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(RunError, match="is broken"):
        list(run_on(given(pool, 1), Job.of(scenario), [(0, {B: Deadly()}), (1, {B: 16})]))


class Refusing(Executor):
    """An executor that never works."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        with ThreadPoolExecutor(1) as threads:
            return threads.submit(lambda: 1 / 0)


def test_an_executor_that_never_works_gives_rows_with_errors(scenario: Scenario) -> None:
    study = sweep(scenario, {B: [1, 2]}, executor=Refusing())
    assert [row.error for row in study.rows] == ["no result in 3 tries: ZeroDivisionError: division by zero"] * 2


class Modelled(Executor):
    """A worker that takes 7 ms for a point of a few, and together 100 ms and half a millisecond for each of many."""

    def __init__(self) -> None:
        self.took_s: list[float] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        count, done = len(args[1]), Future[Any]()
        self.took_s.append(min(7e-3 * count, 0.1 + 5e-4 * count))
        done.set_result(([Ran("{}")] * count, self.took_s[-1]))
        return done


def test_points_go_out_in_chunks_that_can_be_worked_out_together(scenario: Scenario) -> None:
    """Once chunks took less than what many cost together at first: none ever grew, and all cost as much as alone."""
    worker, tasks = Modelled(), [(number, {B: 16 + number}) for number in range(10_000)]
    assert len(dict(run_on(given(worker, 2), Job.of(scenario), tasks))) == 10_000
    assert sum(worker.took_s) < 7e-3 * 10_000 / 5
    assert max(worker.took_s) < 1.0  # and yet little is on the way when something stops


def test_a_defect_is_a_row_and_is_tried_again(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("oh")

    monkeypatch.setattr("scenarios.studies.worker.words_of", broken)
    study = sweep(scenario, {B: [1]}, store=tmp_path / "runs.db")
    assert study.rows[0].error == "defect of Overlapse: AssertionError: oh"
    monkeypatch.undo()
    again = sweep(scenario, {B: [1]}, store=tmp_path / "runs.db")
    assert (again.ran, again.failed) == (1, 0)


# Whatever stops it

SIZES = ["--vary", f"{B}=1:20", "--vary", f"{D}=1:15"]
RUNS = 300
MANY_SIZES, MANY_RUNS = ["--vary", f"{B}=1:60", "--vary", f"{D}=1:50"], 3_000
"""So many that a study cannot end before a signal gets to it, however busy the machine is."""


def start(
    file: str, store: Path, jobs: int, export: Path | None = None, sizes: Sequence[str] = SIZES
) -> subprocess.Popen[bytes]:
    where = ["--store", str(store), "--jobs", str(jobs), *(["--export", str(export)] if export else [])]
    # who starts the tests in the background leaves them a Ctrl-C that is ignored
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from scenarios.cli import main; main()"
    command = [sys.executable, "-c", code, "study", file, *sizes, *where]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=ROOT)


def wait_for_rows(store: Path, rows: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if store.exists() and stored(store) >= rows:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {rows} rows came: {process.communicate()}")


def test_killed_three_times_the_table_is_the_same(scenario: Scenario, file: str, tmp_path: Path) -> None:
    """SIGKILL at some moment, three times; the fourth run ends. The moments differ from run to run of this test."""
    store, before = tmp_path / "runs.db", 0
    for jobs, least in ((1, 40), (2, 60), (1, 30)):
        process = start(file, store, jobs, sizes=MANY_SIZES)
        wait_for_rows(store, before + least, process)
        time.sleep((time.perf_counter_ns() % 50) / 1e3)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        now = stored(store)
        assert before + least <= now < MANY_RUNS
        before = now
    export = tmp_path / "table.csv"
    process = start(file, store, 2, export, sizes=MANY_SIZES)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"{MANY_RUNS:,} rows, {MANY_RUNS - before:,} run now" in out.decode()
    undisturbed = sweep(scenario, {B: "1:60", D: "1:50"}, jobs=1)
    undisturbed.export(tmp_path / "undisturbed.csv")
    assert export.read_bytes() == (tmp_path / "undisturbed.csv").read_bytes()
    assert stored(store) == MANY_RUNS


def test_the_workers_of_a_killed_study_go_too(file: str, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    process = start(file, store, 2)
    wait_for_rows(store, 5, process)
    group = os.getpgid(process.pid)
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("workers are still there")


@pytest.mark.parametrize("everyone", [True, False])
def test_ctrl_c_keeps_what_has_finished(file: str, tmp_path: Path, everyone: bool) -> None:
    """From a terminal, where workers get the signal too, and to the process alone."""
    store = tmp_path / "runs.db"
    process = start(file, store, 2, sizes=MANY_SIZES)
    wait_for_rows(store, 20, process)
    (os.killpg if everyone else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=180)
    assert process.returncode == 130
    assert said.decode().strip() == f"stopped; what had finished is in {store}, the same command goes on from there"
    assert 20 <= stored(store) < MANY_RUNS


def test_every_worker_begins_with_ctrl_c_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool grows as work comes; a worker that is still importing must not answer Ctrl-C with a traceback."""
    masks = []
    start_process = SpawnProcess.start

    def watched(process: SpawnProcess) -> None:
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        start_process(process)

    monkeypatch.setattr(SpawnProcess, "start", watched)
    with process_pool(2) as workers:
        busy = [workers.executor.submit(time.sleep, 0.2) for _ in range(2)]
        assert [each.result() for each in busy] == [None, None]
    assert len(masks) == 2
    assert all(signal.SIGINT in mask for mask in masks)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_two_processes_work_on_one_store(scenario: Scenario, file: str, tmp_path: Path) -> None:
    store, tables = tmp_path / "runs.db", [tmp_path / "one.csv", tmp_path / "two.csv"]
    processes = [start(file, store, 1, table) for table in tables]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
    assert tables[0].read_bytes() == tables[1].read_bytes()
    assert stored(store) == RUNS
