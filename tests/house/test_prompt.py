"""What a notebook or a prompt shows of what people hold: one short line that says what it is, and HTML where it helps."""

from __future__ import annotations

from pathlib import Path

import pytest

import overlapse as ov
from scenarios import Compared, compare, crossover, find, load_scenario, sweep, what_if
from scenarios.questions.fusions import fusions
from simulator import RunOptions

FILE = """\
name: mine
system: {chip: h100_sxm}
workload:
  dims: {B: 64, D: 1024}
  ops:
    - y:bf16[B,D] = relu(x:bf16[B,D])
study:
  find: {smallest: workload.dims.B, from: 1, to: 64, where: t_memory >= t_vector}
  crossover:
    x: {path: workload.dims.B, values: [1, 64]}
    y: {path: workload.dims.D, values: [64, 1024]}
    where: t_memory >= t_vector
"""


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One of each thing that people hold, by the name of its class."""
    path = tmp_path_factory.mktemp("reprs") / "mine.yaml"
    path.write_text(FILE)
    outcome = ov.run(str(path))
    scenario = load_scenario(str(path))
    build = ov.GraphBuilder(B=64, D=1024)
    build.relu("x:bf16[B,D]", out="y:bf16[B,D]")
    study = sweep(str(path), {"workload.dims.B": [1, 2, 4]})
    op = next(iter(scenario.graph.every_op()))
    found: list[object] = [
        find(scenario), fusions(scenario),
        outcome, outcome.result, scenario, study, study.rows[0], what_if(scenario), compare(scenario, scenario),
        crossover(scenario), build, scenario.graph, op, op.output, op.output.dims[0], RunOptions(), scenario.system,
    ]  # fmt: skip
    return {type(each).__name__: each for each in found}


def test_each_is_one_short_line(held: dict[str, object]) -> None:
    for name, each in held.items():
        text = repr(each)
        assert text.startswith(f"{name}("), text
        assert len(text) <= 160
        assert text.isprintable()
        assert " object at 0x" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Outcome", ("mine", "time", "bound_by memory", "eta 0.875")),
        ("Result", ("1 task in",)),
        ("Study", ("3 rows", "workload.dims.B")),
        ("WhatIf", ("mine", "hbm x2 saves")),
        ("OpGraph", ("1 op, ", "B=64, D=1024")),
        ("Op", ("y:bf16[B,D] = relu(x)",)),
        ("Tensor", ("y:bf16[B,D]",)),
        ("Compared", ("mine",)),
    ],
)
def test_it_says_what_matters(held: dict[str, object], name: str, words: tuple[str, ...]) -> None:
    for word in words:
        assert word in repr(held[name])


def test_options_say_only_what_is_not_the_default() -> None:
    assert repr(RunOptions()) == "RunOptions()"
    assert repr(RunOptions(overlap="full", padding=True)) == "RunOptions(overlap='full', padding=True)"


def test_a_builder_shows_its_ops() -> None:
    names = dir(ov.GraphBuilder(B=1))
    assert {"matmul", "all_reduce", "relu", "graph", "repeat"} <= set(names)


def test_a_comparison_shows_itself_in_a_notebook(held: dict[str, object]) -> None:
    compared = held["Compared"]
    assert isinstance(compared, Compared)
    page = compared._repr_html_()
    assert "bound_by" in page
    assert "what moved" in page
    assert "together" in page
    assert "<script" not in page
    evil = Compared(("<b>", "&"), compared.a, compared.b, compared.moves)
    assert "&lt;b&gt;" in evil._repr_html_()


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Outcome", ("time", "bound_by")),
        ("Result", ("time", "lower_bound", "upper_bound", "<td>0.875</td>", "<td>1</td>")),
        ("Study", ("workload.dims.B",)),
        ("WhatIf", ("hbm",)),
        ("Compared", ("what moved",)),
        ("Crossover", ("workload.dims.D", "smallest workload.dims.B", "t_memory &gt;= t_vector", "2 of 2")),
        ("Found", ("<b>Found</b>: 1", "64 of 64 values tried")),
        ("Fusions", ("elementwise", "apart")),
    ],
)
def test_a_notebook_shows_a_table_of_it(held: dict[str, object], name: str, cells: tuple[str, ...]) -> None:
    page = held[name]._repr_html_().replace(' style="text-align:left"', "")  # type: ignore[attr-defined]
    assert "<table" in page
    assert "<script" not in page
    for cell in cells:
        assert cell in page


def test_an_outcome_that_has_not_run_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    assert repr(ov.Outcome(load_scenario(str(path)))) == "Outcome(mine: not run yet)"
