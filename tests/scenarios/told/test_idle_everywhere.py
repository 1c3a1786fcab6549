"""Keys that change nothing are told by every command in the same words, and efficiencies by what a run asks of what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import overlapse as ov
from hw import Mark
from scenarios.validation import TrainingRow, by_source, trained
from tests.support.cases import overlapse, written

IDLE = "schedule (paired) changes nothing: there is no pipeline (pp: 1)"
STEP = """
name: step
system: {chip: h100_sxm, topology: switch(2) over nvlink}
workload: {model: gpt2, mode: train, batch: 2, seq: 256, parallel: {dp: 2, schedule: paired}}
"""
CELLS = {
    "source": "own", "framework": "megatron-core", "model": "llama3_8b", "layers": "2", "seq": "512", "global_batch": "8",
    "micro_batch": "1", "tp": "1", "pp": "1", "dp": "8", "dtype": "bf16", "n_chips": "8", "chip": "H100",
}  # fmt: skip


def _row(line: int = 2, **cells: str) -> TrainingRow:
    return TrainingRow(Mark("rows.csv", line), {**CELLS, **cells}, 0.1)


def test_run_check_and_estimate_say_it_alike(tmp_path: Path) -> None:
    file = written(tmp_path, STEP)
    for command in ("run", "check", "estimate"):
        told = " ".join(overlapse(command, file).stdout.split())
        assert f"workload.parallel.{IDLE}" in told, command
    for command in ("run", "estimate"):
        assert json.loads(overlapse(command, file, "--json").stdout)["notes"] == [f"workload.parallel.{IDLE}"]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"schedule": "paired"}, [IDLE]),
        ({"schedule": "paired", "pp": "2", "dp": "4", "global_batch": "8"}, []),
        ({"schedule": "gpipe", "framework": "torchtitan", "pp": "2", "dp": "4"}, []),
        ({"collective_matmul": "4"}, ["collective_matmul (4) changes nothing: no chips share tensors (tp: 1)"]),
        ({"collective_matmul": "4", "tp": "2", "dp": "4"}, []),
        ({"context": "ring"}, ["context (ring) changes nothing: no chips share a sequence (cp: 1)"]),
        ({"context": "ring", "cp": "2", "dp": "4"}, []),
        ({"capacity": "1.25"}, ["capacity (1.25) changes nothing: the model has no experts"]),
        ({"dropless": "false"}, ["dropless (false) changes nothing: the model has no experts"]),
        ({"dropless": "true", "capacity": "1"}, []),
        # what a recipe does not read
        ({"framework": "torchtitan", "context": "ring"}, ["context (ring) changes nothing: no such rows have it"]),
    ],
)
def test_a_measured_row_is_told_what_it_asks_for_in_vain(cells: dict[str, str], said: list[str]) -> None:
    (found,) = trained([_row(2, **cells)])
    assert found.predicted_s is not None, found.left_out
    assert list(found.idle) == said


def test_validate_says_how_many_rows_of_a_source_ask_in_vain(tmp_path: Path) -> None:
    rows = [_row(2, schedule="paired"), _row(3, schedule="paired", global_batch="16"), _row(4)]
    (source,) = by_source(trained(rows))
    assert source.idle == {IDLE: 2}
    path = tmp_path / "rows.csv"
    cells = {**CELLS, "schedule": "paired", "measured_seconds_per_iteration": "0.1"}
    path.write_text(f"{','.join(cells)}\n{','.join(cells.values())}\n")
    assert f"own: {IDLE}" in " ".join(overlapse("validate", str(path), "--jobs", "1").stderr.split())
    told = json.loads(overlapse("validate", str(path), "--json", "--jobs", "1").stdout)
    assert (told["rows"][0]["idle"], told["sources"][0]["idle"]) == ([IDLE], {IDLE: 1})


MATMUL = "y:bf16[I_X,I] = matmul(x:bf16[I_X,I], w:bf16[I,I])"
GATHER = "z:bf16[I,I] = all_gather(y, over=X)"
COPY = "u:bf16[I_X,I]@host = copy(y)"


@pytest.mark.parametrize("calibration", ["spec", "measured"])
@pytest.mark.parametrize(
    ("ops", "used"),
    [
        ((MATMUL,), {"matrix_unit", "hbm"}),
        ((MATMUL, GATHER), {"matrix_unit", "hbm", "nvlink"}),
        ((MATMUL, COPY), {"matrix_unit", "hbm", "pcie"}),
    ],
)
def test_an_efficiency_is_told_if_and_only_if_it_changes_no_time(
    tmp_path: Path, ops: tuple[str, ...], used: set[str], calibration: str
) -> None:
    """With one share of everything: whatever is used takes part of the time where nothing overlaps."""
    listed = ", ".join(f"'{op}'" for op in ops)
    file = written(
        tmp_path,
        f"name: m\nsystem: {{base: dgx_h100, mesh: {{X: 8}}}}\nworkload: {{dims: {{I: 4096}}, ops: [{listed}]}}\n"
        f"run: {{overlap: none, calibration: {calibration}}}\n",
    )
    plain = ov.run(file).summary["time"]
    for name in ("matrix_unit", "vector_unit", "hbm", "nvlink", "infiniband", "pcie"):
        changed = ov.run(file, [f"run.efficiency={{{name}: 0.25}}"])
        told = f"run.efficiency.{name} (0.25) changes nothing: the run asks nothing of it"
        assert (changed.notes == [told]) == (name not in used), (name, changed.notes)
        assert (changed.summary["time"] == plain) == (name not in used), name


def test_the_data_sheet_said_once_more_is_not_told(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        f"name: m\nsystem: {{base: dgx_h100, mesh: {{X: 8}}}}\nworkload: {{dims: {{I: 64}}, ops: ['{MATMUL}']}}",
    )
    assert not ov.run(file, ["run.efficiency={nvlink: 1}"]).notes
    told = "  note: run.efficiency.nvlink (0.9) changes nothing: the run asks nothing of it"
    more = "\nrun: {efficiency: {nvlink: 0.9}}\nexpect: {bound_by: memory}"
    file = written(tmp_path, Path(file).read_text() + more)
    assert told in overlapse("check", file).stdout.splitlines()


def test_of_unlike_chips_each_is_told_of_its_own(tmp_path: Path) -> None:
    """Chips that say their own leave nothing to what is said of all; one that does nothing has no use for either."""
    file = written(
        tmp_path,
        "name: m\nsystem: {chips: [a100_80gb_sxm, h100_sxm], topology: line(2) over nvlink, mesh: {X: 2}}\n"
        "workload: {dims: {I: 4096}, ops: ['y:bf16[I,I] = matmul(x:bf16[I,I], w:bf16[I,I], on=X@0)']}\n"
        "run: {overlap: none}\n",
    )
    plain = ov.run(file).summary["time"]
    own = "{a100_80gb_sxm: {hbm: 0.5}, h100_sxm: {hbm: 0.5}, hbm: 0.25}"
    changed = ov.run(file, [f"run.efficiency={own}"])
    assert changed.notes == [
        "run.efficiency.hbm (0.25) changes nothing: chips that use it say their own",
        "run.efficiency.h100_sxm.hbm (0.5) changes nothing: the run asks nothing of it",
    ]
    assert ov.run(file, ["run.efficiency={a100_80gb_sxm: {hbm: 0.5}}"]).summary["time"] == changed.summary["time"]
    assert ov.run(file, ["run.efficiency={h100_sxm: {hbm: 0.5}}"]).summary["time"] == plain != changed.summary["time"]


def test_where_a_run_chooses_nothing_is_said_of_what_it_does_not_choose(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "name: m\nsystem: {base: dgx_h100, mesh: {X: 8}}\n"
        f"workload: {{dims: {{I: 64}}, ops: ['{MATMUL}', '{GATHER}']}}\n"
        "run: {collectives: auto, efficiency: {infiniband: 0.9}}\n",
    )
    assert not ov.run(file).notes
