"""Recomputing all but every second matmul: what is run again, and what is kept.

Closed forms: of the matmuls of a block (q, k, v, o, gate, up, down) the second, fourth and sixth are run again; a block
keeps its input, q, v, attention's output and gate, and without a compiler what its last matmul makes, which nothing reads.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame
from simulator import PRECISIONS, Op, Parallel, Repeat, Training, train_graph
from simulator.models import Latent, Moe, Position
from tests.support.models import SMALL
from tests.support.training_steps import LAYOUTS, SEQ, alone, matrix_flops, step


def test_every_second_matmul_is_run_again() -> None:
    d, keys, wide = 256, 128, 512
    again = SMALL.layers * 2 * SEQ * (d * keys + d * d + d * wide)
    for eager in (False, True):
        result = step(Parallel(), recompute="alternate", eager=eager)
        assert matrix_flops(result) - alone(1) == pytest.approx(again, rel=1e-9)


@pytest.mark.parametrize(("recompute", "scores"), [("projected", 1), ("attended", 0)])
def test_what_stands_behind_queries_keys_and_values_is_run_again(recompute: str, scores: int) -> None:
    """Of o, gate and up, and of attention where what it makes is not kept; of down nothing is wanted."""
    d, wide = 256, 512
    full = matrix_flops(step(Parallel(), recompute="full"))
    kept = SMALL.layers * 2 * SEQ * (d * d + 2 * d * 128)
    attention = full - kept - alone(1) - SMALL.layers * 2 * SEQ * (d * d + 2 * d * wide)
    again = SMALL.layers * 2 * SEQ * (d * d + 2 * d * wide) + scores * attention
    assert matrix_flops(step(Parallel(), recompute=recompute)) - alone(1) == pytest.approx(again, rel=1e-9)


@pytest.mark.parametrize(("more", "less"), [("full", "joined"), ("projected", "surrounded")])
@pytest.mark.parametrize("tp", [1, 2])
def test_the_matmul_behind_attention_is_kept_with_its_sum(more: str, less: str, tp: int) -> None:
    """A matmul of 256 x 256 a block less, and where chips share it one of its sums."""
    found, kept = (step(Parallel(tp=tp, sequence=False), recompute=recompute) for recompute in (more, less))
    assert matrix_flops(found) - matrix_flops(kept) == pytest.approx(SMALL.layers * 2 * SEQ * 256 * 256, rel=1e-9)
    sums = [sum(each.kernel.communication is not None for each in result.plan.kernels) for result in (found, kept)]
    assert sums[0] - sums[1] == (SMALL.layers if tp > 1 else 0)


@pytest.mark.parametrize("parallel", [Parallel(), Parallel(dp=2, zero=3), Parallel(tp=2, sequence=False)])
def test_what_is_light_is_run_again_alone(parallel: Parallel) -> None:
    """Both norms of a block and its gate; no matmul, and neither what adds nor what rotates."""
    light, none = (step(parallel, recompute=recompute) for recompute in ("light", "none"))
    assert matrix_flops(light) == pytest.approx(matrix_flops(none), rel=1e-9)
    more = Counter(each.kernel.kind for each in light.plan.kernels)
    more.subtract(each.kernel.kind for each in none.plan.kernels)
    assert +more == {"rms_norm": 2 * SMALL.layers, "swiglu": SMALL.layers}


def test_norms_of_heads_and_latents_are_not_light() -> None:
    """Megatron-Core's module layernorm is input_layernorm and pre_mlp_layernorm, q_layernorm and kv_layernorm stay."""
    heads = replace(SMALL, attention=replace(SMALL.attention, qk_norm="head"), position=Position(kind="none"))
    latent = Latent(q_lora_rank=96, kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32)
    ranks = replace(
        SMALL, attention=replace(SMALL.attention, latent=latent, kv_heads=SMALL.attention.heads, head_dim=48)
    )
    for model in (heads, ranks):
        count = [
            Counter(
                op.kind for op in train_graph(model, Parallel(), Training(batch=1, seq=SEQ, recompute=asked)).every_op()
            )
            for asked in ("light", "none")
        ]
        assert (count[0] - count[1])["rms_norm"] == 2


