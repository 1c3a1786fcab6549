"""Pages are read as text, too, and in differences between two versions: lines of prose end within a screen.

Left out: rows of tables and what stands in fences, which cannot be broken; kinds.md, which is made from docstrings.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import chip_names
from tests.support.docs_runner import prose

WIDTH = 130
ROOT = Path(__file__).parents[2]
PAGES = [page for page in sorted((Path(__file__).parents[2] / "docs").glob("*.md")) if page.name != "kinds.md"]


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_no_line_of_prose_is_wider_than_a_screen(page: Path) -> None:
    lines = [line for line in prose(page.read_text("utf-8")).splitlines() if not line.lstrip().startswith("|")]
    assert [line for line in lines if len(line) > WIDTH] == []


def test_the_card_says_how_many_chips_there_are() -> None:
    assert f"`overlapse chips` lists the {len(chip_names())} in the catalogue" in (ROOT / "README.md").read_text(
        "utf-8"
    )
