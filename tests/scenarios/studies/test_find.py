"""Searches: the first value for which a condition holds, where it flips, and maps of two values.

The search itself is held against a plain scan on random conditions; on scenarios, `find` against closed forms, over ranges a
hundred times as wide as the answer.
"""

from __future__ import annotations

import csv
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError
from scenarios import Scenario, crossover, find, load_scenario, run, summarise
from scenarios.claims.find_values import same_value, stepped
from scenarios.language.study_spec import CrossoverSpec
from scenarios.questions.bisection import FEW, State, flips, locate
from tests.support.cases import overlapse, written

BOOK = Path(__file__).parents[4] / "shared" / "data" / "book_cases.csv"
LAWS = settings(max_examples=80, deadline=None)


def scan(count: int, holds: list[State]) -> int | None:
    """The answer by trying one after the other."""
    return next((at for at in range(count) if holds[at] is not False), None)


# The search


@LAWS
@given(st.integers(1, 10**6), st.data())
def test_a_condition_that_flips_once_is_found_in_few_tries(count: int, data: st.DataObject) -> None:
    edge = data.draw(st.integers(0, count - 1))
    found = locate(count, lambda at: at >= edge)
    assert found.first == edge
    bits = count.bit_length()
    assert len(found.states) <= max(FEW, 5 * bits + 18)
    assert flips(found.states) == ([edge] if edge else [])


@LAWS
@given(st.integers(1, 5000), st.data())
def test_a_run_that_breaks_before_the_answer_is_found_there(count: int, data: st.DataObject) -> None:
    breaks = data.draw(st.integers(0, count - 1))
    edge = data.draw(st.integers(breaks, count))
    found = locate(count, lambda at: None if at == breaks or breaks <= at < edge else at >= edge)
    if edge - breaks > count // 4 or count <= 4:  # a spell that a golden-ratio sequence cannot step over
        assert found.first == breaks
        assert found.states[breaks] is None


@LAWS
@given(st.lists(st.sampled_from([True, False, False, None]), min_size=1, max_size=200))
def test_what_is_found_is_true_and_exact_where_it_says_so(states: list[State]) -> None:
    """Any pattern at all: what was tried is reported as it is, and an answer that calls itself exact is the first."""
    found = locate(len(states), states.__getitem__)
    assert all(states[at] is state for at, state in found.states.items())
    want = scan(len(states), states)
    if found.exact or len(flips(found.states)) > 1 or found.first is None:
        assert found.first == want
    else:
        assert want is not None
        assert found.first is not None
        assert found.first >= want
    every = locate(len(states), states.__getitem__, every=True)
    assert (every.first, every.exact) == (want, True)


@LAWS
@given(st.integers(2, 5000), st.integers(2, 400), st.data())
def test_a_sawtooth_is_seen_and_its_first_tooth_found(count: int, period: int, data: st.DataObject) -> None:
    """Holds in the upper part of every period, as a padded matmul's efficiency does: no grid beats in time with it."""
    width = data.draw(st.integers(1, period - 1))
    states = [at % period >= period - width for at in range(count)]
    found = locate(count, states.__getitem__)
    seen = len(flips(found.states))
    # at least a quarter of a period in each state, and several periods: some try falls into each
    if count >= 8 * period and period // 4 <= width <= 3 * period // 4:
        assert seen > 1
    if seen > 1:
        assert found.first == scan(count, list(states))


def test_nothing_is_claimed_to_hold_nowhere_before_all_was_tried() -> None:
    found = locate(4096, lambda at: at == 3333)
    assert found.first == 3333
    none = locate(4096, lambda _at: False)
    assert (none.first, none.exact, len(none.states)) == (None, True, 4096)


# The values


