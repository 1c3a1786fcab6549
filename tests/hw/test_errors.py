"""The error types: places, messages, order, and that every problem is kept once.

Law: a SpecError carries all problems, sorted by place, each once; its text has one line a problem, FILE:LINE:COL first.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Mark, Problem, Problems, RunError, SpecError
from hw.input import chips_named, few, nearest, need_function, unknown

MARKS = st.builds(Mark, st.sampled_from(["a.yaml", "b.yaml"]), st.integers(1, 30), st.integers(1, 30))
PROBLEMS = st.builds(Problem, MARKS, st.sampled_from(["one", "two", "three"]))


def test_a_place_reads_as_file_line_column() -> None:
    assert str(Mark("s.yaml", 3, 8)) == "s.yaml:3:8"
    assert str(Mark("s.yaml")) == "s.yaml:1:1"
    assert Mark("s.yaml", 3, 8).moved(4) == Mark("s.yaml", 3, 12)


def test_a_problem_reads_as_place_and_message() -> None:
    assert str(Problem(Mark("s.yaml", 3, 8), "no")) == "s.yaml:3:8: no"


def test_wrong_input_is_a_value_error_and_a_failed_run_is_not() -> None:
    """Exit codes 2 and 3 hang on the type."""
    assert issubclass(SpecError, ValueError)
    assert issubclass(RunError, RuntimeError)
    assert not issubclass(RunError, ValueError)


@given(st.lists(PROBLEMS, min_size=1))
def test_every_problem_is_kept_once_in_reading_order(problems: list[Problem]) -> None:
    error = SpecError(problems)
    assert set(error.problems) == set(problems)
    assert len(error.problems) == len(set(problems))
    places = [(problem.mark.file, problem.mark.line, problem.mark.column) for problem in error.problems]
    assert places == sorted(places)
    lines = [f"{mark}: {p.message}" for p in error.problems for mark in [p.mark]]
    more = [f"... and {len(lines) - 20} more problems ({len(lines)} in all)"] if len(lines) > 20 else []
    assert str(error).splitlines() == [*lines[:20], *more]


def test_nothing_collected_raises_nothing() -> None:
    problems = Problems()
    problems.raise_if_any()
    assert not problems


def test_collected_problems_are_raised_together() -> None:
    problems = Problems()
    problems.add(Mark("s.yaml", 9), "late")
    problems.extend(SpecError([Problem(Mark("s.yaml", 2), "early")]))
    assert problems
    with pytest.raises(SpecError) as caught:
        problems.raise_if_any()
    assert [problem.message for problem in caught.value.problems] == ["early", "late"]


@pytest.mark.parametrize(("name", "close"), [("bandwith", "bandwidth"), ("capcity", "capacity"), ("zzz", None)])
def test_the_nearest_name(name: str, close: str | None) -> None:
    assert nearest(name, ["bandwidth", "capacity"]) == close


@pytest.mark.parametrize(
    ("name", "allowed", "told"),
    [
        ("tme", ["t_memory", "t_math", "time"], "did you mean 'time' or 't_memory'?"),
        ("h100", ["h100_pcie", "h100_sxm", "p100"], "did you mean 'h100_pcie' or 'h100_sxm'?"),
        ("h200 SXM", ["h100_sxm", "h200", "h2"], "did you mean 'h200'?"),
        ("a100_sxm_80gb", ["a10", "a100_40gb_sxm", "a100_80gb_sxm"], "did you mean 'a100_80gb_sxm'?"),
        ("capcity", ["cap", "capacity"], "did you mean 'capacity'?"),
        ("t_m", ["t_math", "t_memory", "time"], "did you mean 't_math' or 't_memory'?"),
    ],
)
def test_what_is_likeliest_of_names_that_are_near(name: str, allowed: list[str], told: str) -> None:
    assert told in unknown("word", name, allowed)


def test_an_unknown_name_comes_with_the_nearest_and_all_that_are_allowed() -> None:
    message = unknown("key", "bandwith", ["capacity", "bandwidth"])
    assert "'bandwith'" in message
    assert "did you mean 'bandwidth'?" in message
    assert message.endswith("Allowed: bandwidth, capacity")
    assert "did you mean" not in unknown("key", "zzz", ["bandwidth"])
    assert unknown("link", "ici", []).endswith("Allowed: none")


def test_of_very_many_names_some_are_listed_and_all_are_counted() -> None:
    names = [f"scenario{number:03}" for number in range(257)]
    message = unknown("scenario", "scenarlo123", names)
    assert "did you mean 'scenario123'?" in message
    assert message.count("scenario") == 1 + 1 + 12  # the word itself, the hint, those that are listed
    assert message.endswith("Allowed: " + ", ".join(names[:12]) + " and 245 more (257 in all)")
    whole = unknown("op kind", "zzz", names[:60])  # a vocabulary is told whole
    assert whole.endswith("Allowed: " + ", ".join(names[:60]))


@given(st.text(), st.lists(st.text(min_size=1), max_size=5))
def test_a_suggestion_is_always_allowed(name: str, allowed: list[str]) -> None:
    close = nearest(name, allowed)
    assert close is None or close in allowed


def test_the_first_names_are_told_and_the_others_counted() -> None:
    assert few(["a", "b"], 2) == "a, b"
    assert few("abcde", 2, "; ") == "a; b and 3 more"
    assert chips_named([]) == "no chip"
    assert chips_named({7}) == "chip 7"
    assert chips_named([3, 1, 3]) == "chips 1, 3"
    assert chips_named(range(1, 11)) == "chips 1, 2, 3, 4, 5, 6, 7, 8 and 2 more"


def test_a_function_is_held_to_how_it_will_be_called() -> None:
    def named(x: int, *, y: int) -> int:
        return x + y

    fit: list[Any] = [lambda x: x, lambda x, y=1: x, lambda *all: 0, partial(lambda x, y: x, 1), int, len]
    unfit: list[Any] = [lambda: 0, lambda x, y: x, named, partial(lambda x: x, 1), "f", None]
    for function in fit:
        need_function(function, ("a call",), "it")
    for function in unfit:
        with pytest.raises(ValueError, match=r"^it is called with a call; "):
            need_function(function, ("a call",), "it")
