"""Overrides belong to the chip beside which they were written, and are what-ifs: no self-check is held against them.

The workload is one matmul that is bound by compute on every chip here, so its time is 2 B D F over the peak.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from hw import SpecError, load_chip
from scenarios import compare, crossover, load_scenario, run, sweep, what_if
from scenarios.language.study_spec import CrossoverSpec
from scenarios.outcome.explain import reasons
from tests.support.cases import MATMUL, overlapse, written

FLOPS = 2 * 8192**3
A100, H100 = 312e12, 989e12
SLOW = 100e12
WORKLOAD = """\
workload:
  dims: {B: 8192, D: 8192, F: 8192}
  ops: ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]
run: {overlap: full}
"""
ON_A100 = "name: base\nsystem: {chip: a100_80gb_sxm, set: {matrix_unit.peak.bf16: 100 TFLOP/s}}\n" + WORKLOAD
TOY = (
    "{name: toy, matrix_unit: {peak: {bf16: 10 TFLOP/s}}, vector_unit: {peak: {fp32: 1 TFLOP/s}}, "
    "hbm: {capacity: 9 GB, bandwidth: 9 TB/s}}"
)


def close(seconds: object, peak: float) -> bool:
    return seconds == pytest.approx(FLOPS / peak, rel=1e-9)


def test_a_map_that_an_override_makes_is_wrong_there(tmp_path: Path) -> None:
    """Not in the line of the file above it, which nobody has to change."""
    path = tmp_path / "m.yaml"
    path.write_text(MATMUL, encoding="utf-8")
    for command, place in (("run", "--set"), ("study", "--vary")):
        shown = overlapse(command, path, place, "workload.dim.B=3,4" if command == "study" else "workload.dim.B=3")
        assert shown.exit_code == 2
        assert shown.stderr.startswith(f"{place}:1:1: unknown key 'workload.dim', did you mean 'workload.dims'?")


def test_the_figures_here_are_the_catalogues() -> None:
    for name, peak in (("a100_80gb_sxm", A100), ("h100_sxm", H100)):
        assert load_chip(name).matrix_unit.peak_flops_per_s["bf16"] == peak


# Whose figures they are


@pytest.mark.parametrize(
    ("changes", "peak"),
    [
        ((), SLOW),
        (("system.chip=a100_80gb_sxm",), SLOW),  # the chip that it was
        (("system.chip=h100_sxm",), H100),
        (("system.chip=h100_sxm", "system.set.matrix_unit.peak.bf16=5e13"), 5e13),
        (("system.set.matrix_unit.peak.bf16=5e13", "system.chip=h100_sxm"), 5e13),
        (("system.chip=h100_sxm", "system.set.hbm.bandwidth=3 TB/s"), H100),  # another figure is no restatement
        (("system={chip: h100_sxm, set: {matrix_unit.peak.bf16: 5e13}}",), 5e13),
        (("system={chip: h100_sxm}",), H100),
        ((f"system.chip={TOY}",), 10e12),
    ],
)
def test_another_chip_on_the_command_line_leaves_the_figures_behind(
    tmp_path: Path, changes: tuple[str, ...], peak: float
) -> None:
    assert close(run(written(tmp_path, ON_A100), changes).summary["time"], peak)


@pytest.mark.parametrize(
    ("system", "peak"),
    [
        ("{chip: h100_sxm}", H100),
        ("{chip: a100_80gb_sxm}", SLOW),
        ("{chip: h100_sxm, set: {matrix_unit.peak.bf16: 50 TFLOP/s}}", 50e12),
        ("{chip: h100_sxm, set: {hbm.bandwidth: 3 TB/s}}", H100),
        ("{chip: h100_sxm, set: null}", H100),
        ("{chip: null, chips: [2 x h100_sxm], topology: ring(2)}", H100),
        ("{chip: null, chips: [2 x a100_80gb_sxm], topology: ring(2)}", SLOW),
        ("{chip: null, base: dgx_h100}", H100),
    ],
)
def test_a_file_that_extends_another_with_another_chip_leaves_the_figures_behind(
    tmp_path: Path, system: str, peak: float
) -> None:
    written(tmp_path, ON_A100)
    top = written(tmp_path, f"extends: scenario.yaml\nname: top\nsystem: {system}\n", "top.yaml")
    outcome = run(top)
    assert close(outcome.summary["time"], peak)
    left = peak == H100 and "null}" not in system.replace("chip: null", "")
    assert bool(outcome.scenario.notes) is left


def test_every_result_says_what_was_left_behind(tmp_path: Path) -> None:
    path = written(tmp_path, ON_A100)
    outcome = run(path, ["system.chip=h100_sxm"])
    said = "system.set is about a100_80gb_sxm, not h100_sxm; left behind: matrix_unit.peak.bf16"
    assert outcome.as_json()["notes"] == [said]
    assert said in outcome.report()
    assert said in list(reasons(outcome.words, outcome.notes, outcome.sharding))
    assert "notes" not in run(path).as_json()
    compared = compare(load_scenario(path), load_scenario(path, ["system.chip=h100_sxm"])).as_json()
    assert ("notes" in compared["a"], compared["b"]["notes"]) == (False, [said])
    edit = what_if(load_scenario(path), ["chip=h100_sxm"]).edits[0]
    assert close(edit.time, H100)
    assert edit.note == said
    own = ["chip=h100_sxm", "system.set.matrix_unit.peak.bf16=2e13"]
    for joined in (own, own[::-1]):  # what one edit gives with its chip is about that chip
        (both,) = what_if(load_scenario(path), [" & ".join(joined)]).edits
        assert (close(both.time, 2e13), both.note) == (True, "")


def test_a_study_over_chips_leaves_the_figures_behind_row_by_row(tmp_path: Path) -> None:
    chips = ["a100_80gb_sxm", "h100_sxm"]
    study = sweep(written(tmp_path, ON_A100), {"system.chip": chips}, jobs=1)
    for row, peak in zip(study.rows, (SLOW, H100), strict=True):
        assert close(row.words["time"], peak)
    assert [bool(row.note) for row in study.rows] == [False, True]
    assert list(study.frame["note"] != "") == [False, True]
    assert "hbm" not in json.dumps(study.records()[1]["note"])


def test_a_study_over_chips_and_figures_keeps_what_it_gives_itself(tmp_path: Path) -> None:
    path = written(tmp_path, ON_A100)
    grid = {"system.chip": ["a100_80gb_sxm", "h100_sxm"], "system.set.matrix_unit.peak.bf16": ["20 TFLOP/s", 4e13]}
    study = sweep(path, grid, jobs=1)
    for row, peak in zip(study.rows, (2e13, 4e13, 2e13, 4e13), strict=True):
        assert close(row.words["time"], peak)
        assert not row.note


def test_a_stored_row_of_another_chip_is_that_of_the_chip_alone(tmp_path: Path) -> None:
    """What is left behind is no part of what a row is known by."""
    path = written(tmp_path, ON_A100)
    bare = written(tmp_path, ON_A100.replace(", set: {matrix_unit.peak.bf16: 100 TFLOP/s}", ""), "bare.yaml")
    store = tmp_path / "rows.db"
    first = sweep(bare, {"system.chip": ["h100_sxm"]}, store=store, jobs=1)
    again = sweep(path, {"system.chip": ["h100_sxm"]}, store=store, jobs=1)
    assert again.ran == 0
    assert again.rows[0].words == first.rows[0].words


def test_a_chip_file_by_its_path_is_another_chip_too(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(TOY)
    study = sweep(written(tmp_path, ON_A100), {"system.chip": ["./toy.yaml"]}, jobs=1)
    assert close(study.rows[0].words["time"], 10e12)
    assert "not ./toy.yaml" in study.rows[0].note


def test_unlike_chips_keep_figures_of_theirs_whatever_their_numbers(tmp_path: Path) -> None:
    """Two slow chips of three keep what was said of both kinds; a third kind does not take it over."""
    mixed = ON_A100.replace("chip: a100_80gb_sxm", "chips: [a100_80gb_sxm, h100_sxm], topology: line(2)")
    path = written(tmp_path, mixed)
    counts = run(path, ["system.chips=[2 x h100_sxm, 1 x a100_80gb_sxm]", "system.topology=ring(3)"])
    assert close(counts.summary["time"], SLOW)
    assert not counts.scenario.notes
    other = run(path, ["system.chips=[2 x h100_sxm]"])
    assert close(other.summary["time"], SLOW)  # one of the two kinds that the figures are about
    strange = run(path, ["system.chips=[h100_sxm, v100_sxm2_32gb]"])
    assert strange.scenario.notes


def test_figures_of_a_system_file_stay_with_its_chip(tmp_path: Path) -> None:
    """The DGX-1's ports are the V100's: an A100 in its place has its own."""
    text = "name: node\nsystem: {base: dgx_v100, nodes: 1}\n" + WORKLOAD
    path = written(tmp_path, text)
    assert load_scenario(path).system.chip.links["infiniband"].bytes_per_s == 12.5e9
    other = load_scenario(path, ["system.chip=a100_80gb_sxm"])
    assert other.system.chip.links["infiniband"] == load_chip("a100_80gb_sxm").links["infiniband"]
    assert any("links.infiniband.bandwidth" in note for note in other.notes)


def test_a_map_over_chips_leaves_the_figures_behind(tmp_path: Path) -> None:
    asked = CrossoverSpec.model_validate(
        {
            "x": {"path": "workload.dims.B", "values": [8192]},
            "y": {"path": "system.chip", "values": ["a100_80gb_sxm", "h100_sxm"]},
            "where": "t_math <= 5 ms",
        }
    )
    found = crossover(load_scenario(written(tmp_path, ON_A100)), asked)
    assert found is not None
    assert [row.x for row in found.rows] == [None, 8192]  # 11.0 ms at 100 TFLOP/s, 1.1 ms on an H100
    assert [bool(row.note) for row in found.rows] == [False, True]


# What-ifs


@pytest.mark.parametrize("derived", ["", "matrix_unit.derived: null, "])
def test_a_peak_alone_may_be_overridden(tmp_path: Path, derived: str) -> None:
    """What the catalogue derives its peak from is not held against a what-if."""
    text = f"name: peak\nsystem: {{chip: a100_80gb_sxm, set: {{{derived}matrix_unit.peak.bf16: 5e14}}}}\n{WORKLOAD}"
    assert close(run(written(tmp_path, text)).summary["time"], 5e14)


@pytest.mark.parametrize("chip", ["a100_80gb_sxm", "h100_sxm", "tpu_v5e"])
@pytest.mark.parametrize("peak", ["1e15", "500 TFLOP/s"])
def test_a_peak_alone_may_be_set_on_the_command_line(tmp_path: Path, chip: str, peak: str) -> None:
    text = f"name: peak\nsystem: {{chip: {chip}}}\n{WORKLOAD}"
    found = run(written(tmp_path, text), [f"system.set.matrix_unit.peak.bf16={peak}"])
    assert close(found.words["t_math"], 1e15 if peak == "1e15" else 5e14)


def test_a_clock_alone_may_be_overridden(tmp_path: Path) -> None:
    """The peak is what counts; the clock is what it was checked against."""
    found = run(written(tmp_path, ON_A100), ["system.set.matrix_unit.derived.clock=1 GHz"])
    assert close(found.summary["time"], SLOW)


DERIVED = TOY.replace(
    "bf16: 10 TFLOP/s}", "bf16: 10 TFLOP/s}, derived: {units: 10, flops_per_cycle: 1000, clock: 1 GHz}"
)


def test_a_peak_of_an_inline_chip_may_be_changed_from_outside(tmp_path: Path) -> None:
    path = written(tmp_path, f"name: inline\nsystem: {{chip: {DERIVED}}}\n{WORKLOAD}")
    assert close(run(path).summary["time"], 10e12)
    assert close(run(path, ["system.chip.matrix_unit.peak.bf16=2e13"]).summary["time"], 2e13)
    study = sweep(path, {"system.chip.matrix_unit.peak.bf16": [2e13]}, jobs=1)
    assert close(study.rows[0].words["time"], 2e13)


def test_a_peak_of_an_inline_chip_may_be_changed_beside_it(tmp_path: Path) -> None:
    text = f"name: inline\nsystem: {{chip: {DERIVED}, set: {{matrix_unit.peak.bf16: 2e13}}}}\n{WORKLOAD}"
    assert close(run(written(tmp_path, text)).summary["time"], 2e13)


def test_what_one_file_says_of_a_chip_must_still_agree(tmp_path: Path) -> None:
    wrong = DERIVED.replace("bf16: 10 TFLOP/s", "bf16: 11 TFLOP/s")
    with pytest.raises(
        SpecError,
        match=r"scenario.yaml:2:.*units x flops_per_cycle x clock gives 10 TFLOP/s, the bf16 peak says 11 TFLOP/s",
    ):
        run(written(tmp_path, f"name: inline\nsystem: {{chip: {wrong}}}\n{WORKLOAD}"))


def test_an_entry_of_unlike_chips_may_override_a_peak_alone(tmp_path: Path) -> None:
    entry = "{chip: h100_sxm, set: {matrix_unit.peak.bf16: 5e14}}"
    text = f"name: entry\nsystem: {{chips: [h100_sxm, {entry}], topology: line(2)}}\n{WORKLOAD}"
    assert close(run(written(tmp_path, text)).words["t_math"], 5e14)


def test_an_impossible_override_is_still_refused_where_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--set:1:\d+: memory must not get faster away from the chip"):
        run(written(tmp_path, ON_A100), ["system.set.host.bandwidth=9 TB/s"])


# Names that nothing reads


def test_kernel_times_of_kinds_that_there_are_not_are_refused(tmp_path: Path) -> None:
    """In a chip file and in what a scenario sets, whatever the profile of the run."""
    attention = "{rate: 80 %, pair: 28, tail: 0.5}"
    matmul = "{rate: {bf16: 80 %}, tiles: [[128, 128]], feed: 2, tile: 1 us, split: 3 us}"
    kernels = f"{{source: made up, start: 2 us, hbm: 90 %, matmul: {matmul}, attention: {attention}, "
    kernels += f"attention_backward: {attention}, kinds: {{KIND: {{passes: 3}}}}}}"
    setting = f"name: base\nsystem: {{chip: h100_sxm, set: {{calibration.measured.kernels: {kernels}}}}}\n" + WORKLOAD
    path = written(tmp_path, setting.replace("KIND", "softmx"))
    shown = overlapse("run", path)
    assert shown.exit_code == 2
    assert "kernels.kinds: unknown op kind 'softmx', did you mean 'softmax'" in shown.stderr
    assert overlapse("run", written(tmp_path, setting.replace("KIND", "softmax"))).exit_code == 0


def test_a_loaded_scenario_is_run_as_its_file_is(tmp_path: Path) -> None:
    path = written(tmp_path, MATMUL)
    loaded = load_scenario(path)
    for sets in ((), ("workload.dims.B=64",)):
        assert run(loaded, sets).summary["time"] == run(path, sets).summary["time"]
    assert run(loaded).summary["time"] != run(loaded, ["workload.dims.B=64"]).summary["time"]
    with pytest.raises(SpecError, match="unknown key"):
        run(loaded, ["workload.dimms.B=64"])


def test_a_summary_knows_words_about_ops_and_says_what_was_meant(tmp_path: Path) -> None:
    outcome = run(written(tmp_path, MATMUL))
    assert outcome.summary["ops.y.time"] == outcome.summary["time"]
    assert "ops.y.time" not in outcome.summary
    with pytest.raises(KeyError, match="did you mean 'time'"):
        _ = outcome.summary["tme"]
    assert json.loads(json.dumps(outcome.summary)) == pickle.loads(pickle.dumps(outcome.summary))
