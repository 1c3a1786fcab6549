"""Claims as expressions: ratios, rows, other files, arithmetic; and what they refuse.

The runs are matmuls whose times are known: 2 B D F over the peak where arithmetic is longer than traffic.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hw import RunError, SpecError
from scenarios import Outcome, load_scenario, run, sweep
from scenarios.claims.condition import parse_condition
from tests.support.cases import MATMUL, written

PEAK, HBM = 1.97e14, 8.2e11
STUDY = MATMUL + "study: {vary: {workload.dims.B: [4096, 8192, 64], system.chip: [tpu_v5e, h100_sxm]}}\n"
T_MATH = 2 * 4096**3 / PEAK


def held(folder: Path, text: str, *claims: str) -> list[bool]:
    """Whether each claim holds."""
    path = written(folder, text + "expect:\n" + "".join(f"  {claim}\n" for claim in claims))
    return [verdict.holds for verdict in Outcome(load_scenario(path)).verdicts]


def wrong(folder: Path, text: str, *claims: str) -> str:
    """What is said about claims that are wrong."""
    with pytest.raises(SpecError) as caught:
        held(folder, text, *claims)
    return str(caught.value)


# Arithmetic


def test_what_is_expected_may_be_worked_out(tmp_path: Path) -> None:
    claims = [
        "time: 2 * B * D * F / 1.97e14",
        "flops: 2 * B * D * F",
        "hbm_bytes: {value: 2 * (B * D + D * F + B * F), tolerance: 1e-9}",
        "t_memory: hbm_bytes / 8.2e11 B/s",
        "t_math: time",
        "upper_bound: t_math + t_memory",
        "ops.y.time: 1 * time",
        "flops_per_s: 197 TFLOP/s",
    ]
    assert held(tmp_path, MATMUL, *claims) == [True] * len(claims)
    assert held(tmp_path, MATMUL, "time: 2 * B * D * F / 1.96e14", "t_math: 2 * time") == [False, False]


def test_what_a_claim_is_about_may_be_worked_out(tmp_path: Path) -> None:
    claims = [
        f"time * 1000: {T_MATH * 1e3} s",
        f"flops / hbm_bytes: {2 * 4096**3 / (3 * 2 * 4096**2)} FLOP/B",
        "time / lower_bound: 1",
        "min(t_math, t_memory) / max(t_math, t_memory): 0.176",
        "time - t_math: 0 s",
        "time >= 0.5 * upper_bound: true",
        "time > upper_bound: false",
        "ops.y.t_math >= 99 % * time and fits: true",
        "bound_by == compute or bound_by == vector: true",
        "not fits: false",
        "B * D: 16777216",
        "t_math ** 2 < 1: true",
    ]
    memory = 3 * 2 * 4096**2 / HBM
    claims[3] = f"min(t_math, t_memory) / max(t_math, t_memory): {memory / T_MATH}"
    assert held(tmp_path, MATMUL, *claims) == [True] * len(claims)


@pytest.mark.parametrize(
    ("want", "holds"),
    [("0.5 * D", True), ("2048", True), ("2051", False), ("{value: 2049, tolerance: 1 %}", True), ("B / 2", True)],
)
def test_a_tolerance_is_that_of_the_value_expected(tmp_path: Path, want: str, holds: bool) -> None:
    assert held(tmp_path, MATMUL, f"B / 2: {want}") == [holds]


def test_where_nothing_is_expected_times_hold_within_a_picosecond_a_task(tmp_path: Path) -> None:
    """One task: t_math is rounded to whole picoseconds, and half of one is allowed, two are not."""
    assert (
        held(tmp_path, MATMUL, "t_network: 0 s", "time - lower_bound: 0 s", "t_math - t_math / 2 * 2: 0 s")
        == [True] * 3
    )
    assert held(tmp_path, MATMUL, "time - lower_bound + 2 ps: 0 s") == [False]
    assert held(tmp_path, MATMUL, "time / lower_bound - 1: 0", "eta - 1 + 0.00001: 0") == [True, False]


def test_a_failed_claim_says_what_was_expected_and_what_came(tmp_path: Path) -> None:
    path = written(tmp_path, MATMUL + "expect: {time / t_math: 2, time: 3 * t_math, t_memory >= t_math: true}\n")
    said = [str(verdict) for verdict in run(path).failed]
    assert said[0] == "time / t_math: want 2, got 1 (-50.0000 %)"
    assert said[1].startswith("time: want 2.09")
    assert said[2] == "t_memory >= t_math: want true, got false"


# Rows


def test_claims_about_rows_of_a_study(tmp_path: Path) -> None:
    claims = [
        "rows[2].time / rows[0].time: 2",  # twice the batch on the same chip
        f"rows[0].time / rows[1].time: {9.89e14 / PEAK}",
        "rows[0].time: time",
        "rows[-1].bound_by: memory",
        "rows[4].bound_by == rows[5].bound_by: true",
        "rows[2].workload.dims.B: 8192",
        "rows[1].system.chip: h100_sxm",
        "rows[0].ops.y.flops: 2 * B * D * F",
        "max(rows[0].mfu, rows[1].mfu): 100 %",
    ]
    assert held(tmp_path, STUDY, *claims) == [True] * len(claims)
    assert held(tmp_path, STUDY, "rows[2].time / rows[0].time: 1.9", "rows[1].system.chip: h200") == [False, False]


@pytest.mark.long
def test_only_the_rows_that_are_named_are_run(tmp_path: Path) -> None:
    """A study of a million rows is not run for two of them."""
    text = MATMUL + "study: {vary: {workload.dims.B: '1:1000000'}}\n"
    begun = time.process_time()
    assert held(tmp_path, text, "rows[8191].time / rows[4095].time: 2") == [True]
    assert time.process_time() - begun < 60


def test_rows_are_counted_as_they_are_sorted(tmp_path: Path) -> None:
    text = STUDY.replace("study: {", "study: {sort: -time, ")
    assert held(tmp_path, text, "rows[0].workload.dims.B: 8192", "rows[0].system.chip: tpu_v5e") == [True, True]


def test_rows_of_a_study_may_have_another_workload(tmp_path: Path) -> None:
    """A claim about an op of this run is no claim about rows that lack it."""
    lines = 'dims: {N: 1000}\nops: ["z:bf16[N] = relu(x:bf16[N])"]\n'
    (tmp_path / "other.yaml").write_text(lines)
    text = MATMUL + "study: {vary: {workload: [other.yaml]}}\n"
    assert held(tmp_path, text, "ops.y.time: time", "rows[0].hbm_bytes: 4000 B") == [True, True]


# Other files


def test_claims_about_runs_of_other_files(tmp_path: Path) -> None:
    written(tmp_path, MATMUL.replace("B: 4096", "B: 8192"), "wide.yaml")
    below = tmp_path / "below"
    below.mkdir()
    written(below, MATMUL.replace("D: 4096", "D: 1024"), "short.yaml")
    claims = [
        'run("wide.yaml").time / time: 2',
        "run('below/short.yaml').ops.y.flops: flops / 4",
        'run("wide.yaml", "workload.dims.B=512").time * 8: time',
        'run("wide.yaml", "run.overlap=none").time: upper_bound + run("wide.yaml").t_math / 2 + 81.84 us / 2',
        "run('wide.yaml').bound_by: compute",
        "run('library:llama3_8b_block').fits: true",
    ]
    memory = (2 * (8192 * 4096 * 2 + 4096**2) - 3 * 2 * 4096**2) / HBM
    claims[3] = f'run("wide.yaml", "run.overlap=none").time - upper_bound: {T_MATH + memory} s'
    assert held(tmp_path, MATMUL, *claims) == [True] * len(claims)


def test_files_are_found_from_the_file_that_names_them(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    written(below, MATMUL + "expect: {'run(\"half.yaml\").time': 0.5 * time}\n", "base.yaml")
    written(below, MATMUL.replace("B: 4096", "B: 2048"), "half.yaml")
    top = written(tmp_path, "extends: below/base.yaml\nname: top\n", "top.yaml")
    assert [verdict.holds for verdict in run(top).verdicts] == [True]


def test_two_files_may_claim_about_each_other(tmp_path: Path) -> None:
    a = written(tmp_path, MATMUL + "expect: {'run(\"b.yaml\").time': 2 * time}\n", "a.yaml")
    b = written(
        tmp_path, MATMUL.replace("B: 4096", "B: 8192") + "expect: {'run(\"a.yaml\").time': 0.5 * time}\n", "b.yaml"
    )
    assert [verdict.holds for each in (a, b) for verdict in run(each).verdicts] == [True, True]


def test_another_run_that_cannot_be_is_told_at_the_claim(tmp_path: Path) -> None:
    written(tmp_path, MATMUL.replace("B: 4096", "B: -1"), "broken.yaml")
    said = wrong(tmp_path, MATMUL, 'run("gone.yaml").time: time')
    assert ":8:3: " in said
    assert "there is no scenario file" in said
    said = wrong(tmp_path, MATMUL, 'run("broken.yaml").time: time')
    assert "broken.yaml:4:13: dim B is -1" in said
    waits = (
        "system: {chip: tpu_v5e, topology: line(2)}\nworkload: {ops: ['r:bf16[8] = recv(x:bf16[8], from=0, on=1)']}\n"
    )
    written(tmp_path, "name: waits\n" + waits, "waits.yaml")
    with pytest.raises((RunError, SpecError)):
        held(tmp_path, MATMUL, 'run("waits.yaml").time: time')


# What is refused


@pytest.mark.parametrize(
    ("claim", "place", "said"),
    [
        ("timee: 1 s", "8:3", "unknown result word 'timee', did you mean 'time'?"),
        ("timee / 2: 1 s", "8:3", "unknown result word 'timee', did you mean 'time'?"),
        ("ops.y.timee * 2: 1 s", "8:3", "unknown word about an op 'timee', did you mean 'time'?"),
        ("ops.z.time / time: 1", "8:3", "unknown op 'z'"),
        ("time: ops.z.time", "8:3", "unknown op 'z'"),
        ("time + flops: 1", "8:3", "adds or compares different things: time and amount of arithmetic"),
        ("time: 2 * flops", "8:9", "compares different things: time with amount of arithmetic"),
        ("time > flops: true", "8:3", "compares different things: time with amount of arithmetic"),
        ("time / t_math: 3 s", "8:18", "is a time, time / t_math wants a plain number or %"),
        ("time * 2: 3 GB", "8:13", "is an amount of data, time * 2 wants a time"),
        ("time > t_math: 3", "8:18", "wants true or false"),
        ("bound_by: coffee", "8:13", "unknown cause 'coffee'"),
        ("bound_by + 1: 3", "8:3", "a name cannot be counted with"),
        ("bound_by > memory: true", "8:3", "a name is compared with == or !="),
        ("rows[0].time: 1 s", "8:3", "rows wants a study that varies something"),
        ("time.real: 1 s", "8:3", "unknown result word 'time.real'"),
        ("time.__class__: 1 s", "8:3", "unknown result word 'time.__class__'"),
        ("open('x'): 1", "8:3", "not allowed in an expression"),
        ("find: 3", "8:3", "unknown result word 'find'"),
        ("fits: maybe", "8:9", "fits wants true or false"),
        ("time and fits: true", "8:3", "and, or and not take comparisons, not a time"),
        ("saved * 2: 3", "8:3", "saved wants an economics section"),
    ],
)
def test_a_wrong_claim_is_refused_at_its_place(tmp_path: Path, claim: str, place: str, said: str) -> None:
    found = wrong(tmp_path, MATMUL, claim)
    assert said in found
    assert f":{place}: " in found


def test_every_wrong_claim_is_told_at_once(tmp_path: Path) -> None:
    said = wrong(tmp_path, MATMUL, "timee: 1 s", "time + flops: 1", "rows[0].time: 1", "time: 1 GB")
    assert len(said.splitlines()) == 4


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ("rows[6].time: 1 s", "rows[6].time: the study has 6 rows, counted from 0"),
        ("rows[-7].time: 1 s", "the study has 6 rows"),
        ("rows[0].ops.z.time: 1 s", "unknown op 'z'"),
        ("rows[0].workload.dims.D: 1", "unknown result word 'workload.dims.D'"),
        ("rows[B].time: 1 s", "not allowed"),
        ("rows[0.5].time: 1 s", "not allowed"),
    ],
)
def test_a_row_that_is_not_there_is_told(tmp_path: Path, claim: str, said: str) -> None:
    assert said in wrong(tmp_path, STUDY, claim)


def test_a_word_without_a_value_fails_its_claim(tmp_path: Path) -> None:
    path = written(tmp_path, MATMUL + "expect: {tokens_per_s: 3 /s, 2 * tokens_per_s: 3 /s}\n")
    verdicts = run(path).verdicts
    assert [verdict.holds for verdict in verdicts] == [False, False]
    for verdict in verdicts:
        assert "got nothing (tokens_per_s has no value for this scenario)" in str(verdict)


def test_a_claim_that_is_inherited_is_dropped_by_null(tmp_path: Path) -> None:
    written(tmp_path, STUDY + "expect: {'rows[0].time / rows[1].time': 99, time: 2 * t_math}\n", "base.yaml")
    top = "extends: base.yaml\nname: top\nexpect: {'rows[0].time / rows[1].time': null, time: null, t_math: time}\n"
    outcome = run(written(tmp_path, top, "top.yaml"))
    assert [claim.word for claim in outcome.scenario.claims] == ["t_math"]
    assert {verdict.holds for verdict in outcome.verdicts} == {True}


def test_the_same_claim_in_a_study_command_is_not_in_the_way_of_its_rows(tmp_path: Path) -> None:
    path = written(tmp_path, STUDY + "expect: {'rows[0].time / time': 1}\n")
    assert sweep(path, jobs=1).failed == 0


@pytest.mark.parametrize(
    ("word", "value", "told"),
    [
        ("mfu", "40", "40 will not do: mfu is a share, from 0 to 1 (100 %), did you mean 40 %?"),
        ("mfu", "200", "200 will not do: mfu is a share, from 0 to 1 (100 %)"),
        ("hfu", "140 %", "'140 %' will not do: hfu is a share"),
        ("rows[0].mfu", "-0.1", "-0.1 will not do: rows[0].mfu is a share"),
        (
            "mfu",
            "{value: 41.5, tolerance: 1 %}",
            "41.5 will not do: mfu is a share, from 0 to 1 (100 %), did you mean 41.5 %?",
        ),
    ],
)
def test_a_share_is_no_more_than_all(word: str, value: str, told: str, tmp_path: Path) -> None:
    """Such a claim fails whatever is run: `mfu: 40` wanted 4,000 %."""
    text = "name: m\nsystem: {chip: tpu_v5e}\nworkload: {dims: {B: 8}, ops: ['y:bf16[B] = relu(x:bf16[B])']}\n"
    path = tmp_path / "m.yaml"
    path.write_text(text + f"study: {{vary: {{workload.dims.B: [8, 9]}}}}\nexpect: {{'{word}': {value}}}\n", "utf-8")
    with pytest.raises(SpecError) as raised:
        load_scenario(path)
    (problem,) = raised.value.problems
    assert problem.message.startswith(told)


@pytest.mark.parametrize("claim", ["eta: 1.001", "mfu / 0.1: 3", "mfu: 100 %", "mfu > 2: false", "mfu: 2 * eta"])
def test_what_is_no_share_may_be_more(claim: str, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    text = "name: m\nsystem: {chip: tpu_v5e}\nworkload: {ops: ['y:bf16[8] = relu(x:bf16[8])']}\n"
    path.write_text(text + f"expect: {{{claim}}}\n", "utf-8")
    assert load_scenario(path).claims


@pytest.mark.parametrize("text", ["mfu >= 95", "time < 5 ms and mfu > 40", "2 <= goodput"])
def test_a_condition_on_more_than_all_is_refused(text: str) -> None:
    """It tried all values there are, and found none."""
    with pytest.raises(ValueError, match="is a share, from 0 to 1"):
        parse_condition(text)


@pytest.mark.parametrize("text", ["mfu >= 95 %", "mfu >= 0.95", "100 * mfu >= 95", "eta < 1.5", "mfu <= 1"])
def test_a_condition_on_a_part_is_taken(text: str) -> None:
    assert parse_condition(text)
