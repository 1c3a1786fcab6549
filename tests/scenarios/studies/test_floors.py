"""Floors of layouts: what leaves out most of a large space in a moment is below the bounds of every layout."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from scenarios import Scenario, load_scenario
from scenarios.questions.searching import best_first
from scenarios.questions.searching import search as search_module
from scenarios.questions.searching.floors import Floors
from scenarios.questions.searching.layouts import Asked, Bounds, Refused, asked_of
from scenarios.questions.searching.search import search
from scenarios.questions.searching.spaces import space_of
from simulator import Bounded

TEXT = """\
name: s
system:
  chip: h100_sxm
  topology: ["switch(4) over nvlink", "switch(4) over infiniband"]
  set: {{hbm.capacity: 1 TB}}
workload:
  model: {{base: {base}, layers: {layers}}}
  batch: 48
  seq: 256
  precision: {precision}
  parallel: {{tp: 4, pp: 4}}
"""
SPACE: dict[str, list[Any]] = {
    "tp": [1, 2, 4],
    "pp": [1, 2, 4],
    "zero": [0, 1, 2, 3],
    "microbatch": [1, 3],
    "recompute": ["none", "full"],
    "schedule": ["1f1b", "gpipe", "zero_bubble", "interleaved", "paired"],
    "interleave": [1, 2],
}


def scenario_of(folder: Path, base: str, layers: int, precision: str) -> Scenario:
    path = folder / "s.yaml"
    path.write_text(TEXT.format(base=base, layers=layers, precision=precision), "utf-8")
    return load_scenario(str(path))


@pytest.mark.parametrize(
    ("base", "layers", "precision", "more"),
    [
        ("gpt2", 8, "mixed_bf16", {"cp": [1, 2]}),
        ("llama3_8b", 9, "fp8", {}),
        ("mixtral_8x7b", 8, "bf16", {"ep": [1, 4], "tp": [1, 4]}),
    ],
)
def test_floors_are_below_bounds(
    tmp_path: Path, base: str, layers: int, precision: str, more: dict[str, list[Any]]
) -> None:
    scenario = scenario_of(tmp_path, base, layers, precision)
    asked = spread(list(asked_of(scenario, space_of(scenario, {**SPACE, **more}), Refused(), Refused())), 20)
    floors, seen = Floors(scenario), 0
    for each, bounded in zip(asked, Bounds(scenario).of(asked), strict=True):
        floor = floors.of(each)
        if isinstance(bounded, Bounded):
            seen += 1
            assert bounded.earliest is not None
            assert 0 < floor.least_memory <= bounded.least_memory, each
            assert 0 < floor.bound_s <= bounded.earliest, each
    assert seen > 5


def spread(asked: list[Asked], count: int) -> list[Asked]:
    """So many of them, spread over all."""
    return [asked[int(at * len(asked) / count)] for at in range(count)]


def test_ten_thousand_layouts_have_floors_in_the_time_of_the_bounds_of_a_few(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, "llama3_8b", 32, "mixed_bf16")
    space = {**SPACE, "prefetch": list(range(8)), "recompute": ["none", "selective", "full"], "sequence": [True, False]}
    assert len(list(product(*space.values()))) > 10_000
    begin = process_time()
    asked = asked_of(scenario, space_of(scenario, space), Refused(), Refused())
    floors = Floors(scenario)
    found = [floors.of(each) for each in asked]
    floored = process_time()
    assert len(found) > 7_000
    few = spread(list(asked), 8)
    assert sum(isinstance(each, Bounded) for each in Bounds(scenario).of(few)) > 2
    ratio = (floored - begin) / len(found) / ((process_time() - floored) / len(few))
    assert ratio < 1 / 50


def test_a_search_by_floors_finds_what_one_by_bounds_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same winner and runs, and fewer layouts are looked at."""
    scenario = scenario_of(tmp_path, "gpt2", 4, "mixed_bf16")
    one: dict[str, list[Any]] = {"tp": [4], "zero": [0], "microbatch": [3], "schedule": ["1f1b"], "interleave": [1]}
    space: dict[str, list[Any]] = {**SPACE, **one}
    whole = search(scenario, space)
    monkeypatch.setattr(search_module, "TOGETHER", 2)
    monkeypatch.setattr(best_first, "TOGETHER", 2)
    found = search(scenario, space)
    assert found.best is not None
    assert whole.best is not None
    assert found.is_proven
    assert found.best.values == whole.best.values
    assert found.candidates == whole.candidates
    assert found.refused <= whole.refused
