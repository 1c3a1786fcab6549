"""Training steps of transformers: what they compute, what they hold, what they send, however they are laid out.

Laws: all layouts of one model do the same matmuls; forward and backward are 6 FLOPs a parameter and token, attention and
the vocabulary apart; recomputing everything adds a forward pass of the blocks; what a chip stores falls as it is sharded;
nothing is left for the sharding planner to insert; the bounds hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame
from analysis.runs import holdings
from simulator import PRECISIONS, Parallel, Result, precision_of
from simulator.models import (
    Attention,
    Ffn,
    Work,
    forward_flops,
    parameters,
)
from tests.support.models import SMALL
from tests.support.training_steps import LAYOUTS, SEQ, alone, matrix_flops, peak, step


@settings(max_examples=40, deadline=None)
@given(
    LAYOUTS,
    st.integers(1, 3),
    st.sampled_from(["fp32", "bf16", "mixed_bf16", "fp8"]),
    st.sampled_from(["none", "selective", "full"]),
)
def test_every_layout_does_the_same_matmuls(parallel: Parallel, micro: int, precision: str, recompute: str) -> None:
    result = step(parallel, micro, precision=precision_of(precision, "training"), recompute=recompute)
    assert result.plan.inserted == ()
    once = [each.kernel for each in result.plan.kernels if not each.kernel.recompute]
    flops = sum(kernel.matrix_flops for kernel in once) * parallel.chips
    assert flops == pytest.approx(alone(micro) * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize("micro", [1, 2, 5])
def test_six_flops_a_parameter_and_token(micro: int) -> None:
    counted = forward_flops(SMALL, Work(tokens=SEQ))
    # flash attention makes its scores again: five matmuls for the two of its forward pass
    expected = micro * (3 * (counted.matmul + counted.vocabulary) + 3.5 * counted.attention)
    table = SMALL.embedding
    assert table is not None
    used = parameters(SMALL).total - table.vocab * SMALL.d_model - (2 * SMALL.layers + 1) * SMALL.d_model
    print(f"{alone(micro):.6g} FLOPs; 6PD {6 * used * SEQ * micro:.6g}, and attention")
    assert alone(micro) == pytest.approx(expected, rel=1e-9)
    assert 3 * micro * (counted.matmul + counted.vocabulary) == pytest.approx(6 * used * SEQ * micro, rel=1e-12)


def test_recomputing_everything_adds_a_forward_pass_of_the_blocks() -> None:
    counted = forward_flops(SMALL, Work(tokens=SEQ))
    added = matrix_flops(step(Parallel(), recompute="full")) - alone(1)
    # the last matmul of a block makes nothing that its backward pass needs
    last = SMALL.layers * 2 * SEQ * (SMALL.ffn.d_ff or 0) * SMALL.d_model
    assert added == pytest.approx(counted.matmul + counted.attention - last, rel=1e-9)
    selective = matrix_flops(step(Parallel(), recompute="selective")) - alone(1)
    assert selective == pytest.approx(counted.attention, rel=1e-9)


@pytest.mark.parametrize("precision", ["bf16", "mixed_bf16"])
def test_stored_bytes_a_parameter_fall_with_zero(precision: str) -> None:
    """What is there for the whole run: weights, moments, masters and summed gradients (Rajbhandari et al. 2020)."""
    replicas = 4
    count = parameters(SMALL).total
    gradients, states = (4, 12) if precision == "mixed_bf16" else (0, 8)
    small = 4 * SEQ * 4 * 2  # labels and the numbers of tokens are not parameters

    def held(zero: int) -> float:
        result = step(Parallel(dp=replicas, zero=zero), precision=PRECISIONS[precision])
        whole = [
            each for each in holdings(result) if each.begin_s == 0.0 and each.end_s == result.time_s and each.chip == 0
        ]
        return sum(each.nbytes for each in whole if each.tensor.startswith(("stored", "m", "v")))

    assert held(0) == pytest.approx((2 + gradients + states) * count, abs=small)
    assert held(1) == pytest.approx((2 + gradients + states / replicas) * count, abs=small)
    assert held(2) == pytest.approx((2 + (gradients + states) / replicas) * count, abs=small)
    assert held(3) == pytest.approx((2 + gradients + states) / replicas * count, abs=small)


@pytest.mark.parametrize("micro", [1, 2])
@pytest.mark.parametrize("overlap", [True, False])
def test_gradients_stay_whole_until_the_step_up_to_zero_1(micro: int, overlap: bool) -> None:
    """When the optimizer begins, a chip holds all gradients with ZeRO-0 and 1, and its share of them from ZeRO-2 on."""
    replicas, count = 4, parameters(SMALL).total

    def then(zero: int) -> float:
        result = step(Parallel(dp=replicas, zero=zero, overlap_gradients=overlap), micro, precision=PRECISIONS["bf16"])
        frame = memory_frame(result)
        steps = result.plan.kernels.kernels
        first = min(at for at, kernel in enumerate(steps) if kernel.kind == "adamw")
        places = result.places
        at = places.begin[(places.kernel == first) & (places.chip == 0)].min() * 1e-12
        alive = frame[(frame["chip"] == 0) & (frame["begin"] <= at) & (frame["end"] > at)]
        return float(alive.loc[alive["owner"] == "gradients", "bytes"].sum())

    for zero in (0, 1):
        assert then(zero) == pytest.approx(2 * count, rel=1e-3)
    for zero in (2, 3):
        assert then(zero) == pytest.approx(2 * count / replicas, rel=1e-3)


def test_peak_memory_falls_with_sharding_and_recomputing() -> None:
    plain = peak(step(Parallel(dp=4)))
    assert peak(step(Parallel(dp=4, zero=1))) < plain
    assert peak(step(Parallel(dp=4, zero=3))) < peak(step(Parallel(dp=4, zero=2))) < peak(step(Parallel(dp=4, zero=1)))
    assert peak(step(Parallel(tp=4))) < peak(step(Parallel(tp=2))) < peak(step(Parallel()))
    assert peak(step(Parallel(), recompute="full")) < peak(step(Parallel()))


def test_each_overlap_that_is_switched_off_costs_time() -> None:
    """In a model that is wide enough for matmuls to hide what they wait for."""
    wide = replace(SMALL, d_model=4096, ffn=Ffn(d_ff=16384), attention=Attention(heads=32, kv_heads=8, head_dim=128))

    def took(**how: Any) -> Result:
        return step(Parallel(dp=4, microbatch=32, **how), model=wide)

    assert took(zero=3, prefetch=0).time_s > took(zero=3).time_s
    assert took(overlap_gradients=False).time_s > took().time_s
    for together, apart in ((took(zero=3), took(zero=3, prefetch=0)), (took(), took(overlap_gradients=False))):
        assert together.time_s < apart.time_s < together.upper_bound_s


def test_clipping_reads_all_gradients_once_more_before_anything_is_stepped() -> None:
    plain, clipped = step(Parallel(dp=2, zero=1)), step(Parallel(dp=2, zero=1), clip=True)
    moved = [sum(each.kernel.hbm_bytes for each in result.plan.kernels) for result in (plain, clipped)]
    scalars = 4 * 3 * len(clipped.plan.kernels)
    assert moved[1] - moved[0] == pytest.approx(4 * parameters(SMALL).total / 2, abs=scalars)
    names = [each.kernel.kind for each in clipped.plan.kernels]
    assert names.index("adamw") > max(at for at, kind in enumerate(names) if kind == "reduce")
    assert clipped.plan.inserted == ()


@pytest.mark.parametrize(
    ("model", "parallel", "sets"),
    [
        (SMALL, Parallel(), 0),
        (SMALL, Parallel(dp=2, zero=1), 1),
        (
            replace(SMALL, layers=7, attention=replace(SMALL.attention, kinds=("sliding", "full"), window=64)),
            Parallel(dp=2, zero=1),
            1,
        ),
        (SMALL, Parallel(dp=2, tp=2, zero=1), 1),
        (SMALL, Parallel(tp=2), 1),
    ],
)
def test_chips_bring_together_one_number_for_the_norm_of_all_gradients(
    model: Any, parallel: Parallel, sets: int
) -> None:
    """Embedding, head, a pattern of layers and a layer that is left over have one norm: for each set of axes over which
    gradients are apart one number is sent, and everything is stepped behind it."""
    result = step(parallel, model=model, clip=True)
    sent = [each.kernel for each in result.plan.kernels if each.kernel.communication is not None]
    numbers = [kernel for kernel in sent if kernel.communication and kernel.communication.nbytes == 4]
    assert [kernel.kind for kernel in numbers] == ["all_reduce"] * sets
    kinds = [each.kernel.kind for each in result.plan.kernels]
    assert sets == 0 or kinds.index("adamw") > max(at for at, kind in enumerate(kinds) if kind == "all_reduce")


@pytest.mark.parametrize("tp", [1, 2])
def test_heads_exchanged_for_tokens_do_the_same_matmuls_as_gathered_keys(tp: int) -> None:
    equal = replace(SMALL, attention=Attention(heads=8, kv_heads=8, head_dim=32))
    gather, exchange = (step(Parallel(cp=4, tp=tp, context=how), model=equal) for how in ("gather", "all_to_all"))
    assert exchange.plan.inserted == ()
    assert matrix_flops(exchange) == pytest.approx(matrix_flops(gather), rel=1e-12)
    kinds = {each.kernel.kind for each in exchange.plan.kernels if each.kernel.communication is not None}
    assert "all_to_all" in kinds


def test_microbatches_keep_the_activations_of_one() -> None:
    one, four = step(Parallel(), 1), step(Parallel(), 4)
    ids = 4 * SEQ * 4 * 2
    assert peak(four) <= peak(one) + 4 * parameters(SMALL).total + ids
