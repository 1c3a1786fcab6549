"""A search among layouts that are drawn: for spaces too large for all of them to be looked at.

Model: optuna's tree-structured Parzen estimator draws layouts one after the other, and learns from each which values go with
little time. With one seed it draws the same ones. What is drawn has its bounds first (`layouts`): what cannot be built, or
holds more than a chip has in every run, has no time; what cannot be faster than the best run so far is as good as its bound,
and is not run; the rest is run.
Of what was not drawn each has its floor (`floors`). Those whose floors are below the best time are bounded, the least floor
first, until none is left of them or `BOUNDED` were: floors leave out what is not arithmetic, so that they alone would tell a
gap of a tenth where bounds tell one of a hundredth. Where fewer were run than were drawn, those of the least bounds are run:
a space that is small enough ends with a proof.
Law: no layout of the space that was not run ends before `bound_s`: the least of the bounds of those that have them, and of
the floors of the others, or, where there are more than `LISTED`, the arithmetic of the step, which none is below.
So the best is off the best of all by no more than the gap (`Searched.gap`).
Source: Bergstra et al. 2011 (the estimator); Akiba et al. 2019 (optuna).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from hw import Mark, Problems, RunError, SpecError
from scenarios.building.build import Scenario
from scenarios.building.run_one import first_line
from scenarios.questions.searching.floors import Floors
from scenarios.questions.searching.layouts import (
    Asked,
    Candidate,
    Lightest,
    Refused,
    Values,
    asked_of,
    candidate_of,
    layout_of,
    own_values,
    paths_of,
    room_of,
)
from scenarios.questions.searching.running import Runs, RunsHere
from scenarios.questions.searching.searched import Searched
from scenarios.questions.searching.spaces import size_of, space_of
from simulator import Bounded

LISTED = 100_000
"""Layouts of which each has its floor."""

BOUNDED = 1_000
"""Layouts that were not drawn of which so many have their bounds."""


def drawn(
    scenario: Scenario,
    count: int,
    values: Mapping[str, Sequence[Any]] | None = None,
    seed: int = 0,
    runs: Runs | None = None,
) -> Searched:
    """The fastest of `count` layouts that are drawn, of which no more are run. `values`: what each key may be, in place of
    its own choice. Raises SpecError where there is nothing to search, and RunError where optuna is not there."""
    check_drawn(count)
    space = space_of(scenario, values)
    tried = _Drawing(scenario, runs or RunsHere(scenario), refused=Refused(own_values(scenario, space)))
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
    """Layouts that were drawn so far. `seconds_of`: of each that was drawn its time, or the bound of one that was not run;
    None of what cannot be built or does not fit. `waiting`: those that were bounded and not run. `unbuilt`: why others are
    no layouts, each once, by its values."""

    scenario: Scenario
    runs: Runs
    ran: list[Candidate] = field(default_factory=list)
    refused: Refused = field(default_factory=Refused)
    seconds_of: dict[Asked, float | None] = field(default_factory=dict)
    waiting: list[Candidate] = field(default_factory=list)
    unbuilt: dict[tuple[str, ...], tuple[Values, str]] = field(default_factory=dict)
    too_large: int = 0
    tried: int = 0
    lightest: Lightest = field(default_factory=Lightest)

    @property
    def best_s(self) -> float:
        """The least time of those that were run."""
        return min((each.time_s for each in self.ran), default=math.inf)

    def seconds(self, values: Values) -> float | None:
        """The time of a layout, its bound if that is no less than the best time, or None where it cannot run."""
        try:
            asked = layout_of(self.scenario, values)
        except SpecError as error:
            self.unbuilt[tuple(map(str, values.values()))] = values, first_line(error)
            return None
        if asked not in self.seconds_of:
            self.seconds_of[asked] = self._drawn(asked, values)
        return self.seconds_of[asked]

    def _drawn(self, asked: Asked, values: Values) -> float | None:
        """The same of a layout that is drawn for the first time."""
        candidate = self._bounded(values, self.runs.bounds([asked])[0])
        if candidate is None:
            return None
        if candidate.bound_s >= self.best_s:
            self.waiting.append(candidate)
            return candidate.bound_s
        return self._run(candidate)

    def _bounded(self, values: Values, bounded: Bounded | str) -> Candidate | None:
        """A layout with its bounds; None of what cannot be built or does not fit, which is counted."""
        if isinstance(bounded, str):
            self.refused.add(bounded, values)
            return None
        candidate = candidate_of(self.scenario, values, bounded)
        if candidate is None:
            self._does_not_fit(bounded.least_memory, values)
        return candidate

    def _does_not_fit(self, nbytes: float, values: Values) -> None:
        self.too_large += 1
        self.lightest.add(nbytes, values)

    def _run(self, candidate: Candidate) -> float | None:
        self.tried += 1
        [(_, words)] = self.runs.of([paths_of(self.scenario, candidate.values)])
        if isinstance(words, str):
            self.refused.add(words, candidate.values)
            return None
        if words["peak_memory"] > room_of(self.scenario):
            self._does_not_fit(float(words["peak_memory"]), candidate.values)
            return None
        self.ran.append(Candidate(candidate.values, candidate.least_memory, candidate.bound_s, words))
        return self.ran[-1].time_s

    def told(self, space: Mapping[str, Sequence[Any]], count: int) -> Searched:
        """What it came to; what was not drawn is counted, by its floor at the least, as far as each has one."""
        floors = Floors(self.scenario)
        if size_of(space) > LISTED:
            for values, reason in self.unbuilt.values():
                self.refused.add(reason, values)
            left = size_of(space) - len(self.seconds_of) - len(self.unbuilt) + len(self.waiting)
            return self._searched(count, [floors.of_any_s], left, Refused())
        twins, room = Refused(), room_of(self.scenario)
        every = asked_of(self.scenario, space, self.refused, twins)
        floored = [(floors.of(asked), asked) for asked in every if asked not in self.seconds_of]
        fitting = [(floor.bound_s, asked) for floor, asked in floored if floor.least_memory <= room]
        for floor, asked in floored:
            if floor.least_memory > room:
                self._does_not_fit(floor.least_memory, every[asked])
        fitting.sort(key=itemgetter(0))
        close = [asked for floor_s, asked in fitting if floor_s < self.best_s][:BOUNDED]
        for asked, bounded in zip(close, self.runs.bounds(close), strict=True):
            candidate = self._bounded(every[asked], bounded)
            if candidate is not None:
                self.waiting.append(candidate)
        self._finish(count)
        rough = [floor_s for floor_s, _ in fitting[len(close) :]]
        return self._searched(count, rough, len(rough) + len(self.waiting), twins)

    def _finish(self, count: int) -> None:
        """Run what may be best, the least bound first, as long as fewer were run than were drawn."""
        self.waiting.sort(key=lambda each: each.bound_s, reverse=True)
        while self.waiting and self.waiting[-1].bound_s < self.best_s and self.tried < count:
            self._run(self.waiting.pop())

    def _searched(self, count: int, floors: Sequence[float], left: int, twins: Refused) -> Searched:
        """`floors`: of those that are left and have no bounds, each alone or, of those that are not listed, one for all."""
        bounds = [*(each.bound_s for each in self.waiting), *floors]
        may_win = sum(each < self.best_s for each in bounds)
        # one bound for many leaves all of them open
        open_ones = left if may_win and len(bounds) < left else may_win
        return Searched(
            ("time",),
            sorted(self.ran, key=lambda each: each.time_s),
            self.too_large,
            left,
            open_ones,
            min(bounds, default=None),
            self.refused.told(),
            twins.told(),
            count,
            (*self.lightest.near(self.scenario), *self.refused.near()),
        )
