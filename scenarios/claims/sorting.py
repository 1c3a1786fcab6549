"""The order of a study's rows (`sort: time`, `sort: -mfu`, `sort: cost / tokens_per_s`), and which words are shown of them.

Model: an expression over the words of a row and what varied in it, a path by its last part where only one ends so. The least
comes first (names, maps and lists by their text), equals stay in the order of the points; rows for which it has no value,
errors among them, come last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from analysis import RUN_WORDS
from hw import Problems
from hw.input import Document, unknown
from scenarios.claims.scope import FIND, Scopes
from scenarios.expressions.expression import Expression, Reference, parse_expression
from scenarios.expressions.measure import TRUTH, Measure
from scenarios.language.study_spec import StudySpec
from scenarios.language.value_text import as_number

SORT = ("study", "sort")


class HasWords(Protocol):
    """A row: what varied, and its words."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What varied, by path."""

    @property
    def words(self) -> Mapping[str, Any]:
        """Words for results."""


AnyRow = TypeVar("AnyRow", bound=HasWords)


def read_sort(scopes: Scopes, document: Document, problems: Problems) -> Expression | None:
    """What rows are sorted by; None where nothing says so, or after adding what is wrong to the problems."""
    study = scopes.study
    if study is None or study.sort is None:
        return None
    try:
        expression = parse_expression(study.sort, logic=True)
        scope = scopes.of_claim("")
        if scope.inputs is None:
            raise ValueError("there is nothing to sort: study wants vary, zip or random")
        paths = list(scope.inputs)

        def measured(reference: Reference) -> Measure:
            if reference.of or reference.word.startswith("ops."):
                raise ValueError(f"{reference} is not in a row: rows have words about the whole run, and what varied")
            named = path_of(reference.word, paths)
            if study.words is not None and named not in (*study.words, *paths, FIND):
                raise ValueError(f"{reference} is not in a row: it is none of the study's words")
            return scope.measure(Reference(named, "rows", (0,)))

        if expression.measure(measured) is TRUTH and not expression.is_name:
            raise ValueError(f"'{expression.text[:60]}' is only true or false: rows are sorted by what it compares")
    except ValueError as error:
        problems.add(document.value_mark(SORT), f"sort: {error}")
        return None
    return expression


def check_shown(study: StudySpec | None, document: Document, problems: Problems) -> None:
    """Say which words are asked for in the table that no row has."""
    if study is None:
        return
    known = RUN_WORDS if study.words is None else study.words
    for at, word in enumerate(study.show or ()):
        if word not in known:
            problems.add(document.value_mark(("study", "show", at)), unknown("word", word, known))


def path_of(name: str, paths: Sequence[str]) -> str:
    """The path that a name means; the name itself where it means none. A whole path, or its last part."""
    ending = [path for path in paths if path.rpartition(".")[2] == name]
    return ending[0] if len(ending) == 1 and name not in paths else name


def sorted_rows(rows: list[AnyRow], by: Expression) -> list[AnyRow]:
    """The rows, the least first."""
    known: list[tuple[Any, AnyRow]] = []
    unknown: list[AnyRow] = []
    for row in rows:
        value = _value(row, by)
        if value is None:
            unknown.append(row)
        else:
            known.append((value, row))
    known.sort(key=lambda each: (isinstance(each[0], str), each[0]))
    return [row for _, row in known] + unknown


def _value(row: HasWords, by: Expression) -> Any:
    paths = list(row.inputs)

    def look(reference: Reference) -> Any:
        path = path_of(reference.word, paths)
        value = row.inputs[path] if path in row.inputs else row.words.get(reference.word)
        if value is None:
            raise ValueError(f"{reference} has no value")
        return as_number(value)

    try:
        value = by.value(look)
    except ValueError:
        return None
    return value if isinstance(value, (int, float, str)) else json.dumps(value)  # a map or a list, as it is shown
