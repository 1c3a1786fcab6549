"""What reaches the terminal: the console of tables and text, lines beside them, and rows whose last cell is whole.

Model: names in a user's files are text of any kind, so whatever is printed goes through here and shows characters that
control a terminal as escapes; only rich's own colours are left. Lines that may hold a path are never wrapped or cut: a
path in two pieces cannot be opened, so such a line is as long as it is, and the terminal folds it without a newline.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, cast

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, Group, RenderableType, RenderHook, RenderResult
from rich.segment import Segment
from rich.text import Text

from hw.input import printable

_LEAST, _MOST = 60, 140
_GAP = "  "
_MOST_OF_IT = 0.55
"""The share of the screen that the columns before the last may take."""

UNBROKEN_SPACE = "\N{NO-BREAK SPACE}"
"""Stands for a space at which a line may not be wrapped, as in the name of a folder."""

_NARROWEST = 24
"""Characters of its longest word that a column keeps, however narrow the screen."""


def console(least: int = _LEAST, most: int = _MOST, stderr: bool = False) -> Console:
    """Standard output (or error), as wide as the terminal within what can be read."""
    found = _Console(highlight=False, emoji=False, stderr=stderr)
    found.width = max(least, min(most, found.width))
    found.push_render_hook(_Escaping())
    return found


def listing(width: int) -> Console:
    """A console for the table of a catalogue: as wide as a terminal is, and as wide as the table where it goes elsewhere."""
    found = console()
    return found if found.is_terminal else console(width)


def left_out(heads: Sequence[str], kept: Sequence[int]) -> Text:
    """A line about the columns for which there was no room; empty where there are none."""
    missing = [name for at, name in enumerate(heads) if at not in kept]
    return Text(f"a wider terminal shows {' and '.join(missing)}, too" if missing else "", "dim")


def fitting(heads: Sequence[str], rows: Iterable[Sequence[str]], may_go: Sequence[str], out: Console) -> list[int]:
    """The columns of a table, by their places, that a console has room for: those of `may_go` are left out, the first of
    them first, until the others fit."""
    cells = [heads, *rows]
    widths = [max(cell_len(row[at]) for row in cells) + len(_GAP) for at in range(len(heads))]
    kept = list(range(len(heads)))
    for name in may_go:
        if sum(widths[at] for at in kept) - len(_GAP) <= out.width:
            break
        kept.remove(heads.index(name))
    return kept


class _Console(Console):
    """A console that cuts nothing off at its edge: what is longer is folded by the terminal, and still in one piece."""

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:
        super().print(*objects, crop=crop, **options)


class _Escaping(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(_unfolding(each)) for each in renderables]


class _Escaped:
    """Something printed, its control characters as escapes."""

    def __init__(self, inside: ConsoleRenderable) -> None:
        self._inside = inside

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inside, options):
            yield segment if segment.control else Segment(_lines(segment.text), segment.style)


class _Unfolded:
    """Text that is wrapped between its words: a word that is longer than the screen, such as a path, stays whole."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.no_wrap:
            yield self._text
            return
        for line in self._text.split(allow_blank=True):
            ends = _line_ends(line.plain, options.max_width)
            for part in line.divide(ends):
                part.rstrip()
                part.no_wrap, part.overflow, part.end = True, "ignore", "\n"
                yield part


def _unfolding(renderable: RenderableType) -> ConsoleRenderable:
    """The same, with its texts (but those that say how they are to be cut) wrapped between words."""
    if isinstance(renderable, Group):
        return Group(*map(_unfolding, renderable.renderables))
    if isinstance(renderable, Text) and not renderable.no_wrap and renderable.overflow is None:
        return cast(ConsoleRenderable, _Unfolded(renderable))
    return cast(ConsoleRenderable, renderable)


def _line_ends(text: str, width: int) -> list[int]:
    """Where lines of at most so many characters end, between words."""
    ends: list[int] = []
    used = 0
    for word in _WORD.finditer(text):
        length = cell_len(word[0].rstrip())
        if used and used + length > width:
            ends.append(word.start())
            used = 0
        used += cell_len(word[0])
    return ends


_WORD = re.compile(r"\s*\S+\s*|\s+")


def _lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n")) if text != "\n" else text


def tell(line: str) -> None:
    """A line for people on standard error, whole, whatever is in it."""
    print(printable(line), file=sys.stderr)


def print_whole(out: Console, text: Text) -> None:
    """Text that may hold a path: longer lines than the screen's are not broken."""
    out.print(text, soft_wrap=True)


def print_indented(out: Console, line: str) -> None:
    """A line two characters in; where it goes on, it stands further in, and no word is broken."""
    for at, part in enumerate(_wrapped(printable(line), out.width - 4)):
        print_whole(out, Text(f"{'    ' if at else '  '}{part}"))


def print_rows(out: Console, rows: Iterable[Sequence[str]], styles: Sequence[str]) -> None:
    """Rows of cells under each other, a style for each column. Cells wrap between words, no word is broken: where one of
    the last column does not fit beside the others, that column stands below them."""
    listed = [tuple(map(printable, row)) for row in rows]
    if not listed:
        return
    widths = [max(cell_len(row[at]) for row in listed) for at in range(len(styles) - 1)]
    longest = [max(_longest_word(row[at]) for row in listed) for at in range(len(styles))]
    least = [min(word, _NARROWEST) for word in longest[:-1]]
    room = min(out.width - longest[-1], round(_MOST_OF_IT * out.width))
    beside = room >= min(out.width // 2, sum(widths) + len(_GAP) * len(widths))
    columns = _shared(widths, least, room if beside else out.width)
    columns.append(max(longest[-1], out.width - sum(columns) - len(_GAP) * len(columns)))
    before = sum(columns[:-2]) + len(_GAP) * (len(widths) - 1)
    for row in listed:
        free = out.width - before - cell_len(row[-2]) - cell_len(row[-1])
        if beside:
            _print_row(out, row, columns, styles)
        elif free >= len(_GAP):
            columns_of_row = (*columns[:-2], cell_len(row[-2]) + free - len(_GAP), columns[-1])
            _print_row(out, row, columns_of_row, styles)
        else:
            _print_row(out, row[:-1], columns, styles)
            _print_row(out, ("", row[-1]), (2, out.width - 4), ("", styles[-1]))


def _print_row(out: Console, row: Sequence[str], widths: Sequence[int], styles: Sequence[str]) -> None:
    parts = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=False)]
    for at in range(max(map(len, parts))):
        line = Text()
        for part, width, style in zip(parts, widths, styles, strict=False):
            word = part[at] if at < len(part) else ""
            line.append(word, style).append(" " * (width - cell_len(word)) + _GAP)
        line.rstrip()
        print_whole(out, line)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _shared(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """So much of the room for each column that the widest give way first, none below its least."""
    room -= len(_GAP) * len(widths)
    shares = list(widths)
    while sum(shares) > room and any(share > low for share, low in zip(shares, least, strict=True)):
        giving = max(range(len(shares)), key=lambda at: shares[at] - least[at])
        shares[giving] -= 1
    return shares


def _wrapped(text: str, width: int) -> list[str]:
    """Text in lines of about so many characters; a word that is longer is not broken."""
    lines = textwrap.wrap(text, max(1, width), break_long_words=False, break_on_hyphens=False) or [""]
    return [line.replace(UNBROKEN_SPACE, " ") for line in lines]
