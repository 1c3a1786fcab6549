"""The gallery's pictures: every instant of the run stands where it belongs, in the colour of what bounds it."""

from __future__ import annotations

import importlib
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from analysis import CAUSES
from scenarios import run

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/gallery.py: a script beside the pages, no part of a package."""
    monkeypatch.syspath_prepend(str(DOCS))
    for name in ("gallery", "library_index"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("gallery")


def test_two_ops_that_follow_each_other_fill_the_picture(script: ModuleType) -> None:
    outcome = run("library:two_chip_threshold")
    bars = [each for each in ET.fromstring(script.picture(outcome)).iter() if each.tag.endswith("rect")][:2]
    (first, second) = ((float(bar.attrib["x"]), float(bar.attrib["width"])) for bar in bars)
    share = outcome.result.end_ps[0] / outcome.result.end_ps[-1]
    room = script.WIDTH - script.LEFT - 10
    assert first == pytest.approx((script.LEFT, share * room), abs=0.1)
    assert sum(second) == pytest.approx(script.LEFT + room, abs=0.2)
    assert [bar.attrib["fill"] for bar in bars] == [CAUSES["compute"].colour, CAUSES["network"].colour]


def test_four_thousand_tasks_are_a_few_bars(script: ModuleType, tmp_path: Path) -> None:
    ops = '[{repeat: 4000, carry: {x: y}, ops: ["y:bf16[N] = relu(x:bf16[N])"]}]'
    file = tmp_path / "many.yaml"
    file.write_text(f"name: many\nsystem: {{chip: tpu_v5e}}\nworkload: {{dims: {{N: 1000}}, ops: {ops}}}\n", "utf-8")
    drawn = script.picture(run(str(file)))
    assert 1 <= drawn.count("<rect") < script.WIDTH


def bars_of(drawn: str) -> list[tuple[str, float]]:
    """The colour and the length of each bar that begins behind the names."""
    bars = [each.attrib for each in ET.fromstring(drawn).iter() if each.tag.endswith("rect")]
    return [(bar["fill"], float(bar["width"])) for bar in bars if bar["x"] == "280"]


def test_below_what_is_found_another_resource_takes_longer_than_above(script: ModuleType) -> None:
    cases = importlib.import_module("gallery_cases").cases_of(
        ["two_chip_threshold"], run("library:two_chip_threshold"), "find: 8756"
    )
    network, compute = CAUSES["network"].colour, CAUSES["compute"].colour
    assert [case.name for case in cases] == ["D = 4378", "D = 8756", "D = 17512"]
    below, at, above = (dict(bars_of(script.compared([case], None))) for case in cases)
    assert below[network] > 1.9 * below[compute]
    assert at[network] == pytest.approx(at[compute], rel=1e-3)
    assert above[compute] > 1.9 * above[network]


def test_bars_of_a_word_are_as_long_as_the_word_says(script: ModuleType) -> None:
    names = ["tile_128", "tile_256", "tile_512"]
    cases = importlib.import_module("gallery_cases").cases_of(names, run("library:tile_128"), "intensity: 64 FLOP/B")
    lengths = [length for _, length in bars_of(script.compared(cases, "intensity"))]
    assert [each / lengths[0] for each in lengths] == pytest.approx([1, 2, 4], rel=2e-3)


def test_a_study_is_told_by_what_differs_between_its_rows(script: ModuleType) -> None:
    cases = importlib.import_module("gallery_cases").cases_of([], run("library:tiles_of_a_matmul"), "rows[1].time: 1 s")
    assert [case.name for case in cases][:2] == ["tiles=1", "tiles=2"]
