"""The glossary: one screen, each word once, in order, and every code word in it is one of the language's."""

from __future__ import annotations

import re
from pathlib import Path

from simulator import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text("utf-8")
ROWS = re.findall(r"^\| (?!word|---)([^|]+) \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)


def test_it_is_one_screen() -> None:
    assert 30 <= len(ROWS) <= 45


def test_a_word_stands_once_and_is_explained() -> None:
    words = [word for cell, _ in ROWS for word in cell.split(", ")]
    assert len(set(words)) == len(words)
    assert [word for word, meaning in ROWS if len(meaning.split()) < 4] == []


def test_what_is_written_as_code_is_of_the_language() -> None:
    """Op kinds, or a dim sharded over an axis."""
    code = re.findall(r"`([^`]+)`", " ".join(meaning for _, meaning in ROWS))
    assert {"broadcast", "reduce_to", "scatter", "gather_to"} <= set(code)
    assert [each for each in code if each not in KINDS and not re.fullmatch(r"[A-Z](_[A-Z])?", each)] == []


def test_the_field_s_words_are_there() -> None:
    """Those that the code is to use; a row that is lost would be missed."""
    cells = " ".join(word for word, _ in ROWS)
    for word in ("directed link", "collective request", "axis group", "fluid pool", "sampling", "data loader"):
        assert word in cells
