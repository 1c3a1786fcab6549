"""Measured rows: a CSV with a line for each time that was measured.

Columns: `suite` and `name` say what was measured, `dtype` in which format (of operators), `mode` how (of steps: eager,
compile, ...), `params` its sizes as a JSON object, `phase` which part of a step (only `step`, the whole of it, is judged),
`t_med_us` and `t_min_us` the median and the least of its times in microseconds. Further columns are ignored, and lines that
begin with # are comments.
Where a median is more than twice the least, other work got in between, and the least is taken; operators whose times spread
so (`t_p90_us`, if it is there) are judged apart, since the least may be spoiled as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from hw import Mark, Problem, Problems, SpecError
from hw.input import few, shown
from scenarios.validation.table import check_columns, lines_of, rows_of

_NEEDED = ("suite", "name", "params", "t_med_us", "t_min_us")

UNSTEADY = 1.5
"""Where nine of ten times end at more than so many times the least, other work got in between."""

SPOILED = 2.0
"""A median of more than so many times the least is not the work's own."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured time."""

    suite: str
    name: str
    mark: Mark
    params: Mapping[str, Any]
    measured_s: float
    dtype: str = "bf16"
    mode: str = ""
    phase: str = ""
    unsteady: bool = False

    @property
    def is_step(self) -> bool:
        """Whether it is a step of a model, and no single operator."""
        return bool(self.phase)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, in order. Raises SpecError with every line that cannot be read."""
    lines = lines_of(path)
    check_columns(lines, path, _NEEDED)
    problems = Problems()
    rows = list(_rows(rows_of(lines, path, problems), path, problems))
    problems.raise_if_any()
    return rows


def _rows(lines: Iterator[tuple[int, dict[str, str]]], path: Path, problems: Problems) -> Iterator[Row]:
    for at, given in lines:
        mark = Mark(str(path), at)
        wrong = [*_wrong_params(given), *_wrong_times(given)]
        if not given.get("dtype") and not given.get("phase"):
            wrong.append("dtype is missing: in which format an operator was measured, as bf16 or fp32")
        for message in wrong:
            problems.add(mark, message)
        if wrong:
            continue
        params = json.loads(given["params"])
        median, least = float(given["t_med_us"]), float(given["t_min_us"])
        late = float(given.get("t_p90_us") or least)
        yield Row(
            given["suite"],
            given["name"],
            mark,
            params,
            1e-6 * (least if median > SPOILED * least else median),
            given.get("dtype") or "bf16",
            given.get("mode", ""),
            given.get("phase", ""),
            late > UNSTEADY * least,
        )


def _wrong_params(given: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the sizes of a line."""
    said = given.get("params") or ""
    try:
        params = json.loads(said)
    except ValueError:
        params = None
    if not isinstance(params, dict):
        yield f'params wants a JSON object, as {{"m": 64, "n": 64}}, not {shown(said)}'


def _wrong_times(given: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the times of a line; those that nine of ten are below may be left out."""
    times = dict[str, float]()
    for name in ("t_min_us", "t_med_us", "t_p90_us"):
        said = given.get(name) or ""
        if name == "t_p90_us" and not said:
            continue
        try:
            time = float(said)
        except ValueError:
            yield f"{name} is {shown(said)}; it wants a number of microseconds"
            continue
        if not 0 < time < math.inf:
            yield f"{name} is {said}; a time is more than 0"
            continue
        times[name] = time
    for (less, least), (more, most) in pairwise(times.items()):
        if least > most:
            yield f"{less} is {least:g} and {more} {most:g}: columns that have changed places?"


Made = TypeVar("Made")


def of_params(make: Callable[[Row], Made]) -> Callable[[Row], Made]:
    """A function of a row that raises SpecError at the row for params that say too little, or what cannot be."""

    @wraps(make)
    def made(row: Row) -> Made:
        what = f"params of {row.suite} {row.name}".rstrip()
        try:
            return make(row)
        except KeyError as error:
            message = f"{what} do not say '{error.args[0]}'"
        except SpecError as error:
            message = f"{what}: {error.problems[0].message}"
        except (TypeError, ValueError, ArithmeticError) as error:
            quoted = [key for key, value in row.params.items() if isinstance(value, str) and value.isdecimal()]
            message = f"{what} have numbers in quotes: {few(quoted, 5)}" if quoted else f"{what} cannot be: {error}"
        raise SpecError([Problem(row.mark, message)])

    return made


def every(make: Callable[[Row], Made], rows: Iterable[Row]) -> list[Made]:
    """What is made of each row. Raises SpecError with all rows that are wrong."""
    problems, found = Problems(), []
    for row in rows:
        try:
            found.append(make(row))
        except SpecError as error:
            problems.extend(error)
    problems.raise_if_any()
    return found
