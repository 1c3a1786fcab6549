"""Ring attention: keys and values pass by, and all pairs of the sequence are met once.

Laws: all chips and steps together do the pairs that one chip does, causal or not; forwards a chip sends (N - 1) / N of all
keys and values, backwards the same twice; sends are hidden where a block of attention takes longer; of keys and values a
chip keeps its own. A whole prompt's go round as those of a training step's forward pass, and the cache is the same.
Source: Liu et al. 2023 (Ring Attention).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame, memory_owners
from analysis.runs import hidden_communication
from hw import SpecError
from simulator import Inference, Parallel, Result, RunOptions, Training, inference_graph, simulate, train_graph
from simulator.models import Attention, Head, Latent, Transformer
from tests.support.models import SMALL, system_for
from tests.support.training_steps import SEQ, matrix_flops, peak, step

ENCODER = replace(
    SMALL,
    family="encoder",
    attention=Attention(heads=8, kv_heads=4, head_dim=32, causal=False),
    head=Head(kind="masked_tokens"),
)


def bytes_sent(result: Result) -> float:
    """Bytes of keys, values and their gradients that a chip sends on."""
    return sum(
        planned.kernel.communication.nbytes
        for planned in result.plan.kernels
        if planned.kernel.communication is not None and planned.kernel.kind == "permute"
    )


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([2, 4, 8]),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["none", "selective", "full"]),
    st.sampled_from([SMALL, ENCODER]),
)
def test_all_pairs_are_met_once(cp: int, tp: int, recompute: str, model: Transformer) -> None:
    ring = step(Parallel(cp=cp, tp=tp, context="ring"), model=model, recompute=recompute)
    assert ring.plan.inserted == ()
    once = sum(each.kernel.matrix_flops for each in ring.plan.kernels if not each.kernel.recompute)
    assert once * cp * tp == pytest.approx(matrix_flops(step(Parallel(), model=model)), rel=1e-9)
    assert ring.lower_bound_s <= ring.time_s * (1 + 1e-9) + 1e-12 * len(ring.plan.program)
    assert ring.time_s <= ring.upper_bound_s * (1 + 1e-9) + 1e-12 * len(ring.plan.program)


@pytest.mark.parametrize("cp", [2, 4, 8])
@pytest.mark.parametrize("batch", [1, 3])
def test_bytes_of_the_ring(cp: int, batch: int) -> None:
    result = step(Parallel(cp=cp, microbatch=batch, context="ring"))
    keys_and_values = 2 * batch * SEQ * 4 * 32 * 2
    assert bytes_sent(result) == pytest.approx(SMALL.layers * 3 * (cp - 1) / cp * keys_and_values)


def long_step(**how: Any) -> Result:
    """A block with wide heads over many tokens."""
    wide = replace(SMALL, d_model=2048, layers=2, attention=Attention(heads=16, kv_heads=4, head_dim=128))
    parallel = Parallel(cp=4, **how)
    graph = train_graph(wide, parallel, Training(batch=1, seq=65536))
    return simulate(graph, system_for(parallel), RunOptions(overlap="full"))


def test_sends_are_hidden_behind_attention_of_blocks() -> None:
    result = long_step(context="ring")
    found = [each for each in hidden_communication(result) if each.kind == "permute"]
    assert len(found) == 3 * 2 * 3  # three hops of keys and of values, forwards, again, and of their gradients
    assert sum(each.exposed_s for each in found) < 0.1 * sum(each.time_s for each in found)


def test_a_ring_keeps_its_own_keys_only() -> None:
    ring, gathered = peak(long_step(context="ring")), peak(long_step(context="gather"))
    tokens, width = 65536, 2 * 4 * 128 * 2
    assert gathered - ring > 0.5 * 2 * tokens * width * 3 / 4


@pytest.mark.parametrize(
    ("changes", "seq", "message"),
    [
        ({}, 260, "260 tokens are not cut into 2 x 4 pieces"),
        ({"kinds": ("sliding",), "window": 64}, 256, "a ring has no sliding windows; context: gather"),
    ],
)
def test_what_a_ring_cannot_do(changes: dict[str, Any], seq: int, message: str) -> None:
    model = replace(SMALL, attention=replace(SMALL.attention, **changes))
    with pytest.raises(SpecError, match=message):
        train_graph(model, Parallel(cp=4, context="ring"), Training(batch=1, seq=seq))


LATENT = Latent(q_lora_rank=64, kv_lora_rank=128, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32)
MLA = replace(SMALL, attention=Attention(heads=8, kv_heads=8, head_dim=48, latent=LATENT))


@pytest.mark.parametrize("attention", ["standard", "fused_softmax"])
def test_a_ring_adds_up_blocks_and_keeps_no_scores(attention: Any) -> None:
    with pytest.raises(SpecError, match="context: ring adds attention up block by block, which is flash"):
        train_graph(SMALL, Parallel(cp=2, context="ring"), Training(batch=2, seq=SEQ, attention=attention))
    train_graph(SMALL, Parallel(cp=2), Training(batch=2, seq=SEQ, attention=attention))


def prefill(parallel: Parallel, model: Transformer = SMALL, **how: Any) -> Result:
    asked = Inference(**{"mode": "prefill", "batch": 2, "seq": SEQ, **how})
    return simulate(inference_graph(model, parallel, asked), system_for(parallel), RunOptions(overlap="full"))


@settings(max_examples=6, deadline=None)
@given(
    st.builds(
        Parallel,
        cp=st.sampled_from([2, 4]),
        tp=st.sampled_from([1, 2]),
        pp=st.sampled_from([1, 2]),
        dp=st.sampled_from([1, 2]),
        context=st.just("ring"),
    ),
    st.sampled_from([SMALL, MLA]),
)
def test_a_prompt_in_a_ring_has_the_matmuls_of_one_whose_keys_are_gathered(
    parallel: Parallel, model: Transformer
) -> None:
    ring, gathered = (prefill(each, model) for each in (parallel, replace(parallel, context="gather")))
    assert ring.plan.inserted == ()
    # of gathered keys that is what one chip does (`test_inference_step`)
    assert matrix_flops(ring) == pytest.approx(matrix_flops(gathered), rel=1e-9)
    assert ring.lower_bound_s <= ring.time_s * (1 + 1e-9) + 1e-12 * len(ring.plan.program)
    assert ring.time_s <= ring.upper_bound_s * (1 + 1e-9) + 1e-12 * len(ring.plan.program)


def test_what_a_prompt_sends_round_and_leaves_in_the_cache() -> None:
    ring, gathered = (prefill(Parallel(cp=4, context=how)) for how in ("ring", "gather"))
    keys_and_values = 2 * 2 * SEQ * 4 * 32 * 2
    assert bytes_sent(ring) == pytest.approx(SMALL.layers * 3 / 4 * keys_and_values)
    caches = [memory_owners(memory_frame(each)) for each in (ring, gathered)]
    held = [frame.loc[frame["owner"] == "kv cache", "bytes"].sum() for frame in caches]
    assert held[0] == held[1] == SMALL.layers * keys_and_values / 4


@pytest.mark.parametrize("how", [{"chunk": SEQ // 2}, {"context": SEQ}])
def test_chunks_do_not_go_round(how: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="a ring has whole prompts"):
        prefill(Parallel(cp=2, context="ring"), **how)
