"""Models that do not fit: who needs what, the smallest change that fits, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis import Summary
from analysis.runs import hidden_communication
from scenarios import Scenario, run, summarise
from scenarios.cli import app
from scenarios.models import load_model
from scenarios.outcome import fitting
from simulator.models import parameters

TEXT = """
name: m
system: {base: dgx_h100, set: {hbm.capacity: CAPACITY}}
workload:
  model: {base: llama3_8b, layers: 4}
  batch: 16
  seq: 1024
  parallel: {microbatch: 2}
run: {overlap: full}
"""
COUNT = parameters(load_model({"base": "llama3_8b", "layers": 4}).description).total

GB = 1e9


def file_with(folder: Path, capacity: float, seq: int = 1024) -> str:
    path = folder / "m.yaml"
    text = TEXT.replace("CAPACITY", f"{capacity / GB:.6f} GB").replace("seq: 1024", f"seq: {seq}")
    path.write_text(text, "utf-8")
    return str(path)


def peak(file: str, *changes: str) -> float:
    value = run(file, changes).words["peak_memory"]
    assert isinstance(value, float)
    return value


def test_owners_add_up_to_the_peak(tmp_path: Path) -> None:
    outcome = run(file_with(tmp_path, 20 * GB))
    found = outcome.misfit
    assert found is not None
    held = dict(found.owners)
    assert sum(held.values()) == pytest.approx(found.peak, rel=1e-9)
    assert found.peak == outcome.words["peak_memory"]
    assert outcome.words["fits"] is False
    assert held["optimizer"] == pytest.approx(8 * COUNT, rel=1e-3)
    assert held["weights"] == pytest.approx(2 * COUNT, rel=1e-3)
    assert held["master weights"] == pytest.approx(4 * COUNT, rel=1e-3)
    assert [nbytes for _, nbytes in found.owners] == sorted(held.values(), reverse=True)


def test_what_fits_is_not_told(tmp_path: Path) -> None:
    assert run(file_with(tmp_path, 200 * GB)).misfit is None


SINGLE = ("recompute: selective", "recompute: full", "zero: 1", "zero: 2", "zero: 3", "microbatch: 1", "pp: 2")


@pytest.mark.long
def test_of_single_changes_that_fit_the_fastest_is_the_answer(tmp_path: Path) -> None:
    """Whatever room there is. Recomputing came first, and took a third longer than ZeRO or smaller microbatches."""
    wide = file_with(tmp_path, 500 * GB)
    words = {change: run(wide, [_path(*change.split(": "))]).words for change in SINGLE}
    peaks = {change: float(str(each["peak_memory"])) for change, each in words.items()}
    times = {change: float(str(each["time"])) for change, each in words.items()}
    answers = set()
    for room in sorted(peaks.values())[:-1]:
        if room >= 0.99 * peak(wide):
            continue
        found = run(file_with(tmp_path, room * 1.001)).misfit
        assert found is not None
        fits = [change for change in SINGLE if peaks[change] <= room * 1.001]
        assert found.change in fits
        assert found.then == pytest.approx(peaks[found.change], rel=1e-9)
        assert times[found.change] <= 1.02 * min(times[change] for change in fits)
        answers.add(found.change)
    assert len(answers) >= 2


LEVELS = {"recompute": ["none", "selective", "full"], "zero": ["0", "1", "2", "3"], "microbatch": ["2", "1"]}


@pytest.mark.long
@pytest.mark.parametrize("zero", ["2", "3"])
def test_two_together_where_one_is_not_enough(zero: str, tmp_path: Path) -> None:
    """With room for what two hold, two fit that take no longer, and with any part of them less they do not."""
    wide = file_with(tmp_path, 500 * GB, 4096)
    known = run(wide, ["workload.recompute=full", f"workload.parallel.zero={zero}"]).words
    tight = file_with(tmp_path, float(str(known["peak_memory"])) * 1.001, 4096)
    found = run(tight).misfit
    assert found is not None
    parts = dict(each.split(": ") for each in found.change.split(", "))
    assert len(parts) == 2
    outcome = run(tight, [_path(*part) for part in parts.items()])
    assert outcome.misfit is None
    assert found.then == pytest.approx(outcome.words["peak_memory"])
    assert float(str(outcome.words["time"])) <= float(str(known["time"]))
    for name, value in parts.items():
        less = LEVELS[name][LEVELS[name].index(value) - 1]
        assert run(tight, [_path(*part) for part in {**parts, name: less}.items()]).words["fits"] is False


def _path(name: str, value: str) -> str:
    return f"workload.{'' if name == 'recompute' else 'parallel.'}{name}={value}"


@pytest.mark.long
@pytest.mark.parametrize("recompute", [[], ["recompute: full"]])
def test_the_host_takes_the_optimizer_where_nothing_cheaper_fits(recompute: list[str], tmp_path: Path) -> None:
    """On one chip there is nothing to share out: the moments go to the host, after or beside recomputing."""

    def with_room(capacity: float) -> list[str]:
        system = f"system={{chip: h100_sxm, set: {{hbm.capacity: {capacity / GB:.6f} GB}}}}"
        return [system, "workload.batch=1", "workload.seq=8192", "workload.parallel={}"]

    wide = file_with(tmp_path, 500 * GB)
    last = [f"workload.{each}".replace(": ", "=") for each in recompute]
    then = peak(wide, *with_room(500 * GB), *last, "workload.offload=[optimizer]")
    cheaper = min(peak(wide, *with_room(500 * GB), *less) for less in ([], ["workload.recompute=full"]))
    assert then < cheaper
    found = run(wide, with_room(then * 1.001)).misfit
    assert found is not None
    assert found.change == ", ".join([*recompute, "offload: [optimizer]"])
    assert found.then == pytest.approx(then, rel=1e-9)


@pytest.mark.long
@pytest.mark.parametrize(
    ("parallel", "share", "most"),
    [
        ("{microbatch: 2}", 0.15, 0.5),
        ("{pp: 2, tp: 2, microbatch: 2, schedule: zero_bubble}", 0.5, 0.5),
        ("{zero: 2}", 0.5, 0.7),
    ],
    ids=["replicas", "pipeline", "shared_out"],
)
def test_what_no_run_of_can_fit_is_not_run(
    parallel: str, share: float, most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What estimates leave no room changes no answer, and most changes are not run."""
    tried: list[object] = []

    def counted(scenario: Scenario) -> Summary:
        tried.append(scenario)
        return summarise(scenario)

    monkeypatch.setattr(fitting, "summarise", counted)
    change = f"workload.parallel={parallel}"
    tight = file_with(tmp_path, share * peak(file_with(tmp_path, 2000 * GB), change))
    found, runs = run(tight, [change]).misfit, len(tried)
    monkeypatch.setattr(fitting._Trial, "_may_fit", lambda *_: True)
    assert run(tight, [change]).misfit == found
    assert found is not None
    assert found.change
    assert 0 < runs <= most * (len(tried) - runs)


