"""Where things live: no import goes round in a circle or past a door, and no folder is a drawer of mixed files."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.house.figures import (
    ROOT,
    Source,
    deep_imports,
    figures,
    file_circles,
    folder_circles,
    sources,
    wiring_tables,
)

MOST_FILES = 16
"""In a folder of the product, its door counted."""
MOST_TESTS = 30


@pytest.fixture(scope="module")
def house() -> dict[str, Source]:
    return sources()


@pytest.mark.long
def test_no_file_imports_itself_through_others(house: dict[str, Source]) -> None:
    """Imports for type checkers and inside functions count."""
    assert file_circles(house) == []


def test_no_folder_imports_itself_through_its_siblings(house: dict[str, Source]) -> None:
    assert folder_circles(house) == []


def test_no_import_goes_past_a_door(house: dict[str, Source]) -> None:
    assert deep_imports(house) == []


def test_a_folder_is_seen_at_a_glance(house: dict[str, Source]) -> None:
    folders = Counter(source.path.parent for source in house.values())
    assert {str(path.relative_to(ROOT)): count for path, count in folders.items() if count > MOST_FILES} == {}


def test_tests_lie_in_folders_too() -> None:
    folders = Counter(path.parent for path in (ROOT / "tests").rglob("*.py"))
    assert {str(path.relative_to(ROOT)): count for path, count in folders.items() if count > MOST_TESTS} == {}
    assert [path.name for path in (ROOT / "tests").glob("test_*.py")] == []


IN_BASE_UNITS = re.compile(r":(?:,?\.?\d*g|,?\.[1-9]f)\} (B|B/s|FLOP|FLOP/s|W|Hz|J|s|ms|us|ns|ps)\b(?!/)")


def test_messages_have_numbers_in_units_that_people_write(house: dict[str, Source]) -> None:
    """3.35 TB/s and 42 min, not 3.35e+12 B/s and 2520 s: `show` of `hw.input`. Files that are written may have all digits
    (`.15g`)."""
    wrong = [
        f"{path}:{number}"
        for path in sorted({source.path for source in house.values()})
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if IN_BASE_UNITS.search(re.sub(r":\.1[25]g", "", line))
    ]
    assert wrong == []


# The thermometer itself


def laid(folder: Path, files: dict[str, str]) -> dict[str, Source]:
    """A small house, rooms `hw` and `simulator`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return sources(folder, ["hw", "simulator"])


SOUND = {
    "hw/__init__.py": 'from hw.chip import Chip\n\n__all__ = ["Chip"]\n',
    "hw/chip.py": "class Chip:\n    pass\n",
    "simulator/__init__.py": "",
    "simulator/engine/__init__.py": "",
    "simulator/engine/clock.py": "from hw import Chip\n",
    "simulator/run.py": "from simulator.engine import clock\n",
}


def test_a_sound_house_has_no_faults(tmp_path: Path) -> None:
    files = laid(tmp_path, SOUND)
    assert (file_circles(files), folder_circles(files), deep_imports(files), wiring_tables(files)) == ([], [], [], [])


@pytest.mark.parametrize(
    "late",
    [
        "from simulator.run import go\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from simulator.run import go\n",
        "def later():\n    from simulator.run import go\n",
        "for _ in ():\n    pass\nelse:\n    with open(''):\n        from simulator.run import go\n",
        "try:\n    pass\nexcept OSError:\n    from simulator.run import go\n",
        "try:\n    pass\nfinally:\n    class Late:\n        from simulator.run import go\n",
        "match 1:\n    case 1:\n        from simulator.run import go\n",
        "from ..run import go\n",
        "import simulator.run\n",
    ],
)
def test_a_circle_is_seen_however_it_is_written(tmp_path: Path, late: str) -> None:
    files = laid(tmp_path, SOUND | {"simulator/engine/clock.py": late})
    assert file_circles(files) == [["simulator.engine.clock", "simulator.run"]]
    assert folder_circles(files) == [["simulator.engine", "simulator.run"]]


def test_a_circle_of_folders_without_one_of_files_is_seen(tmp_path: Path) -> None:
    more = {
        "simulator/plan/__init__.py": "",
        "simulator/plan/one.py": "from simulator.engine import clock\n",
        "simulator/plan/two.py": "",
        "simulator/engine/later.py": "from simulator.plan import two\n",
    }
    files = laid(tmp_path, SOUND | more)
    assert file_circles(files) == []
    assert folder_circles(files) == [["simulator.engine", "simulator.plan"]]


@pytest.mark.parametrize("line", ["from hw.chip import Chip", "from hw import chip", "from hw import Wire"])
def test_an_import_past_a_door_is_seen(tmp_path: Path, line: str) -> None:
    files = laid(tmp_path, SOUND | {"simulator/run.py": f"def late():\n    {line}\n"})
    assert len(deep_imports(files)) == 1


def test_figures_of_a_file_that_can_be_counted_by_hand(tmp_path: Path) -> None:
    text = '"""What it is."""\n\n# why\nrows = [a if a else 0 for a in (1, 2)]\nTABLE = {"ring": 1, "torus": 2}\n'
    files = laid(tmp_path, {"hw/__init__.py": "", "hw/one.py": text})
    found = figures(files)
    assert found["files, code lines"] == "2, 2"
    assert found["comprehensions per 1000 lines"] == "500.0"
    assert found["conditional expressions per 1000 lines"] == "500.0"
    assert found["comments per 100 lines"] == "50.0"
    assert wiring_tables(files) == ["hw.one"]
