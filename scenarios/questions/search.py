"""The best way to lay the training of a model on a system, with its proof.

Model: each layout is estimated first (`layouts`). What needs more than a chip has in every run is left out; of the rest the
best bound is run first, until none that is left can be better in any goal than one that was run and fits: then none that is
left can win. Several are run at once where there are processes for it.
Law: the winner is that of running all and leaving out those whose peak is above what a chip has.
Assumes: a system has its price by the hour, whatever it does: the fastest step is also the cheapest, and that of most tokens
per dollar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hw import Dimension, Mark, Problem, RunError, SpecError
from hw.input import notebook_html, show, unknown
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.run_one import first_line, words_of
from scenarios.language.variants import changed
from scenarios.questions.layouts import Candidate, Refused, candidates_of, paths_of

WORDS = (
    "time", "mfu", "peak_memory", "exposed_network", "bubble", "t_math", "t_memory", "t_network",
    "cost", "tokens_per_s", "cost_per_million_tokens",
)  # fmt: skip
"""What is asked of each run."""

GOALS = ("time", "cost", "tokens_per_dollar", "memory")

ROWS = 10
"""Layouts that are shown of those that were run."""

_ROUNDING = 1e-9
"""By how much sums of the same bytes may differ."""


class Runs(Protocol):
    """Who runs layouts, so many at once: the words of each, or, as text, why there are none."""

    @property
    def at_once(self) -> int:
        """How many."""

    def of(self, paths: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | str]:
        """Run variants of the scenario, each with other values at dotted paths."""


@dataclass(frozen=True)
class RunsHere:
    """One after the other, in this process."""

    scenario: Scenario
    at_once: int = 1

    def of(self, paths: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | str]:
        """As `Runs` does."""
        return [self._one(each) for each in paths]

    def _one(self, paths: Mapping[str, Any]) -> Mapping[str, Any] | str:
        document = changed(without_questions(self.scenario.document), paths)
        try:
            return words_of(build_scenario(document, self.scenario.path), WORDS)
        except (SpecError, RunError) as error:
            return first_line(error)


@dataclass(frozen=True)
class Searched:
    """What a search came to. `ran` are runs that fit, the best first; of those `left`, which were not run, `open` might be
    better: then the search was stopped before its proof. `bound_s`: the least time of any that is left. `errors`: why some
    were refused, and how many for that reason."""

    goals: tuple[str, ...]
    ran: Sequence[Candidate]
    too_large: int
    left: int
    open: int = 0
    bound_s: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        if self.best is None:
            return f"Searched(nothing fits, of {self.candidates:,} layouts)"
        how = "proven" if self.is_proven else "not proven"
        return f"Searched({self.best.told}: {show(self.best.time_s, Dimension.TIME)}, {how}, {len(self.ran):,} run)"

    def _repr_html_(self) -> str:
        heads = [*(self.best.values if self.best else ()), "time", "at least", "MFU", "peak"]
        rows = [[*each.values.values(), *each.figures] for each in self.ran[:ROWS]]
        counts = f"{self.candidates:,} layouts, {len(self.ran):,} run, {self.left:,} not run"
        how = "proven" if self.is_proven else f"not proven: {self.open:,} may be better"
        told = self.best.told if self.best else "nothing fits"
        return notebook_html("Searched", f"{told} ({how})", heads, rows, counts)

    @property
    def best(self) -> Candidate | None:
        """The best by the first goal; None where nothing fits."""
        return self.ran[0] if self.ran else None

    @property
    def front(self) -> list[Candidate]:
        """Those that no other beats in one goal without being worse in another; of equals the first."""
        found: list[Candidate] = []
        for each in self.ran:
            if not any(_reaches(_made(other, self.goals), _made(each, self.goals)) for other in found):
                found.append(each)
        return found

    @property
    def is_proven(self) -> bool:
        """Whether no candidate that was not run can be better."""
        return self.open == 0

    @property
    def refused(self) -> int:
        """How many cannot be built, or run."""
        return sum(self.errors.values())

    @property
    def candidates(self) -> int:
        """How many there were."""
        return len(self.ran) + self.refused + self.too_large + self.left


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
    _check(goals)
    refused = Refused()
    room = min(chip.hbm.capacity_bytes for chip in scenario.system.kinds)
    candidates = candidates_of(scenario, values, refused)
    fitting = [each for each in candidates if each.estimate.least_memory <= room * (1 + _ROUNDING)]
    fitting.sort(key=lambda each: _bounds(each, goals))
    found = _Search(scenario, tuple(goals), runs or RunsHere(scenario), room, refused).through(fitting, most)
    return replace(found, too_large=found.too_large + len(candidates) - len(fitting), errors=refused.told())


def _check(goals: Sequence[str]) -> None:
    problems = [Problem(Mark("--goal"), unknown("goal", goal, GOALS)) for goal in goals if goal not in GOALS]
    if not problems and len({goal == "memory" for goal in goals}) < len(goals):
        told = "one system has one price: the least time is the least cost, and most tokens per dollar"
        problems.append(Problem(Mark("--goal"), f"{' and '.join(goals)} are one goal; {told}"))
    if problems:
        raise SpecError(problems)


def _bounds(candidate: Candidate, goals: Sequence[str]) -> tuple[float, ...]:
    """By goal what no run of a candidate is below."""
    return tuple(candidate.estimate.least_memory if goal == "memory" else candidate.bound_s for goal in goals)


def _made(candidate: Candidate, goals: Sequence[str]) -> tuple[float, ...]:
    """The same of its run."""
    return tuple(candidate.peak if goal == "memory" else candidate.time_s for goal in goals)


def _reaches(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether one is at least as good in every goal."""
    return all(mine <= its for mine, its in zip(one, other, strict=True))


@dataclass
class _Search:
    """A search on its way."""

    scenario: Scenario
    goals: tuple[str, ...]
    runs: Runs
    room: float
    refused: Refused
    ran: list[Candidate] = field(default_factory=list)
    too_large: int = 0

    def through(self, fitting: Sequence[Candidate], most: int | None) -> Searched:
        """Run candidates, the best bound first, but for those that cannot be better than what was run."""
        waiting, tried = list(fitting), 0
        while True:
            wanted = self.runs.at_once if most is None else min(self.runs.at_once, most - tried)
            wave = [at for at, each in enumerate(waiting) if self._may_win(each)][: max(wanted, 0)]
            if not wave:
                break
            self._run([waiting[at] for at in wave])
            tried += len(wave)
            taken = set(wave)
            waiting = [each for at, each in enumerate(waiting) if at not in taken]
        self.ran.sort(key=lambda each: _made(each, self.goals))
        return Searched(
            self.goals,
            self.ran,
            self.too_large,
            len(waiting),
            sum(self._may_win(each) for each in waiting),
            min((each.bound_s for each in waiting), default=None),
        )

    def _may_win(self, candidate: Candidate) -> bool:
        bounds = _bounds(candidate, self.goals)
        return not any(_reaches(_made(each, self.goals), bounds) for each in self.ran)

    def _run(self, wave: Sequence[Candidate]) -> None:
        found = self.runs.of([paths_of(self.scenario, each.values) for each in wave])
        for candidate, words in zip(wave, found, strict=True):
            if isinstance(words, str):
                self.refused.add(words)
            elif words["peak_memory"] > self.room:
                self.too_large += 1
            else:
                self.ran.append(replace(candidate, words=words))
