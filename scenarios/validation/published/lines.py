"""Tables of published rows: the rows that they are, or what is wrong with their lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hw import Problems
from scenarios.validation.rows import Row
from scenarios.validation.table import check_columns, lines_of, rows_of

Cells = Iterable[tuple[int, Mapping[str, str]]]
"""The cells of each line by column, and its number."""


def read_table(
    path: Path, needed: Sequence[str], made_of: Callable[[Cells, Path, Problems], Iterator[Row]]
) -> list[Row]:
    """The rows that `made_of` makes of a file's lines. Raises SpecError with the columns that are missing, or with every
    line that cannot be read."""
    lines = lines_of(path)
    check_columns(lines, path, needed)
    problems = Problems()
    rows = list(made_of(rows_of(lines, path, problems), path, problems))
    problems.raise_if_any()
    return rows
