"""Where a condition flips: the smallest (or largest) of many values for which it holds, by bisection.

The values are from + i x step, step by default the least common multiple of the chips that shard the dim, so that every
value divides. A value that cannot be run is an error where it stands before the answer, not a false; beyond the answer it
is told as a flip. How few values are tried, and what that guarantees, is said in `scenarios.questions.bisection`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hw import Problem, Problems, RunError, SpecError
from hw.input import notebook_html
from hw.systems import folder_of
from scenarios.building.build import DIMS, Scenario
from scenarios.building.given import Given, given_scenario
from scenarios.building.run_one import first_line, summarise
from scenarios.claims.condition import Condition
from scenarios.claims.find_values import Value, stepped
from scenarios.claims.scope import Answers, NoValueError
from scenarios.language.study_spec import FindSpec
from scenarios.points.derived import Derived
from scenarios.points.points import Entry, read_points
from scenarios.questions.bisection import State, flips, locate
from scenarios.questions.other_runs import FromOtherRuns, OtherRuns


@dataclass(frozen=True, slots=True)
class Flip:
    """From this value on, upwards, the condition holds (True), does not (False), or the run breaks (None).

    `place` is the number of the value among those that could be tried, the lowest 0."""

    value: Value
    holds: State
    place: int

    def __str__(self) -> str:
        return f"{_STATES[self.holds]} from {self.value}"


_STATES = {True: "holds", False: "does not hold", None: "cannot be run"}


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of a search; `value` is None if the condition holds nowhere.

    `begins`: the state at the lowest value. `flips`: every change of state that was seen, ascending. `tried` of `count`
    values were looked at; `exact`: all of those before the answer were.
    """

    value: Value | None
    begins: State
    flips: tuple[Flip, ...]
    tried: int
    count: int
    exact: bool

    def __repr__(self) -> str:
        return f"Found({'nowhere' if self.value is None else self.value}: {self.tried} of {self.count} values tried)"

    def _repr_html_(self) -> str:
        value = "nowhere" if self.value is None else self.value
        flips = [(flip.value, _STATES[flip.holds]) for flip in self.flips[:_SHOWN]]
        return notebook_html("Found", value, ("from", "the condition"), flips, self)

    @property
    def monotonic(self) -> bool:
        """Whether the condition was seen to flip once at most; values that cannot be run do not count."""
        states = [self.begins, *(flip.holds for flip in self.flips)]
        known = [state for state in states if state is not None]
        return sum(one != other for one, other in pairwise(known)) <= 1

    def as_json(self) -> dict[str, Any]:
        """Plain data: how the answer was found, and every flip that was seen."""
        flips = [{"value": flip.value, "holds": flip.holds} for flip in self.flips]
        return {
            "begins": self.begins,
            "flips": flips,
            "monotonic": self.monotonic,
            "tried": self.tried,
            "of": self.count,
            "exact": self.exact,
        }

    def __str__(self) -> str:
        """How sure the answer is, in one line: '58 of 7681 values tried', and where it flips if that is more than once."""
        tried = f"{self.tried} of {self.count} values tried"
        if self.monotonic:
            return tried
        shown = "; ".join(map(str, self.flips[:_SHOWN]))
        more = f"; and {len(self.flips) - _SHOWN} flips more" if len(self.flips) > _SHOWN else ""
        seen = "" if self.tried == self.count else ", as far as tried"
        return f"{tried}; not monotonic{seen}: {_STATES[self.begins]} at first; {shown}{more}"


_SHOWN = 8


class CannotTryError(Exception):
    """A value that must be known cannot be run: the value and what is wrong."""


Made = Callable[[Value], Scenario]
"""The scenario with a value in place. Raises ValueError where there is none."""


