"""Studies: one table whoever runs the points and when, errors as rows, nothing run twice, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import WORDS
from hw import RunError, SpecError
from scenarios import Scenario, Study, load_scenario, run, summarise, sweep
from scenarios.questions.find import search_of
from scenarios.studies.content_keys import ContentKeys
from tests.support.cases import overlapse
from tests.support.studies import MATMUL, B, D, F, stored, write

ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> str:
    return write(tmp_path, MATMUL)


@pytest.fixture
def scenario(file: str) -> Scenario:
    return load_scenario(file)


# What a study gives


def test_a_row_has_the_inputs_and_the_words_of_its_own_run(scenario: Scenario) -> None:
    study = sweep(scenario, {B: [64, 4096], "system.chip": ["tpu_v5e", "h100_sxm"]})
    assert list(study.frame.columns) == [B, "system.chip", *WORDS, "error"]
    assert len(study.rows) == study.ran == 4
    for row in study.rows:
        alone = scenario
        for path, value in row.inputs.items():
            alone = alone.having(path, value)
        assert row.words == summarise(alone).as_dict()
    assert "<table" in study._repr_html_()


def test_changes_add_up_in_any_order(scenario: Scenario) -> None:
    changes: dict[str, Any] = {B: 64, "system.chip": "h100_sxm", D: 1024, "run.overlap": "full"}
    words = [summarise(scenario.having_all(changes)).as_dict()]
    for order in (list(changes), list(reversed(changes))):
        changed = scenario
        for path in order:
            changed = changed.having(path, changes[path])
        words.append(summarise(changed).as_dict())
    assert words[0] == words[1] == words[2] != summarise(scenario).as_dict()


def test_values_are_put_in_place_together(tmp_path: Path) -> None:
    """One at a time, the mesh would not fit the ring in between."""
    text = MATMUL.replace("{chip: tpu_v5e}", "{chip: tpu_v5e, topology: ring(4), mesh: {X: 4}}").replace(
        "[B,D]", "[B_X,D]"
    )
    changes = {"zip": {"system.topology": "ring(2), ring(8)", "system.mesh": [{"X": 2}, {"X": 8}]}}
    study = sweep(write(tmp_path, text), changes)
    assert [row.error for row in study.rows] == ["", ""]
    assert study.frame["system.mesh"].tolist() == ['{"X": 2}', '{"X": 8}']


def test_errors_are_rows(scenario: Scenario) -> None:
    changes = {B: [2, 0, True, 2.5, 10**16], "system.set.hbm.bandwidth": ["1 TB/s", "1 TB", "-1 TB/s"]}
    study = sweep(scenario, changes)
    wrong = [(row.inputs[B], row.inputs["system.set.hbm.bandwidth"]) for row in study.rows if row.error]
    assert len(wrong) == study.failed == 14
    assert (2, "1 TB/s") not in wrong
    assert all(row.error for row in study.rows if not row.words)
    assert any("is an amount of data, hbm.bandwidth wants a bandwidth" in row.error for row in study.rows)
    assert study.frame["time"].notna().sum() == 1


def test_a_point_that_cannot_be_changed_is_a_row(scenario: Scenario) -> None:
    changes = {"system.chip.hbm.bandwidth": [1e12]}  # the chip is a name, not a map
    assert (
        "cannot set system.chip.hbm.bandwidth: system.chip is a plain value" in sweep(scenario, changes).rows[0].error
    )


def test_a_derived_value_that_fails_is_a_row(scenario: Scenario) -> None:
    study = sweep(scenario, {B: [1, 2], "derive": {F: "64 / (B - 1)"}})
    assert [bool(row.error) for row in study.rows] == [True, False]
    assert list(study.frame.columns[:2]) == [B, F]


def test_whole_workloads_take_the_place_of_the_scenarios_own(tmp_path: Path) -> None:
    write(tmp_path, "dims: {N: 4096}\nops: ['y:bf16[N] = relu(x:bf16[N])']\n", "relu.yaml")
    study = """\
