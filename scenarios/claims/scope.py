"""What names in conditions and claims may be, and what they stand for.

A name is a word for results (`time`, `ops.up.time`), a dim of the workload (a count), a cause (`compute`), `true` or
`false`; in a claim also `find`, `rows[1].` followed by a word or by a path that the study varies, and anywhere
`run("other.yaml").` followed by a word of that run. Files are relative to the one in which the expression stands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from analysis import CAUSES, RUN_WORDS, Summary, word_named
from hw import SpecError
from hw.input import Document, Key, is_file, unknown
from hw.systems import folder_of
from scenarios.expressions.expression import Expression, Reference
from scenarios.expressions.measure import COUNT, NAME, TRUTH, Measure, measure_of
from scenarios.language.source import find_file
from scenarios.language.study_spec import StudySpec
from scenarios.language.value_text import as_number
from scenarios.points.points import Points

FIND = "find"
_TRUTHS: Mapping[str, bool] = {"true": True, "false": False}
_TRUE_WORDS = ("fits",)


@dataclass(frozen=True)
class Scope:
    """What an expression may name. `inputs`: the measure of each path that the study varies; None where there are no rows.
    `find`: whether the study looks for something. `folder`: of the file that the expression stands in."""

    dims: Collection[str] = ()
    inputs: Mapping[str, Measure] | None = None
    find: bool = False
    folder: Path = field(default_factory=Path)

    def measure(self, reference: Reference) -> Measure:
        """What a name measures. Raises ValueError with the nearest names."""
        word = reference.word
        if reference.of == "rows":
            return self._of_row(word)
        if reference.of == "run":
            file_of(reference, self.folder)
            return _of_word(word, ())
        if word == FIND and self.find:
            return COUNT
        return _of_word(word, self.dims)

    def _of_row(self, word: str) -> Measure:
        if self.inputs is None:
            raise ValueError("rows wants a study that varies something: vary, zip or random")
        if word in self.inputs:
            return self.inputs[word]
        return COUNT if word == FIND and self.find else _of_word(word, self.dims)


def _of_word(word: str, dims: Collection[str]) -> Measure:
    if word in CAUSES:
        return NAME
    if word in _TRUTHS or word in _TRUE_WORDS:
        return TRUTH
    if word in dims and word not in RUN_WORDS:
        return COUNT
    try:
        dimension = word_named(word).dimension
    except KeyError as error:
        raise ValueError(_unknown(word, dims, str(error.args[0]))) from None
    return measure_of(dimension) if dimension is not None else NAME


def _unknown(word: str, dims: Collection[str], said: str) -> str:
    """The message for a name that is nothing: dims are allowed beside words."""
    return said if word.startswith("ops.") else unknown("result word", word, [*RUN_WORDS, *dims, "ops.NAME.time"])


def file_of(reference: Reference, folder: Path) -> Path:
    """The scenario file of another run. Raises ValueError where there is none."""
    try:
        path = find_file(str(reference.at[0]), folder)
    except SpecError as error:
        raise ValueError(f"{reference}: {error.problems[0].message}") from None
    if not is_file(path):
        raise ValueError(f"{reference}: there is no scenario file '{path}'")
    return path


def own_words(*expressions: Expression) -> list[str]:
    """What some expressions name of the run itself."""
    return [each.word for expression in expressions for each in expression.references if not each.of]


def ops_named(expression: Expression) -> list[str]:
    """The words about ops of this run that an expression names."""
    return [word for word in own_words(expression) if word.startswith("ops.")]


@dataclass(frozen=True)
class Scopes:
    """What the conditions and claims of a scenario may name, by where they stand."""

    document: Document
    path: Path
    study: StudySpec | None
    points: Points | None

    def of_claim(self, key: str) -> Scope:
        """What a claim may name."""
        inputs = None
        if self.points is not None and self.points.varies:
            inputs = {path: _measured(values) for path, values in self.points.values_by_path()}
        find = self.study is not None and self.study.find is not None
        return Scope(self._dims, inputs, find, self._folder(("expect", key)))

    @property
    def of_condition(self) -> Scope:
        """What the condition of a search may name."""
        return Scope(self._dims, folder=self._folder(("study", "find", "where")))

    @property
    def _dims(self) -> Collection[str]:
        workload = self.document.data.get("workload")
        dims = workload.get("dims") if isinstance(workload, dict) else None
        return dims if isinstance(dims, dict) else ()

    def _folder(self, key: Key) -> Path:
        return folder_of(self.document.key_mark(key), self.path.parent)


def _measured(values: Sequence[Any]) -> Measure:
    """What the values of a path count: numbers and quantities do, all else are names."""
    return COUNT if all(isinstance(as_number(value), (int, float)) for value in values) else NAME


class Answers(Protocol):
    """What this run's own words do not say."""

    def found(self) -> Any:
        """The answer of `find`."""

    def of_row(self, reference: Reference) -> Any:
        """A word or an input of a row."""

    def of_run(self, reference: Reference) -> Any:
        """A word of another run."""


class NoValueError(ValueError):
    """A word has no value for this scenario."""


def value_of(summary: Summary, word: str) -> Any:
    """What a name of a run itself stands for. Raises NoValueError, ValueError."""
    if word in CAUSES:
        return word
    if word in _TRUTHS:
        return _TRUTHS[word]
    if word not in RUN_WORDS and not word.startswith("ops."):
        dims = summary.plan.graph.dims
        if word not in dims:  # another workload may stand in a row
            raise ValueError(unknown("dim", word, dims))
        return dims[word]
    try:
        value = summary[word]
    except KeyError as error:  # an op that there is not
        raise ValueError(str(error.args[0])) from None
    if value is None:
        raise NoValueError(f"{word} has no value for this scenario")
    return value


@dataclass(frozen=True)
class WordValues:
    """What names stand for in a run, and in what stands beside it."""

    summary: Summary
    answers: Answers | None = None

    def __call__(self, reference: Reference) -> Any:
        """The value. Raises ValueError with a message for the user."""
        answers = self.answers
        if answers is None or (not reference.of and reference.word != FIND):
            return value_of(self.summary, reference.word)
        if not reference.of:
            return answers.found()
        return answers.of_row(reference) if reference.of == "rows" else answers.of_run(reference)