@pytest.mark.long
def test_nothing_helps_a_chip_without_memory(tmp_path: Path) -> None:
    found = run(file_with(tmp_path, 0.01 * GB)).misfit
    assert found is not None
    assert found.change == ""
    assert "changes that were tried fits" in list(found.lines())[-1]


@pytest.mark.long
def test_the_command_says_it_and_exits_with_3(tmp_path: Path) -> None:
    file = file_with(tmp_path, 30 * GB)
    result = CliRunner().invoke(app, ["run", file, "--json"])
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("cannot run: llama3_8b does not fit: chip 0 (h100_sxm) needs ")
    assert "smallest change that fits: " in result.stderr
    assert CliRunner().invoke(app, ["explain", file]).exit_code == 0
    for command in ("fusion", "what-if"):
        refused = CliRunner().invoke(app, [command, file])
        assert refused.exit_code == 3
        assert refused.stderr.startswith("cannot run: llama3_8b does not fit")
    compared = CliRunner().invoke(app, ["compare", file, "--set", "system.set.hbm.capacity=80 GB"])
    assert "m (A) does not fit on its chips" in compared.stderr
    assert "m (B)" not in compared.stderr
    plain = tmp_path / "plain.yaml"
    plain.write_text(
        "name: p\nsystem: {chip: tpu_v5e}\nworkload: {ops: ['y:bf16[100000,100000] = relu(x:bf16[100000,100000])']}\n"
    )
    assert CliRunner().invoke(app, ["run", str(plain)]).exit_code == 0


def test_the_screen_tells_the_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", file_with(tmp_path, 200 * GB)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "16 x 1,024 tokens a step = 16,384" in result.stdout
    assert "dp 8 (what is left of 8 chips)" in result.stdout


@pytest.mark.long
def test_explain_says_what_is_hidden(tmp_path: Path) -> None:
    file = file_with(tmp_path, 200 * GB)
    longer, behind = "workload.seq=4096", "workload.parallel.overlap_gradients=false"
    exposed = []
    for overrides in ([longer], [longer, behind]):
        told = [text for each in overrides for text in ("--set", each)]
        screen = CliRunner().invoke(app, ["explain", file, *told], env={"COLUMNS": "200"}).stdout
        assert "communication, hidden or exposed" in screen
        found = {each.op: each for each in hidden_communication(run(file, overrides).result)}
        exposed.append(found["rL"].exposed_s)
        told_apart = {False: "Hidden behind arithmetic: rL", True: "rL (all_reduce over D) runs "}
        for is_exposed, words in told_apart.items():
            assert (words in screen) is (is_exposed == (exposed[-1] > 0))
    assert exposed[1] > exposed[0]


def test_sums_behind_reductions_hold_up_no_backward_pass(tmp_path: Path) -> None:
    """From ZeRO-2 on gradients are reduced before they are added up: that must wait in no queue of the backward pass."""
    file = file_with(tmp_path, 200 * GB)
    for level in (2, 3):
        result = run(file, ["workload.seq=4096", f"workload.parallel.zero={level}"]).result
        found = {each.op: each for each in hidden_communication(result)}
        assert found["rL"].share > 0.5


def test_a_step_of_too_many_ops_is_told_at_its_model(tmp_path: Path) -> None:
    """Its ops stand in no file, and what is wrong with them is that of the model."""
    path = tmp_path / "many.yaml"
    path.write_text(TEXT.replace("CAPACITY", "80 GB").replace("batch: 16", "batch: 1000000000").replace(": 2}", ": 1}"))
    refused = CliRunner().invoke(app, ["run", str(path)])
    assert refused.exit_code == 2
    assert f"{path}:5:10: the block has" in refused.stderr