@dataclass
class Trial:
    """A condition on a scenario, at each of some values of a path.

    `made`: the scenario with a value in place. `reverse`: the first answer is the largest value.
    """

    made: Made
    path: str
    values: Sequence[Value]
    condition: Condition
    answers: Answers | None = None
    reverse: bool = False
    errors: dict[int, str] = field(default_factory=dict)

    def search(self, every: bool = False) -> Found:
        """Look for the first value. Raises CannotTryError where the run breaks before the condition holds."""
        count = len(self.values)
        found = locate(count, lambda at: self.state(self._place(at)), every)
        if found.first is not None and found.states[found.first] is None:
            place = self._place(found.first)
            raise CannotTryError(f"{self.path} = {self.values[place]}: {self.errors[place]}")
        states = {self._place(at): state for at, state in found.states.items()}
        return Found(
            None if found.first is None else self.values[self._place(found.first)],
            states[min(states)],
            tuple(Flip(self.values[at], states[at], at) for at in flips(states)),
            len(states),
            count,
            found.exact,
        )

    def _place(self, at: int) -> int:
        return len(self.values) - 1 - at if self.reverse else at

    def state(self, place: int) -> State:
        """Whether the condition holds at one value; None, and an error, where it cannot be run."""
        try:
            return self.condition.holds(summarise(self.made(self.values[place])), self.answers)
        except NoValueError as error:  # whatever is tried
            raise CannotTryError(str(error)) from None
        except (ValueError, RunError) as error:  # a scenario that is wrong, or an expression without a value
            self.errors[place] = first_line(error)
            return None


@dataclass(frozen=True)
class Search:
    """What `study.find` asks, of the scenario itself and of each row of its study; `folder`: of the file that asks."""

    asked: FindSpec
    condition: Condition
    derived: Derived
    folder: Path

    def within(self, scenario: Scenario, inputs: Entry, runs: OtherRuns | None = None) -> Found:
        """The answer for a scenario in which `inputs` are in place. Raises CannotTryError, SpecError."""
        asked, path = self.asked, self.asked.path
        step = default_step(scenario, path, self.derived.following(path))
        return Trial(
            deriving(scenario, path, inputs, self.derived),
            path,
            stepped(asked.from_, asked.to, asked.step, step),
            self.condition,
            FromOtherRuns(self.folder, runs or OtherRuns()),
            asked.wanted == "largest",
        ).search(asked.every)

    def said(self) -> dict[str, Any]:
        """What its answers depend on, beside the scenario and what is in place."""
        derive = {path: expression.text for path, expression in self.derived.expressions.items()}
        return {"find": self.asked.model_dump(mode="json"), "derive": derive}


def search_of(scenario: Scenario) -> Search | None:
    """What the scenario's `study.find` asks; None if it asks nothing."""
    study, condition, document = scenario.study, scenario.condition, scenario.document
    if study is None or study.find is None or condition is None:
        return None
    folder = folder_of(document.value_mark(("study", "find", "where")), scenario.path.parent)
    return Search(study.find, condition, derived_of(scenario), folder)


def derived_of(scenario: Scenario) -> Derived:
    """The derived values of the scenario's study."""
    if scenario.study is None:
        return Derived({}, (), {}, {})
    return read_points(scenario.study, scenario.document, Problems()).derived


def deriving(scenario: Scenario, path: str, inputs: Entry, derived: Derived) -> Made:
    """How to put a value at a path of a scenario in which `inputs` are in place, and what follows from it."""

    def made(value: Value) -> Scenario:
        follows = derived.values({**inputs, path: value})
        changed = {other: number for other, number in follows.items() if inputs.get(other) != number}
        return scenario.having_all({path: value, **changed})

    return made


def find(scenario: Given) -> Found | None:
    """The answer to the scenario's `study.find`; None if it asks nothing. Raises SpecError."""
    scenario = given_scenario(scenario)
    search = search_of(scenario)
    if search is None:
        return None
    try:
        return search.within(scenario, {})
    except CannotTryError as error:
        mark = scenario.document.value_mark(("study", "find"))
        raise SpecError([Problem(mark, f"find: {error}")]) from None


def default_step(scenario: Scenario, dotted: str, following: Collection[str] = ()) -> int:
    """The least step that keeps every sharded use of a dim divisible, and of the dims that follow from it; 1 for a path
    that is no dim's."""
    names = {path.removeprefix(DIMS) for path in (dotted, *following) if path.startswith(DIMS)}
    extents = [
        scenario.system.mesh.extent(dim.axes)
        for op in scenario.graph.every_op()
        for tensor in (*op.inputs, op.output)
        for dim in tensor.dims
        if dim.size in names
    ]
    return math.lcm(*extents) if extents and dotted.startswith(DIMS) else 1
