"""Runs of more than a hundred days: 64 bits hold 106.75 days of picoseconds, and no word and no file ends there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis import bubble, usage_frame
from hw import System, load_chip
from simulator import parse_graph, simulate
from tests.support.cases import overlapse

CHIP = load_chip("h100_sxm")
LINES = [
    f"{to}:bf16[4096] = custom({of}, flops=8e21 FLOP, unit=matrix)" for of, to in (("x:bf16[4096]", "y"), ("y", "z"))
]
DAYS = 2 * 8e21 / 9.89e14 / 86400  # 187


def test_words_and_loads_of_a_long_run() -> None:
    result = simulate(parse_graph(LINES, {}), System(CHIP))
    assert result.time_s == pytest.approx(DAYS * 86400)
    assert bubble(result) == pytest.approx(0.0, abs=1e-6)
    assert usage_frame(result)["end"].max() == pytest.approx(result.time_s)


def test_what_is_written_of_a_long_run(tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(json.dumps({"name": "long", "system": {"chip": "h100_sxm"}, "workload": {"ops": LINES}}))
    shown = overlapse("run", file, "--json", "--out", tmp_path / "out")
    assert json.loads(shown.stdout)["time"] == pytest.approx(DAYS * 86400)
    assert (tmp_path / "out" / "trace.json").exists()
