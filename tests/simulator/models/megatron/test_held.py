"""Steps as Megatron-LM runs them: the same work as plain ones, held otherwise.

Laws: all layouts do the matmuls of a plain step, and gather tokens once more; of blocks' weights no gradient stands beside
the buffer of sums; what is held for the whole step follows from the shapes of weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame, memory_levels
from hw import SpecError
from simulator import PRECISIONS, Parallel, Training
from simulator.models import Ffn, Moe, parameters
from tests.support.models import SMALL
from tests.support.training_steps import LAYOUTS, SEQ, alone, peak, step

WORKSPACES = 3 * 32 * 2**20


@settings(max_examples=15, deadline=None)
@given(LAYOUTS, st.integers(1, 3), st.sampled_from(["bf16", "mixed_bf16"]), st.sampled_from(["none", "full"]))
def test_every_layout_does_the_matmuls_of_a_plain_step(
    parallel: Parallel, micro: int, precision: str, recompute: str
) -> None:
    result = step(parallel, micro, precision=PRECISIONS[precision], recompute=recompute, engine="megatron")
    assert result.plan.inserted == ()
    once = [each.kernel for each in result.plan.kernels if not each.kernel.recompute]
    flops = sum(kernel.matrix_flops for kernel in once) * parallel.chips
    assert flops == pytest.approx(alone(micro) * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize("schedule", ["1f1b", "zero_bubble"])
def test_stages_of_a_pipeline_do_the_matmuls_of_a_plain_step(schedule: str) -> None:
    parallel = Parallel(pp=4, tp=2, zero=1, schedule=schedule)  # type: ignore[arg-type]
    result = step(parallel, 4, engine="megatron")
    flops = sum(
        planned.kernel.matrix_flops * len(result.plan.members(chip))
        for planned in result.plan.kernels
        for chip in planned.chips
    )
    assert flops == pytest.approx(alone(4), rel=1e-9)


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_what_is_held_for_the_whole_step(tp: int) -> None:
    frame = memory_frame(step(Parallel(tp=tp), 2, engine="megatron"))
    frame = frame[frame["chip"] == 0]
    held = frame[frame["given"]].set_index(frame[frame["given"]]["tensor"].astype(str))["bytes"]
    d, wide, heads = 256, 512, 256 + 2 * 128
    # queries, keys and values are one weight; gate and up are one; weights of one shape have one placeholder
    shapes = {(d, heads // tp), (d // tp, d), (d, 2 * wide // tp), (wide // tp, d)}
    assert held["placeholders"] == 2 * sum(rows * columns for rows, columns in shapes)
    assert held["workspaces"] == WORKSPACES
    assert ("gathered" in held) == (tp > 1)
    if tp > 1:
        assert held["gathered"] == 2 * SEQ * d
    count = parameters(SMALL).total
    norms = 4 * (2 * SMALL.layers + 1) * d  # whole on every chip of the tensor axis
    assert sum(held[name] for name in held.index if "main" in name) == pytest.approx(4 * count / tp, abs=norms)


def test_gradients_of_blocks_are_never_beside_their_sums() -> None:
    """At any time, what is held of gradients but the sums is no more than the head's, or the table's, and norms'."""
    plain, ours = memory_frame(step(Parallel(), 2)), memory_frame(step(Parallel(), 2, engine="megatron"))
    table = 2 * 1024 * SMALL.d_model

    def most(frame: pd.DataFrame) -> float:
        mine = frame[(frame["owner"] == "gradients") & ~frame["given"]]
        return float(memory_levels(mine)["bytes"].max())

    assert most(ours) <= table + 2 * 3 * SMALL.d_model
    block = 2 * (parameters(SMALL).total - 2 * 1024 * SMALL.d_model) / SMALL.layers
    assert most(plain) >= block * 0.99


