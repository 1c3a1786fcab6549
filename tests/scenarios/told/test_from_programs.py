"""Values as programs have them: numbers of numpy mean what Python's mean, and overrides that are no list are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw import System, load_chip
from scenarios import compare, load_scenario, run, step_time
from simulator import GraphBuilder, OpGraph, parse_graph, simulate

MODEL = {"base": "gpt2", "layers": 2}


@pytest.mark.parametrize("whole", [np.int64, np.int32, np.uint16])
def test_a_step_takes_numbers_of_numpy(whole: Any) -> None:
    parallel = {"zero": 3, "tp": 2}
    step = step_time(MODEL, "dgx_h100", batch=16, seq=1024, parallel=parallel, run={"launch": 1e-6})
    found = step_time(
        MODEL,
        "dgx_h100",
        batch=whole(16),
        seq=whole(1024),
        parallel={name: whole(value) for name, value in parallel.items()},
        run={"launch": np.float64(1e-6)},
    )
    assert found == step


def time_of(graph: OpGraph) -> float:
    return simulate(graph, System(load_chip("h100_sxm"))).time_s


def test_a_graph_takes_numbers_of_numpy() -> None:
    """32 bits would run over in 2 x 4096 x 65536 x 65536."""

    def built(size: Any, rounds: Any, tiles: Any, again: Any) -> OpGraph:
        build = GraphBuilder(B=size(4096), D=size(65536))
        with build.repeat(rounds, x="y"):
            build.matmul("x:bf16[B,D]", "w:bf16[D,D]", out="y:bf16[B,D]", tiles=tiles, recompute=again)
        return build.graph()

    numbers = built(np.int32, np.int64(2), np.int16(4), np.bool_(True))
    assert numbers == built(int, 2, 4, True)
    assert time_of(numbers) > 2 * 2 * 4096 * 65536**2 / 9.89e14
    line = "y:bf16[B] = relu(x:bf16[B])"
    assert time_of(parse_graph([line], {"B": np.int64(8)})) == time_of(parse_graph([line], {"B": 8}))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("run.overlap=full", "not a str"),
        ({"run.overlap": "full"}, "not a dict"),
        (None, "not None"),
        (5, "not an int"),
        ([5], "an override is a text, 'run.overlap=full', not an int"),
    ],
)
def test_overrides_that_are_no_list_are_told(given: Any, told: str, tmp_path: Path) -> None:
    """A text alone was read letter by letter: 'r' is not of the form a.b=value."""
    path = tmp_path / "m.yaml"
    path.write_text(
        "name: m\nsystem: {chip: tpu_v5e}\nworkload: {ops: ['y:bf16[8] = relu(x:bf16[8])']}\n", encoding="utf-8"
    )
    for ask in (run, load_scenario):
        with pytest.raises(TypeError, match=told):
            ask(str(path), given)
    assert run(str(path), (text for text in ["run.overlap=full"])).summary["time"]
    assert compare(str(path), str(path)).moves.difference_ps == 0
