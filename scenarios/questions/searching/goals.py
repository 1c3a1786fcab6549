"""What a search is for: goals, and which of two layouts is better in them.

Model: of a goal less is better. A layout reaches another if it is at least as good in every goal; one whose bounds are
reached by a run cannot win.
Assumes: a system has its price by the hour, whatever it does: the fastest step is also the cheapest, and that of most tokens
per dollar.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw import Mark, Problem, SpecError
from hw.input import unknown
from scenarios.questions.searching.layouts import Candidate

GOALS = ("time", "cost", "tokens_per_dollar", "memory")


def check_goals(goals: Sequence[str], most: int | None) -> None:
    """Raises SpecError for goals that are none, or the same, and for no runs."""
    problems = [Problem(Mark("--goal"), unknown("goal", goal, GOALS)) for goal in goals if goal not in GOALS]
    if not problems and len({goal == "memory" for goal in goals}) < len(goals):
        told = "one system has one price: the least time is the least cost, and most tokens per dollar"
        problems.append(Problem(Mark("--goal"), f"{' and '.join(goals)} are one goal; {told}"))
    if most is not None and most < 1:
        problems.append(Problem(Mark("--most"), f"most is {most}; it must be 1 or more"))
    if problems:
        raise SpecError(problems)


def bounds_of(candidate: Candidate, goals: Sequence[str]) -> tuple[float, ...]:
    """By goal what no run of a candidate is below."""
    return tuple(candidate.least_memory if goal == "memory" else candidate.bound_s for goal in goals)


def made_of(candidate: Candidate, goals: Sequence[str]) -> tuple[float, ...]:
    """The same of its run."""
    return tuple(candidate.peak if goal == "memory" else candidate.time_s for goal in goals)


def reaches(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether one is at least as good in every goal."""
    return all(mine <= its for mine, its in zip(one, other, strict=True))
