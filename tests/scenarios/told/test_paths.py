"""Whatever wants a scenario, a chip or a system by name takes its path as well, as text or as a `Path`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import overlapse as ov
from scenarios import find

TEXT = """name: gather
system: {chip: tpu_v5e, topology: ring(4), mesh: {X: 4}}
workload: {dims: {I: 4096, J: 1024}, ops: ["y:bf16[I,J] = all_gather(x:bf16[I_X,J], over=X)"]}
study:
  find: {smallest: workload.dims.I, from: 4, to: 8192, where: time >= 20 us}
"""
QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "load_scenario": lambda given: ov.load_scenario(given).name,
    "run": lambda given: ov.run(given).summary["time"],
}
OF_SCENARIOS: dict[str, Callable[[Any], Any]] = {
    "study": lambda given: ov.study(given, {"workload.dims.I": [4, 8]}).frame["time"].tolist(),
    "what_if": lambda given: ov.what_if(given).time_s,
    "compare": lambda given: ov.compare(given, given).names,
    "crossover": ov.crossover,
    "find": lambda given: str(find(given)),
}


@pytest.mark.parametrize("ask", [*QUESTIONS.values(), *OF_SCENARIOS.values()], ids=[*QUESTIONS, *OF_SCENARIOS])
def test_questions_take_paths(tmp_path: Path, ask: Callable[[Any], Any]) -> None:
    path = tmp_path / "gather.yaml"
    path.write_text(TEXT)
    assert ask(path) == ask(str(path))


@pytest.mark.parametrize("ask", OF_SCENARIOS.values(), ids=list(OF_SCENARIOS))
def test_questions_take_scenarios_and_say_so_of_anything_else(tmp_path: Path, ask: Callable[[Any], Any]) -> None:
    path = tmp_path / "gather.yaml"
    path.write_text(TEXT)
    assert ask(ov.load_scenario(path)) == ask(path)
    with pytest.raises(TypeError, match=r"a scenario is wanted .*, not int"):
        ask(4)
    with pytest.raises(TypeError, match=r"not Outcome; its \.scenario is one"):
        ask(ov.run(path))


def test_chips_and_systems_are_read_from_paths(tmp_path: Path) -> None:
    chip, system = tmp_path / "mine.yaml", tmp_path / "node.yaml"
    chip.write_text(
        "name: mine\nkind: gpu\nmatrix_unit: {peak: {bf16: 1e14 FLOP/s}}\nvector_unit: {peak: {fp32: 1e13 FLOP/s}}\n"
        "hbm: {capacity: 80 GB, bandwidth: 1 TB/s}\nlinks: {wire: {bandwidth: 1e10 B/s, latency: 1 us}}\n"
    )
    system.write_text("name: node\nchip: mine.yaml\ntopology: switch(4) over wire\n")
    assert ov.load_chip(chip) == ov.load_chip(str(chip))
    assert ov.load_system(system).size == 4
    model = {"base": "gpt2", "layers": 1}
    times = [ov.step_time(model, given, batch=4, seq=128).time_s for given in (system, str(system))]
    assert times[0] == times[1]
