"""The lines of a CSV of measured rows with their numbers, but for comments and empty ones, and the rows that they are."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hw import Mark, Problems, SpecError
from hw.input import Problem
from scenarios.validation.rows import Row

Cells = Iterable[tuple[int, Mapping[str, str]]]
"""The cells of each line by column, and its number."""


def numbered(path: Path) -> Sequence[tuple[int, str]]:
    """(number, line) of each line that says something; none of a file that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]


def read_table(
    path: Path, needed: Sequence[str], rows_of: Callable[[Cells, Path, Problems], Iterator[Row]]
) -> list[Row]:
    """The rows that `rows_of` makes of a file's lines. Raises SpecError with the columns that are missing, or with every
    line that cannot be read."""
    lines = numbered(path)
    if len(lines) < 2:
        raise SpecError([Problem(Mark(str(path)), "there are no rows")])
    table = csv.DictReader(line for _, line in lines)
    missing = [name for name in needed if name not in (table.fieldnames or ())]
    if missing:
        raise SpecError([Problem(Mark(str(path), lines[0][0]), f"there are no columns {', '.join(missing)}")])
    problems = Problems()
    rows = list(rows_of(zip((at for at, _ in lines[1:]), table, strict=True), path, problems))
    problems.raise_if_any()
    return rows
