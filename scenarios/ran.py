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
from hw.document import Document
from scenarios.build import Scenario, build_scenario
from scenarios.study import summarise

_ASKS = ("study", "expect")
"""Sections that ask about the scenario as it stands; a variant may not have what they name."""

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
        """The job of running variants of a scenario."""
        document = scenario.document
        data = {name: part for name, part in document.data.items() if name not in _ASKS}
        bare = Document(document.file, data, document.values, document.keys)
        return cls(pickle.dumps((bare, scenario.path)), os.urandom(8))


@lru_cache(maxsize=2)
def _scenario(job: Job) -> Scenario:
    """The scenario as it stands, read once in each process. Raises SpecError."""
    document, path = pickle.loads(job.blob)
    return build_scenario(document, path)


def run_points(job: Job, points: Sequence[Mapping[str, Any]]) -> tuple[list[Ran], float]:
    """Run points one after the other; also the seconds that it took."""
    begin = time.perf_counter()
    return [run_point(job, point) for point in points], time.perf_counter() - begin


def run_point(job: Job, inputs: Mapping[str, Any]) -> Ran:
    """Run one point. Whatever goes wrong is in the result."""
    try:
        base = _scenario(job)
    except SpecError as error:  # a worker elsewhere may lack a file that the scenario refers to
        said = f"the scenario cannot be read where it should run: {first_line(error)}"
        return Ran("", said, lasting=False, exit=WRONG_INPUT)
    try:
        words = summarise(base.having_all(inputs)).as_dict()
        return Ran(json.dumps(words, allow_nan=False))
    except SpecError as error:
        return Ran("", first_line(error), exit=WRONG_INPUT)
    except RunError as error:
        return Ran("", first_line(error), exit=CANNOT_RUN)
    except MemoryError:
        return Ran("", "this machine has too little memory for the run", lasting=False, exit=CANNOT_RUN)
    except Exception as error:  # a defect of ours is a row too, and is tried again next time
        said = f"defect of Overlapse: {type(error).__name__}: {error}"
        return Ran("", said, lasting=False, exit=CANNOT_RUN)


def first_line(error: Exception) -> str:
    """An error in one line, as a row has it."""
    if isinstance(error, SpecError):
        return error.problems[0].message
    return str(error).splitlines()[0]
