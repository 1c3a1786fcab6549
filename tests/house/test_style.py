"""The excerpts of our own code in docs/style.md stand in the files that they are said to be from."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "style.md").read_text("utf-8")
OURS = re.findall(r"[Oo]urs[^\n]*? now, `([\w/.]+\.py)`[^\n]*\n\n((?:    [^\n]*\n)+)", PAGE)


def test_there_are_three() -> None:
    assert [path for path, _ in OURS] == [
        "simulator/engine/clock.py",
        "hw/network/wirings/switch.py",
        "overlapse/__init__.py",
    ]


@pytest.mark.parametrize(("path", "excerpt"), OURS, ids=[path for path, _ in OURS])
def test_an_excerpt_is_what_stands_in_its_file(path: str, excerpt: str) -> None:
    """However deep it is indented there."""
    lines = [line.strip() for line in textwrap.dedent(excerpt).splitlines()]
    there = [line.strip() for line in (ROOT / path).read_text("utf-8").splitlines()]
    assert any(there[at : at + len(lines)] == lines for at in range(len(there)))