study:
  vary:
    workload: [matmul.yaml, relu.yaml, {dims: {N: 8192}, ops: ["y:bf16[N] = relu(x:bf16[N])"]}]
expect: {ops.y.t_math: {value: 1 s, tolerance: 1000}}
"""
    frame = run(write(tmp_path, MATMUL + study)).study
    assert list(frame["error"]) == ["", "", ""]
    assert frame["flops"].tolist() == [2 * 24 * 512 * 256, 4096, 8192]
    assert frame["workload"].tolist()[:2] == ["matmul.yaml", "relu.yaml"]


def test_workloads_are_drawn_too(tmp_path: Path) -> None:
    write(tmp_path, "dims: {N: 4096}\nops: ['y:bf16[N] = relu(x:bf16[N])']\n", "relu.yaml")
    changes = {"random": {"samples": 20, "values": {"workload": "matmul.yaml, relu.yaml"}}}
    study = sweep(write(tmp_path, MATMUL), changes)
    assert set(study.frame["flops"]) == {2 * 24 * 512 * 256, 4096}
    assert (len(study.rows), study.ran, study.failed) == (20, 2, 0)


def test_ten_times_the_flops_of_a_matmul() -> None:
    """T(B) = max(2BDF / 1.97e14, 2(BD + DF + BF) / 8.2e11) with D = F = 8192: 164.639 and 173.271 us, 165.598 and
    327.028 us, 348.830 and 3488.30 us."""
    frame = run("library:ten_times_flops").study.set_index(B)
    time = frame["time"]
    assert time[240] / time[24] == pytest.approx(1.052, abs=5e-4)
    assert time[480] / time[48] == pytest.approx(1.975, abs=5e-4)
    assert time[5120] / time[512] == pytest.approx(10.00, abs=5e-3)
    assert time[24] == pytest.approx(2 * (2 * 24 * 8192 + 8192**2) / 8.2e11, rel=1e-6)
    assert time[5120] == pytest.approx(2 * 5120 * 8192**2 / 1.97e14, rel=1e-6)
    assert [frame["flops"][10 * batch] / frame["flops"][batch] for batch in (24, 48, 512)] == [10, 10, 10]


# Nothing is run twice


def test_equal_points_are_run_once(scenario: Scenario, tmp_path: Path) -> None:
    study = sweep(scenario, {B: [64, 128, 64, 64], "run.overlap": ["full", "full"]}, store=tmp_path / "runs.db")
    assert (len(study.rows), study.ran) == (8, 2)
    assert stored(tmp_path / "runs.db") == 2
    assert study.frame["time"].nunique() == 2


def test_the_same_study_again_runs_only_what_is_missing(scenario: Scenario, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    first = sweep(scenario, {B: "1:10", D: [512, -1]}, store=store)
    assert (first.ran, first.failed) == (20, 10)
    again = sweep(scenario, {B: "1:10", D: [512, -1]}, store=store)
    assert again.ran == 0
    assert again.frame.equals(first.frame)
    assert sweep(scenario, {B: "5:14", D: [512]}, store=store).ran == 4
    assert (
        sweep(scenario, {D: [512], "zip": {B: "1:3", "system.chip": "tpu_v5e, tpu_v5e, tpu_v5p"}}, store=store).ran == 1
    )


def key(file: str, overrides: list[str], values: dict[str, Any] | None = None) -> str:
    scenario = load_scenario(file, overrides)
    return ContentKeys(scenario.document, scenario.path).key(values or {})


def test_a_key_says_what_is_run_however_it_is_said(tmp_path: Path, file: str) -> None:
    keys = ContentKeys(load_scenario(file).document, Path(file))
    assert keys.key({B: 64}) == key(file, [f"{B}=64"])
    assert keys.key({B: 24}) == keys.key({})
    assert keys.key({B: 64, D: 32}) == keys.key({D: 32, B: 64})
    other = write(
        tmp_path,
        MATMUL.replace("name: matmul", "name: other\nabout: the same") + "study: {vary: {run.launch: [0]}}\n",
        "o.yaml",
    )
    assert key(other, []) == keys.key({})
    different: list[dict[str, Any]] = [
        {}, {B: 12}, {B: 1, D: 23}, {B: 12, D: 3}, {F: 12}, {"run.overlap": "full"}, {"system.chip": "h100_sxm"},
        {"workload.fuse": [["a", "b"], ["c"]]}, {"workload.fuse": [["a"], ["b", "c"]]}, {"workload.fuse": [["a", "bc"]]},
        {"system.chip.hbm": 1}, {"system.set.hbm.bandwidth": 1}, {"system.set.hbm.bandwidth": 1.5},
    ]  # fmt: skip
    assert len({keys.key(values) for values in different}) == len(different)


def test_a_row_of_another_version_is_another_row(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was worked out by one version is not served by the next, and is there again for the first."""
    store = tmp_path / "runs.db"
    assert sweep(file, {B: [1, 2]}, store=store).ran == 2
    before = key(file, [])
    with monkeypatch.context() as patch:
        patch.setattr("scenarios.studies.content_keys.VERSION", "9.9.9")
        assert key(file, []) != before
        assert sweep(file, {B: [1, 2]}, store=store).ran == 2
    assert key(file, []) == before
    assert sweep(file, {B: [1, 2]}, store=store).ran == 0