def test_values_are_exact_and_keep_their_unit() -> None:
    assert list(stepped(3, 11, 4)) == [3, 7, 11]
    assert list(stepped(0.1, 0.3, 0.1)) == [0.1, 0.2, 0.3]
    assert list(stepped("1 TB/s", "2 TB/s", "0.5 TB/s")) == ["1 TB/s", "1.5 TB/s", "2 TB/s"]
    assert stepped(1, 10**6)[10**6 - 1] == 10**6
    assert same_value("1.5 TB/s", "1500 GB/s")
    assert not same_value("1.5 TB/s", "1501 GB/s")


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("find: {from: 1, to: 4, where: time > 1 s}", "find wants one of smallest and largest"),
        (
            "find: {smallest: workload.dims.B, largest: workload.dims.B, from: 1, to: 4, where: time > 1 s}",
            "wants one of",
        ),
        ("find: {smallest: workload.dims.B, from: 4, to: 1, where: time > 1 s}", r"to \(1\) is below from \(4\)"),
        ("find: {smallest: workload.dims.B, from: 1, to: 4, step: 0, where: time > 1 s}", "step is 0"),
        ("find: {smallest: workload.dims.B, from: 1, to: 10000000, where: time > 1 s}", "more than 1000000"),
        ("find: {smallest: workload.dims.B, from: 1.5, to: 4, where: time > 1 s}", "wants a step"),
        ("find: {smallest: workload.dims.Q, from: 1, to: 4, where: time > 1 s}", "unknown dim 'Q'"),
        ("find: {smallest: workload.dims.B, from: 1, to: 4, where: tim > 1 s}", "did you mean 'time'"),
        (
            "crossover: {x: {path: workload.dims.B}, y: {path: workload.dims.D, values: [1]}, where: time > 1 s}",
            "x wants",
        ),
        (
            "crossover: {x: {path: workload.dims.B, from: 1, to: 9}, y: {path: workload.dims.D, from: 1, to: 3, steps: 2, "
            "step: 1}, where: time > 1 s}",
            "y takes a step, or the number of steps",
        ),
    ],
)
def test_a_search_that_is_wrong_says_so_at_its_place(tmp_path: Path, study: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(MATMUL + f"study: {{{study}}}\n")
    with pytest.raises(SpecError, match=message) as caught:
        load_scenario(str(path))
    assert f"{path}:" in str(caught.value)


# Scenarios

MATMUL = """\
name: matmul
system: {chip: tpu_v5e}
workload:
  dims: {B: 256, D: 4096, F: 4096}
  ops: ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]
run: {overlap: full}
"""


def scenario(folder: Path, text: str) -> Scenario:
    return load_scenario(written(folder, text))


def searched(folder: Path, search: str, text: str = MATMUL) -> Scenario:
    return scenario(folder, text + f"study: {{find: {{{search}}}}}\n")


V5E, H100, V5P, V6E = 1.97e14, 9.89e14, 4.59e14, 9.2e14
KNEE = V5E / 8.2e11
THRESHOLDS = {
    # scenario of the library: (row of the book, closed form, step), searched over 1 .. 100,000
    "two_chip_threshold": ("RL05", 2 * V5E / 4.5e10, 2),
    "four_chips_width": ("RL07", 2 * 4 * V5E / 9e10, 4),
    "int8_knee_of_weights": ("RL09", 3.94e14 / 8.2e11 / 2, 1),
    "int8_knee_of_weights_810": ("RL10", 3.94e14 / 8.1e11 / 2, 1),
    "matmul_knee_exact": ("RL15", KNEE * 4096**2 / (4096**2 - KNEE * 8192), 1),
    "matmul_knee_h100_weights": ("RL18", H100 / 3.35e12, 1),
    "gather_weights_v5p": ("SH15", V5P / 1.8e11, 1),
    "tokens_three_axes": ("TN02", V5P / (3 * 1.8e11), 1),
    "weights_from_host_knee": ("TP06", V6E / 1.6e10, 1),
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_find_is_the_closed_form_over_a_wide_range(name: str) -> None:
    _, closed, step = THRESHOLDS[name]
    wide = [f"study.find.from={step}", "study.find.to=100000", f"study.find.step={step}"]
    found = find(load_scenario(f"library:{name}", wide))
    want = step * math.ceil(Fraction(closed).limit_denominator(10**6) / step)
    assert found is not None
    print(f"{name}: {found.value} (closed form {closed:.2f}), {found}")
    assert found.value == want
    assert found.monotonic
    assert found.tried <= 120


@pytest.mark.skipif(not BOOK.is_file(), reason="the shared data are not beside this checkout")
def test_the_closed_forms_are_those_of_the_book() -> None:
    with BOOK.open() as lines:
        expected = {row["id"]: row["expected"] for row in csv.DictReader(lines)}
    for row, closed, _ in THRESHOLDS.values():
        assert closed == pytest.approx(float(expected[row]), rel=1e-5)


def test_a_condition_that_is_not_monotonic_says_so_and_where_it_flips(tmp_path: Path) -> None:
    """Padding to 128: just above a multiple, the efficiency falls. What is told is true, the answer first."""
    text = MATMUL.replace("overlap: full", "overlap: full, padding: true")
    padded = text.replace("B: 256, D: 4096", "B: 4096, D: 128")
    search = "smallest: workload.dims.D, from: 1, to: 2000, where: mfu >= 88 %"
    one = searched(tmp_path, search, padded)
    found = find(one)
    assert found is not None
    condition = one.condition
    assert condition is not None
    states = {d: condition.holds(summarise(one.having("workload.dims.D", d))) for d in range(1, 500)}
    want = next(d for d, holds in states.items() if holds)
    assert any(not states[d] for d in range(want, 500)), "the condition of this test must not be monotonic"
    assert found.value == want
    assert not found.monotonic
    assert found.exact
    changes = {d for d in range(2, 500) if states[d] != states[d - 1]}
    told = {flip.value for flip in found.flips if isinstance(flip.value, int) and flip.value < 500}
    assert want in told
    assert told <= changes
    assert "not monotonic" in str(found)
    assert f"holds from {want}" in str(found)


def test_flips_are_in_the_outcome_in_json_and_on_the_screen(tmp_path: Path) -> None:
    from scenarios.cli.show.find import find_lines

    text = MATMUL.replace("overlap: full", "overlap: full, padding: true").replace("D: 4096", "D: 128")
    path = tmp_path / "saw.yaml"
    path.write_text(text + "study: {find: {smallest: workload.dims.D, from: 100, to: 150, where: mfu >= 34 %}}\n")
    outcome = run(str(path))
    assert outcome.search is not None
    record = outcome.as_json()["find_search"]
    assert [flip["value"] for flip in record["flips"]] == [flip.value for flip in outcome.flips]
    assert record["monotonic"] is outcome.search.monotonic
    study = outcome.scenario.study
    assert study is not None
    assert study.find is not None
    assert str(outcome.found) in find_lines(study.find, outcome.search).plain


def test_the_largest_value_mirrors_the_smallest(tmp_path: Path) -> None:
    """B in 1 .. 100,000: y, x and w take 2(BF + BD + DF) bytes; compute-bound from the knee on."""
    below = "largest: workload.dims.B, from: 1, to: 100000, where: t_math < t_memory"
    above = "smallest: workload.dims.B, from: 1, to: 100000, where: t_math >= t_memory"
    largest, smallest = find(searched(tmp_path, below)), find(searched(tmp_path, above))
    assert largest is not None
    assert smallest is not None
    assert isinstance(largest.value, int)
    assert smallest.value == largest.value + 1 == 273
    room = find(searched(tmp_path, "largest: workload.dims.B, from: 1, to: 1000000, where: peak_memory <= 16 GB"))
    assert room is not None
    assert room.value == (16 * 10**9 - 2 * 4096**2) // (2 * 8192)


def test_find_takes_rates_with_units(tmp_path: Path) -> None:
    """At B = 256 the matmul asks for 2(BD + BF + DF)/(2BDF/C) bytes a second."""
    search = (
        "smallest: system.set.hbm.bandwidth, from: 100 GB/s, to: 3000 GB/s, step: 0.5 GB/s, where: t_math >= t_memory"
    )
    found = find(searched(tmp_path, search))
    need = 2 * (256 * 8192 + 4096**2) / (2 * 256 * 4096**2 / V5E)
    assert found is not None
    assert found.value == f"{math.ceil(need / 0.5e9) * 0.5:.15g} GB/s"
    path = tmp_path / "claimed.yaml"
    path.write_text((tmp_path / "scenario.yaml").read_text() + f"expect: {{find: {found.value}}}\n")
    assert {verdict.holds for verdict in run(str(path)).verdicts} == {True}
    path.write_text((tmp_path / "scenario.yaml").read_text() + "expect: {find: 1 GB/s}\n")
    assert run(str(path)).failed


def test_a_value_beyond_the_answer_may_break_and_one_before_may_not(tmp_path: Path) -> None:
    """D over four chips: odd values break."""
    text = (
        "name: pair\nsystem: {chip: tpu_v5e, topology: ring(4)}\nworkload:\n"
        "  dims: {B: 4096, D: 8192, F: 8192}\n"
        "  ops:\n    - y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])\nrun: {overlap: full}\n"
    )
    after = "smallest: workload.dims.D, from: 8, to: 11, step: 1, where: flops > 1"
    found = find(searched(tmp_path, after, text))
    assert found is not None
    assert found.value == 8
    assert [(flip.value, flip.holds) for flip in found.flips] == [(9, None)]
    assert "cannot be run from 9" in str(found.flips[0])
    before = "smallest: workload.dims.D, from: 8, to: 12, step: 1, where: flops > 1e30"
    with pytest.raises(SpecError, match=r"workload\.dims\.D = 9"):
        find(searched(tmp_path, before, text))
    fine = "smallest: workload.dims.D, from: 8, to: 64, where: flops > 2 TFLOP"
    four = find(searched(tmp_path, fine, text))
    assert four is not None
    assert four.count == 15  # steps of four: what divides


# Maps


def test_a_crossover_map_is_a_search_for_every_row(tmp_path: Path) -> None:
    """The knee of a matmul moves with HBM: B = I D F / (D F - I (D + F)) with I = C / H."""
    study = (
        "study:\n  crossover:\n    x: {path: workload.dims.B, from: 1, to: 4096}\n"
        "    y: {path: system.set.hbm.bandwidth, from: 400 GB/s, to: 4000 GB/s, steps: 10}\n"
        "    where: t_math >= t_memory\n"
    )
    found = crossover(scenario(tmp_path, MATMUL + study))
    assert found is not None
    frame = found.frame
    assert list(frame["system.set.hbm.bandwidth"]) == [f"{rate} GB/s" for rate in range(400, 4001, 400)]
    for at, row in enumerate(found.rows):
        ridge = V5E / (400e9 * (at + 1))
        assert row.x == math.ceil(ridge * 4096**2 / (4096**2 - ridge * 8192))
        assert isinstance(row.x, int)
        assert [row.state(place) for place in (0, row.x - 2, row.x - 1, 4095)] == [False, False, True, True]
    assert frame["monotonic"].all()


def test_a_row_that_cannot_be_run_is_a_row(tmp_path: Path) -> None:
    asked = CrossoverSpec.model_validate(
        {
            "x": {"path": "workload.dims.B", "from": 1, "to": 512},
            "y": {"path": "system.chip", "values": ["tpu_v5e", "no_such_chip", "h100_sxm"]},
            "where": "t_math >= t_memory",
        }
    )
    found = crossover(scenario(tmp_path, MATMUL), asked)
    assert found is not None
    assert [row.x is None for row in found.rows] == [False, True, False]
    assert "no_such_chip" in found.rows[1].error
    assert not found.is_empty


def test_a_map_in_which_nothing_can_be_run_is_no_answer(tmp_path: Path) -> None:
    """Nor is a study all of whose rows are wrong; a map of some rows is one."""
    (tmp_path / "m.yaml").write_text(MATMUL)
    asked = ("--x", "workload.dims.B=1:8", "--where", "t_math >= t_memory", "--y")
    assert overlapse("crossover", tmp_path / "m.yaml", *asked, "system.chip=no_such_chip").exit_code == 2
    assert overlapse("crossover", tmp_path / "m.yaml", *asked, "system.chip=no_such_chip,tpu_v5e").exit_code == 0


def test_the_map_in_characters_has_a_line_for_each_row(tmp_path: Path) -> None:
    from rich.console import Console

    from scenarios.cli.show.find import show_crossover

    study = (
        "study: {crossover: {x: {path: workload.dims.B, from: 1, to: 1024}, y: {path: workload.dims.D, values: "
        "[1024, 4096]}, where: t_math >= t_memory}}\n"
    )
    found = crossover(scenario(tmp_path, MATMUL + study))
    assert found is not None
    console = Console(width=100, record=True, highlight=False)
    show_crossover(console, found)
    lines = console.export_text().splitlines()
    bars = [line for line in lines if "│" in line]
    assert [line.split("│")[0].strip() for line in bars] == ["4096", "1024"]
    cells = [line.split("│")[1] for line in bars]
    assert all(set(each.rstrip()) == {"█", "·"} for each in cells)
    assert cells[0].count("█") > cells[1].count("█")  # the narrower matmul needs more rows
