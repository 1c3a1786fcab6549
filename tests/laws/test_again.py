"""A run that is like another one in all but rates and fixed times: the same as by itself, for less.

Law: whatever the settings of the first run and of the second, `like` changes nothing of what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.runs import levers
from scenarios import load_scenario
from simulator import Result, Simulation
from simulator.collectives import rounds
from tests.support.cases import CHUNKS, UNLIKE, written

MATMULS = CHUNKS.replace("torus(2,4)", "torus(2,2)").replace("Y: 4", "Y: 2")
CASES: Mapping[str, str] = {
    "planned": MATMULS.replace(
        "    - z:bf16[B,F] = all_reduce(y, over=XY, chunks=4)\n", "    - z:bf16[B,F] = gelu(y)\n"
    ),
    "cheapest": MATMULS + "run: {sharding: auto, collectives: auto}\n",
    "messages": MATMULS.replace("chunks=4", "chunks=2") + "run: {network: messages}\n",
    "host": """\
name: host
system: {chip: h100_sxm, topology: switch(4) over nvlink, mesh: {X: 4}, set: {host.bandwidth: 100 GB/s}}
workload:
  dims: {B: 4096, D: 2048, F: 4096}
  ops:
    - y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F]@host)
    - s:bf16[B_X,F]@host = copy(y, queue=save)
    - z:bf16[B_X,D] = matmul(y, v:bf16[F_X,D])
""",
    "cores": """\
name: cores
system: {chip: h100_sxm, topology: switch(4) over nvlink, mesh: {X: 4}}
workload:
  dims: {B: 4096, D: 2048, F: 4096}
  ops:
    - y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])
    - g:bf16[B,D] = all_gather(p:bf16[B_X,D], over=X)
    - z:bf16[B,D] = matmul(y, v:bf16[F,D])
    - c:bf16[B,D] = gelu(u:bf16[B,D], queue=side)
run: {calibration: measured}
""",
    "unlike": UNLIKE,
}
RESOURCES = ("matrix_unit", "vector_unit", "hbm", "ici", "nvlink", "pcie", "host", "launch")
SETTINGS = st.fixed_dictionaries(
    {
        "speedup": st.dictionaries(st.sampled_from(RESOURCES), st.sampled_from([1.1, 2.0, 0.5, 1e12]), max_size=2),
        "launch_s": st.sampled_from([None, 0.0, 5e-6]),
        "overlap": st.sampled_from(["auto", "full", "none"]),
        "fold": st.sampled_from([True, True, False]),
        "routing": st.sampled_from(["split", "split", "single"]),
    }
)


def told(result: Result) -> tuple[Any, ...]:
    """All that a run says of itself."""
    plan, program = result.plan, result.plan.program
    sorts = [(sort.times_s, sort.steps, sort.network_s, sort.traffic.reason) for sort in plan.kernels.sorts]
    columns = (list(program.shape), list(program.queue), program.shapes, program.resources, list(program.kernel))
    return list(result.begin_ps), list(result.end_ps), sorts, columns, plan.classes, list(plan.inserted)


@pytest.fixture(autouse=True, scope="module")
def few_slices() -> Iterator[None]:
    """What streams goes in four slices: a run by messages stays small, and all that makes it like another is there."""
    with patch.multiple(rounds, SLICES=4, MOST_SLICES=4):
        yield


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=6)
@given(first=SETTINGS, second=SETTINGS, planned=st.booleans())
def test_a_run_like_another_is_that_run(
    case: str,
    first: dict[str, Any],
    second: dict[str, Any],
    planned: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scenario = load_scenario(written(tmp_path_factory.mktemp("case"), CASES[case]))
    options = replace(scenario.options, **first)
    once = Simulation(scenario.graph, scenario.system, options)
    graph = once.plan.graph if planned else scenario.graph
    others = replace(scenario.options, **second)
    again = Simulation(graph, scenario.system, others, like=once.plan)
    alone = Simulation(graph, scenario.system, others)
    if planned:  # nothing is missing from a graph that has been planned
        again.plan.inserted = ()
    assert told(again.run()) == told(alone.run())


@pytest.mark.parametrize("case", CASES)
def test_every_lever_pulled_is_that_run(case: str, tmp_path: Path) -> None:
    scenario = load_scenario(written(tmp_path, CASES[case]))
    once = Simulation(scenario.graph, scenario.system, scenario.options)
    pulled = [lever.pull(scenario.system, scenario.options, math.inf) for lever in levers(once.plan)]
    assert len(pulled) > 3
    for system, options in pulled:
        again = Simulation(scenario.graph, system, options, like=once.plan)
        assert told(again.run()) == told(Simulation(scenario.graph, system, options).run())


def test_a_faster_chip_binds_and_prices_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load_scenario(written(tmp_path, CASES["planned"]))
    graph, system, options = scenario.graph, scenario.system, scenario.options
    once = Simulation(graph, system, options)
    monkeypatch.setattr("simulator.lowering.lowering.variants_of", lambda _plan: pytest.fail("bound again"))
    faster = replace(options, speedup={"ici": 2.0})
    assert Simulation(graph, system, faster, like=once.plan).run().time_s < once.run().time_s
    monkeypatch.setattr("simulator.lowering.issuing.issue.Network", lambda *_: pytest.fail("priced again"))
    faster = replace(options, speedup={"matrix_unit": 2.0, "hbm": 2.0}, launch_s=0.0)
    assert Simulation(graph, system, faster, like=once.plan).run().time_s < once.run().time_s
