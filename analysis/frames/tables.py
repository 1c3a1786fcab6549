"""Tables as files: .csv for spreadsheets and people, .parquet for programs.

Model: a spreadsheet takes a cell that begins with one of = + - @ (or a tab or line end) for a formula and runs it, and the
names in a trace or a scenario are anybody's. Such text is written with an apostrophe before it, as spreadsheets quote, in
cells and in headings; numbers are numbers. What begins with an apostrophe before such a character gets one more, so that
`plain_names` gives back exactly what was written.
Source: OWASP, "CSV Injection": the characters.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw import Mark, Problem, RunError, SpecError
from hw.input import unknown

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".parquet")

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_QUOTED = re.compile(r"''*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,400})?")


def check_table(path: Path) -> None:
    """Whether a table can be of that format here. Raises SpecError for a name, RunError where a library is missing."""
    if path.suffix not in FORMATS:
        raise SpecError([Problem(Mark(str(path)), unknown("table format", path.suffix, FORMATS))])
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise RunError(f"{path} needs pyarrow: pip install 'overlapse[parquet]'")


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame without its index. Raises SpecError, RunError, OSError."""
    check_table(path)
    if path.suffix != ".csv":
        frame.to_parquet(path, index=False)
        return
    safe = without_formulas(frame)
    if any("\r" in text for text in _texts(safe)):  # by itself the writer quotes cells with \n, not those with \r
        safe.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)
    else:
        safe.to_csv(path, index=False)


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with an apostrophe before every text that a spreadsheet would take for a formula."""
    return _renamed(frame, _quoted)


def plain_names(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the texts that `without_formulas` was given."""
    return _renamed(frame, _unquoted)


def _texts(frame: pd.DataFrame) -> Iterator[str]:
    """Every different text of a frame."""
    for name in frame.columns:
        column = frame[name]
        if column.dtype == "category":
            yield from map(str, column.cat.categories)
        elif column.dtype == object or column.dtype == "string":
            yield from {each for each in column if isinstance(each, str)}
    yield from map(str, frame.columns)


def _renamed(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    changes: dict[Any, Any] = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype == "category":
            changes[name] = column.cat.rename_categories([change(each) for each in column.cat.categories])
        elif column.dtype == object or column.dtype == "string":
            changes[name] = column.map(change)
    return frame.assign(**changes).rename(columns=change)


def _quoted(cell: Any) -> Any:
    text = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if text else cell


def _unquoted(cell: Any) -> Any:
    return cell[1:] if isinstance(cell, str) and _QUOTED.match(cell) else cell