def test_what_was_gathered_is_gathered_again() -> None:
    result = step(Parallel(tp=2), engine="megatron")
    gathers = [each.kernel for each in result.plan.kernels if each.kernel.kind == "all_gather"]
    # two regions a block and the head, forwards and again; gradients where sums were scattered, and of the table's tokens
    assert sum(kernel.recompute for kernel in gathers) == 2 * SMALL.layers + 1
    assert peak(step(Parallel(tp=2, microbatch=8), engine="megatron")) < (
        peak(step(Parallel(tp=2, microbatch=8))) + WORKSPACES + 2 * 2**20
    )


def test_experts_have_one_placeholder_of_one_expert() -> None:
    model = replace(SMALL, moe=Moe(experts=4, top_k=2, d_expert=96), ffn=replace(SMALL.ffn, d_ff=None))
    frame = memory_frame(step(Parallel(dp=2), engine="megatron", model=model))
    d, wide, router = 256, 96, 4
    attention = d * 512 + d * d
    found = frame.loc[(frame["tensor"] == "placeholders") & (frame["chip"] == 0), "bytes"].item()
    assert found == 2 * (attention + d * router + d * 2 * wide + wide * d)


def test_wrong_engines_are_told() -> None:
    with pytest.raises(SpecError, match="unknown engine 'megatronn', did you mean 'megatron'"):
        Training(batch=1, seq=8, engine="megatronn")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="eager is of PyTorch's own ops"):
        Training(batch=1, seq=8, engine="megatron", eager=True)


SEVERAL = replace(SMALL, moe=Moe(experts=8, top_k=2, d_expert=128))


@pytest.mark.parametrize(
    ("parallel", "engine", "times"),
    [
        (Parallel(ep=2), "megatron", 4),
        (Parallel(ep=4, tp=2), "megatron", 4),
        (Parallel(ep=8), "megatron", 0),
        (Parallel(ep=4, expert_nodes=2), "megatron", 0),
        (Parallel(), "megatron", 0),
        (Parallel(ep=2), "plain", 0),
    ],
    ids=["experts", "tensor", "one an expert", "nodes", "one chip", "plain"],
)
def test_rows_of_other_chips_are_put_in_the_order_of_experts(
    parallel: Parallel, engine: Literal["megatron", "plain"], times: int
) -> None:
    """There and back, forwards and backwards: what an all-to-all brings lies chip by chip. Each is read and written once;
    chips with one expert, and exchanges that know of experts, have nothing to put in order."""
    kernels = [each.kernel for each in step(parallel, 1, SEVERAL, engine=engine).plan.kernels]
    moved = {"eo": "eo", "eu": "eu", "des": "eo", "ded": "eu"}
    copies = [kernel for kernel in kernels if kernel.kind == "copy" and kernel.base in moved]
    assert len(copies) == times * SEVERAL.layers
    rows = SEQ * 2 * SEVERAL.d_model * 2
    for kernel in copies:
        assert sum(access.nbytes for access in kernel.reads) == pytest.approx(rows)
        assert sum(access.nbytes for access in kernel.writes) == pytest.approx(rows)


@pytest.mark.parametrize("ep", [1, 4])
@pytest.mark.parametrize("gated", [True, False])
def test_biases_of_experts_are_weights_like_others(ep: int, gated: bool) -> None:
    model = replace(SEVERAL, ffn=Ffn(d_ff=512, gated=gated, activation="silu" if gated else "gelu", bias=True))
    parallel = Parallel(ep=ep)
    frame = memory_frame(step(parallel, 1, model, precision=PRECISIONS["bf16"]))
    mine = frame[(frame["chip"] == 0) & frame["given"] & (frame["owner"] == "weights")]
    without = replace(model, ffn=replace(model.ffn, bias=False))
    apart = memory_frame(step(parallel, 1, without, precision=PRECISIONS["bf16"]))
    other = apart[(apart["chip"] == 0) & apart["given"] & (apart["owner"] == "weights")]
    experts = 8 // ep
    a_layer = experts * ((2 if gated else 1) * 128 + model.d_model)
    assert mine["bytes"].sum() - other["bytes"].sum() == 2 * model.layers * a_layer
    assert parameters(model).total - parameters(without).total == model.layers * a_layer * ep
