"""Which communication is hidden behind arithmetic."""

from __future__ import annotations

import pytest

from analysis import Summary
from analysis.runs import hidden_communication
from hw import Mesh, System, load_chip, parse_topology
from simulator import Result, RunOptions, parse_graph, simulate

DIMS = {"B": 4096, "D": 8192}


def result_of(*lines: str) -> Result:
    chip = load_chip("tpu_v5e")
    system = System(chip, parse_topology("ring(4)", chip.links), Mesh({"X": 4}))
    return simulate(parse_graph(list(lines), DIMS), system, RunOptions(overlap="full"))


def test_a_collective_that_nothing_runs_beside_is_exposed() -> None:
    result = result_of(
        "y:bf16[B,D] = matmul(x:bf16[B,D], w:bf16[D,D])", "z:bf16[B,D] = all_gather(y1:bf16[B_X,D], over=X, after=y)"
    )
    (found,) = hidden_communication(result)
    assert (found.op, found.kind, found.axes) == ("z", "all_gather", "X")
    assert found.exposed_s == found.time_s
    assert found.share == 0.0
    assert Summary(result.plan, lambda: result)["exposed_network"] == pytest.approx(found.exposed_s, rel=1e-12)


def test_a_collective_beside_a_longer_matmul_is_hidden() -> None:
    result = result_of(
        "z:bf16[B,D] = all_gather(y1:bf16[B_X,D], over=X)", "y:bf16[B,D] = matmul(x:bf16[B,D], w:bf16[D,D])"
    )
    (found,) = hidden_communication(result)
    matmul_s = 2 * 4096 * 8192 * 8192 / 1.97e14
    assert found.exposed_s == pytest.approx(max(0.0, found.time_s - matmul_s), abs=1e-11)


def test_a_run_of_one_chip_has_none() -> None:
    chip = load_chip("tpu_v5e")
    graph = parse_graph(["y:bf16[B,D] = relu(x:bf16[B,D])"], DIMS)
    assert hidden_communication(simulate(graph, System(chip))) == []
