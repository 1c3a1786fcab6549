"""The sample of mutants: what is told of one that is killed, that survives, that is gone; and that each has its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.__main__ import GONE, KILLED, SURVIVED, place_of, run, texts_of
from tests.mutants.sample import SAMPLE, Mutant

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A product of one line, and a test of half of it."""
    for name, text in {
        "hw/__init__.py": "def half(x: float) -> float:\n    return 0.5 * x if x > 0 else 0.0\n",
        "tests/__init__.py": "",
        "tests/test_half.py": "from hw import half\n\n\ndef test_half() -> None:\n    assert half(2.0) == 1.0\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "became"),
    [("0.5 * x", "0.6 * x", KILLED), ("else 0.0", "else 1.0", SURVIVED), ("0.7 * x", "x", GONE), ("x", "y", GONE)],
)
def test_what_becomes_of_a_mutant(tree: Path, old: str, new: str, became: str) -> None:
    before = (tree / "hw" / "__init__.py").read_text("utf-8")
    assert run(Mutant("one", old, new, ("tests/test_half.py",)), tree, 0) == became
    assert (tree / "hw" / "__init__.py").read_text("utf-8") == before


def test_every_mutant_changes_something_and_names_tests_that_are_there() -> None:
    assert len({mutant.name for mutant in SAMPLE}) == len(SAMPLE) >= 26
    for mutant in SAMPLE:
        assert mutant.old != mutant.new
        assert [path for path in mutant.tests if not (ROOT / path).exists()] == []


def test_most_lines_are_where_they_were() -> None:
    """A line that is written anew takes its mutant along; the nightly check insists on all of them."""
    texts = texts_of()
    gone = [mutant.name for mutant in SAMPLE if place_of(mutant, texts) is None]
    assert len(gone) <= len(SAMPLE) // 4, gone
