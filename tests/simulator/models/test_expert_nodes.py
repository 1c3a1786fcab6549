"""Experts on several nodes, tokens sent to nodes first: the same work, and fewer bytes between nodes.

Laws: however experts lie, all chips do the same matmuls; a token crosses to a node once, whatever number of its experts is
there, and to no more nodes than its router's groups allow; inside nodes rows are as many as experts chosen.
Source: DeepSeek-AI 2024 (DeepSeek-V3), section 3.2.2.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Mesh, SpecError, System, load_chip, parse_topology
from simulator import (
    Estimator,
    Inference,
    Parallel,
    Result,
    RunOptions,
    Training,
    inference_graph,
    simulate,
    train_graph,
)
from simulator.models import Moe, Transformer
from simulator.models.steps.sizes import nodes_of_token
from tests.support.models import SMALL
from tests.support.training_steps import flops_of_all, matrix_flops

SEQ = 128
MOE = Moe(experts=32, top_k=4, d_expert=64, groups=8, top_groups=2)
MODEL = replace(SMALL, layers=2, moe=MOE)


def step(parallel: Parallel, model: Transformer = MODEL, **how: Any) -> Result:
    """A sequence for each replica, on nodes of four chips."""
    chip = load_chip("h100_sxm")
    levels = ["switch(4) over nvlink", f"switch({parallel.chips // 4}) over infiniband"]
    system = System(chip, parse_topology(levels, chip.links), Mesh(parallel.mesh))
    graph = train_graph(model, parallel, Training(batch=parallel.replicas, seq=SEQ, **how))
    return simulate(graph, system, RunOptions(overlap="full"))


def exchanged(result: Result) -> dict[str, list[float]]:
    """Bytes of what a chip has in each all-to-all, by axes."""
    found: dict[str, list[float]] = {}
    for planned in result.plan.kernels:
        if planned.kernel.kind == "all_to_all" and planned.kernel.communication is not None:
            written = sum(access.nbytes for access in planned.kernel.writes)
            found.setdefault(planned.kernel.communication.axes, []).append(written)
    return found


@pytest.mark.long
@pytest.mark.parametrize("how", [{}, {"recompute": "full"}])
@pytest.mark.parametrize(
    "parallel", [{"ep": 16}, {"ep": 8, "dp": 2, "zero": 1}, {"ep": 8, "tp": 2}, {"ep": 4, "cp": 4}]
)
def test_however_experts_lie_the_matmuls_are_the_same(parallel: dict[str, Any], how: dict[str, Any]) -> None:
    plain, nodes = (step(Parallel(**parallel, expert_nodes=count), **how) for count in (1, 4))
    assert nodes.plan.inserted == ()
    assert matrix_flops(nodes) == pytest.approx(matrix_flops(plain), rel=1e-12)
    assert nodes.lower_bound_s <= nodes.time_s * (1 + 1e-9)
    assert nodes.time_s <= nodes.upper_bound_s * (1 + 1e-9) + 1e-12 * len(nodes.plan.program)


@pytest.mark.parametrize("parallel", [{"tp": 2}, {"tp": 2, "ep": 4, "expert_nodes": 4}, {"tp": 2, "pp": 2}])
def test_experts_go_with_tensor_parallelism(parallel: dict[str, Any]) -> None:
    """Also where nothing is exchanged inside a node; the router is the same on all chips of the tensor axis."""
    given = Parallel(**{"dp": 4, **parallel})
    result = step(given)
    assert result.plan.inserted == ()
    names = [planned.kernel.name for planned in result.plan.kernels]
    assert len(set(names)) == len(names)
    assert flops_of_all(result) == pytest.approx(
        flops_of_all(step(Parallel(dp=4, tp=2))) * given.replicas / 4, rel=1e-9
    )


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_rows_that_cross_nodes(limit: int) -> None:
    """Four times a block: sent and brought back, forwards and backwards."""
    model = replace(MODEL, moe=replace(MOE, top_groups=limit))
    found = exchanged(step(Parallel(ep=16, expert_nodes=4), model))
    # of four nodes a router of so many groups leaves as many; four experts are drawn from those
    copies = math.ceil(SEQ / 4 * limit * (1 - (1 - 1 / limit) ** 4)) * 4
    assert found["N"] == [2 * MODEL.d_model * copies] * 8
    assert found["E"] == [2 * MODEL.d_model * SEQ * 4] * 8
    assert sum(found["N"]) <= sum(found["E"]) * limit / 4 * (1 + 4 / SEQ)


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 16), st.integers(1, 16))
def test_a_token_is_on_no_more_nodes_than_it_may_be(nodes: int, top_k: int, groups: int, top_groups: int) -> None:
    top_groups = min(groups, top_groups)
    moe = Moe(experts=64, top_k=top_k, d_expert=8, groups=groups, top_groups=top_groups)
    found = nodes_of_token(moe, nodes)
    assert 1 - 1e-12 <= found <= min(nodes, top_k) * (1 + 1e-12)
    if groups > 1 and groups >= nodes:
        assert found <= top_groups * (1 + 1e-12)


def test_deepseek_v3_sends_a_token_to_three_or_four_of_eight_nodes() -> None:
    """Eight experts of four groups at most; the report counts 3.2 experts a node on average."""
    moe = Moe(experts=256, top_k=8, d_expert=2048, groups=8, top_groups=4)
    assert nodes_of_token(moe, 8) == pytest.approx(4 * (1 - 0.75**8))
    assert 3 < nodes_of_token(moe, 8) < 4


def test_a_thin_network_between_nodes_is_waited_for_less() -> None:
    plain, nodes = (step(Parallel(ep=16, expert_nodes=count)) for count in (1, 4))
    assert nodes.time_s < plain.time_s


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_estimates_know_of_any_number_of_nodes(count: int) -> None:
    parallel = Parallel(ep=16, expert_nodes=count)
    run = step(parallel)
    training = Training(batch=parallel.replicas, seq=SEQ)
    found = Estimator(MODEL, run.plan.system, RunOptions(overlap="full")).estimate(parallel, training)
    assert found.earliest <= run.time_s * (1 + 1e-9)
    assert found.earliest >= 0.5 * run.time_s


@pytest.mark.parametrize("count", [0, 3])
def test_nodes_must_have_as_many_chips(count: int) -> None:
    with pytest.raises(SpecError, match=f"16 expert-parallel chips do not lie evenly on {count} nodes"):
        Parallel(ep=16, expert_nodes=count)


@pytest.mark.parametrize(
    "how",
    [
        {"mode": "prefill", "batch": 16, "seq": SEQ},
        {"mode": "prefill", "batch": 16, "seq": SEQ, "chunk": 32},
        {"mode": "decode", "batch": 256, "context": 64},
    ],
)
@pytest.mark.parametrize("parallel", [{"ep": 16}, {"ep": 8, "pp": 2}, {"ep": 4, "cp": 4}])
def test_inference_sends_tokens_to_nodes_first_too(parallel: dict[str, Any], how: dict[str, Any]) -> None:
    plain, nodes = (served(Parallel(**parallel, expert_nodes=count), **how) for count in (1, 4))
    assert nodes.plan.inserted == ()
    assert flops_of_all(nodes) == pytest.approx(flops_of_all(plain), rel=1e-12)
    assert nodes.lower_bound_s <= nodes.time_s * (1 + 1e-9)
    crossed = exchanged(nodes)["N"]
    # twice a block and pass: sent, and brought back
    assert len(crossed) % 4 == 0
    assert sum(crossed) < sum(exchanged(plain)["E"])


def test_rows_that_cross_nodes_in_decode() -> None:
    """As in training: two of four nodes are left by the router's groups, of which four experts are drawn."""
    found = exchanged(served(Parallel(ep=16, expert_nodes=4), mode="decode", batch=256, context=64))
    copies = 256 / 16 * 2 * (1 - (1 / 2) ** 4)
    assert found["N"] == [2 * MODEL.d_model * copies] * 4


def served(parallel: Parallel, **how: Any) -> Result:
    """A run of inference on nodes of four chips."""
    chip = load_chip("h100_sxm")
    levels = ["switch(4) over nvlink", f"switch({parallel.chips // 4}) over infiniband"]
    system = System(chip, parse_topology(levels, chip.links), Mesh(parallel.mesh))
    return simulate(inference_graph(MODEL, parallel, Inference(**how)), system, RunOptions(overlap="full"))
