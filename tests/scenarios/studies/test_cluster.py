"""Studies on a dask.distributed cluster: a scheduler and two worker processes on loopback, one of which dies half-way."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hw import RunError, SpecError
from scenarios import Scenario, dask_cluster, load_scenario, sweep
from scenarios.cli import app
from scenarios.studies.executors import Workers
from scenarios.studies.sweeps import HowToRun, asking, run_study

if importlib.util.find_spec("distributed") is None:
    pytest.skip("the cluster's tests need dask.distributed", allow_module_level=True)

ROOT = Path(__file__).parents[3]
REFERENCE = "library:ten_times_flops"
B = "workload.dims.B"
LOOPBACK = ["--host", "127.0.0.1", "--no-dashboard"]
START_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def dask() -> None:
    """dask's own imports warn, on some versions of Python and of what it imports. Not where tests are collected: it
    takes more than a second, which all who run other tests would pay for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("distributed")


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--scheduler-file", str(self.file))
        self.workers: list[subprocess.Popen[bytes]] = []
        self.wait(self.file.exists)
        self.wait(lambda: bool(self.file.read_text().strip()))
        self.address: str = json.loads(self.file.read_text())["address"]

    def _start(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{what}", *LOOPBACK, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=quiet, stderr=quiet)

    def add(self) -> subprocess.Popen[bytes]:
        """One more worker, with one thread."""
        name = f"worker-{len(self.workers)}"
        options = ["--nthreads", "1", "--no-nanny", "--name", name, "--local-directory", str(self.folder)]
        self.workers.append(self._start("dask_worker", self.address, *options))
        return self.workers[-1]

    def wait(self, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + START_S
        while not ready():
            if time.monotonic() > until or self.scheduler.poll() is not None:
                raise AssertionError("the cluster did not start")
            time.sleep(0.05)

    def wait_for(self, workers: int) -> None:
        """Until so many workers are there."""
        from distributed import Client

        client = Client(self.address, set_as_default=False)  # type: ignore[no-untyped-call]
        try:
            client.wait_for_workers(workers, timeout=START_S)
        finally:
            client.close()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        for _ in range(2):
            started.add()
        started.wait_for(2)
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(REFERENCE)


def test_a_cluster_with_a_worker_that_dies_makes_the_same_table(
    cluster: Cluster, scenario: Scenario, tmp_path: Path
) -> None:
    """Half-way: after half of the rows have come back. The other worker does the rest."""
    asked = asking(scenario, {B: "16:2400:+16", "run.overlap": "full, none"})
    undisturbed = sweep(asked, jobs=1).frame
    with dask_cluster(cluster.address) as workers:
        assert workers.count == 2
        killer = Killer(workers, cluster.workers[0], after=150)
        study = run_study(asked, HowToRun(tmp_path / "runs.db", workers=killer.workers))
    assert killer.killed
    assert cluster.workers[0].wait(timeout=30) == -signal.SIGKILL
    assert study.ran == 300
    assert study.frame.equals(undisturbed)
    assert sweep(asked, store=tmp_path / "runs.db").ran == 0
    cluster.add()
    cluster.wait_for(2)


class Killer:
    """Passes work on to a cluster, and kills a worker while its results come in."""

    def __init__(self, workers: Workers, victim: subprocess.Popen[bytes], after: int) -> None:
        self.inner, self.victim, self.left = workers.executor, victim, after
        self.workers = Workers(self, workers.count)  # type: ignore[arg-type]

    @property
    def killed(self) -> bool:
        return self.left <= 0

    def submit(self, work: Callable[..., object], job: object, points: list[object]) -> object:
        """Points that go out stand for as many that have come back, but for a few."""
        if self.left > 0 >= self.left - len(points):
            self.victim.send_signal(signal.SIGKILL)
        self.left -= len(points)
        return self.inner.submit(work, job, points)


def test_the_command_runs_on_a_cluster(cluster: Cluster) -> None:
    shown = CliRunner().invoke(app, ["study", REFERENCE, "--cluster", cluster.address, "--json"])
    assert shown.exit_code == 0
    rows = json.loads(shown.stdout)["study"]
    assert rows == sweep(REFERENCE, jobs=1).records()


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenarios.studies.executors._CONNECT_S", 0.5)
    with (
        pytest.raises(RunError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"),
        dask_cluster("tcp://127.0.0.1:9"),
    ):
        raise AssertionError("connected")
    with pytest.raises(SpecError, match="'nonsense://x' is no address of a scheduler"), dask_cluster("nonsense://x"):
        raise AssertionError("connected")


@pytest.mark.long
def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RunError, match=r"pip install 'overlapse\[cluster\]'"), dask_cluster("tcp://127.0.0.1:9"):
        raise AssertionError("connected")
