"""One point of a study, run: a scenario made of its inputs, simulated, its words as JSON.

A worker process has the scenario once (`Job`, unpickled when it first sees it) and gets points as maps of values. Words
travel and are kept as JSON text, so that a row is the same whether it was run here, elsewhere, or last week.
"""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hw import RunError, SpecError
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.run_one import first_line, summarise
from scenarios.claims.scope import FIND
from scenarios.questions.find import CannotTryError, Search, search_of
from scenarios.questions.other_runs import OtherRuns

WRONG_INPUT, CANNOT_RUN = 2, 3
"""Exit codes: the input is wrong, the run cannot be done."""


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
    worker that has seen the same scenario before must not overlook that a file which it refers to has changed."""

    blob: bytes
    number: bytes

    @classmethod
    def of(cls, scenario: Scenario) -> Job:
        """The job of running variants of a scenario, and of finding in each what the scenario looks for."""
        asked = (without_questions(scenario.document), scenario.path, search_of(scenario))
        return cls(pickle.dumps(asked), os.urandom(8))


@lru_cache(maxsize=2)
def _scenario(job: Job) -> tuple[Scenario, Search | None, OtherRuns]:
    """The scenario as it stands, and what is looked for, read once in each process. Raises SpecError."""
    document, path, search = pickle.loads(job.blob)
    return build_scenario(document, path), search, OtherRuns()


def run_points(job: Job, points: Sequence[Mapping[str, Any]]) -> tuple[list[Ran], float]:
    """Run points one after the other; also the seconds that it took."""
    begin = time.perf_counter()
    return [run_point(job, point) for point in points], time.perf_counter() - begin


def run_point(job: Job, inputs: Mapping[str, Any]) -> Ran:
    """Run one point. Whatever goes wrong is in the result."""
    try:
        base, search, others = _scenario(job)
    except SpecError as error:  # a worker elsewhere may lack a file that the scenario refers to
        said = f"the scenario cannot be read where it should run: {first_line(error)}"
        return Ran("", said, lasting=False, exit=WRONG_INPUT)
    try:
        scenario = base.having_all(inputs)
        words, said, code = _words(scenario)
        if search is not None:
            words[FIND], not_found = _found(search, scenario, inputs, others)
            said, code = "; ".join(filter(None, (said, not_found))), code or (WRONG_INPUT if not_found else 0)
        return Ran(json.dumps(words, allow_nan=False) if words else "", said, exit=code)
    except SpecError as error:
        return Ran("", first_line(error), exit=WRONG_INPUT)
    except MemoryError:
        return Ran("", "this machine has too little memory for the run", lasting=False, exit=CANNOT_RUN)
    except Exception as error:  # a defect of ours is a row too, and is tried again next time
        said = f"defect of Overlapse: {type(error).__name__}: {error}"
        return Ran("", said, lasting=False, exit=CANNOT_RUN)


def _words(scenario: Scenario) -> tuple[dict[str, Any], str, int]:
    """The words of a run; or none, why, and the exit code for that."""
    try:
        return dict(summarise(scenario).as_dict()), "", 0
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
