"""The points at which a study asks for runs."""

from __future__ import annotations

from hw import Problems
from scenarios.building.build import Scenario
from scenarios.points.points import Points, read_points


def points_of(scenario: Scenario) -> Points | None:
    """The runs that a scenario's study asks for; None if it asks for none. Raises SpecError."""
    if scenario.study is None:
        return None
    problems = Problems()
    points = read_points(scenario.study, scenario.document, problems)
    problems.raise_if_any()
    return points if len(points) else None