@pytest.mark.parametrize("name", ["./chip.yaml", "my chip.yaml", "a, b (copy) {2}.yaml", "é [x].yaml", "d e/chip.yaml"])
def test_a_key_changes_with_the_files_that_the_system_refers_to(tmp_path: Path, name: str) -> None:
    chip = (ROOT / "hw" / "catalog" / "tpu_v5e.yaml").read_text()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(chip)
    base = write(tmp_path, f"name: base\nchip: '{name}'\n", "base.yaml")
    by_chip = write(tmp_path, MATMUL.replace("tpu_v5e", f"'{name}'"), "by_chip.yaml")
    by_base = write(tmp_path, MATMUL.replace("{chip: tpu_v5e}", "{base: ./base.yaml}"), "by_base.yaml")
    assert Path(base).exists()
    before = [key(each, []) for each in (by_chip, by_base)]
    assert before == [key(each, []) for each in (by_chip, by_base)]
    (tmp_path / name).write_text(chip.replace("8.2e11", "8.1e11"))
    after = [key(each, []) for each in (by_chip, by_base)]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert key(by_chip, [], {"system.chip": "tpu_v5e"}) == key(by_chip, ["system.chip=tpu_v5e"])


def test_a_key_changes_with_the_bundled_scenarios_that_a_row_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.language.source.LIBRARY", tmp_path / "library")
    (tmp_path / "library").mkdir()
    search = "find: {smallest: workload.dims.B, from: 1, to: 8, where: 'time < run(\"library:other\").time'}"
    file = write(tmp_path, f"{MATMUL}study: {{vary: {{workload.dims.D: [512]}}, {search}}}\n")
    money = write(tmp_path, f"{MATMUL}economics: {{baseline: 'library:other', runs_per_day: 1}}\n", "money.yaml")
    keys = []
    for size in (1, 8192):
        write(tmp_path / "library", MATMUL.replace("B: 24", f"B: {size}"), "other.yaml")
        scenario = load_scenario(file)
        asked = search_of(scenario)
        assert asked is not None
        keys.append((ContentKeys(scenario.document, scenario.path, asked.said()).key({}), key(money, [])))
    assert keys[0][0] != keys[1][0]
    assert keys[0][1] != keys[1][1]


