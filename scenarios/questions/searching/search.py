"""The best way to lay the training of a model on a system, with its proof.

Model: each layout has its bounds first (`layouts`), of large spaces floors before them (`floors`), and bounds only as far as
those go on. What needs more than a chip has in every run is left out; of the rest the best bound is run first, until none
that is left can be better in any goal than one that was run and fits: then none that is left can win. Several are run at
once where there are processes for it. Where the first has won at once, one more is run, for a winner to be compared with.
Law: the winner is that of running all and leaving out those whose peak is above what a chip has.
Assumes: a system has its price by the hour, whatever it does: the fastest step is also the cheapest, and that of most tokens
per dollar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any, Protocol

from analysis.runs import spent_ps
from hw import Dimension, Mark, Problem, RunError, SpecError
from hw.input import notebook_html, show, unknown
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.run_one import first_line, summarise
from scenarios.language.variants import changed
from scenarios.questions.searching.floors import Floors
from scenarios.questions.searching.layouts import (
    Asked,
    Bounds,
    Candidate,
    Refused,
    Values,
    as_written,
    asked_of,
    paths_of,
    room_of,
)
from scenarios.questions.searching.spaces import space_of
from simulator import PS_PER_S, Bounded

WORDS = (
    "time", "mfu", "peak_memory", "exposed_network", "bubble", "t_math", "t_memory", "t_network",
    "cost", "tokens_per_s", "cost_per_million_tokens",
)  # fmt: skip
"""What is asked of each run."""

GOALS = ("time", "cost", "tokens_per_dollar", "memory")

ROWS = 10
"""Layouts that are shown of those that were run."""

_TOGETHER = 512
"""Layouts whose bounds are worked out at once; floors are for more than those."""

_AHEAD = 64
"""Layouts that are named at once as those to run next, as long as they may win."""

SPENT_WORD = "spent"
"""What each run has beside words: where the time of its busiest chip goes, ps (`analysis.runs.spent`)."""


def layout_words(scenario: Scenario, asked: Sequence[str] | None) -> dict[str, Any]:
    """The words of a run that are asked for, and where its time goes. Raises SpecError, RunError."""
    summary = summarise(scenario)
    return {**{word: summary[word] for word in asked or WORDS}, SPENT_WORD: spent_ps(summary.result)}


Words = Mapping[str, Any] | str
"""The words of a run, or why there are none."""

Wanted = Callable[[int], bool]
"""Whether a run, by its number, is still asked for."""


def always(at: int) -> bool:
    """Whatever else has come out."""
    return True


class Runs(Protocol):
    """Who bounds and runs layouts, so many at once."""

    @property
    def at_once(self) -> int:
        """How many."""

    def of(self, paths: Sequence[Mapping[str, Any]], wanted: Wanted = always) -> Iterator[tuple[int, Words]]:
        """Run variants of the scenario, each with other values at dotted paths, in their order: words under their numbers,
        as they are there. What is not `wanted` when its turn comes is left out, and what still runs is given up once
        nothing that is left is wanted."""

    def bounds(self, asked: Sequence[Asked]) -> Sequence[Bounded | str]:
        """The bounds of layouts, or why they cannot be built. Raises SpecError on unlike chips."""


@dataclass(frozen=True)
class RunsHere:
    """One after the other, in this process."""

    scenario: Scenario
    at_once: int = 1

    def of(self, paths: Sequence[Mapping[str, Any]], wanted: Wanted = always) -> Iterator[tuple[int, Words]]:
        """As `Runs` does."""
        for at, each in enumerate(paths):
            if wanted(at):
                yield at, self._one(each)

    def bounds(self, asked: Sequence[Asked]) -> Sequence[Bounded | str]:
        """As `Runs` does."""
        return Bounds(self.scenario).of(asked)

    def _one(self, paths: Mapping[str, Any]) -> Words:
        document = changed(without_questions(self.scenario.document), paths)
        try:
            return layout_words(build_scenario(document, self.scenario.path), WORDS)
        except (SpecError, RunError) as error:
            return first_line(error)


@dataclass(frozen=True, slots=True)
class Spent:
    """What two runs spend on one cause on their busiest chips, seconds."""

    cause: str
    best_s: float
    next_s: float

    @property
    def more_s(self) -> float:
        """What the next one spends more."""
        return self.next_s - self.best_s


@dataclass(frozen=True)
class Searched:
    """What a search came to. `ran` are runs that fit, the best first; of those `left`, which were not run, and of those that
    could not be run, `open` might be better: then there is no proof. `bound_s`: the least time of any that is left.
    `errors`: why some were refused, and how many for that reason; `twins`: the same of those that another one is the same
    as. `drawn`: how many layouts were drawn, if they were not all looked at."""

    goals: tuple[str, ...]
    ran: Sequence[Candidate]
    too_large: int
    left: int
    open: int = 0
    bound_s: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    twins: Mapping[str, int] = field(default_factory=dict)
    drawn: int | None = None

    def __repr__(self) -> str:
        if self.best is None:
            return f"Searched(nothing fits, of {self.candidates:,} layouts)"
        how = "proven" if self.is_proven else "not proven"
        return f"Searched({self.best.told}: {show(self.best.time_s, Dimension.TIME)}, {how}, {len(self.ran):,} run)"

    def _repr_html_(self) -> str:
        heads = [*(self.best.values if self.best else ()), "time", "at least", "MFU", "peak"]
        rows = [[*map(as_written, each.values.values()), *each.figures] for each in self.ran[:ROWS]]
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
    def next(self) -> Candidate | None:
        """The best but one of those that were run, which the best is compared with; None where there is no other."""
        return self.ran[1] if len(self.ran) > 1 else None

    @property
    def why(self) -> list[Spent]:
        """Where the time of the best and of the next one goes, by cause (`analysis.runs.SPENT`): they add up to their times;
        empty where there is no next one. Causes on which neither spends anything are left out."""
        if self.best is None or self.next is None:
            return []
        one, other = self.best.word(SPENT_WORD), self.next.word(SPENT_WORD)
        found = [Spent(cause, one[cause] / PS_PER_S, other[cause] / PS_PER_S) for cause in one]
        return [each for each in found if each.best_s or each.next_s]

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
        return len(self.ran) + self.refused + self.too_large + self.left + sum(self.twins.values())

    @property
    def gap(self) -> float:
        """By what share of its time the best might be beaten by one that was not run; 0 with a proof."""
        if self.best is None or self.bound_s is None or self.is_proven:
            return 0.0
        return max(0.0, 1 - self.bound_s / self.best.time_s)


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
    refused, twins, runs = Refused(), Refused(), runs or RunsHere(scenario)
    asked = asked_of(scenario, space_of(scenario, values), refused, twins)
    candidates = (
        _floored(scenario, asked)
        if len(asked) > _TOGETHER
        else [Candidate(chosen, 0.0, 0.0, asked=each) for each, chosen in asked.items()]
    )
    found = _Search(scenario, tuple(goals), runs, refused).through(candidates, most)
    return replace(found, errors=refused.told(), twins=twins.told())


def _floored(scenario: Scenario, asked: Mapping[Asked, Values]) -> list[Candidate]:
    """Layouts with floors as their bounds."""
    floors = Floors(scenario)
    found = []
    for each, chosen in asked.items():
        floor = floors.of(each)
        found.append(Candidate(chosen, floor.least_memory, floor.bound_s, asked=each))
    return found


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


def _bounds(candidate: Candidate, goals: Sequence[str]) -> tuple[float, ...]:
    """By goal what no run of a candidate is below."""
    return tuple(candidate.least_memory if goal == "memory" else candidate.bound_s for goal in goals)


def _made(candidate: Candidate, goals: Sequence[str]) -> tuple[float, ...]:
    """The same of its run."""
    return tuple(candidate.peak if goal == "memory" else candidate.time_s for goal in goals)


def _reaches(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether one is at least as good in every goal."""
    return all(mine <= its for mine, its in zip(one, other, strict=True))


