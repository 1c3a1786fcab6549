"""Programs that measure a GPU, as far as a CPU goes: what they write is what `validate` and `calibrate` read, operators do
the FLOPs that their rows name, models have the parameters that descriptions of them have; what a repetition on a GPU is."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hw import RunError, System, load_chip
from scenarios.bench import SUITES, Bench, Timed, bench_of, measured, rows_text
from scenarios.validation import Row, model_of, operator_graph, read_rows
from scenarios.validation.steps import step_graph
from simulator import simulate
from simulator.models import parameters
from tests.support.cases import overlapse

UNKNOWN = {("stream", "h2d"), ("stream", "d2h"), ("memory", "transpose_copy"), ("conv", "batch_norm_train_bwd")}
"""Operators that are measured and not predicted."""

JUDGED_APART = {"launch", "sustained"}
"""Suites that say what an eager host and power do, and are no rows of one operator."""


class Recorded:
    """A GPU of which only the order is known in which it is asked for things."""

    def __init__(self) -> None:
        self.said: list[str] = []
        cuda = SimpleNamespace(
            Event=lambda enable_timing: self,
            _sleep=lambda cycles: self.said.append("spin"),
            synchronize=lambda: self.said.append("wait"),
            get_device_properties=lambda number: SimpleNamespace(L2_cache_size=1),
        )
        self.torch = SimpleNamespace(
            cuda=cuda, uint8="uint8", empty=lambda *_, **__: self, OutOfMemoryError=MemoryError
        )

    def record(self) -> None:
        self.said.append("mark")

    def zero_(self) -> None:
        self.said.append("flush")

    def elapsed_time(self, end: Any) -> float:
        return 0.25


def test_a_repetition_is_flushed_then_spun_then_marked_round_the_work() -> None:
    gpu = Recorded()
    bench = Bench(gpu.torch, "cuda", dry=False)
    bench.time("stream", "copy", lambda: gpu.said.append("work"), {"mib": 4, "nbytes": 8}, repeats=2)
    once = ["flush", "spin", "mark", "work", "mark", "wait"]
    assert gpu.said == ["work"] * 3 + ["wait"] + once * 2
    (row,) = bench.rows
    assert (row.times_us, row.nbytes, row.params) == ((250.0, 250.0), 8, {"mib": 4, "l2": "flush"})
    gpu.said.clear()
    bench.time("launch", "eager", lambda: gpu.said.append("work"), {}, repeats=1, warm=True, spins=False)
    assert gpu.said[4:] == ["mark", "work", "mark", "wait"]


def test_what_cannot_be_measured_is_told_and_the_rest_goes_on() -> None:
    bench = Bench(Recorded().torch, "cpu", dry=True)
    bench.attempt("one", lambda: (_ for _ in ()).throw(NotImplementedError("no fp8 here\nat all")))
    bench.time("stream", "copy", lambda: None, {"mib": 1})
    bench.ends_at = 0.0
    bench.time("stream", "add", lambda: None, {"mib": 1})
    assert [row.name for row in bench.rows] == ["copy"]
    assert bench.left_out == ["one: no fp8 here", "stream add: the budget is spent"]
    with pytest.raises(ZeroDivisionError):  # a fault of a program is no lack of the device
        Bench(Recorded().torch, "cpu", dry=True).attempt("two", lambda: 1 / 0)


def test_rows_are_read_as_they_were_timed(tmp_path: Path) -> None:
    bench = Bench(SimpleNamespace(__version__="0"), "cpu", dry=True)
    bench.rows = [
        Timed("matmul", "square", (3.0, 1.0, 2.5), {"m": 8, "n": 8, "k": 8, "l2": "flush"}),
        Timed("train", "tiny", (5.0,), {"batch": 1}, mode="eager", phase="step", peak_bytes=7),
    ]
    path = tmp_path / "rows.csv"
    path.write_text(rows_text(bench))
    one, other = read_rows(path)
    assert (one.suite, one.name, one.params["m"], one.is_step) == ("matmul", "square", 8, False)
    assert one.measured_s == pytest.approx(1e-6)  # its median is spoiled
    assert (other.mode, other.phase, other.is_step) == ("eager", "step", True)
    assert other.measured_s == pytest.approx(5e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
def test_few_repetitions_are_read_back_too(tmp_path: Path, count: int) -> None:
    """The late time is one of them, and none before the median: with two it is the later one."""
    times = tuple(float(at + 1) for at in range(count))
    bench = Bench(SimpleNamespace(__version__="0"), "cpu", dry=True)
    bench.rows = [Timed("matmul", "square", times, {"m": 8, "n": 8, "k": 8, "l2": "flush"})]
    path = tmp_path / "rows.csv"
    path.write_text(rows_text(bench))
    (row,) = read_rows(path)
    cells = dict(zip(*(line.split(",") for line in path.read_text().replace(", ", ";").splitlines()[1:]), strict=False))
    assert times[0] <= row.measured_s * 1e6 <= times[-1]
    assert float(cells["t_med_us"]) <= float(cells["t_p90_us"]) <= times[-1]


def test_wrong_words_are_refused_all_at_once() -> None:
    told = overlapse("bench", "gqu", "--suite", "matmul,steam")
    assert told.exit_code == 2
    assert "unknown suite 'steam', did you mean 'stream'?" in told.stderr
    assert "unknown device 'gqu', did you mean 'gpu'?" in told.stderr


def test_without_pytorch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(RunError, match=r"overlapse\[torch\]"):
        bench_of(dry=True, budget_s=1.0)


# With PyTorch: a dry run of all suites.


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, list[Row]]:
    pytest.importorskip("torch", reason="PyTorch is not here: pip install '.[torch]'", exc_type=ImportError)
    bench = bench_of(dry=True, budget_s=600.0)
    measured(list(SUITES), bench, lambda _line: None)
    path = tmp_path_factory.mktemp("bench") / "rows.csv"
    path.write_text(rows_text(bench))
    return bench, read_rows(path)


def test_all_but_streams_is_carried_out_on_a_cpu(dry: tuple[Bench, list[Row]]) -> None:
    bench, rows = dry
    assert [each for each in bench.left_out if "fp8" not in each and "grouped" not in each] == [
        "overlap: a CPU has no streams"
    ]
    assert {row.suite for row in rows} == SUITES.keys() - {"overlap"}


def test_what_is_measured_is_what_is_predicted(dry: tuple[Bench, list[Row]]) -> None:
    for row in dry[1]:
        if row.is_step:
            assert (step_graph(row) is not None) == (row.phase == "step"), row
        elif row.suite not in JUDGED_APART and (row.suite, row.name) not in UNKNOWN:
            assert operator_graph(row) is not None, row


def test_operators_do_the_flops_that_their_rows_name(dry: tuple[Bench, list[Row]]) -> None:
    found = 0
    for timed, row in zip(dry[0].rows, dry[1], strict=True):
        if row.suite in ("matmul", "conv") and timed.flops:
            graph = operator_graph(row)
            assert graph is not None
            kernels = simulate(graph, System(load_chip("h100_sxm"))).plan.kernels
            assert sum(each.kernel.matrix_flops for each in kernels) == timed.flops, row
            found += 1
    assert found > 8


def test_models_have_the_parameters_of_their_descriptions(dry: tuple[Bench, list[Row]]) -> None:
    steps = [row for row in dry[1] if row.phase == "step" and "parameters" in row.params]
    assert len(steps) >= 5
    for row in steps:
        assert parameters(model_of(row.params)).total == row.params["parameters"], row
