"""Branch and bound over the layouts of a search, the best bound first.

Model: what needs more than a chip has in every run is left out; of the rest the best bound is run first, until none that is
left can be better in any goal than one that was run and fits: then none that is left can win. Where layouts have floors,
their bounds are worked out as far as floors go on. Where the first has won at once, one more is run, for a winner to be
compared with.
Law: the winner is that of running all and leaving out those whose peak is above what a chip has, however many run at once
and whichever of them ends first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile

from scenarios.building.build import Scenario
from scenarios.questions.searching.goals import bounds_of, made_of, reaches
from scenarios.questions.searching.layouts import Asked, Candidate, Lightest, Refused, candidate_of, paths_of, room_of
from scenarios.questions.searching.running import Runs
from scenarios.questions.searching.searched import Searched

TOGETHER = 512
"""Layouts whose bounds are worked out at once; floors are for more than those."""

_AHEAD = 64
"""Layouts that are named at once as those to run next, as long as they may win."""


def _asked(candidate: Candidate) -> Asked:
    assert candidate.asked is not None
    return candidate.asked


@dataclass(frozen=True, slots=True)
class _Failed:
    """A layout without a time; `error`: why it cannot be run, "" for one that does not fit, whose peak is `held`."""

    candidate: Candidate
    error: str = ""
    held: float = 0.0


@dataclass
class BestFirst:
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
    lightest: Lightest = field(default_factory=Lightest)

    def through(self, candidates: Sequence[Candidate], most: int | None) -> Searched:
        """Bound and run candidates, the best bound first, but for those that cannot be better than what was run."""
        waiting, limit = self._sorted(candidates), math.inf if most is None else most
        while self.tried < limit:
            wave = [each for each in waiting if self._may_win(each)] or self._next(waiting)
            if not wave:
                break
            if wave[0].asked is not None:
                # together with the first, whatever bounds stand between
                wave = [each for each in wave if each.asked is not None][:TOGETHER]
                self._replace(waiting, wave, self._bounded(wave))
            else:
                bounded = takewhile(lambda each: each.asked is None, wave)
                self._replace(waiting, self._run([*islice(bounded, int(min(_AHEAD, limit - self.tried)))]))
        self._put_back(waiting)
        for each in self.failed:
            if each.error:
                self.refused.add(each.error, each.candidate.values)
            else:
                self.lightest.add(each.held, each.candidate.values)
        # the bound of what cannot be run says nothing against it: then there is no proof
        unrun = [each.candidate for each in self.failed if each.error]
        return Searched(
            self.goals,
            self.ran,
            self.too_large + len(self.failed) - len(unrun),
            len(waiting),
            sum(self._may_win(each) for each in (*waiting, *unrun)),
            min((each.bound_s for each in waiting), default=None),
            near=self.lightest.near(self.scenario),
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
        """Those that may fit, the best bound first; of equal ones in the order of their names, since who was put back comes
        behind others that were as good."""
        room = room_of(self.scenario)
        fitting = [each for each in candidates if each.least_memory <= room]
        self.too_large += len(candidates) - len(fitting)
        for each in candidates:
            if each.least_memory > room:
                self.lightest.add(each.least_memory, each.values)
        return sorted(fitting, key=lambda each: (bounds_of(each, self.goals), each.told))

    def _bounded(self, rough: Sequence[Candidate]) -> list[Candidate]:
        """Candidates with their bounds, but for those that cannot be built, or do not fit."""
        found = []
        for each, bounded in zip(rough, self.runs.bounds([_asked(each) for each in rough]), strict=True):
            if isinstance(bounded, str):
                self.refused.add(bounded, each.values)
                continue
            candidate = candidate_of(self.scenario, each.values, bounded)
            if candidate is None:
                self.too_large += 1
                self.lightest.add(bounded.least_memory, each.values)
            else:
                found.append(candidate)
        return found

    def _may_win(self, candidate: Candidate) -> bool:
        bounds = bounds_of(candidate, self.goals)
        return not any(reaches(made_of(each, self.goals), bounds) for each in self.ran)

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
                self._enter(_Failed(wave[at], held=float(words["peak_memory"])))
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
        self.ran.sort(key=lambda each: (made_of(each, self.goals), bounds_of(each, self.goals), each.told))
        kept: list[Candidate] = []
        for each in self.ran:
            # none that comes later reaches its bounds, unless they are equal in all
            bounds = bounds_of(each, self.goals)
            needless = any(reaches(made_of(other, self.goals), bounds) for other in kept)
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
