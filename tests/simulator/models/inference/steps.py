"""Steps of inference: small models of every sort of attention and experts, their graphs, their runs and what these do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulator import (
    Inference,
    OpGraph,
    Parallel,
    Result,
    RunOptions,
    inference_graph,
    simulate,
)
from simulator.models import (
    Attention,
    Latent,
    Moe,
    Transformer,
)
from tests.support.models import SMALL, system_for

WINDOW = replace(SMALL, attention=replace(SMALL.attention, kinds=("sliding", "full"), window=64))
LATENT = Latent(q_lora_rank=64, kv_lora_rank=128, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32)
MLA = replace(SMALL, attention=Attention(heads=8, kv_heads=8, head_dim=48, latent=LATENT))

EXPERTS = replace(SMALL, moe=Moe(experts=8, top_k=2, d_expert=64, shared_experts=1, d_shared=64, first_dense=1))


def graph_of(model: Transformer, parallel: Parallel | None = None, **how: Any) -> OpGraph:
    return inference_graph(model, parallel or Parallel(), Inference(**how))


def run(model: Transformer, parallel: Parallel | None = None, **how: Any) -> Result:
    parallel = parallel or Parallel()
    return simulate(graph_of(model, parallel, **how), system_for(parallel), RunOptions(overlap="full"))


def all_flops(result: Result) -> float:
    """Matmul FLOPs of all chips."""
    plan = result.plan
    return sum(
        plan.variant(planned, chip).kernel.matrix_flops * len(plan.members(chip))
        for planned in plan.kernels
        for chip in planned.chips
    )


def within_bounds(result: Result, parallel: Parallel) -> None:
    slack = 1e-12 * len(result.plan.program)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + slack
    if parallel.pp == 1:
        assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + slack
