"""A search among layouts that are drawn: for spaces too large for all of them to be looked at.

Model: optuna's tree-structured Parzen estimator draws layouts one after the other, and learns from each which values go with
little time. With one seed it draws the same ones. What is drawn has its bounds first (`layouts`): what cannot be built, or
holds more than a chip has in every run, has no time; what cannot be faster than the best run so far is as good as its bound,
and is not run; the rest is run.
Law: no layout of the space that was not run ends before `bound_s`: the least of the bounds of those that were drawn, and of
the floors (`floors`) of the others, or, where there are more than `LISTED`, the arithmetic of the step, which none is below.
So the best is off the best of all by no more than the gap (`Searched.gap`).
Source: Bergstra et al. 2011 (the estimator); Akiba et al. 2019 (optuna).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw import Mark, Problems, RunError, SpecError
from scenarios.building.build import Scenario
from scenarios.building.run_one import first_line
from scenarios.questions.searching.floors import Floors
from scenarios.questions.searching.layouts import (
    Asked,
    Candidate,
    Refused,
    Values,
    asked_of,
    layout_of,
    paths_of,
    room_of,
    size_of,
    space_of,
)
from scenarios.questions.searching.search import Runs, RunsHere, Searched

LISTED = 100_000
"""Layouts of which each has its floor."""


def drawn(
    scenario: Scenario,
    count: int,
    values: Mapping[str, Sequence[Any]] | None = None,
    seed: int = 0,
    runs: Runs | None = None,
) -> Searched:
    """The fastest of `count` layouts that are drawn. `values`: what each key may be, in place of its own choice. Raises
    SpecError where there is nothing to search, and RunError where optuna is not there."""
    check_drawn(count)
    space = space_of(scenario, values)
    tried = _Drawing(scenario, runs or RunsHere(scenario))
    study = _study(seed)
    for _ in range(count):
        trial = study.ask()
        # by their places: what a key may be is no number to reckon with
        places = {key: trial.suggest_categorical(key, range(len(of_it))) for key, of_it in space.items()}
        seconds = tried.seconds({key: space[key][place] for key, place in places.items()})
        if seconds is None:
            study.tell(trial, state=_failed())
        else:
            study.tell(trial, seconds)
    return tried.told(space, count)


def check_drawn(count: int, goals: Sequence[str] = ("time",), most: int | None = None) -> None:
    """Raises SpecError for no layouts, and for what is asked of a search of all of them only."""
    problems = Problems()
    if count < 1:
        problems.add(Mark("--draw"), f"draw is {count}; it must be 1 or more")
    if len(goals) > 1 or "memory" in goals:
        problems.add(Mark("--goal"), "layouts are drawn for the least time, which is the least cost, too")
    if most is not None:
        problems.add(Mark("--most"), "of layouts that are drawn, draw says how many")
    problems.raise_if_any()


def _study(seed: int) -> Any:
    """A study that minimises. Raises RunError where optuna is not there."""
    try:
        import optuna
    except ImportError:
        raise RunError("--draw needs optuna: pip install 'overlapse[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


@dataclass
class _Drawing:
    """Layouts that were drawn so far. `seconds_of`: of each its time, or the bound of one that was not run; None of what
    cannot be built or does not fit; `bounds`: of those that were bounded and not run; `unbuilt`: why others are no layouts,
    each once, by its values."""

    scenario: Scenario
    runs: Runs
    ran: list[Candidate] = field(default_factory=list)
    refused: Refused = field(default_factory=Refused)
    seconds_of: dict[Asked, float | None] = field(default_factory=dict)
    too_large: int = 0
    bounds: list[float] = field(default_factory=list)
    unbuilt: dict[tuple[str, ...], str] = field(default_factory=dict)

    def seconds(self, values: Values) -> float | None:
        """The time of a layout, its bound if that is no less than the best time, or None where it cannot run."""
        try:
            asked = layout_of(self.scenario, values)
        except SpecError as error:
            self.unbuilt[tuple(map(str, values.values()))] = first_line(error)
            return None
        if asked not in self.seconds_of:
            self.seconds_of[asked] = self._bounded(asked, values)
        return self.seconds_of[asked]

    def _bounded(self, asked: Asked, values: Values) -> float | None:
        bounded = self.runs.bounds([asked])[0]
        if isinstance(bounded, str):
            self.refused.add(bounded)
            return None
        # where a host issues kernels, only the work of resources is a bound
        is_graph = self.scenario.options.dispatch == "graph"
        bound_s = bounded.earliest if is_graph else bounded.lower_bound
        if bounded.least_memory > room_of(self.scenario) or bound_s is None:
            self.too_large += 1
            return None
        if self.ran and bound_s >= min(each.time_s for each in self.ran):
            self.bounds.append(bound_s)
            return bound_s
        return self._run(Candidate(values, bounded.least_memory, bound_s))

    def _run(self, candidate: Candidate) -> float | None:
        words = self.runs.of([paths_of(self.scenario, candidate.values)])[0]
        if isinstance(words, str):
            self.refused.add(words)
            return None
        if words["peak_memory"] > room_of(self.scenario):
            self.too_large += 1
            return None
        self.ran.append(Candidate(candidate.values, candidate.least_memory, candidate.bound_s, words))
        return self.ran[-1].time_s

    def told(self, space: Mapping[str, Sequence[Any]], count: int) -> Searched:
        """What it came to; what was not drawn is counted by its floor as far as each has one."""
        self.ran.sort(key=lambda each: each.time_s)
        floors = Floors(self.scenario)
        if size_of(space) > LISTED:
            for reason in self.unbuilt.values():
                self.refused.add(reason)
            seen = len(self.seconds_of) + len(self.unbuilt)
            left = size_of(space) - seen + len(self.bounds)
            return self._searched(count, [*self.bounds, floors.of_any_s], left, Refused())
        twins, room = Refused(), room_of(self.scenario)
        others = asked_of(self.scenario, space, self.refused, twins).keys() - self.seconds_of.keys()
        floors_of = [floors.of(asked) for asked in others]
        fitting = [each.bound_s for each in floors_of if each.least_memory <= room]
        self.too_large += len(floors_of) - len(fitting)
        left = len(fitting) + len(self.bounds)
        return self._searched(count, [*self.bounds, *fitting], left, twins)

    def _searched(self, count: int, bounds: Sequence[float], left: int, twins: Refused) -> Searched:
        """`bounds`: of those that are left, each alone or, of those that are not listed, one for all."""
        bound_s = min(bounds, default=None)
        best_s = self.ran[0].time_s if self.ran else math.inf
        may_win = sum(each < best_s for each in bounds)
        # one bound for many leaves all of them open
        open_ones = left if may_win and len(bounds) < left else may_win
        return Searched(
            ("time",),
            self.ran,
            self.too_large,
            left,
            open_ones,
            bound_s,
            self.refused.told(),
            twins.told(),
            count,
        )
