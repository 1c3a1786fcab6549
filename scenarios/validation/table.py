"""A CSV of measured rows as text: its lines by number, and their cells.

Model: lines that begin with # are comments, empty ones are passed over, the first of the others names the columns, and a row
is one line. Cells are parted by commas; spaces around them do not count. At most 16 MiB are read.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from hw import Mark, Problem, Problems, SpecError
from hw.input import MAX_BYTES, read_text

Lines = Sequence[tuple[int, str]]
"""Lines with their numbers."""


def lines_of(path: Path) -> Lines:
    """The lines of a file that say something. Raises SpecError for one that cannot be read."""
    text = read_text(path, MAX_BYTES, str(path))
    return [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]


def columns_of(path: Path) -> list[str]:
    """The names of a file's columns; none of one that cannot be read, or that is no table."""
    try:
        lines = lines_of(path)
        return _cells(lines[0][1]) if lines else []
    except (SpecError, csv.Error):
        return []


def rows_of(lines: Lines, path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, str]]]:
    """(number, cells by column) of each line below the first; cells that a line has not are empty. A line that is no row of
    a CSV, or that says something beyond the columns (a comma that is no separator), is added to the problems."""
    head = _cells(lines[0][1])
    for at, line in lines[1:]:
        try:
            cells = _cells(line)
        except csv.Error as error:
            problems.add(Mark(str(path), at), f"this is no line of a CSV: {error}")
            continue
        if any(cells[len(head) :]):
            told = f"{len(cells)} cells for {len(head)} columns: a cell that has a comma in it stands in quotes"
            problems.add(Mark(str(path), at), told)
            continue
        yield at, dict(zip_longest(head, cells[: len(head)], fillvalue=""))


def check_columns(lines: Lines, path: Path, needed: Sequence[str]) -> None:
    """Raises SpecError for a file without rows, or without columns that are needed."""
    if len(lines) < 2:
        raise SpecError([Problem(Mark(str(path)), "there are no rows")])
    try:
        head = _cells(lines[0][1])
    except csv.Error as error:
        raise SpecError([Problem(Mark(str(path), lines[0][0]), f"this is no line of a CSV: {error}")]) from None
    message = _wrong_columns(head, needed)
    if message:
        raise SpecError([Problem(Mark(str(path), lines[0][0]), message)])


_OTHER_SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}


def _wrong_columns(head: Sequence[str], needed: Sequence[str]) -> str:
    """What is wrong with the names of columns, or nothing."""
    missing = [name for name in needed if name not in head]
    other = next((mark for mark in _OTHER_SEPARATORS if len(head) == 1 and mark in head[0]), "")
    if missing and other:
        return f"cells are parted by commas here, not by {_OTHER_SEPARATORS[other]}"
    if missing:
        return f"there are no columns {', '.join(missing)}; needed are {', '.join(needed)}"
    # which of two columns is meant nobody knows, and each would give other errors
    twice = [name for name, count in Counter(head).items() if name and count > 1]
    return f"columns that are there more than once: {', '.join(twice)}" if twice else ""


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
