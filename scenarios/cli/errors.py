"""Problems with the line that each stands in, and a caret under the place.

A line is shown where it can be read again: in a file, or in the scenario that came by standard input. Of a long line only
the part around the place is shown, and characters that control a terminal are shown as escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from hw import Mark, Problem, SpecError
from hw.input import MOST_TOLD, first_problems, is_file, printable
from scenarios.language.source import STDIN, stdin_text

_WIDEST = 74
"""Characters of a line that are shown."""

_BEFORE = 40
"""Of these so many before the place, where the line is longer."""

_LARGEST = 1 << 20
"""Bytes of the largest file that is read again."""


def located(problems: Iterable[Problem]) -> Iterator[str]:
    """Problems as lines, each with its own line and a caret; beyond the first few only how many there are."""
    every = list(problems)
    told = list(first_problems(every))
    shown = every[:MOST_TOLD]
    for at, problem in enumerate(shown):
        yield told[at]
        # several problems of one place need it once, under the last of them
        if at + 1 == len(shown) or shown[at + 1].mark != problem.mark:
            yield from _excerpt(problem.mark)
    yield from told[len(shown) :]


def _excerpt(mark: Mark) -> Iterator[str]:
    """The line of a place, and a caret; nothing where it cannot be read, or where the place is a whole file."""
    if mark.line == mark.column == 1:
        return
    lines = _lines(mark.file)
    if not 0 < mark.line <= len(lines):
        return
    line = lines[mark.line - 1]
    start = max(0, mark.column - 1 - _BEFORE) if len(line) > _WIDEST else 0
    before, after = printable(line[start : mark.column - 1]), printable(line[mark.column - 1 : start + _WIDEST])
    yield f"    {before}{after}"
    yield f"    {' ' * len(before)}^"


def _lines(file: str) -> list[str]:
    if file == STDIN:
        return stdin_text().splitlines()
    path = Path(file)
    try:
        if not is_file(path) or path.stat().st_size > _LARGEST:
            return []
        return path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError, SpecError):
        return []
