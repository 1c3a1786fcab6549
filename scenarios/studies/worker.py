"""One point of a study, run: a scenario made of its inputs, simulated, its words as JSON.

A worker process has the scenario once (`Job`, unpickled when it first sees it) and gets points as maps of values. Words
travel and are kept as JSON text, so that a row is the same whether it was run here, elsewhere, or last week.
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hw import RunError, SpecError
from hw.rows import sums_in_order
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.run_one import first_line, words_of
from scenarios.claims.scope import FIND
from scenarios.questions.find import CannotTryError, Search, search_of
from scenarios.questions.other_runs import OtherRuns
from scenarios.studies.batches import Batches
from scenarios.studies.blame import whose
from scenarios.studies.extensions import Extensions, extensions

WRONG_INPUT, CANNOT_RUN = 2, 3
"""Exit codes: the input is wrong, the run cannot be done."""


Told = Callable[[Scenario, Sequence[str] | None], Mapping[str, Any]]
"""How a scenario is run for some words, all where none are named. Raises SpecError, RunError."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished run: its words as JSON, or what went wrong, with the exit code that the run alone would have.
    `lasting`: whether another try would give the same."""

    words: str
    error: str = ""
    lasting: bool = True
    exit: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The words."""
        return dict(json.loads(self.words)) if self.words else {}


@dataclass(frozen=True, slots=True)
class Job:
    """What all points of a study have in common, ready to be sent to a worker. `number` is another for every study: a
    worker that has seen the same scenario before must not overlook that a file which it refers to has changed. `added`: what
    the user has added to Overlapse, which a worker needs as well."""

    blob: bytes
    number: bytes
    added: Extensions

    @classmethod
    def of(cls, scenario: Scenario) -> Job:
        """The job of running variants of a scenario, and of finding in each what the scenario looks for."""
        wanted = scenario.study.asked if scenario.study is not None else None
        asked = (without_questions(scenario.document), scenario.path, search_of(scenario), wanted, None)
        return cls(pickle.dumps(asked), os.urandom(8), extensions())

    @classmethod
    def asking(cls, scenario: Scenario, words: Sequence[str], told: Told | None = None) -> Job:
        """The job of running variants of a scenario for some words, whatever its own study is; `told` runs one of them, and
        may say more."""
        asked = (without_questions(scenario.document), scenario.path, None, tuple(words), told)
        return cls(pickle.dumps(asked), os.urandom(8), extensions())


@dataclass
class _Work:
    """What a job says, read: the scenario as it stands, its points together, the words wanted, how a point is run for them,
    and what is looked for."""

    base: Scenario
    batches: Batches
    asked: Sequence[str] | None
    told: Told | None
    search: Search | None
    others: OtherRuns


@lru_cache(maxsize=2)
def _work(job: Job) -> _Work:
    """What a job says, read once in each process. Raises SpecError."""
    job.added.need()
    document, path, search, asked, told = pickle.loads(job.blob)
    base = build_scenario(document, path)
    return _Work(base, Batches(base, asked), asked, told, search, OtherRuns())


def scenario_of(job: Job) -> Scenario:
    """The scenario as it stands, of which a job runs variants. Raises SpecError."""
    return _work(job).base


def run_points(job: Job, points: Sequence[Mapping[str, Any]]) -> tuple[list[Ran], float]:
    """Run points; also the seconds that it took."""
    begin = time.perf_counter()
    done = dict(run_each(job, points))
    return [done[number] for number in range(len(points))], time.perf_counter() - begin


def run_each(job: Job, points: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Ran]]:
    """Run points, those together that are alike; each under its number, as it is ready."""
    try:
        work = _work(job)
        together = work.search is None and sums_in_order()
    except SpecError:
        together = False
    alone: Iterator[tuple[int, Any]] = ((number, None) for number in range(len(points)))
    for number, words in work.batches.run(points) if together else alone:
        ran = _of_words(words) if words is not None else None
        yield number, ran or run_point(job, points[number])


def _of_words(words: Mapping[str, Any]) -> Ran | None:
    """A run from its words; None where one of them is no number: what is wrong is for its own run to say."""
    try:
        return Ran(json.dumps(words, allow_nan=False))
    except ValueError:
        return None


def run_point(job: Job, inputs: Mapping[str, Any]) -> Ran:
    """Run one point. Whatever goes wrong is in the result."""
    try:
        work = _work(job)
    except SpecError as error:  # a worker elsewhere may lack a file that the scenario refers to
        said = f"the scenario cannot be read where it should run: {first_line(error)}"
        return Ran("", said, lasting=False, exit=WRONG_INPUT)
    try:
        scenario = work.base.having_all(inputs)
        words, said, code = _words(scenario, work)
        if work.search is not None:
            words[FIND], not_found = _found(work.search, scenario, inputs, work.others)
            said, code = "; ".join(filter(None, (said, not_found))), code or (WRONG_INPUT if not_found else 0)
        return Ran(json.dumps(words, allow_nan=False) if words else "", said, exit=code)
    except SpecError as error:
        return Ran("", first_line(error), exit=WRONG_INPUT)
    except MemoryError:
        return Ran("", "this machine has too little memory for the run", lasting=False, exit=CANNOT_RUN)
    except Exception as error:  # a defect is a row too, and is tried again next time
        said, theirs = whose(error)
        return Ran("", said, lasting=False, exit=WRONG_INPUT if theirs else CANNOT_RUN)


def _words(scenario: Scenario, work: _Work) -> tuple[dict[str, Any], str, int]:
    """The words of a run; or none, why, and the exit code for that."""
    try:
        return dict((work.told or words_of)(scenario, work.asked)), "", 0
    except SpecError as error:
        return {}, first_line(error), WRONG_INPUT
    except RunError as error:
        return {}, first_line(error), CANNOT_RUN


def _found(search: Search, scenario: Scenario, inputs: Mapping[str, Any], others: OtherRuns) -> tuple[Any, str]:
    """The answer of `find` for a row; or None, and why."""
    try:
        return search.within(scenario, inputs, others).value, ""
    except CannotTryError as error:
        return None, f"find: {error}"
