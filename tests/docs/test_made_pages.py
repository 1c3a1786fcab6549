"""What scripts beside the guide make of the code is what lies there: the reference of op kinds, the picture of README."""

from __future__ import annotations

import importlib.util
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

from analysis import CAUSES
from simulator import KINDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SVG = "{http://www.w3.org/2000/svg}"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kinds() -> str:
    text: str = script("kinds_index").page()
    return text


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    return script("pictures")


def test_the_reference_of_kinds_is_what_the_registry_says(kinds: str) -> None:
    assert kinds == (DOCS / "kinds.md").read_text("utf-8"), "run `python docs/kinds_index.py`"


def test_every_kind_has_one_line_with_its_options(kinds: str) -> None:
    rows = [line.split(" | ") for line in kinds.splitlines() if line.startswith("| `")]
    assert [row[0].strip("| `") for row in rows] == sorted(KINDS, key=list(KINDS).index)
    for row in rows:
        found = KINDS[row[0].strip("| `")]
        assert re.findall(r"`(\w+)=`", row[2]) == list(found.options)
        assert (row[3] == "yes") == (found.backward is not None)
        assert len(row[4]) > len("| x |")  # each says what it does


def test_the_picture_of_readme_is_what_its_scenario_gives(pictures: ModuleType) -> None:
    assert pictures.overlap_picture() == pictures.OVERLAP.read_text("utf-8"), "run `python docs/pictures.py`"


def test_the_picture_moves_from_one_bound_to_the_other(pictures: ModuleType) -> None:
    """In n pieces, one after the other: T = max + min / n, where the longer of the two never waits."""
    runs = list(pictures.runs())
    math_s, comms_s = (sum(end - begin for _, cause, _, begin, end in runs[0].bars if cause == each)
                       for each in ("compute", "network"))  # fmt: skip
    for chunks, each in zip(pictures.CHUNKS, runs, strict=True):
        wanted = max(math_s, comms_s) + min(math_s, comms_s) / chunks
        assert each.time_s == pytest.approx(wanted, rel=1e-6)
    picture = ElementTree.fromstring(pictures.OVERLAP.read_text("utf-8"))
    fills = {bar.get("fill") for bar in picture.iter(f"{SVG}rect")}
    assert fills == {CAUSES["compute"].colour, CAUSES["network"].colour}


def test_readme_shows_pictures_that_are_there() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert "docs/pictures/overlap.svg" in shown
    for each in shown:
        path = ROOT / each
        assert path.is_file(), each
        if path.suffix == ".png":
            width, height = struct.unpack(">II", path.read_bytes()[16:24])
            assert (width, height) == (1400, 860)
            assert path.stat().st_size < 400_000
