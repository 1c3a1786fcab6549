"""A run leaves little to whoever looks for circles of garbage: flows that have ended are gone by themselves."""

from __future__ import annotations

import gc

from simulator import RunOptions, Simulation, parse_graph
from simulator.engine.fluid_pool import Flow
from tests.support.strategies import one


def flows() -> int:
    return sum(isinstance(each, Flow) for each in gc.get_objects())


def test_flows_that_have_ended_are_gone() -> None:
    # two queues that share HBM: some flows are slowed, and sped up again when another one ends
    lines = ["x:bf16[B,D] = relu(x0:bf16[B,D])"]
    lines += [f"y{at}:bf16[B,D] = add(x, a{at}:bf16[B,D], queue=q{at % 2})" for at in range(6)]
    lines += [f"z{at}:bf16[D] = copy(b{at}:bf16[D], queue=q2)" for at in range(6)]
    simulation = Simulation(parse_graph(lines, {"B": 1024, "D": 4096}), one(), RunOptions(overlap="full"))
    gc.collect()
    gc.disable()
    try:
        before = flows()
        result = simulation.run()
        assert flows() == before
    finally:
        gc.enable()
    assert len(result.end_ps) == len(lines)
