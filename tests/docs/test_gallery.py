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
