"""`overlapse import`: what is printed and written, and what is refused, whatever the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from scenarios.cli import app
from scenarios.importers import FORMATS, Imported, ImportOptions, add_format
from tests.support.traces import kernel, written

HLO = """HloModule step

ENTRY %main (x: bf16[4096,4096]) -> bf16[4096,4096] {
  %x = bf16[4096,4096]{1,0} parameter(0)
  ROOT %y = bf16[4096,4096]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}
"""


def overlapse(*arguments: Any) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "step.txt"
    path.write_text(HLO)
    return path


def test_a_graph_is_printed_as_a_scenario_that_runs(module: Path, tmp_path: Path) -> None:
    printed = overlapse("import", module, "--chip", "tpu_v5p")
    assert printed.exit_code == 0
    (tmp_path / "printed.yaml").write_text(printed.stdout)
    result = overlapse("run", tmp_path / "printed.yaml", "--json")
    assert json.loads(result.stdout)["t_math"] == pytest.approx(2 * 4096**3 / 4.59e14)


def test_a_scenario_is_written_and_may_be_written_again(module: Path, tmp_path: Path) -> None:
    out = tmp_path / "step.yaml"
    for chip in ("h100_sxm", "h200"):
        assert overlapse("import", module, "--out", out, "--chip", chip).exit_code == 0
        assert f'chip: "{chip}"' in out.read_text()
    out.write_text("name: mine\n")
    refused = overlapse("import", module, "--out", out)
    assert refused.exit_code == 2
    assert "nothing is overwritten" in refused.output
    assert out.read_text() == "name: mine\n"


def test_a_replay_says_first_how_long_it_takes_beside_what_was_measured(tmp_path: Path) -> None:
    trace = written(tmp_path, [kernel("a", 0, 40), kernel("b", 50, 30)])
    shown = overlapse("import", trace, "--out", tmp_path / "replay.yaml")
    assert shown.output.splitlines()[0] == "replayed 80 us, measured 80 us (+0.00 %)"
    said = json.loads(overlapse("import", trace, "--as", "kineto", "--json").stdout)
    assert said["replayed"] == pytest.approx(said["measured"]) == pytest.approx(80e-6)
    assert said["between"] is None
    changed = json.loads(overlapse("import", trace, "--faster", "a=2", "--json").stdout)
    assert changed["replayed"] == pytest.approx(60e-6)
    assert changed["between"] == pytest.approx([60e-6, 80e-6])


def test_a_trace_of_no_length_is_replayed(tmp_path: Path) -> None:
    """How far the replay is off cannot be said of a run that took no time."""
    shown = overlapse("import", written(tmp_path, [kernel("a", 5, 0)]), "--out", tmp_path / "replay.yaml")
    assert shown.exit_code == 0
    assert shown.output.splitlines()[0] == "replayed 0 s, measured 0 s"


def test_a_trace_is_shown_where_no_scenario_is_asked_for(tmp_path: Path) -> None:
    trace = written(tmp_path, [kernel("a", 0, 40), kernel("b", 50, 30)])
    assert overlapse("import", trace).output.startswith("2 slices, 1 chip")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--as", "hol"], "--as:1:1: unknown format 'hol', did you mean 'hlo'?"),
        (["--chip", "h100"], "--chip:1:1: unknown chip 'h100'"),
        (["--unknown", "byte"], "--unknown:1:1: unknown value 'byte', did you mean 'bytes'?"),
        (["--dim", "batch"], "--dim:1:1: 'batch' is not of the form NAME=NUMBER"),
        (["--dim", "batch=2.5"], "a size is a whole number"),
        (["--faster", "gemm=0"], "--faster:1:1: 'gemm=0' is not of the form"),
        (["--faster", "gemm=2"], "--faster:1:1: this is for measured runs, not for hlo"),
        (["--onto", "h200", "--no-launches"], "--no-launches:1:1: this is for measured runs, not for hlo"),
        (["--buckets", "5 s"], "'5 s' is a time, --buckets wants"),
        (["--buckets", "0 MB"], "'0 MB' is no size above 0"),
        (["--out", "scenario.txt"], "unknown table format"),
        (["--dim", "batch=8"], "--dim:1:1: there is no dim 'batch' to give a size to: the file leaves none open"),
        (["--network", "dot"], "--network:1:1: this is for traces that are shown, not for scenarios"),
    ],
)
def test_what_is_said_wrongly_is_told(module: Path, more: list[str], message: str) -> None:
    result = overlapse("import", module, *more)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize("more", [["--chip", "h200"], ["--unknown", "bytes"], ["--dim", "batch=8"]])
def test_an_option_of_scenarios_is_refused_where_a_trace_is_shown(tmp_path: Path, more: list[str]) -> None:
    trace = written(tmp_path, [kernel("a", 0, 40)])
    result = overlapse("import", trace, *more)
    assert result.exit_code == 2
    assert f"{more[0]}:1:1: this is for scenarios" in result.output


def test_a_replay_leaves_no_dim_open(tmp_path: Path) -> None:
    trace = written(tmp_path, [kernel("a", 0, 40)])
    refused = overlapse("import", trace, "--out", tmp_path / "replay.yaml", "--dim", "batch=8")
    assert refused.exit_code == 2
    assert "there is no dim 'batch'" in refused.output


def test_files_of_two_formats_are_no_run(module: Path, tmp_path: Path) -> None:
    trace = written(tmp_path, [kernel("a", 0, 40)])
    refused = overlapse("import", module, trace, "--out", tmp_path / "both.yaml")
    assert refused.exit_code == 2
    assert "files of one run are of one format, not of hlo, kineto" in " ".join(refused.output.split())


def test_a_format_of_one_s_own_is_found_by_content(tmp_path: Path) -> None:
    class Lines:
        name = "lines"
        about = "op lines, one a line"

        def recognises(self, path: Path, head: bytes) -> bool:
            return head.startswith(b"lines\n")

        def read(self, paths: list[Path], options: ImportOptions) -> Imported:
            system = {"chip": options.chip or "h200"}
            return Imported(name="mine", about="", system=system, ops=paths[0].read_text().splitlines()[1:])

    before = dict(FORMATS)
    add_format(Lines())  # type: ignore[arg-type]
    try:
        with pytest.raises(ValueError, match="format 'lines' is already there"):
            add_format(Lines())  # type: ignore[arg-type]
        (tmp_path / "mine").write_text("lines\ny:bf16[8] = relu(x:bf16[8])\n")
        assert "- y:bf16[8] = relu(x:bf16[8])" in overlapse("import", tmp_path / "mine").stdout
    finally:
        FORMATS.clear()
        FORMATS.update(before)
