"""Layouts that are drawn: the gap to the best of all holds, and small spaces end with a proof."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scenarios import load_scenario
from scenarios.questions.searching import drawn as drawn_module
from scenarios.questions.searching.drawn import drawn
from scenarios.questions.searching.search import search
from tests.scenarios.searching.cases import ASKED, SPACE, file_of
from tests.support.cases import overlapse


def test_layouts_that_are_drawn_leave_a_gap_that_holds(tmp_path: Path) -> None:
    """The best of all is no better than what is left of the best that was drawn by its gap, whether each layout of the
    space has its floor, some have bounds, or they are too many; the same seed draws the same."""
    pytest.importorskip("optuna", reason="layouts are drawn by optuna: pip install 'overlapse[search]'")
    scenario = load_scenario(file_of(tmp_path, "slow links"))
    fastest = search(scenario, SPACE)
    assert fastest.best is not None
    gaps = []
    for figure, most in (("BOUNDED", 4), ("BOUNDED", 0), ("LISTED", 10)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawn_module, figure, most)
            found = drawn(scenario, 4, SPACE, seed=3)
        assert found.best is not None
        assert found.drawn == 4
        assert len(found.ran) <= 4
        assert found.candidates == 36
        assert not found.is_proven
        assert 0 < found.gap < 1
        assert found.best.time_s * (1 - found.gap) <= fastest.best.time_s <= found.best.time_s
        gaps.append(found.gap)
    assert sorted(gaps) == gaps
    again = drawn(scenario, 4, SPACE, seed=3)
    assert [each.values for each in again.ran] == [each.values for each in drawn(scenario, 4, SPACE, seed=3).ran]


def test_a_small_space_that_is_drawn_from_ends_with_a_proof(tmp_path: Path) -> None:
    """What was not drawn is bounded, and what may be best is run: no more layouts than were drawn."""
    pytest.importorskip("optuna", reason="layouts are drawn by optuna: pip install 'overlapse[search]'")
    scenario = load_scenario(file_of(tmp_path, "slow links"))
    fastest, found = search(scenario, SPACE), drawn(scenario, 5, SPACE, seed=3)
    assert fastest.best is not None
    assert found.best is not None
    assert found.is_proven
    assert found.best.time_s == fastest.best.time_s
    assert len(found.ran) <= 5
    assert found.candidates == fastest.candidates == 36


def test_all_layouts_drawn_are_a_proof(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="layouts are drawn by optuna: pip install 'overlapse[search]'")
    file = file_of(tmp_path, "fast links")
    asked = [text for each in ("tp=2", "pp=1", "zero=0", "microbatch=2", "recompute=none") for text in ("--vary", each)]
    told = json.loads(overlapse("search", file, *asked, "--draw", "2", "--json").stdout)
    assert (told["proven"], told["gap"], told["drawn"], told["simulated"]) == (True, 0.0, 2, 1)
    shown = overlapse("search", file, *ASKED, "--draw", "3").stdout
    assert "; 3 were drawn" in shown
    assert "proof        not proven: some of the others may end after " in shown


def test_without_optuna_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    shown = overlapse("search", file_of(tmp_path, "fast links"), "--draw", "3")
    assert shown.exit_code != 0
    assert "pip install 'overlapse[search]'" in shown.stderr
    wrong = overlapse(
        "search", file_of(tmp_path, "fast links"), "--draw", "0", "--goal", "memory", "--most", "2"
    ).stderr
    assert all(each in wrong for each in ("--draw:1:1: draw is 0", "--goal:1:1: layouts are drawn", "--most:1:1: of"))
