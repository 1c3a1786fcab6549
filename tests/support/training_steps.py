"""A training step of a small decoder in any layout: the run, and what is compared of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from analysis import Summary
from simulator import Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import Transformer
from tests.support.models import SMALL, system_for

SEQ = 256
LAYOUTS = st.builds(
    Parallel,
    dp=st.sampled_from([1, 2]),
    tp=st.sampled_from([1, 2, 4]),
    cp=st.sampled_from([1, 2]),
    context=st.sampled_from(["gather", "ring"]),
    zero=st.integers(0, 3),
    sequence=st.booleans(),
    prefetch=st.integers(0, 2),
    overlap_gradients=st.booleans(),
)


def step(parallel: Parallel, micro: int = 1, model: Transformer = SMALL, **how: Any) -> Result:
    """One step, `micro` microbatches of one sequence for each replica."""
    batch = parallel.replicas * parallel.microbatch * micro
    training = Training(batch=batch, seq=SEQ, **how)
    return simulate(train_graph(model, parallel, training), system_for(parallel), RunOptions(overlap="full"))


def matrix_flops(result: Result) -> float:
    """Matmul FLOPs of all chips; every chip does the same."""
    return sum(sort.kernel.matrix_flops for sort in result.plan.kernels.every_sort()) * result.plan.system.size


@cache
def alone(micro: int) -> float:
    """Matmul FLOPs of the same step on one chip."""
    return matrix_flops(step(Parallel(), micro))


def peak(result: Result) -> float:
    """The most that a chip holds."""
    value = Summary(result.plan, lambda: result)["peak_memory"]
    assert isinstance(value, (int, float))
    return value


def flops_of_all(result: Result) -> float:
    """Matmul FLOPs of all chips, without what is computed again: of a kernel, on the chips of its stage."""
    plan = result.plan
    members = {chip: len(plan.members(chip)) for chip in plan.simulated}
    return sum(
        sort.kernel.matrix_flops * sum(members[chip] for chip in sort.chips)
        for sort in plan.kernels.every_sort()
        if not sort.kernel.recompute
    )
