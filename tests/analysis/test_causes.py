"""The one table of causes: every resource counts as one, every cause has a word, and nothing has two."""

from __future__ import annotations

import pytest

from analysis import CAUSES, OP_WORDS, WORDS
from analysis.runs import CONTENTION, HELD, PATH_CAUSES
from analysis.words import DOES
from hw import System, chip_names, load_chip, load_system, system_names
from scenarios import run
from simulator import RESOURCE_CAUSES, RunOptions, lower, parse_graph

LINE = ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]


def causes_of(system: System) -> dict[str, str]:
    plan = lower(parse_graph(LINE, {"B": 8, "D": 8, "F": 8}), system, RunOptions(padding=False))
    return {
        resource.name.partition(".")[2]: resource.cause for resource in plan.program.resources if resource.chip >= 0
    }


@pytest.mark.parametrize("name", chip_names())
def test_each_resource_of_a_chip_is_one_that_its_name_says(name: str) -> None:
    """Written down apart from the table: units count as their own, the way to a host as the host's, all else is memory."""
    found = causes_of(System(load_chip(name)))
    chip = load_chip(name)
    expected = {"matrix_unit": "math", "vector_unit": "vector", **dict.fromkeys(chip.memories, "memory")}
    expected |= {far: "host" for far in ("host", "disk") if far in chip.memories}
    expected |= dict.fromkeys(("pcie.in", "pcie.out"), "host") if "pcie" in chip.links else {}
    assert found == expected


@pytest.mark.parametrize("name", system_names())
def test_everything_that_a_resource_counts_as_has_a_cause(name: str) -> None:
    assert set(causes_of(load_system(name)).values()) <= set(RESOURCE_CAUSES)
    assert [cause.resource for cause in CAUSES.values() if cause.resource] == list(RESOURCE_CAUSES)


def test_no_two_causes_share_a_word_or_a_colour() -> None:
    causes = CAUSES.values()
    assert len({cause.word for cause in causes}) == len({cause.colour for cause in causes}) == len(CAUSES)
    assert [cause.name for cause in causes] == list(CAUSES)
    assert {cause.does for cause in causes} == {*DOES, ""}


def test_words_of_causes_are_words_of_runs_and_ops() -> None:
    t_words = [word for word in WORDS if word.startswith("t_")]
    assert t_words == [cause.word for cause in CAUSES.values()]
    assert [word for word in OP_WORDS if word.startswith("t_")] == [c.word for c in CAUSES.values() if c.of_ops]
    assert set(PATH_CAUSES) == {cause.name for cause in CAUSES.values() if cause.of_ops} | {CONTENTION, HELD}


def test_a_run_is_bound_by_the_cause_of_its_largest_word() -> None:
    words = run("library:llama3_8b_block").summary
    largest = max(CAUSES.values(), key=lambda cause: float(words[cause.word] or 0.0))
    assert words["bound_by"] == largest.name
