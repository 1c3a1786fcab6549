"""DECISIONS is a list of short, dated entries, each with what would change it."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
CHANGE = "**What would change our mind:** "
WORDS = 180
"""What an entry may have: a page of reasons belongs into the module that it is about."""


class Entry(NamedTuple):
    """One decision as it stands on the page."""

    title: str
    paragraphs: list[str]


def entries(text: str) -> list[Entry]:
    """The entries of a page, in order; what stands before the first `### ` of a theme is none."""
    found = []
    for theme in text.split("\n## ")[1:]:
        for part in theme.split("\n### ")[1:]:
            title, _, body = part.partition("\n")
            paragraphs = [" ".join(each.split()) for each in body.strip().split("\n\n")]
            found.append(Entry(title, paragraphs))
    return found


def is_day(text: str) -> bool:
    """Whether there is such a day."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def wrong(entry: Entry) -> list[str]:
    """What an entry lacks."""
    first, last = entry.paragraphs[0], entry.paragraphs[-1]
    said = []
    written = re.match(r"(\d{4}-\d{2}-\d{2})\. \S", first)
    if not written:
        said.append("begins with no date")
    elif not is_day(written[1]):
        said.append(f"{written[1]} is no day")
    if not last.startswith(CHANGE) or len(last.removeprefix(CHANGE).split()) < 3:
        said.append("does not say what would change it")
    if sum(len(each.split()) for each in entry.paragraphs) > WORDS:
        said.append(f"has more than {WORDS} words")
    return [f"{entry.title}: {each}" for each in said]


def test_every_entry_is_short_dated_and_open_to_change() -> None:
    found = entries((ROOT / "DECISIONS.md").read_text("utf-8"))
    assert len(found) > 70
    assert len({entry.title for entry in found}) == len(found)
    assert [each for entry in found for each in wrong(entry)] == []


GOOD = "# Decisions\n\n## Theme\n\n### A title\n\n2026-11-21. Because.\n\n**What would change our mind:** a better reason.\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2026-11-21. ", "", "begins with no date"),
        ("2026-11-21", "2026-11-31", "is no day"),
        ("a better reason", "nothing", "does not say what would change it"),
        ("**What would change our mind:** a better reason.\n", "", "does not say what would change it"),
        ("Because.", "Because. " * WORDS, "more than"),
    ],
)
def test_a_poor_entry_is_noticed(old: str, new: str, said: str) -> None:
    assert [each for entry in entries(GOOD) for each in wrong(entry)] == []
    (told,) = [each for entry in entries(GOOD.replace(old, new)) for each in wrong(entry)]
    assert said in told