def _asked(candidate: Candidate) -> Asked:
    assert candidate.asked is not None
    return candidate.asked


@dataclass(frozen=True, slots=True)
class _Failed:
    """A layout without a time; `error`: why it cannot be run, "" for one that does not fit."""

    candidate: Candidate
    error: str = ""


@dataclass
class _Search:
    """A search on its way.

    How many run at once changes nothing that is told: what was run beside the one that made it needless is `spare`, and
    counts as if it had not been. `asked_for`: what was run to be compared with the best, needless or not.
    """

    scenario: Scenario
    goals: tuple[str, ...]
    runs: Runs
    refused: Refused
    ran: list[Candidate] = field(default_factory=list)
    failed: list[_Failed] = field(default_factory=list)
    spare: dict[str, Candidate | _Failed] = field(default_factory=dict)
    asked_for: set[str] = field(default_factory=set)
    too_large: int = 0
    tried: int = 0

    def through(self, candidates: Sequence[Candidate], most: int | None) -> Searched:
        """Bound and run candidates, the best bound first, but for those that cannot be better than what was run."""
        waiting, limit = self._sorted(candidates), math.inf if most is None else most
        while self.tried < limit:
            wave = [each for each in waiting if self._may_win(each)] or self._next(waiting)
            if not wave:
                break
            if wave[0].asked is not None:
                # together with the first, whatever bounds stand between
                wave = [each for each in wave if each.asked is not None][:_TOGETHER]
                self._replace(waiting, wave, self._bounded(wave))
            else:
                bounded = takewhile(lambda each: each.asked is None, wave)
                self._replace(waiting, self._run([*islice(bounded, int(min(_AHEAD, limit - self.tried)))]))
        self._put_back(waiting)
        for each in self.failed:
            if each.error:
                self.refused.add(each.error)
        # the bound of what cannot be run says nothing against it: then there is no proof
        unrun = [each.candidate for each in self.failed if each.error]
        return Searched(
            self.goals,
            self.ran,
            self.too_large + len(self.failed) - len(unrun),
            len(waiting),
            sum(self._may_win(each) for each in (*waiting, *unrun)),
            min((each.bound_s for each in waiting), default=None),
        )

    def _next(self, waiting: list[Candidate]) -> list[Candidate]:
        """What a winner is compared with, if it is the only one: the next best bound."""
        self._put_back(waiting)
        if len(self.ran) != 1 or not waiting:
            return []
        if waiting[0].asked is None:
            self.asked_for.add(waiting[0].told)
        return waiting[:1]

    def _replace(self, waiting: list[Candidate], gone: Sequence[Candidate], better: Sequence[Candidate] = ()) -> None:
        """Take some out, and put others in, the best bound first."""
        taken = set(map(id, gone))
        waiting[:] = self._sorted([*(each for each in waiting if id(each) not in taken), *better])

    def _sorted(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that may fit, the best bound first."""
        room = room_of(self.scenario)
        fitting = [each for each in candidates if each.least_memory <= room]
        self.too_large += len(candidates) - len(fitting)
        return sorted(fitting, key=lambda each: _bounds(each, self.goals))

    def _bounded(self, rough: Sequence[Candidate]) -> list[Candidate]:
        """Candidates with their bounds, but for those that cannot be built, or do not fit."""
        # where a host issues kernels, only the work of resources is a bound
        is_graph = self.scenario.options.dispatch == "graph"
        found = []
        for each, bounded in zip(rough, self.runs.bounds([_asked(each) for each in rough]), strict=True):
            if isinstance(bounded, str):
                self.refused.add(bounded)
                continue
            bound_s = bounded.earliest if is_graph else bounded.lower_bound
            if bound_s is None:
                self.too_large += 1
            else:
                found.append(Candidate(each.values, bounded.least_memory, bound_s))
        return found

    def _may_win(self, candidate: Candidate) -> bool:
        bounds = _bounds(candidate, self.goals)
        return not any(_reaches(_made(each, self.goals), bounds) for each in self.ran)

    def _run(self, wave: Sequence[Candidate]) -> list[Candidate]:
        """Run candidates in their order, as long as they may win; returns those that were."""
        known = [each for each in wave if each.told in self.spare]
        if known:
            self._enter(self.spare.pop(known[0].told))
            return known[:1]

        def wanted(at: int) -> bool:
            return wave[at].told in self.asked_for or self._may_win(wave[at])

        room, gone = room_of(self.scenario), []
        for at, words in self.runs.of([paths_of(self.scenario, each.values) for each in wave], wanted):
            gone.append(wave[at])
            self.tried += 1
            if isinstance(words, str):
                self._enter(_Failed(wave[at], words))
            elif words["peak_memory"] > room:
                self._enter(_Failed(wave[at]))
            else:
                self._enter(replace(wave[at], words=words))
        return gone

    def _enter(self, run: Candidate | _Failed) -> None:
        if isinstance(run, _Failed):
            self.failed.append(run)
        else:
            self.ran.append(run)

    def _put_back(self, waiting: list[Candidate]) -> None:
        """Sort what was run, the best first, and put back what nobody would have run after the others."""
        self.ran.sort(key=lambda each: (_made(each, self.goals), _bounds(each, self.goals), each.told))
        kept: list[Candidate] = []
        for each in self.ran:
            # none that comes later reaches its bounds, unless they are equal in all
            bounds = _bounds(each, self.goals)
            needless = any(_reaches(_made(other, self.goals), bounds) for other in kept)
            if needless and each.told not in self.asked_for:
                self.spare[each.told] = each
            else:
                kept.append(each)
        failed = [
            each for each in self.failed if self._may_win(each.candidate) or each.candidate.told in self.asked_for
        ]
        self.spare |= {each.candidate.told: each for each in self.failed if each not in failed}
        back = [replace(each, words=None) for each in self.ran if each not in kept]
        back += [each.candidate for each in self.failed if each not in failed]
        self.ran, self.failed = kept, failed
        self._replace(waiting, (), back)
