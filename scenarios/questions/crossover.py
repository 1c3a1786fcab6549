"""Crossover maps: for each value of one quantity, the value of another at which a condition flips.

    found = crossover(load_scenario("scenario.yaml"))        # its own study.crossover, or one given as the second argument
    found.frame      # one row per y: y, x (the first value that holds), flips, monotonic, tried, of, error

Every row is a search of its own (`find`): x goes up, a flip back is a flip too. A row in which the
run breaks before the condition holds has an error and no x; it does not stop the others. Between
the values that were tried, the map shows what holds on both sides.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.input import notebook_html
from hw.systems import folder_of
from scenarios.building.build import Scenario
from scenarios.building.given import Given, given_scenario
from scenarios.building.run_one import first_line
from scenarios.claims.condition import parse_condition
from scenarios.claims.find_values import Value, axis_values
from scenarios.claims.scope import Scope
from scenarios.language.study_spec import CrossoverSpec
from scenarios.questions.bisection import State
from scenarios.questions.find import CannotTryError, Found, Trial, default_step, derived_of, deriving
from scenarios.questions.other_runs import FromOtherRuns

if TYPE_CHECKING:
    import pandas as pd


_SHOWN_FLIPS = 6


@dataclass(frozen=True, slots=True)
class CrossoverRow:
    """One value of y: what was found over x, or why nothing could be, and what should be known of it beside."""

    y: Value
    found: Found | None
    error: str = ""
    note: str = ""

    @property
    def x(self) -> Value | None:
        """The first value of x at which the condition holds."""
        return self.found.value if self.found is not None else None

    @property
    def told(self) -> tuple[str, str, str]:
        """The first value of x, how many were tried, and what is odd or wrong, as people read them."""
        if self.found is None:
            return "", "", self.error
        tried = f"{self.found.tried} of {self.found.count}"
        odd = []
        if not self.found.monotonic:
            odd = ["not monotonic", *map(str, self.found.flips[:_SHOWN_FLIPS])]
            more = len(self.found.flips) - _SHOWN_FLIPS
            odd += [f"and {more} flips more"] * (more > 0)
        return "none" if self.x is None else str(self.x), tried, "; ".join(odd)

    def state(self, place: int) -> State:
        """Whether the condition holds at a place of x, as far as the flips say."""
        if self.found is None:
            return None
        at = bisect_right([flip.place for flip in self.found.flips], place)
        return self.found.flips[at - 1].holds if at else self.found.begins


@dataclass(frozen=True)
class Crossover:
    """A map: rows by y, ascending as written, over the values `xs` of x."""

    asked: CrossoverSpec
    xs: Sequence[Value]
    rows: tuple[CrossoverRow, ...]

    def __repr__(self) -> str:
        asked = self.asked
        return f"Crossover({asked.x.path} over {asked.y.path}: {len(self.rows)} rows of {len(self.xs)} values)"

    def _repr_html_(self) -> str:
        asked = self.asked
        heads = (asked.y.path, f"smallest {asked.x.path}", "values tried", "")
        rows = [(row.y, *row.told) for row in self.rows]
        return notebook_html(asked.x.path, f"where {asked.where}", heads, rows)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per y. Columns: the two paths, and flips, monotonic, tried, of, error."""
        import pandas as pd

        return pd.DataFrame(self.records)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows as plain data."""
        return [
            {
                self.asked.y.path: row.y,
                self.asked.x.path: row.x,
                "flips": [flip.value for flip in row.found.flips] if row.found else [],
                "monotonic": row.found.monotonic if row.found else None,
                "tried": row.found.tried if row.found else 0,
                "of": len(self.xs),
                "error": row.error,
                **({"note": row.note} if row.note else {}),
            }
            for row in self.rows
        ]

    @property
    def is_empty(self) -> bool:
        """Whether no row could be searched."""
        return all(row.found is None for row in self.rows)

    def columns(self, width: int) -> list[int]:
        """The places of x that a map of so many columns shows, the ends included."""
        last = len(self.xs) - 1
        count = min(width, last + 1)
        return [round(at * last / max(1, count - 1)) for at in range(count)]


def crossover(scenario: Given, asked: CrossoverSpec | None = None) -> Crossover | None:
    """The map that a scenario's `study.crossover`, or `asked`, wants; None if there is neither. Raises SpecError for a path
    or a value that is wrong whatever the other one is, ValueError for a condition that is not one."""
    scenario = given_scenario(scenario)
    if asked is None:
        asked = scenario.study.crossover if scenario.study is not None else None
    if asked is None:
        return None
    derived = derived_of(scenario)
    xs, ys = (
        axis_values(axis, default_step(scenario, axis.path, derived.following(axis.path)))
        for axis in (asked.x, asked.y)
    )
    condition = parse_condition(asked.where, Scope(dims=scenario.graph.dims, folder=_folder(scenario)))
    answers = FromOtherRuns(_folder(scenario))
    rows = []
    for y in ys:
        try:
            inputs = {asked.y.path: y, **derived.values({asked.y.path: y})}
            here = scenario.having_all(inputs)
            trial = Trial(deriving(here, asked.x.path, inputs, derived), asked.x.path, xs, condition, answers)
            rows.append(CrossoverRow(y, trial.search(), note="; ".join(here.notes)))
        except CannotTryError as error:
            rows.append(CrossoverRow(y, None, str(error)))
        except ValueError as error:
            rows.append(CrossoverRow(y, None, first_line(error)))
    return Crossover(asked, xs, tuple(rows))


def _folder(scenario: Scenario) -> Path:
    """Of the file that asks."""
    return folder_of(scenario.document.value_mark(("study", "crossover", "where")), scenario.path.parent)
