"""Collective matmul: gathers and sums of tensor parallelism in pieces, beside the matmuls that need or make them.

Laws: pieces change no FLOP and no byte; of two ops that follow each other n pieces leave an n-th of the shorter one, so
what is gained goes as 1 - 1/n; the time never falls below its bounds.
Source: Wang et al. 2023 (Overlap Communication with Dependent Computation via Decomposition), figure 4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from simulator import (
    Estimator,
    Inference,
    Parallel,
    Result,
    RunOptions,
    Training,
    inference_graph,
    precision_of,
    simulate,
    train_graph,
)
from simulator.models import Attention, Ffn
from tests.support.models import SMALL, megatron, system_for
from tests.support.training_steps import alone, matrix_flops, step

WIDE = replace(
    SMALL, d_model=2048, layers=2, ffn=Ffn(d_ff=8192), attention=Attention(heads=16, kv_heads=8, head_dim=128)
)
BIASED = megatron(2, 2048, 16, 1024, 256)


def traffic(result: Result) -> tuple[float, float]:
    """Bytes of memory and of collectives."""
    kernels = [planned.kernel for planned in result.plan.kernels]
    sent = sum(each.communication.nbytes for each in kernels if each.communication is not None)
    return sum(each.hbm_bytes for each in kernels), sent


@pytest.mark.parametrize("sequence", [True, False])
@pytest.mark.parametrize("model", [WIDE, BIASED], ids=["llama", "gpt"])
@pytest.mark.parametrize("how", [{}, {"recompute": "full"}, {"precision": precision_of("fp8", "training")}])
def test_what_is_gained_goes_with_the_pieces(sequence: bool, model: Any, how: dict[str, Any]) -> None:
    took = {
        pieces: step(Parallel(tp=4, microbatch=16, sequence=sequence, collective_matmul=pieces), model=model, **how)
        for pieces in (1, 2, 8)
    }
    gained = {pieces: took[1].time_s - took[pieces].time_s for pieces in (2, 8)}
    assert gained[2] > 0
    # less than that only where something else hides a collective already
    assert 1 <= gained[8] / gained[2] <= (7 / 8) / (1 / 2) * 1.001
    for result in took.values():
        assert result.plan.inserted == ()
        assert result.time_s >= result.lower_bound_s
        assert traffic(result) == pytest.approx(traffic(took[1]), rel=1e-9)
        assert matrix_flops(result) == pytest.approx(matrix_flops(took[1]), rel=1e-12)


def test_all_but_an_nth_of_the_shorter_one_is_hidden() -> None:
    """Where nothing else stands beside a collective."""
    took = [step(Parallel(tp=4, microbatch=16, collective_matmul=pieces), model=WIDE).time_s for pieces in (1, 2, 8)]
    assert (took[0] - took[2]) / (took[0] - took[1]) == pytest.approx((7 / 8) / (1 / 2), rel=1e-3)


@pytest.mark.parametrize("parallel", [{"tp": 2, "pp": 2}, {"tp": 2, "dp": 2, "zero": 3}, {"tp": 2, "cp": 2}])
def test_it_goes_with_other_parallelism(parallel: dict[str, Any]) -> None:
    whole, cut = (step(Parallel(**parallel, collective_matmul=pieces), 2) for pieces in (1, 4))
    assert cut.plan.inserted == ()
    if "pp" not in parallel:
        replicas = parallel.get("dp", 1)
        assert matrix_flops(cut) == pytest.approx(alone(2) * replicas, rel=1e-9)
    assert cut.time_s <= whole.time_s * (1 + 1e-9)


@pytest.mark.parametrize(
    ("parallel", "how"),
    [
        (Parallel(tp=4, microbatch=16), {}),
        (Parallel(tp=2, sequence=False), {"recompute": "full"}),
        (Parallel(tp=2, pp=2), {"precision": precision_of("fp8", "training")}),
        (Parallel(tp=4, microbatch=8), {"engine": "megatron"}),
    ],
    ids=["wide", "whole", "stages", "megatron"],
)
def test_estimates_know_of_pieces(parallel: Parallel, how: dict[str, Any]) -> None:
    """They bound the run as ever, and gain what it gains but for what the pieces of other tasks leave."""
    parallel, system = replace(parallel, collective_matmul=4), system_for(parallel, node=8)
    training = Training(batch=parallel.replicas * parallel.microbatch * 2, seq=256, **how)
    result = simulate(train_graph(WIDE, parallel, training), system)
    found, whole = (
        Estimator(WIDE, system).estimate(replace(parallel, collective_matmul=pieces), training) for pieces in (4, 1)
    )
    assert found.upper_bound == pytest.approx(result.upper_bound_s, rel=1e-9)
    assert found.lower_bound == pytest.approx(result.lower_bound_s, rel=1e-9)
    assert 0.9 * result.time_s <= found.earliest <= result.time_s * (1 + 1e-9)
    assert found.earliest < whole.earliest


def test_only_collectives_beside_matmuls_are_cut() -> None:
    kernels = [planned.kernel for planned in step(Parallel(tp=2, dp=2, zero=3, collective_matmul=4)).plan.kernels]
    pieces = [kernel for kernel in kernels if kernel.schedule.chunks > 1]
    cut = {(each.communication.kind, each.communication.axes) for each in pieces if each.communication is not None}
    assert cut == {("all_gather", "T"), ("reduce_scatter", "T")}
    assert {each.kind for each in pieces if each.communication is None} == {"matmul", "add"}


def test_inference_is_cut_too() -> None:
    def prefill(pieces: int) -> Result:
        parallel = Parallel(tp=4, collective_matmul=pieces)
        graph = inference_graph(WIDE, parallel, Inference(mode="prefill", batch=8, seq=512))
        return simulate(graph, system_for(parallel), RunOptions(overlap="full"))

    assert prefill(8).time_s < prefill(2).time_s < prefill(1).time_s
