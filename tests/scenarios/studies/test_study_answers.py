"""What a study answers row by row: `find` for each, `derive` beside searches, and the order of the rows.

A matmul [B, D] x [D, F] in bf16 has the intensity B D F / (B D + D F + B F) FLOP/B; from the chip's ridge on it is bound by
arithmetic. With F = 4 D, and B large, that is about 0.8 D.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hw import SpecError, load_chip
from scenarios import crossover, find, load_scenario, run, sweep
from tests.support.cases import MATMUL, overlapse, written

V5E = load_chip("tpu_v5e")
H100 = load_chip("h100_sxm")


def knee(ridge: float, d: int, f: int, last: int = 4096) -> int | None:
    """The least B for which the intensity reaches a ridge."""
    return next((b for b in range(1, last + 1) if b * d * f >= ridge * (b * d + d * f + b * f)), None)


def ridge(chip: str) -> float:
    found = load_chip(chip).ridge_flop_per_byte("bf16")
    assert found is not None
    return found


FIND_B = "find: {smallest: workload.dims.B, from: 1, to: 4096, where: t_math >= t_memory}"


def test_find_answers_for_each_row(tmp_path: Path) -> None:
    vary = "vary: {system.chip: [tpu_v5e, h100_sxm], workload.dims.D: [1024, 8192]}"
    path = written(tmp_path, f"{MATMUL}study: {{{vary}, {FIND_B}}}\n")
    study = sweep(path, jobs=1)
    want = [knee(ridge(chip), d, 4096) for chip in ("tpu_v5e", "h100_sxm") for d in (1024, 8192)]
    assert [row.words["find"] for row in study.rows] == want
    assert list(study.frame["find"]) == want
    assert run(path).as_json()["study"][1]["find"] == want[1]
    assert run(path).found == knee(ridge("tpu_v5e"), 4096, 4096)  # the scenario itself


def test_rows_find_alike_wherever_they_are_run(tmp_path: Path) -> None:
    path = written(tmp_path, f"{MATMUL}study: {{vary: {{workload.dims.D: [512, 1024, 2048]}}, {FIND_B}}}\n")
    here, there = sweep(path, jobs=1), sweep(path, jobs=2)
    assert [row.words for row in here.rows] == [row.words for row in there.rows]


def test_a_row_that_finds_nothing_has_no_answer_and_no_error(tmp_path: Path) -> None:
    """At D = 128 the intensity stays below 128 FLOP/B, whatever B is: each of them is tried."""
    up_to = FIND_B.replace("to: 4096", "to: 512")
    path = written(tmp_path, f"{MATMUL}study: {{vary: {{workload.dims.D: [128, 4096]}}, {up_to}}}\n")
    none, some = sweep(path, jobs=1).rows
    assert (none.words["find"], none.error) == (None, "")
    assert some.words["find"] == knee(ridge("tpu_v5e"), 4096, 4096)


def test_a_search_that_breaks_is_the_rows_error_not_a_false(tmp_path: Path) -> None:
    """B is shared by two chips: odd batches cannot be run, and the search begins with one."""
    text = MATMUL.replace("chip: tpu_v5e", "chip: tpu_v5e, topology: line(2)").replace("B,F]", "B_X,F]")
    text = text.replace("B,D]", "B_X,D]")
    find_odd = FIND_B.replace("to: 4096", "to: 4095, step: 1")
    study = sweep(written(tmp_path, f"{text}study: {{vary: {{workload.dims.D: [1024]}}, {find_odd}}}\n"), jobs=1)
    row = study.rows[0]
    assert row.words["time"] > 0
    assert row.words["find"] is None
    assert row.error.startswith("find: workload.dims.B = 1: ")
    assert study.failed == 1


def test_a_row_is_known_by_what_it_was_asked(tmp_path: Path) -> None:
    """Another condition is another answer: a stored row must not be taken for it."""
    study = f"{MATMUL}study: {{vary: {{workload.dims.D: [1024]}}, {FIND_B}}}\n"
    path, other = written(tmp_path, study), written(tmp_path, study.replace(">=", ">= 2 *"), "other.yaml")
    store = tmp_path / "rows.db"
    first = sweep(path, store=store, jobs=1)
    assert sweep(path, store=store, jobs=1).ran == 0
    second = sweep(other, store=store, jobs=1)
    assert second.ran == 1
    assert first.rows[0].words["find"] == knee(ridge("tpu_v5e"), 1024, 4096)
    assert second.rows[0].words["find"] == knee(2 * ridge("tpu_v5e"), 1024, 4096)


def test_find_can_be_asked_from_python(tmp_path: Path) -> None:
    asked = {"smallest": "workload.dims.B", "from": 1, "to": 4096, "where": "t_math >= t_memory"}
    study = sweep(written(tmp_path, MATMUL), {"workload.dims.D": [1024], "find": asked}, jobs=1)
    assert study.rows[0].words["find"] == knee(ridge("tpu_v5e"), 1024, 4096)
    with pytest.raises(SpecError, match="did you mean 'time'"):
        sweep(written(tmp_path, MATMUL), {"workload.dims.D": [1024], "find": {**asked, "where": "timee > 1 s"}}, jobs=1)


def test_what_is_looked_for_may_vary_as_well(tmp_path: Path) -> None:
    """The rows differ in what they run, not in what they find."""
    study = sweep(written(tmp_path, f"{MATMUL}study: {{vary: {{workload.dims.B: [64, 512]}}, {FIND_B}}}\n"), jobs=1)
    assert [row.words["find"] for row in study.rows] == [273, 273]


def test_claims_about_what_rows_find(tmp_path: Path) -> None:
    vary = "vary: {workload.dims.D: [1024, 8192]}"
    first, second = knee(ridge("tpu_v5e"), 1024, 4096), knee(ridge("tpu_v5e"), 8192, 4096)
    assert first is not None
    assert second is not None
    expect = f"expect: {{'rows[0].find': {first}, 'rows[0].find / rows[1].find': {first / second}, find / 2: 136.5}}\n"
    outcome = run(written(tmp_path, f"{MATMUL}study: {{{vary}, {FIND_B}}}\n{expect}"))
    assert outcome.found == 273
    assert {verdict.holds for verdict in outcome.verdicts} == {True}


# derive


def test_derived_values_follow_what_is_looked_for(tmp_path: Path) -> None:
    find_d = FIND_B.replace("dims.B", "dims.D")
    study = f"study: {{{find_d}, derive: {{workload.dims.F: 4 * D}}}}\n"
    found = find(load_scenario(written(tmp_path, MATMUL + study)))
    want = next(d for d in range(1, 4097) if 4 * d >= ridge("tpu_v5e") * (1 + 4 * d / 4096 + 4))
    assert found is not None
    assert found.value == want


def test_derived_values_follow_what_is_looked_for_in_each_row(tmp_path: Path) -> None:
    find_d = FIND_B.replace("dims.B", "dims.D")
    derive = "derive: {workload.dims.F: B // 512 * D}"
    study = f"study: {{vary: {{workload.dims.B: [1024, 2048]}}, {find_d}, {derive}}}\n"
    rows = sweep(written(tmp_path, MATMUL + study), jobs=1).rows
    for row, b in zip(rows, (1024, 2048), strict=True):
        k = b // 512
        want = next(d for d in range(1, 4097) if k * b * d >= ridge("tpu_v5e") * (b + k * d + k * b))
        assert row.words["find"] == want
        assert row.inputs["workload.dims.F"] == k * 4096  # of the row itself: D is what the scenario says


def test_derived_values_go_through_chains(tmp_path: Path) -> None:
    """F follows from D, and the batch from F; nothing of it but D is looked for."""
    derive = "derive: {workload.dims.B: F // 2, workload.dims.F: 2 * D}"
    study = f"study: {{{FIND_B.replace('dims.B', 'dims.D')}, {derive}}}\n"
    found = find(load_scenario(written(tmp_path, MATMUL + study)))
    # B = D, F = 2 D: 2 D^3 >= ridge (D^2 + 2 D^2 + 2 D^2)
    want = next(d for d in range(1, 4097) if 2 * d >= ridge("tpu_v5e") * 5)
    assert found is not None
    assert found.value == want


def test_derived_values_follow_both_sides_of_a_map(tmp_path: Path) -> None:
    cross = (
        "crossover: {x: {path: workload.dims.B, from: 1, to: 4096}, y: {path: workload.dims.D, values: [1024, 2048]}, "
        "where: t_math >= t_memory}"
    )
    found = crossover(
        load_scenario(written(tmp_path, f"{MATMUL}study: {{{cross}, derive: {{workload.dims.F: 4 * D}}}}\n"))
    )
    assert found is not None
    assert [row.x for row in found.rows] == [knee(ridge("tpu_v5e"), d, 4 * d) for d in (1024, 2048)]


def test_an_option_of_an_op_may_follow_what_is_looked_for(tmp_path: Path) -> None:
    """tiles = B / 512: the shorter side over the tiles is to be a tenth of the longer one."""
    study = (
        "study: {find: {smallest: workload.dims.B, from: 512, to: 8192, step: 512, where: time <= 1.03 * lower_bound}, "
        "derive: {ops.y.tiles: B // 512}}\n"
    )
    found = find(load_scenario(written(tmp_path, MATMUL + study)))

    def ratio(b: int) -> float:
        sides = sorted((2 * b * 4096**2 / 1.97e14, 2 * (2 * b * 4096 + 4096**2) / 8.2e11))
        return (sides[1] + sides[0] / (b // 512)) / sides[1]

    assert found is not None
    assert found.value == next(b for b in range(512, 8193, 512) if ratio(b) <= 1.03)


def test_the_step_keeps_derived_dims_divisible(tmp_path: Path) -> None:
    """F = 3 D is shared by four chips: D goes in steps of 4, D by itself would go in ones."""
    text = MATMUL.replace("chip: tpu_v5e", "chip: tpu_v5e, topology: ring(4)").replace("B,F]", "B,F_X]")
    text = text.replace("w:bf16[D,F]", "w:bf16[D,F_X]")
    study = f"study: {{{FIND_B.replace('dims.B, from: 1', 'dims.D, from: 4')}, derive: {{workload.dims.F: 3 * D}}}}\n"
    found = find(load_scenario(written(tmp_path, text + study)))

    def holds(d: int) -> bool:
        f = 3 * d // 4
        return 4096 * d * f >= ridge("tpu_v5e") * (4096 * d + d * f + 4096 * f)

    assert found is not None
    assert found.value == next(d for d in range(4, 4097, 4) if holds(d))


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (
            "derive: {workload.dims.F: 4 * D}",
            "derive needs something that varies: vary, zip, random, find or crossover",
        ),
        (f"{FIND_B}, derive: {{workload.dims.B: 4 * D}}", "workload.dims.B is also given under derive"),
        (f"{FIND_B}, derive: {{workload.dims.F: 4 * Q}}", "unknown name 'Q'"),
        (f"{FIND_B}, derive: {{workload.dims.F: time * 4}}", "unknown name 'time'"),
        (f"{FIND_B}, derive: {{workload.dims.F: D > 4}}", "not allowed"),
        ("vary: {workload.dims.B: [1]}, sort: timee", "sort: unknown result word 'timee', did you mean 'time'?"),
        ("sort: time", "sort: there is nothing to sort"),
        ("vary: {workload.dims.B: [1]}, sort: time > 3 s", "rows are sorted by what it compares"),
        ("vary: {workload.dims.B: [1]}, sort: ops.y.time", "ops.y.time is not in a row"),
        ("vary: {workload.dims.B: [1]}, sort: time + flops", "different things"),
    ],
)
def test_a_wrong_study_is_told_before_anything_runs(tmp_path: Path, study: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_scenario(written(tmp_path, f"{MATMUL}study: {{{study}}}\n"))
    assert said in str(caught.value)


# The order of rows


def order(folder: Path, sort: object, **changes: object) -> list[object]:
    grid = {"system.chip": ["h100_sxm", "tpu_v5e", "a100_80gb_sxm"], **changes}
    study = sweep(written(folder, MATMUL), {**grid, "sort": sort} if sort else grid, jobs=1)
    return [row.inputs["system.chip"] for row in study.rows]


@pytest.mark.parametrize(
    ("sort", "want"),
    [
        (None, ["h100_sxm", "tpu_v5e", "a100_80gb_sxm"]),
        ("time", ["h100_sxm", "a100_80gb_sxm", "tpu_v5e"]),  # 989, 312, 197 TFLOP/s
        ("-time", ["tpu_v5e", "a100_80gb_sxm", "h100_sxm"]),
        ("system.chip", ["a100_80gb_sxm", "h100_sxm", "tpu_v5e"]),
        ("chip", ["a100_80gb_sxm", "h100_sxm", "tpu_v5e"]),
        ("flops", ["h100_sxm", "tpu_v5e", "a100_80gb_sxm"]),  # all alike: as they were
        ("time * t_memory / time", ["h100_sxm", "a100_80gb_sxm", "tpu_v5e"]),  # 3.35, 2.04, 0.82 TB/s
        ("tokens_per_s", ["h100_sxm", "tpu_v5e", "a100_80gb_sxm"]),  # none has any
    ],
)
def test_rows_are_sorted_by_a_word(tmp_path: Path, sort: str | None, want: list[str]) -> None:
    assert order(tmp_path, sort) == want


def test_quantities_are_sorted_by_what_they_measure(tmp_path: Path) -> None:
    changes = {"system.set.hbm.bandwidth": ["1 TB/s", "900 GB/s", "1.1e12 B/s"], "sort": "hbm.bandwidth"}
    study = sweep(written(tmp_path, MATMUL), {**changes, "sort": "system.set.hbm.bandwidth"}, jobs=1)
    assert [row.inputs["system.set.hbm.bandwidth"] for row in study.rows] == ["900 GB/s", "1 TB/s", "1.1e12 B/s"]


def test_rows_that_cannot_be_run_come_last(tmp_path: Path) -> None:
    study = sweep(written(tmp_path, MATMUL), {"system.chip": ["none", "tpu_v5e", "h100_sxm"], "sort": "time"}, jobs=1)
    assert [row.inputs["system.chip"] for row in study.rows] == ["h100_sxm", "tpu_v5e", "none"]


def test_the_command_sorts_its_table_and_its_export(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from scenarios.cli.study_answer import Asked, answer

    path = written(tmp_path, MATMUL)
    answers = answer(
        Asked(path, vary=("workload.dims.B=1024,4096,2048",), sort="-time", export=tmp_path / "t.csv", jobs=1)
    )
    assert [row["workload.dims.B"] for row in answers.as_json()["study"]] == [4096, 2048, 1024]
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["4096", "2048", "1024"]
    answers.show()
    shown = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[1:4]] == ["4096", "2048", "1024"]
    assert json.dumps(answers.as_json())
    with pytest.raises(SpecError, match=r"--sort:1:1: sort: unknown result word 'timee'"):
        answer(Asked(path, vary=("workload.dims.B=1024",), sort="timee"))


def test_the_table_has_the_words_that_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, MATMUL + "study: {vary: {workload.dims.B: [1024, 4096]}, show: [hbm_bytes, time]}\n")
    assert overlapse("study", path).output.splitlines()[0].split() == ["B", "hbm", "bytes", "time"]
    assert overlapse("study", path, "--show", "flops").output.splitlines()[0].split() == ["B", "flops"]
    wrong = overlapse("study", path, "--show", "flops,tme")
    assert wrong.exit_code == 2
    assert "unknown word 'tme', did you mean" in wrong.output


def test_a_row_whose_derived_values_cannot_be_worked_out_has_no_words(tmp_path: Path) -> None:
    """It is no run, so a claim about it must not be about the scenario with what it had before."""
    study = "study: {vary: {workload.dims.B: [1, 2]}, derive: {workload.dims.D: 1024 // (B - 1)}}\n"
    claim = "expect: {'rows[%d].flops': %d FLOP}\n"
    right = run(written(tmp_path, MATMUL + study + claim % (1, 2 * 2 * 1024 * 4096)))
    assert {verdict.holds for verdict in right.verdicts} == {True}
    for number, sort in ((0, ""), (-1, ", sort: time")):  # sorted, it comes last
        asked = study.replace("}}", f"}}{sort}}}")
        wrong = run(written(tmp_path, MATMUL + asked + claim % (number, 2 * 1 * 4096 * 4096)))
        with pytest.raises(SpecError, match=r"rows\[-?\d\].flops: workload.dims.D: .* division by zero"):
            _ = wrong.verdicts


def test_a_dim_that_a_rows_workload_does_not_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        "dims: {C: 8, D: 512, F: 64}\nops: ['y:bf16[C,F] = matmul(x:bf16[C,D], w:bf16[D,F])']\n"
    )
    own = written(tmp_path, MATMUL, "own.yaml")
    vary = f"study: {{vary: {{workload: [other.yaml, {own}]}}%s}}\n"
    claimed = run(written(tmp_path, MATMUL + vary % "" + "expect: {'rows[0].B': 4096}\n"))
    with pytest.raises(SpecError, match=r"rows\[0\].B: unknown dim 'B'. Allowed: C, D, F"):
        _ = claimed.verdicts
    find = ", find: {smallest: workload.dims.D, from: 512, to: 1024, step: 512, where: time >= B * 1 ns}"
    first, second = sweep(written(tmp_path, MATMUL + vary % find), jobs=1).rows
    assert "unknown dim 'B'" in first.error
    assert first.words["time"] > 0  # the run itself is as good as ever
    assert second.words["find"] == 512


def test_maps_and_lists_are_sorted_by_their_text(tmp_path: Path) -> None:
    path = written(tmp_path, MATMUL.replace("tpu_v5e}", "h100_sxm, topology: switch(8) over nvlink, mesh: {X: 8}}"))
    rows = sweep(path, {"system.mesh": [{"X": 8}, {"X": 4, "Y": 2}], "sort": "mesh"}, jobs=1).rows
    assert [row.inputs["system.mesh"] for row in rows] == [{"X": 4, "Y": 2}, {"X": 8}]
