"""The best way to lay the training of a model on a system, with its proof.

Model: each layout has its bounds first (`layouts`), of large spaces floors before them (`floors`), and bounds only as far as
those go on; which of them are run, and when none that is left can win, is `best_first`'s. Several are run at once where
there are processes for it (`running`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scenarios.building.build import Scenario
from scenarios.questions.searching.best_first import TOGETHER, BestFirst
from scenarios.questions.searching.floors import Floors
from scenarios.questions.searching.goals import check_goals
from scenarios.questions.searching.layouts import Asked, Candidate, Refused, Values, asked_of, own_values
from scenarios.questions.searching.running import Runs, RunsHere
from scenarios.questions.searching.searched import Searched
from scenarios.questions.searching.spaces import space_of


def search(
    scenario: Scenario,
    values: Mapping[str, Sequence[Any]] | None = None,
    most: int | None = None,
    goals: Sequence[str] = ("time",),
    runs: Runs | None = None,
) -> Searched:
    """The best layout of the training of a scenario. `values`: what each key may be, in place of its own choice; `most`:
    runs after which it is given up without a proof; `goals`: what is to be best, two for a front of those that cannot be
    better in one without being worse in the other. Raises SpecError where there is nothing to search."""
    check_goals(goals, most)
    space, runs = space_of(scenario, values), runs or RunsHere(scenario)
    refused, twins = Refused(own_values(scenario, space)), Refused()
    asked = asked_of(scenario, space, refused, twins)
    candidates = (
        _floored(scenario, asked)
        if len(asked) > TOGETHER
        else [Candidate(chosen, 0.0, 0.0, asked=each) for each, chosen in asked.items()]
    )
    found = BestFirst(scenario, tuple(goals), runs, refused).through(candidates, most)
    return replace(found, errors=refused.told(), twins=twins.told(), near=(*found.near, *refused.near()))


def _floored(scenario: Scenario, asked: Mapping[Asked, Values]) -> list[Candidate]:
    """Layouts with floors as their bounds."""
    floors = Floors(scenario)
    found = []
    for each, chosen in asked.items():
        floor = floors.of(each)
        found.append(Candidate(chosen, floor.least_memory, floor.bound_s, asked=each))
    return found
