"""Products of all kinds of parallelism, formats and recomputation: whatever is put together is one step of one model.

Laws: all chips together do the matmuls of one chip for every replica; nothing is left for the sharding planner; the time is
no less than the lower bound; every op has a name of its own.
Assumes: no tensor parallelism beside experts, whose router every chip of that axis computes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import Parallel, precision_of
from simulator.models import Moe, Transformer
from tests.support.models import SMALL
from tests.support.training_steps import flops_of_all, step

EXPERTS = replace(SMALL, moe=Moe(experts=8, top_k=2, d_expert=64, groups=2, top_groups=1))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Transformer, Parallel]:
    """A model and a parallelism that it can have."""
    few = st.sampled_from([1, 2])
    has_experts = draw(st.booleans())
    dp, zero = draw(st.sampled_from([1, 2, 4])), draw(st.integers(0, 3))
    ep = draw(st.sampled_from([1, 2, 4])) if has_experts else 1
    parallel = Parallel(
        dp=dp,
        tp=1 if has_experts else draw(few),
        pp=draw(st.sampled_from([1, 1, 2])),
        cp=draw(few),
        ep=ep,
        zero=zero,
        shard=draw(st.sampled_from([None, 1, 2])) if zero and dp > 1 else None,
        expert_nodes=draw(few) if ep > 1 else 1,
        whole_experts=has_experts and draw(st.booleans()),
        context=draw(st.sampled_from(["gather", "ring"])),
        sequence=draw(st.booleans()),
        collective_matmul=draw(st.sampled_from([1, 3])),
        overlap_gradients=draw(st.booleans()),
        schedule=draw(st.sampled_from(["gpipe", "1f1b", "zero_bubble", "paired"])),
    )
    return EXPERTS if has_experts else SMALL, parallel


HOW = st.fixed_dictionaries(
    {
        "precision": st.sampled_from(["fp32", "bf16", "mixed_bf16", "fp8"]).map(
            lambda name: precision_of(name, "training")
        ),
        "recompute": st.sampled_from(["none", "selective", "full"]),
        "clip": st.booleans(),
        "engine": st.sampled_from(["plain", "megatron", "pytorch", "fsdp1"]),
    }
)


@cache
def alone(has_experts: bool) -> float:
    return flops_of_all(step(Parallel(), model=EXPERTS if has_experts else SMALL))


@settings(max_examples=20, deadline=None)
@given(layouts(), st.integers(1, 3), HOW)
def test_all_chips_do_the_step_of_one(asked: tuple[Transformer, Parallel], micro: int, how: dict[str, Any]) -> None:
    model, parallel = asked
    result = step(parallel, micro, model=model, **how)
    assert result.plan.inserted == ()
    assert flops_of_all(result) == pytest.approx(alone(model.moe is not None) * micro * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    names = [planned.kernel.name for planned in result.plan.kernels]
    assert len(set(names)) == len(names)