def test_clamped_halves_are_put_beside_each_other_again() -> None:
    """Of two clamps a copy each; what experts copy otherwise is not light."""
    ffn = replace(SMALL.ffn, activation="clamped_silu", bias=True)
    model = replace(SMALL, ffn=ffn, moe=Moe(experts=4, top_k=2, d_expert=64))
    light, none = (
        Counter(op.kind for op in graph.every_op())
        for graph in (
            train_graph(model, Parallel(ep=2), Training(batch=2, seq=SEQ, engine="megatron", recompute=recompute))
            for recompute in ("light", "none")
        )
    )
    assert light - none == {"rms_norm": 2, "swiglu": 1, "clamp": 2, "copy": 2}


@pytest.mark.parametrize("parallel", [Parallel(), Parallel(dp=2, zero=3), Parallel(tp=2)])
def test_whole_blocks_are_run_again_to_their_end(parallel: Parallel) -> None:
    """Down as well, of which nothing is wanted: forward twice, and the last sum over tensor-parallel chips once more."""
    full, whole = (step(parallel, recompute=recompute) for recompute in ("full", "whole"))
    down = SMALL.layers * 2 * SEQ * 512 * 256 * parallel.replicas
    assert matrix_flops(whole) - matrix_flops(full) == pytest.approx(down, rel=1e-9)
    assert whole.time_s > full.time_s
    sums = [sum(each.kernel.communication is not None for each in result.plan.kernels) for result in (full, whole)]
    assert (sums[1] > sums[0]) == (parallel.tp > 1)


def test_a_whole_block_is_run_again_before_its_gradients_are_made() -> None:
    graph = train_graph(SMALL, Parallel(), Training(batch=1, seq=SEQ, recompute="whole"))
    forward, backward = (item for item in graph.items if isinstance(item, Repeat) and item.carry)
    once, ops = ([op for op in block.items if isinstance(op, Op)] for block in (forward, backward))
    again = [at for at, op in enumerate(ops) if op.option("recompute") == "true"]
    assert Counter(ops[at].kind for at in again) == Counter(op.kind for op in once if op.kind != "view")
    assert all(op.kind == "view" for at, op in enumerate(ops[: again[-1]]) if at not in again)


@pytest.mark.parametrize(("eager", "unread"), [("loss", 0), (True, 256)])
def test_what_a_block_keeps(eager: bool | str, unread: int) -> None:
    frame = memory_frame(step(Parallel(), recompute="alternate", precision=PRECISIONS["bf16"], eager=eager))
    loss = frame.loc[frame["tensor"] == "loss", "begin"].item()
    kept = frame[(frame["owner"] == "activations") & (frame["begin"] < loss) & (frame["end"] > loss)]
    d, values, wide = 256, 128, 512
    blocks = SMALL.layers * (d + d + values + d + wide + unread)
    # the last block's output, and the final norm's
    assert kept["bytes"].sum() == 2 * SEQ * (blocks + 2 * d)


@settings(max_examples=10, deadline=None)
@given(LAYOUTS, st.integers(1, 2))
def test_every_layout_does_the_same_matmuls(parallel: Parallel, micro: int) -> None:
    result = step(parallel, micro, recompute="alternate")
    once = [each.kernel for each in result.plan.kernels if not each.kernel.recompute]
    flops = sum(kernel.matrix_flops for kernel in once) * parallel.chips
    assert flops == pytest.approx(alone(micro) * parallel.replicas, rel=1e-9)


@pytest.mark.parametrize("sequence", [False, True])
def test_what_is_kept_of_sums_over_chips_is_not_added_up(sequence: bool) -> None:
    """Nothing reads the sums that the last matmul leaves: they are held as they are, and nothing is sent for it."""
    result = step(Parallel(tp=2, sequence=sequence), recompute="alternate", eager=True)
    assert result.plan.inserted == ()
