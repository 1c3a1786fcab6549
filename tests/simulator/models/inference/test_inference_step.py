"""Prefill and decode of transformers: what they compute and when, however they are laid out, and what cannot be.

Law: matmuls are 2 FLOPs a parameter and token, attention 2 (d + e) a head and pair, of which a token in the cache makes one;
only a prompt's last token meets the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError, System, load_chip
from simulator import (
    Inference,
    OpGraph,
    Parallel,
    RunOptions,
    bind,
    parse_graph,
    print_items,
    simulate,
)
from simulator.models import (
    Attention,
    Embedding,
    Ffn,
    Head,
    Transformer,
    Work,
    forward_flops,
)
from tests.simulator.models.inference.steps import EXPERTS, LATENT, MLA, WINDOW, all_flops, graph_of, run, within_bounds
from tests.support.catalogue import EVEN, cut, decoders, reached
from tests.support.models import SMALL, system_for

ROW = 2 * LATENT.kv_lora_rank * MLA.attention.heads * (LATENT.qk_nope_head_dim + LATENT.v_head_dim)
"""FLOPs that expand a row of the cache for all heads."""


def flops_of(graph: OpGraph) -> float:
    """Matmul FLOPs of a graph of one chip."""
    return sum(kernel.matrix_flops for kernel in bind(graph, System(load_chip("h100_sxm"))))


# What is computed


@pytest.mark.parametrize("name", decoders())
def test_a_prefill_does_what_closed_forms_say(name: str) -> None:
    model, batch = cut(name), 2
    seq = reached(model, EVEN)
    got = flops_of(graph_of(model, mode="prefill", batch=batch, seq=seq))
    counted = forward_flops(model, Work(tokens=seq))
    want = batch * (counted.matmul + counted.attention + counted.vocabulary / seq)
    print(f"{name}: {got:.6g} FLOPs, {got / want - 1:+.2e}")
    assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in decoders() if cut(name).attention.latent is None])
def test_a_decode_step_does_what_closed_forms_say(name: str) -> None:
    # as many sequences as all experts share evenly
    model, batch = cut(name), EVEN
    context = reached(model, 5001) - 1
    got = flops_of(graph_of(model, mode="decode", batch=batch, context=context))
    want = batch * forward_flops(model, Work(tokens=1, context=context)).total
    print(f"{name}: {got:.6g} FLOPs, {got / want - 1:+.2e}")
    assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("name", ["llama3_8b", "gemma2_9b", "mistral_7b", "gpt_oss_20b", "phi_2"])
def test_chunks_of_a_prompt_do_what_the_whole_prompt_does(name: str) -> None:
    model = cut(name)
    whole = flops_of(graph_of(model, mode="prefill", batch=1, seq=5 * EVEN))
    chunks = flops_of(graph_of(model, mode="prefill", batch=1, seq=5 * EVEN, chunk=EVEN))
    assert chunks == pytest.approx(whole, rel=1e-12)


def test_a_step_of_latent_attention_asks_the_rows_of_the_cache_as_they_are() -> None:
    """Queries and values go through the matrices that would expand keys and values: for new tokens only."""
    batch, context, heads = 4, 999, MLA.attention.heads
    plain = forward_flops(MLA, Work(tokens=1, context=context))
    pairs = 2 * heads * (LATENT.kv_lora_rank + LATENT.qk_rope_head_dim + LATENT.kv_lora_rank) * (context + 1)
    want = batch * (plain.matmul + plain.vocabulary + MLA.layers * pairs)
    assert flops_of(graph_of(MLA, mode="decode", batch=batch, context=context)) == pytest.approx(want, rel=1e-12)


def test_a_chunk_with_latent_attention_expands_the_context_again() -> None:
    seq, chunk = 1024, 256
    whole = flops_of(graph_of(MLA, mode="prefill", batch=1, seq=seq))
    chunks = flops_of(graph_of(MLA, mode="prefill", batch=1, seq=seq, chunk=chunk))
    again = sum(range(0, seq, chunk))
    assert chunks - whole == pytest.approx(MLA.layers * again * ROW, rel=1e-9)


LAYOUTS = st.builds(
    Parallel,
    dp=st.sampled_from([1, 2]),
    tp=st.sampled_from([1, 2, 4]),
    cp=st.sampled_from([1, 2]),
    ep=st.sampled_from([1, 2]),
    pp=st.sampled_from([1, 2, 4]),
    sequence=st.booleans(),
)
MODELS = st.sampled_from([SMALL, WINDOW, MLA, EXPERTS])


@pytest.mark.parametrize("name", ["gpt2", "phi_3_mini", "deepseek_v2_lite", "llama4_scout", "gemma3_1b", "gpt_oss_20b"])
@pytest.mark.parametrize("asked", [{"mode": "prefill", "seq": EVEN}, {"mode": "decode", "context": 100}])
def test_stages_of_every_sort_of_model_do_what_one_chip_does(name: str, asked: dict[str, Any]) -> None:
    """Also where queries, keys and values are made by one matmul, of which they are parts."""
    model, how = cut(name, 2), {"batch": 2 * EVEN if asked["mode"] == "decode" else 2, **asked}
    if asked["mode"] == "decode":
        how["in_flight"] = 1
    else:
        how["seq"] = reached(model, EVEN)
    got, want = (all_flops(run(model, Parallel(pp=stages), **how)) for stages in (2, 1))
    assert got == pytest.approx(want, rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(LAYOUTS, MODELS, st.sampled_from([None, 64]), st.sampled_from([0, 128]))
def test_every_layout_of_a_prefill_does_the_same_matmuls(
    parallel: Parallel, model: Transformer, chunk: int | None, context: int
) -> None:
    how: dict[str, Any] = {"mode": "prefill", "batch": 8, "seq": 256, "chunk": chunk, "context": context}
    result = run(model, parallel, **how)
    alone = flops_of(graph_of(model, **how))
    assert result.plan.inserted == ()
    # the head is on the last token of each sequence, once for each of the chips that shared its tokens
    head = (parallel.cp - 1) * 8 * 2 * model.d_model * 1024
    # chips that share a sequence each expand the latents of all of it, where some are in the cache
    each = chunk or 256
    keys = sum(context + at + each for at in range(0, 256, each) if context + at)
    expanded = (parallel.cp - 1) * 8 * model.layers * keys * ROW if model is MLA else 0
    want = alone + head + expanded + 8 * 256 * repeated(model, parallel)
    assert all_flops(result) == pytest.approx(want, rel=1e-9)
    within_bounds(result, parallel)


@settings(max_examples=15, deadline=None)
@given(LAYOUTS, st.sampled_from([SMALL, WINDOW, MLA]), st.sampled_from([40, 64, 255]), st.integers(1, 3))
def test_every_layout_of_a_decode_step_does_the_same_matmuls(
    parallel: Parallel, model: Transformer, context: int, steps: int
) -> None:
    parallel = replace(parallel, cp=1)
    how: dict[str, Any] = {"mode": "decode", "batch": 8, "context": context, "steps": steps}
    result = run(model, parallel, **how)
    assert result.plan.inserted == ()
    more = 8 * steps * repeated(model, parallel)
    assert all_flops(result) == pytest.approx(flops_of(graph_of(model, **how)) + more, rel=1e-9)
    within_bounds(result, parallel)


def repeated(model: Transformer, parallel: Parallel) -> float:
    """FLOPs a token of what every chip of the tensor axis does: routers, and the narrow vectors of latent attention."""
    routed = 0 if model.moe is None else (model.layers - model.moe.first_dense) * model.moe.experts
    latent = model.attention.latent
    narrow = 0
    if latent is not None:
        narrow = (latent.q_lora_rank or 0) + latent.kv_lora_rank + latent.qk_rope_head_dim
    return (parallel.tp - 1) * 2 * model.d_model * (routed + model.layers * narrow)


# When it happens


def test_a_pipeline_of_decode_steps_has_the_bubble_of_its_ends() -> None:
    """S parts of the batch go through S stages, N tokens long: (N S + S - 1) times of a stage."""
    stages, steps = 4, 5
    even = replace(SMALL, layers=8, head=Head(kind="tokens"), embedding=Embedding(vocab=16))
    wide = replace(even, d_model=4096, attention=Attention(heads=32, kv_heads=8, head_dim=128), ffn=Ffn(d_ff=16384))
    one = run(wide, mode="decode", batch=1, context=1024).time_s
    piped = run(wide, Parallel(pp=stages), mode="decode", batch=stages, context=1024, steps=steps)
    want = (steps * stages + stages - 1) * one / stages
    print(f"{piped.time_s * 1e3:.4f} ms, {piped.time_s / want - 1:+.3%}")
    assert piped.time_s == pytest.approx(want, rel=0.02)


def test_chunks_follow_each_other_through_a_pipeline() -> None:
    wide = replace(SMALL, d_model=2048, ffn=Ffn(d_ff=8192), attention=Attention(heads=16, kv_heads=8, head_dim=128))
    whole = run(wide, Parallel(pp=4), mode="prefill", batch=1, seq=8192)
    chunks = run(wide, Parallel(pp=4), mode="prefill", batch=1, seq=8192, chunk=1024)
    assert chunks.time_s < 0.5 * whole.time_s


@pytest.mark.long
def test_a_graph_prints_back() -> None:
    for model in (SMALL, WINDOW, MLA, EXPERTS):
        for how in ({"mode": "prefill", "seq": 256, "chunk": 128}, {"mode": "decode", "context": 100, "steps": 2}):
            parallel = Parallel(tp=2, pp=2)
            graph = graph_of(model, parallel, batch=4, **how)
            again = replace(parse_graph(print_items(graph.items), graph.dims), fuse=graph.fuse)
            times = [simulate(each, system_for(parallel), RunOptions(overlap="full")).time_s for each in (graph, again)]
            assert times[0] == times[1]


# What cannot be


@pytest.mark.parametrize(
    ("how", "place"),
    [
        ({"mode": "serve", "batch": 1}, "mode"),
        ({"mode": "decode", "batch": 0, "context": 1}, "batch"),
        ({"mode": "decode", "batch": 1}, "context"),
        ({"mode": "decode", "batch": 1, "context": 8, "seq": 8}, "seq"),
        ({"mode": "decode", "batch": 1, "context": 8, "chunk": 8}, "chunk"),
        ({"mode": "prefill", "batch": 1}, "seq"),
        ({"mode": "prefill", "batch": 1, "seq": 100, "chunk": 33}, "chunk"),
        ({"mode": "prefill", "batch": 1, "seq": 100, "steps": 2}, "steps"),
        ({"mode": "decode", "batch": 1, "context": 8, "activations": "cache"}, "activations"),
    ],
)
def test_what_cannot_be_is_told_where_it_stands(how: dict[str, Any], place: str) -> None:
    with pytest.raises(SpecError) as caught:
        Inference(**how)
    assert [problem.mark.file for problem in caught.value.problems] == [place]


@pytest.mark.parametrize(
    ("parallel", "how", "place"),
    [
        (Parallel(dp=2), {"batch": 3}, "batch"),
        (Parallel(pp=2), {"batch": 3, "in_flight": 2}, "in_flight"),
        (Parallel(tp=16), {"batch": 1}, "parallel.tp"),
        (Parallel(pp=8), {"batch": 1}, "parallel.pp"),
        (Parallel(pp=2, interleave=2), {"batch": 2}, "parallel.interleave"),
    ],
)
def test_what_cannot_be_shared_out_is_told(parallel: Parallel, how: dict[str, Any], place: str) -> None:
    with pytest.raises(SpecError) as caught:
        graph_of(SMALL, parallel, mode="decode", context=64, **how)
    assert place in [problem.mark.file for problem in caught.value.problems]


def test_tokens_of_a_run() -> None:
    assert Inference(mode="prefill", batch=3, seq=100).tokens == 300
    assert Inference(mode="decode", batch=3, context=100, steps=4).tokens == 12
    assert math.prod(len(Inference(mode="prefill", batch=1, seq=100, chunk=each).passes) for each in (20, 50)) == 10
