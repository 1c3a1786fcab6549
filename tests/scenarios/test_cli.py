"""The command as a user meets it: output, exit codes, JSON, files, and the shipped schemas."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import OP_WORDS, WORDS
from hw import chip_names
from scenarios import LIBRARY, library_names, run, schema_of
from tests.support.cases import overlapse, problem_lines

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "examples"
BLOCK = "library:llama3_8b_block"
SCREEN_LINES = 23

PAIR = """\
name: pair
system: {chip: tpu_v5e, topology: line(2)}
workload:
  dims: {B: 4096, D: 8192, F: 8192}
  ops:
    - y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F], chunks=8)
    - z:bf16[B,F] = all_reduce(y, over=X, chunks=8)
run: {overlap: full}
"""


@pytest.fixture
def pair(tmp_path: Path) -> str:
    path = tmp_path / "pair.yaml"
    path.write_text(PAIR)
    return str(path)


def test_run_shows_one_screen() -> None:
    shown = overlapse("run", BLOCK)
    assert shown.exit_code == 0
    for word in (
        "bound by compute (89.3 % busy)",
        "lower",
        "upper",
        "spec",
        "peak memory",
        "would help",
        "matrix unit x2",
    ):
        assert word in shown.stdout


@pytest.mark.parametrize("name", sorted(library_names())[::9])
def test_a_run_fits_a_terminal_of_24_lines(name: str) -> None:
    """Up to what helps and what was assumed; what a file asks for beside (a study, money) stands below."""
    shown = overlapse("run", f"library:{name}")
    if shown.exit_code:
        assert "does not fit" in shown.stderr
        return
    lines = shown.stdout.splitlines()
    helps = next(at for at, line in enumerate(lines) if line.startswith("would help"))
    assert helps < SCREEN_LINES
    assert all(len(line) <= 80 for line in lines[: helps + 1])


MODEL = """\
name: m
about: A small step with everything a screen can have.
system: {base: dgx_h100}
workload: {model: {base: llama3_8b, layers: 6}, batch: 16, seq: 1024, parallel: {zero: 3, tp: 2}}
run: {overlap: full}
"""


@pytest.mark.long
def test_a_model_fits_too_and_says_what_is_exposed(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(MODEL)
    lines = overlapse("run", str(path)).stdout.splitlines()
    assert len(lines) <= SCREEN_LINES
    exposed = next(line for line in lines if line.startswith("exposed"))
    bare = run(str(path)).words["exposed_network"]
    assert isinstance(bare, float)
    assert f"{1e3 * bare:.4g} ms of communication" in exposed
    assert any(re.search(r"one of \d+ rounds", line) for line in lines)
    assert lines[-1] == "assumed      no latency on nvlink (no figure)"


def test_other_ways_to_run_are_suggested(pair: str, tmp_path: Path) -> None:
    """The chunks that the pair has save what the screen of the pair without them says."""
    whole = tmp_path / "whole.yaml"
    whole.write_text(PAIR.replace(", chunks=8", ""))
    shown = overlapse("run", str(whole)).stdout
    gain = 1 - run(pair).result.time_s / run(str(whole)).result.time_s
    assert f"chunks=8: -{100 * gain:.1f} %" in shown
    assert "chunks" not in overlapse("run", pair).stdout.rpartition("would help")[2]


def test_what_saves_next_to_nothing_is_not_suggested() -> None:
    shown = overlapse("run", "library:attention_flash_small_sram").stdout
    assert "would help   matrix unit x2: -31.4 %\n" in shown
    explained = overlapse("explain", "library:attention_flash_small_sram").stdout
    assert "perfect overlap inside" not in explained
    assert "-0.0 %" not in explained


def test_padding_is_told_where_it_matters(tmp_path: Path) -> None:
    op = "y:bf16[4096,{0}] = matmul(x:bf16[4096,{0}], w:bf16[{0},{0}])"
    text = f"name: p\nsystem: {{{{chip: tpu_v5e}}}}\nworkload: {{{{ops: ['{op}']}}}}\n"
    for size, matters in ((130, True), (4096, False)):
        path = tmp_path / f"{size}.yaml"
        path.write_text(text.format(size))
        assert ("no padding of dims to tiles (with it +" in overlapse("run", str(path)).stdout) is matters


def test_json_is_one_object_with_every_word_and_nothing_else(pair: str) -> None:
    shown = overlapse("run", pair, "--json")
    words = json.loads(shown.stdout)
    assert list(words) == ["name", *WORDS, "ops", "network"]
    assert set(words["ops"]) == {"y", "z"}
    for name, told in words["ops"].items():
        assert list(told) == ["kind", "rounds", *OP_WORDS]
        assert told["time"] == run(pair).words[f"ops.{name}.time"]
    assert words["time"] == run(pair).summary["time"]


def test_out_writes_timeline_trace_and_summary(pair: str, tmp_path: Path) -> None:
    assert overlapse("run", pair, "--out", str(tmp_path / "out")).exit_code == 0
    with (tmp_path / "out" / "timeline.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 2 * 16  # two chips, 8 chunks of two ops; a collective has a row per chip
    end = max(float(row["end"]) for row in rows)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert end == pytest.approx(summary["time"], rel=1e-12)
    trace = json.loads((tmp_path / "out" / "trace.json").read_text())["traceEvents"]
    slices = [event for event in trace if event["ph"] == "X"]
    assert len(slices) == len(rows)
    assert max(event["ts"] + event["dur"] for event in slices) == pytest.approx(1e6 * end, rel=1e-12)
    named = {(event["pid"], event["tid"]) for event in trace if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in slices} <= named
    assert {event["args"]["name"] for event in trace if event["name"] == "process_name"} == {
        "chip 0 (tpu_v5e, memory and arrows: chip 0, for 2 alike)",
        "chip 1 (tpu_v5e, memory and arrows: chip 0, for 2 alike)",
        "links (each for all that are alike)",
    }


def test_out_that_cannot_be_written_is_a_clear_error(pair: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = overlapse("run", pair, "--out", str(tmp_path / "file"))
    assert shown.exit_code == 2
    assert "file" in shown.stderr


def test_set_overrides_and_reports_its_own_mistakes(pair: str) -> None:
    once = json.loads(overlapse("run", pair, "--json").stdout)
    fast = json.loads(overlapse("run", pair, "--json", "--set", "system.set.links.ici.bandwidth=9e10 B/s").stdout)
    assert fast["t_network"] == pytest.approx(once["t_network"] / 2, rel=1e-12)
    wrong = overlapse("run", pair, "--set", "system.set.hbm.bandwith=1 TB/s", "--set", "nonsense")
    assert wrong.exit_code == 2
    wrong = overlapse("run", pair, "--set", "system.set.hbm.bandwith=1 TB/s")
    assert "--set:1:1: unknown key 'hbm.bandwith', did you mean 'hbm.bandwidth'" in wrong.stderr


def test_check_says_what_failed_and_how_far_off(tmp_path: Path) -> None:
    path = tmp_path / "claim.yaml"
    path.write_text(PAIR + "expect: {time: 1 ms, bound_by: network, t_host: 0 s}\n")
    shown = overlapse("check", str(path))
    assert shown.exit_code == 1
    assert "time: want 1 ms, got" in shown.stdout
    assert "bound_by" not in shown.stdout


def test_exit_3_for_what_cannot_be_run(tmp_path: Path) -> None:
    path = tmp_path / "stuck.yaml"
    path.write_text(
        "name: stuck\nsystem: {chip: tpu_v5e, topology: line(2)}\nworkload:\n"
        '  ops: ["s:bf16[64] = send(x:bf16[64], from=0, to=1)"]\n'
    )
    shown = overlapse("run", str(path))
    assert shown.exit_code == 3
    assert "deadlock: s (send on chip 0)" in shown.stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared examples are not beside this checkout")
def test_the_five_mistakes_of_the_bad_example() -> None:
    shown = overlapse("run", str(SHARED / "bad.yaml"))
    assert shown.exit_code == 2
    places = [line.split(": ", 1)[0].rsplit("bad.yaml:", 1)[1] for line in problem_lines(shown.stderr)]
    assert places == ["6:5", "7:19", "9:21", "12:21", "13:28"]
    for said in (
        "did you mean 'hbm.bandwidth'",
        "'80 GB/s' is a bandwidth, hbm.capacity wants bytes",
        "dim D is -8192",
        "unknown op kind 'relux', did you mean 'relu'",
        "unknown mesh axis 'X'",
    ):
        assert said in shown.stderr


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared examples are not beside this checkout")
@pytest.mark.parametrize("name", sorted(path.name for path in SHARED.glob("*.yaml") if path.name != "bad.yaml"))
def test_the_shared_examples_hold(name: str) -> None:
    shown = overlapse("check", str(SHARED / name))
    assert shown.exit_code == 0, shown.stdout


def test_chips_roofline_explain_sources_library() -> None:
    listed = overlapse("chips").stdout
    assert all(name in listed for name in chip_names())
    one = overlapse("chips", "h100_sxm").stdout
    assert "ridge points" in one
    assert "295.2" in one
    assert "data sheet" in one
    assert "FLOP/B" in overlapse("roofline", "h100_sxm").stdout
    assert (
        "ridge 179.8 from on_chip" in overlapse("roofline", "h100_sxm", "--level", "on_chip").stdout
    )  # 9.89e14 / 5.5e12
    refused = overlapse("roofline", "h100_sxm", "--level", "l3")
    assert (refused.exit_code, "unknown memory of h100_sxm 'l3'" in refused.stderr) == (2, True)
    assert "down" in overlapse("roofline", BLOCK).stdout
    explained = overlapse("explain", BLOCK).stdout
    assert "bound by compute" in explained
    assert "llama3_8b_block.yaml:" in explained.replace("\n", "")
    assert "NVIDIA" in overlapse("sources", BLOCK).stdout
    assert BLOCK in overlapse("library").stdout


def test_wrong_names_are_answered_with_the_nearest() -> None:
    for command in (["chips", "h100_sxn"], ["run", "library:llama3_8b_blok"], ["schema", "scenari"]):
        shown = overlapse(*command)
        assert shown.exit_code == 2
        assert "did you mean" in shown.stderr


def test_the_shipped_schemas_are_the_models() -> None:
    assert json.loads((ROOT / "scenarios" / "scenario.schema.json").read_text()) == schema_of("scenario")
    assert json.loads((ROOT / "hw" / "chip.schema.json").read_text()) == schema_of("chip")


def test_every_shipped_file_names_its_schema() -> None:
    for folder, schema in ((LIBRARY, "scenario.schema.json"), (ROOT / "hw" / "catalog", "chip.schema.json")):
        for path in folder.rglob("*.yaml"):
            first = path.read_text(encoding="utf-8").splitlines()[0]
            assert first.startswith("# yaml-language-server: $schema=")
            assert (path.parent / first.partition("$schema=")[2]).resolve().name == schema
            assert (path.parent / first.partition("$schema=")[2]).resolve().is_file(), path


def test_library_names_are_unique() -> None:
    assert len(library_names()) == len(list(LIBRARY.rglob("*.yaml")))


def test_json_is_byte_identical_under_any_hash_seed(pair: str) -> None:
    """Eight interpreters, eight seeds, one output: an order that a seed decides shows in one of two."""
    code = "import sys; from scenarios.cli import main; sys.argv = ['overlapse', 'run', sys.argv[1], '--json']; main()"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, pair],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(8)
    }
    assert len(outputs) == 1


def test_a_notebook_shows_a_table_and_escapes_names(tmp_path: Path) -> None:
    path = tmp_path / "html.yaml"
    path.write_text(PAIR.replace("name: pair", "name: <script>alert(1)</script>"))
    html = run(str(path))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "lower_bound" in html


def test_timeline_is_a_frame_with_the_promised_columns(pair: str) -> None:
    frame = run(pair).timeline
    assert list(frame.columns) == [
        "task",
        "op",
        "kind",
        "chip",
        "queue",
        "chunk",
        "begin",
        "end",
        "waiting",
        "does",
        "message",
    ]
    assert (frame["end"] >= frame["begin"]).all()
    assert set(frame.groupby("chip", observed=True).size()) == {16}


def test_vary_gives_a_row_per_run_and_errors_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(PAIR + "study: {vary: {workload.dims.B: [512, 4096], workload.dims.D: [8192, 8191]}}\n")
    rows = run(str(path)).study
    assert len(rows) == 4
    assert list(rows["error"].astype(bool)) == [False, True, False, True]
    assert rows["time"].iloc[0] < rows["time"].iloc[2]
    assert overlapse("run", str(path)).exit_code == 0


def test_find_reports_that_nothing_was_found(tmp_path: Path) -> None:
    path = tmp_path / "find.yaml"
    study = "study: {find: {smallest: workload.dims.D, from: 2, to: 8, where: t_math >= t_network}}\n"
    path.write_text(PAIR + study)
    assert run(str(path)).found is None
    assert "none" in overlapse("run", str(path)).stdout


def test_an_error_in_find_is_an_error_not_false(tmp_path: Path) -> None:
    path = tmp_path / "find.yaml"
    study = "study: {find: {smallest: workload.dims.D, from: 2, to: 8, step: 1, where: t_math >= t_network}}\n"
    path.write_text(PAIR + study)
    shown = overlapse("run", str(path))
    assert shown.exit_code == 2
    assert "workload.dims.D = 3" in shown.stderr
