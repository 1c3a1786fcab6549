"""Where a condition flips: the smallest (or largest) of many values for which it holds, by bisection.

The values are from + i x step, step by default the least common multiple of the chips that shard the dim, so that every
value divides. A value that cannot be run is an error where it stands before the answer, not a false; beyond the answer it
is told as a flip. How few values are tried, and what that guarantees, is said in `scenarios.bisection`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hw import Problem, RunError, SpecError
from scenarios.bisection import State, flips, locate
from scenarios.build import Scenario
from scenarios.condition import Condition
from scenarios.find_values import Value, stepped
from scenarios.study import summarise


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


@dataclass
class Trial:
    """A condition on a scenario, at each of some values of a path. `reverse`: the first answer is the largest value."""

    scenario: Scenario
    path: str
    values: Sequence[Value]
    condition: Condition
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
            return self.condition.holds(summarise(self.scenario.having(self.path, self.values[place])))
        except (SpecError, RunError) as error:
            self.errors[place] = _first_line(error)
            return None
        except (ValueError, KeyError) as error:  # a word that this scenario has no value for, whatever is tried
            raise CannotTryError(str(error.args[0])) from None


def find(scenario: Scenario) -> Found | None:
    """The answer to the scenario's `study.find`; None if it asks nothing. Raises SpecError."""
    study, condition = scenario.study, scenario.condition
    if study is None or study.find is None or condition is None:
        return None
    asked = study.find
    values = stepped(asked.from_, asked.to, asked.step, default_step(scenario, asked.path))
    trial = Trial(scenario, asked.path, values, condition, asked.wanted == "largest")
    try:
        return trial.search(asked.every)
    except CannotTryError as error:
        mark = scenario.document.value_mark(("study", "find"))
        raise SpecError([Problem(mark, f"find: {error}")]) from None


def default_step(scenario: Scenario, dotted: str) -> int:
    """The least step that keeps every sharded use of a dim divisible; 1 for a path that is no dim's."""
    section, _, name = dotted.rpartition(".")
    if section != "workload.dims":
        return 1
    extents = [
        scenario.system.mesh.extent(dim.axes)
        for op in scenario.graph.every_op()
        for tensor in (*op.inputs, op.output)
        for dim in tensor.dims
        if dim.size == name
    ]
    return math.lcm(*extents) if extents else 1


def _first_line(error: Exception) -> str:
    if isinstance(error, SpecError):
        return error.problems[0].message
    return str(error).splitlines()[0]
