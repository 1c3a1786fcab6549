"""Marks for prices of unlike sources: what stands in one table at prices of two sellers, ways to rent or dates is marked.

Below it stands what each mark means. Where all prices are of one source there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from string import ascii_lowercase


def price_marks(told: Iterable[object]) -> dict[str, str]:
    """A letter for each source of prices (None: no price), in the order in which they come; empty for fewer than two."""
    sources = dict.fromkeys(str(each) for each in told if each is not None)
    if len(sources) < 2:
        return {}
    return {source: _letters(at) for at, source in enumerate(sources)}


def mark_lines(marks: Mapping[str, str]) -> Iterator[str]:
    """What the marks mean, a line each, below a line that says why they are there."""
    if marks:
        yield "prices of unlike sources, which rank little beside each other:"
    for source, mark in marks.items():
        yield f"  {mark}  {source}"


def _letters(number: int) -> str:
    """a to z, then aa, ab, ..."""
    before = _letters(number // len(ascii_lowercase) - 1) if number >= len(ascii_lowercase) else ""
    return before + ascii_lowercase[number % len(ascii_lowercase)]