@pytest.mark.parametrize("name", ["faults.json", "faults.log", "the faults of May"])
def test_a_key_changes_with_the_record_of_failures(tmp_path: Path, name: str) -> None:
    """Whatever its name ends in: a record of failures may be called anything."""
    job = f"job: {{steps: 9, step: 1 min, failures: {{trace: {name}, of: 4}}}}\n"
    file, keys = write(tmp_path, MATMUL + job), []
    for day in (1, 2):
        (tmp_path / name).write_text(f'[{{"node_id": "a", "event_time": {day}, "event_type": "fault_start"}}]')
        keys.append(key(file, []))
    assert keys[0] != keys[1]


def test_a_changed_file_is_run_again(tmp_path: Path) -> None:
    """In the same process: nothing may be left from the study before."""
    chip = (ROOT / "hw" / "catalog" / "tpu_v5e.yaml").read_text()
    file, times = write(tmp_path, MATMUL.replace("tpu_v5e", "./chip.yaml")), []
    for bandwidth in ("8.2e11", "4.1e11"):
        (tmp_path / "chip.yaml").write_text(chip.replace("8.2e11", bandwidth))
        study = sweep(file, {B: [24]}, store=tmp_path / "runs.db")
        times.append(study.rows[0].words["t_memory"])
    assert times[1] == pytest.approx(2 * times[0])


# The command


def test_the_command_prints_a_table(file: str) -> None:
    shown = overlapse(
        "study", file, "--vary", f"{B}=64:256:x2", "--zip", f"{D}=512,0", "--zip", "run.overlap=full,none"
    )
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["B", "D", "overlap", "time", "bound", "by", "eta", "MFU", "error"]
    assert lines[1].split()[:3] == ["64", "512", "full"]
    assert "6 rows, 6 run now, 3 with errors" in shown.stdout
    assert shown.stderr == ""


def test_the_command_prints_json_and_nothing_else(file: str) -> None:
    shown = overlapse("study", file, "--vary", f"{B}=64,0", "--random", f"{D}=1:9", "--random", "samples=3", "--json")
    record = json.loads(shown.stdout)
    assert list(record) == ["name", "study"]
    assert len(record["study"]) == 6
    assert {"error", "time", "bound_by", B, D} <= set(record["study"][0])
    assert overlapse("study", file, "--vary", f"{B}=64,0", "--json", "--set", "run.overlap=full").exit_code == 0


def test_the_command_answers_find_too(tmp_path: Path) -> None:
    study = f"study: {{find: {{smallest: {B}, from: 1, to: 64, where: flops >= 4194304}}}}\n"
    file = write(tmp_path, MATMUL + study)
    assert "16" in overlapse("study", file).stdout  # 2 * 16 * 512 * 256
    both = overlapse("study", file, "--vary", f"{D}=512,1024", "--json")
    assert json.loads(both.stdout)["find"] == 16
    assert len(json.loads(both.stdout)["study"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vary", "nothing"], "--vary:1:1: 'nothing' is not of the form a.b=values"),
        (["--vary", f"{B}=5:1"], "--vary:1:17: workload.dims.B: '5:1' does not lead from 5 to 1"),
        (["--vary", f"{B}=1", "--vary", "workload.dims.Q=1"], "--vary:2:1: unknown dim 'Q'. Allowed: B, D, F"),
        (["--zip", f"{B}=1,2", "--zip", f"{D}=1"], "--zip:2:17: zip: workload.dims.D has 1 value"),
        (["--random", "samples=none", "--random", f"{B}=1:2"], "--random:1:9"),
        ([], "there is nothing to vary"),
        (["--vary", f"{B}=1", "--jobs", "0"], "--jobs is 0; it must be 1 or more"),
        (["--vary", f"{B}=1", "--export", "table.xls"], "unknown table format '.xls'. Allowed: .csv, .parquet"),
        (["--vary", f"{B}=1", "--store", str(ROOT / "README.md")], "the store cannot be read: file is not a database"),
    ],
)
def test_wrong_input_is_told(file: str, arguments: list[str], said: str) -> None:
    shown = overlapse("study", file, *arguments)
    assert shown.exit_code == 2
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


