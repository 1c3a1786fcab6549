"""What a command writes: the place is checked before the work, and nothing of the user's is overwritten."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import read_timeline
from analysis.frames.tables import plain_names, without_formulas
from scenarios import load_scenario, sweep
from scenarios.outcome.outcome import WRITTEN
from tests.support.cases import overlapse

SCENARIO = """\
name: plain
system: {chip: tpu_v5e}
workload:
  dims: {B: 512, D: 1024}
  ops:
    - y:bf16[B,D] = relu(x:bf16[B,D])
study: {vary: {workload.dims.B: [256, 512]}}
expect: {lower_bound: {value: 2.55 us, tolerance: 50%}}
"""
TRACE = {"traceEvents": [{"ph": "X", "name": "=1+1", "cat": "kernel", "ts": 0, "dur": 5, "pid": 0, "tid": 7}]}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "plain.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(TRACE))
    return path


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any work is a mistake."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was done before the output was checked")

    monkeypatch.setattr("scenarios.outcome.outcome.summarise", work)
    monkeypatch.setattr("scenarios.cli.study_answer.run_study", work)
    monkeypatch.setattr("analysis.read_trace", work)


Asked = Callable[[Path], list[str | Path]]

COMMANDS: dict[str, tuple[str, Asked]] = {
    "report": ("plain.yaml", lambda out: ["report", out.parent / "plain.yaml", "--out", out]),
    "study": ("mine.csv", lambda out: ["study", out.parent / "plain.yaml", "--export", out]),
    "study parquet": ("mine.parquet", lambda out: ["study", out.parent / "plain.yaml", "--export", out]),
    "import": ("mine.csv", lambda out: ["import", out.parent / "measured.json", "--out", out]),
    "import parquet": ("mine.parquet", lambda out: ["import", out.parent / "measured.json", "--out", out]),
}


@pytest.mark.usefixtures("nothing_runs", "trace")
@pytest.mark.parametrize(("name", "asked"), COMMANDS.values(), ids=COMMANDS)
def test_the_users_own_file_is_refused_before_the_work(scenario: Path, name: str, asked: Asked) -> None:
    """The scenario itself, or any file that Overlapse has not written, whatever words stand in it."""
    out = scenario.parent / name
    if not out.exists():
        out.write_text("task,lower_bound_of_mine\n1,error\n")
    before = out.read_bytes()
    shown = overlapse(*asked(out))
    assert shown.exit_code == 2
    assert f"{out}:1:1: is there and was not written by Overlapse" in shown.stderr
    assert out.read_bytes() == before


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", WRITTEN)
def test_the_users_own_file_in_the_folder_is_refused_before_the_work(scenario: Path, name: str) -> None:
    own = scenario.parent / name
    own.write_text(json.dumps(TRACE))
    shown = overlapse("run", scenario, "--out", scenario.parent)
    assert shown.exit_code == 2
    assert f"{own}:1:1: is there and was not written by Overlapse" in shown.stderr
    assert json.loads(own.read_text()) == TRACE
    assert {path.name for path in scenario.parent.iterdir()} == {"plain.yaml", name}


@pytest.mark.long
@pytest.mark.usefixtures("trace")
@pytest.mark.parametrize("name", ["first.csv", "first.parquet"])
def test_what_was_written_before_is_written_again(scenario: Path, name: str) -> None:
    folder = scenario.parent
    (folder / "empty.html").write_text("")
    for arguments in (
        ["report", scenario, "--out", folder / "report.html"],
        ["report", scenario, "--out", folder / "empty.html"],
        ["study", scenario, "--export", folder / name],
        ["import", folder / "measured.json", "--out", folder / f"trace{name}"],
        ["run", scenario, "--out", folder / "run"],
    ):
        for _ in range(2):
            shown = overlapse(*arguments)
            assert shown.exit_code == 0, shown.stderr
    assert {path.name for path in (folder / "run").iterdir()} == set(WRITTEN)


@pytest.mark.usefixtures("nothing_runs", "trace")
@pytest.mark.parametrize(("name", "asked"), COMMANDS.values(), ids=COMMANDS)
def test_a_place_that_cannot_be_written_is_told_before_the_work(scenario: Path, name: str, asked: Asked) -> None:
    folder = scenario.parent / "nowhere"
    arguments = [
        str(each).replace("/nowhere/plain", "/plain").replace("/nowhere/measured", "/measured")
        for each in asked(folder / name)
    ]
    arguments[-1] = str(folder / name)
    shown = overlapse(*arguments)
    assert shown.exit_code == 2
    assert f"there is no folder '{folder}' to write to" in shown.stderr
    (folder / name).mkdir(parents=True)
    shown = overlapse(*arguments)
    assert shown.exit_code == 2
    assert "is a folder" in shown.stderr


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no file system here that nobody may write to")
def test_a_folder_without_the_right_to_write_is_told_before_the_work(scenario: Path) -> None:
    for arguments in (
        ["report", scenario, "--out", "/proc/report.html"],
        ["study", scenario, "--export", "/proc/t.csv"],
    ):
        shown = overlapse(*arguments)
        assert shown.exit_code == 2
        assert "cannot be written" in shown.stderr
    shown = overlapse("run", scenario, "--out", "/proc/new/folder")
    assert shown.exit_code == 2
    assert "is no folder to write to" in shown.stderr


@pytest.mark.usefixtures("nothing_runs")
def test_a_table_of_another_format_is_told_before_the_work(scenario: Path, trace: Path) -> None:
    for arguments in (["study", scenario, "--export"], ["import", trace, "--out"]):
        shown = overlapse(*arguments, scenario.parent / "table.xlsx")
        assert shown.exit_code == 2
        assert "Allowed: .csv, .parquet" in shown.stderr


def test_the_table_is_not_written_into_the_store(scenario: Path) -> None:
    both = scenario.parent / "runs.csv"
    shown = overlapse("study", scenario, "--store", both, "--export", both)
    assert shown.exit_code == 2
    assert not both.exists()


def test_a_table_that_there_is_not_is_refused(scenario: Path) -> None:
    table = scenario.parent / "found.csv"
    scenario.write_text(SCENARIO.replace("vary: {workload.dims.B: [256, 512]}", "what_if: {}"))
    shown = overlapse("study", scenario, "--export", table)
    assert shown.exit_code == 2
    assert "no table to export" in shown.stderr
    assert not table.exists()


def test_work_that_fails_leaves_nothing_behind(scenario: Path, trace: Path) -> None:
    scenario.write_text(SCENARIO.replace("relu", "rellu"))
    trace.write_text("[]")
    folder = scenario.parent
    for arguments in (
        ["report", scenario, "--out", folder / "a.html"],
        ["study", scenario, "--export", folder / "a.csv"],
        ["import", trace, "--out", folder / "b.csv"],
        ["run", scenario, "--out", folder / "new"],
    ):
        assert overlapse(*arguments).exit_code == 2
    assert {path.name for path in folder.iterdir()} == {"plain.yaml", "measured.json"}


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/null").exists(), reason="there is no device here that takes everything")
def test_a_device_may_be_an_output(scenario: Path) -> None:
    assert overlapse("report", scenario, "--out", os.devnull).exit_code == 0


# Formulas

FORMULAS = ["=1+1", "+cmd", "-2+3", "@sum", "\tx", "\r=1", "＝1", "'=1", "''+1", "=" * 3]
PLAIN = ["a", "'a'", "a=b", "-5", "+3", "-1e-9", "1 us", "", "'"]


def test_names_are_no_formulas_in_a_timeline(trace: Path) -> None:
    """Written, a name has an apostrophe before it; read again it is what it was."""
    events = [{**TRACE["traceEvents"][0], "name": name, "ts": 10 * at} for at, name in enumerate(FORMULAS + PLAIN[:3])]
    trace.write_text(json.dumps({"traceEvents": events}))
    table = trace.with_name("timeline.csv")
    assert overlapse("import", trace, "--out", table).exit_code == 0
    with table.open(newline="") as rows:
        cells = [cell for row in csv.reader(rows) for cell in row]
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r＝") and not _is_number(cell)]
    assert "'=1+1" in cells
    assert set(read_timeline(table)["op"]) == {str(event["name"]) for event in events}


def test_names_are_no_formulas_in_a_study(tmp_path: Path, scenario: Path) -> None:
    """Values that vary, the headings of their columns, and errors that quote them."""
    study = sweep(load_scenario(str(scenario)), {"run.efficiency": [{"=hbm": 0.5}, "=1+1"], "workload.dims.B": [64]})
    table = study.export(tmp_path / "study.csv")
    with table.open(newline="") as rows:
        cells = [cell for row in csv.reader(rows) for cell in row]
    assert "'=1+1" in cells
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r") and not _is_number(cell)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", FORMULAS)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(name: str) -> None:
    frame = pd.DataFrame({name: [name, "plain", 1.5]})
    quoted = without_formulas(frame)
    assert list(quoted.columns) == [f"'{name}"]
    assert list(quoted[f"'{name}"]) == [f"'{name}", "plain", 1.5]
    categories = without_formulas(pd.DataFrame({"op": pd.Categorical([name, "plain"])}))
    assert list(categories["op"]) == [f"'{name}", "plain"]


def test_numbers_and_plain_text_stay_as_they_are() -> None:
    frame = pd.DataFrame({"text": PLAIN, "number": [-1.0 * at for at in range(len(PLAIN))]})
    pd.testing.assert_frame_equal(without_formulas(frame), frame)


@given(st.lists(st.text("=+-@'a1\t\r\n", max_size=5), min_size=1, unique=True))
def test_names_come_back_exactly(names: list[str]) -> None:
    frame = pd.DataFrame({"text": names, "kind": pd.Categorical(names)})
    quoted = without_formulas(frame)
    assert all(_is_number(cell) or cell[:1] not in set("=+-@\t\r\n") for cell in quoted["text"])
    assert list(plain_names(quoted)["text"]) == names
    assert list(plain_names(quoted)["kind"]) == names


UNHEARD = {
    "run": (["run", "plain.yaml", "--out", "made"], "made/report.html"),
    "report": (["report", "plain.yaml", "--out", "made.html"], "made.html"),
    "study": (["study", "plain.yaml", "--export", "made.csv"], "made.csv"),
    "import": (["import", "measured.json", "--out", "made.csv"], "made.csv"),
    "replay": (["import", "measured.json", "--out", "made.yaml"], "made.yaml"),
}


@pytest.mark.usefixtures("scenario", "trace")
@pytest.mark.parametrize(("asked", "made"), UNHEARD.values(), ids=UNHEARD)
def test_what_is_written_is_written_though_nobody_reads_the_screen(tmp_path: Path, asked: list[str], made: str) -> None:
    """As in `overlapse run F --out D 2>&1 | head`: both streams lead to a pipe that nobody reads any more."""
    assert _unheard(tmp_path, asked) == 0
    assert (tmp_path / made).stat().st_size > 0
    assert overlapse(*_into(tmp_path, asked)).exit_code == 0  # whole, and known as ours


def test_a_search_goes_on_to_its_plot_and_fills_its_store_though_nobody_reads_the_screen(tmp_path: Path) -> None:
    """It tells its space before it begins: the pipe breaks before the first run."""
    trained = "name: s\nsystem: {base: dgx_h100}\nworkload: {model: gpt2, mode: train, batch: 8, seq: 256}\n"
    (tmp_path / "step.yaml").write_text(trained)
    searched = ["search", "step.yaml", "--vary", "tp=1", "--vary", "pp=1", "--vary", "zero=1", "--vary", "microbatch=1"]
    assert _unheard(tmp_path, [*searched, "--store", "kept.db"]) == 0
    assert (tmp_path / "kept.db").is_file()
    assert _unheard(tmp_path, [*searched, "--store", "kept.db", "--plot", "made.html"]) == 0
    assert "plotly" in (tmp_path / "made.html").read_text("utf-8")


@pytest.mark.parametrize("asked", [["run", "plain.yaml"], ["library"], ["study", "plain.yaml"], ["chips"]])
@pytest.mark.usefixtures("scenario")
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, asked: list[str]) -> None:
    assert _unheard(tmp_path, asked) == 0


def _unheard(folder: Path, asked: list[str]) -> int:
    """The exit code of the command where what it prints goes to a pipe without a reader."""
    read, write = os.pipe()
    os.close(read)
    beside = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "overlapse", *asked]
    try:
        return subprocess.run(
            command, cwd=folder, env=beside, stdout=write, stderr=write, timeout=120, check=False
        ).returncode
    finally:
        os.close(write)


def _into(folder: Path, asked: list[str]) -> list[str | Path]:
    """The same words, with files of a folder."""
    return [folder / word if "." in word or word == "made" else word for word in asked]