def test_tables_are_exported(scenario: Scenario, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    study = sweep(scenario, {B: [64, 0], "run.launch": [0, "5 us"], "workload.fuse": ["none", [["y"]]]})
    for reader, name in ((pd.read_csv, "table.csv"), (pd.read_parquet, "table.parquet")):
        table = reader(study.export(tmp_path / name))
        assert list(table.columns) == list(study.frame.columns)
        assert table["time"].tolist()[:4] == study.frame["time"].tolist()[:4]
        assert table["run.launch"].tolist() == ["0", "0", "5 us", "5 us"] * 2


def test_a_missing_extra_is_told(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study: Study = sweep(scenario, {B: [64]})
    monkeypatch.setattr("analysis.frames.tables.find_spec", lambda _name: None)
    with pytest.raises(RunError, match=r"needs pyarrow: pip install 'overlapse\[parquet\]'"):
        study.export(tmp_path / "table.parquet")


def test_the_front_door_has_sweep_and_study() -> None:
    import scenarios

    assert callable(scenarios.sweep)
    assert scenarios.Study.__name__ == "Study"
    with pytest.raises(SpecError, match="jobs is 0"):
        scenarios.sweep("library:ten_times_flops", jobs=0)


PLAIN = """\
name: plain
system: {chip: tpu_v5e}
workload:
  dims: {B: 64}
  ops: ["y:bf16[B] = relu(x:bf16[B])"]
"""


def test_a_study_in_which_nothing_could_be_run_is_no_success(tmp_path: Path) -> None:
    """2 where the input is wrong, 3 where a run cannot be done, 0 as soon as one row could be run."""
    path = tmp_path / "stuck.yaml"
    path.write_text(
        "name: stuck\nsystem: {chip: tpu_v5e, topology: line(2)}\nworkload:\n"
        '  dims: {B: 64}\n  ops: ["s:bf16[B] = send(x:bf16[B], from=0, to=1)", "y:bf16[B] = relu(z:bf16[B])"]\n'
    )
    plain = str(tmp_path / "plain.yaml")
    Path(plain).write_text(PLAIN)
    asked = [
        (plain, "workload.dims.B=64,128", 0),
        (plain, "workload.dims.B=0,-1", 2),
        (plain, "workload.dims.B=many", 2),
        (plain, "system.chip=nothing,tpu_v5e", 0),
        (str(path), "workload.dims.B=64,128", 3),
        (str(path), "workload.dims.B=64,0", 3),
    ]
    for file, vary, code in asked:
        for arguments in ([], ["--json"]):
            shown = overlapse("study", file, "--vary", vary, *arguments)
            assert shown.exit_code == code, (vary, shown.output)
            assert shown.stdout


def test_rows_can_be_run_where_the_scenario_itself_cannot(tmp_path: Path) -> None:
    path = tmp_path / "stuck.yaml"
    path.write_text(
        "name: stuck\nsystem: {chip: tpu_v5e, topology: line(2)}\nworkload:\n"
        '  dims: {B: 64}\n  ops: ["s:bf16[B] = send(x:bf16[B], from=0, to=1)"]\n'
        'study: {vary: {workload.ops: [["s:bf16[B] = send(x:bf16[B], from=0, to=1)"], ["y:bf16[B] = relu(x:bf16[B])"]]}}\n'
    )
    shown = overlapse("study", str(path))
    assert shown.exit_code == 0
    assert "2 rows, 2 run now, 1 with errors" in shown.stdout


def test_a_row_from_a_store_fails_as_it_did_when_it_was_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain.yaml"
    plain.write_text(PLAIN)
    for ran in (1, 0):
        asked = ["study", str(plain), "--vary", "workload.dims.B=0", "--store", str(tmp_path / "runs.db")]
        shown = overlapse(*asked)
        assert shown.exit_code == 2
        assert f"1 row, {ran} run now, 1 with errors" in shown.stdout
