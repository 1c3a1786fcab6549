"""Prefill and decode of transformers: what they compute, what they read and hold, however they are laid out.

Law: matmuls are 2 FLOPs a parameter and token, attention 2 (d + e) a head and pair, of which a token in the cache makes one;
only a prompt's last token meets the vocabulary. A decode step reads every weight but the table's, and the cache, once.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Summary
from hw import SpecError, System, load_chip
from simulator import (
    Inference,
    OpGraph,
    Parallel,
    Precision,
    Result,
    RunOptions,
    bind,
    inference_graph,
    parse_graph,
    print_items,
    simulate,
)
from simulator.models import (
    Attention,
    Embedding,
    Ffn,
    Head,
    Latent,
    Moe,
    Transformer,
    Work,
    forward_flops,
    parameters,
)
from tests.support.catalogue import EVEN, cut, decoders, reached
from tests.support.models import SMALL, system_for
from tests.support.training_steps import flops_of_all

WINDOW = replace(SMALL, attention=replace(SMALL.attention, kinds=("sliding", "full"), window=64))
LATENT = Latent(q_lora_rank=64, kv_lora_rank=128, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32)
MLA = replace(SMALL, attention=Attention(heads=8, kv_heads=8, head_dim=48, latent=LATENT))
ROW = 2 * LATENT.kv_lora_rank * MLA.attention.heads * (LATENT.qk_nope_head_dim + LATENT.v_head_dim)
"""FLOPs that expand a row of the cache for all heads."""
EXPERTS = replace(SMALL, moe=Moe(experts=8, top_k=2, d_expert=64, shared_experts=1, d_shared=64, first_dense=1))


def graph_of(model: Transformer, parallel: Parallel | None = None, **how: Any) -> OpGraph:
    return inference_graph(model, parallel or Parallel(), Inference(**how))


def run(model: Transformer, parallel: Parallel | None = None, **how: Any) -> Result:
    parallel = parallel or Parallel()
    return simulate(graph_of(model, parallel, **how), system_for(parallel), RunOptions(overlap="full"))


def word(result: Result, name: str) -> float:
    value = Summary(result.plan, lambda: result)[name]
    assert isinstance(value, (int, float))
    return value


def flops_of(graph: OpGraph) -> float:
    """Matmul FLOPs of a graph of one chip."""
    return sum(kernel.matrix_flops for kernel in bind(graph, System(load_chip("h100_sxm"))))


def all_flops(result: Result) -> float:
    """Matmul FLOPs of all chips."""
    plan = result.plan
    return sum(
        plan.variant(planned, chip).kernel.matrix_flops * len(plan.members(chip))
        for planned in plan.kernels
        for chip in planned.chips
    )


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


def within_bounds(result: Result, parallel: Parallel) -> None:
    slack = 1e-12 * len(result.plan.program)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + slack
    if parallel.pp == 1:
        assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + slack


# What is read


def weight_bytes(model: Transformer, each: float) -> float:
    """Of all weights but the table, of which a row a token is read."""
    table = model.embedding
    assert table is not None
    return (parameters(model).total - (0 if table.tied else table.vocab * model.d_model)) * each


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("weights", "kv"), [("bf16", "bf16"), ("int8", "bf16"), ("int4", "fp8"), ("int8", "int8")])
def test_a_decode_step_reads_weights_and_cache_once(weights: str, kv: str, tied: bool) -> None:
    """With activations on chip nothing else is moved, but for rows of the table and what is written into the cache."""
    model = replace(SMALL, d_model=1024, embedding=Embedding(vocab=4096, tied=tied))
    batch, context = 3, 1000
    precision = Precision(weights=weights, kv=kv)
    result = run(model, mode="decode", batch=batch, context=context, precision=precision, activations="on_chip")
    size = {"bf16": 2.0, "int8": 1.0, "fp8": 1.0, "int4": 0.5}
    token = model.layers * model.attention.cached * size[kv]
    want = weight_bytes(model, size[weights]) + batch * (context + 1) * token
    small = batch * token + batch * model.d_model * size[weights]
    got = word(result, "hbm_bytes")
    print(f"{got:.0f} B, {got - want:.0f} of them rows and new keys")
    assert want <= got <= want + small + 16 * batch
    # narrow formats are computed as wide as activations are
    matmul = next(each.kernel for each in result.plan.kernels if each.kernel.kind == "matmul")
    assert matmul.matrix_dtype == "bf16"


def test_a_window_reads_and_holds_the_window_alone() -> None:
    every = replace(WINDOW, attention=replace(WINDOW.attention, kinds=("sliding",)))
    short, long = (run(every, mode="decode", batch=4, context=context) for context in (64, 4096))
    assert word(long, "hbm_bytes") == word(short, "hbm_bytes")
    assert word(long, "peak_memory") == word(short, "peak_memory")
    full = run(SMALL, mode="decode", batch=4, context=4096)
    more = 4 * (4096 + 1 - 64) * SMALL.layers * SMALL.attention.cached * 2
    assert word(full, "hbm_bytes") - word(long, "hbm_bytes") == pytest.approx(more)


def read_by_attention(result: Result) -> float:
    return sum(each.kernel.hbm_bytes for each in result.plan.kernels if each.kernel.kind == "attention")


@pytest.mark.parametrize("model", [SMALL, MLA])
def test_chips_of_the_context_axis_share_the_cache(model: Transformer) -> None:
    """Each reads its part; what they found is added up."""
    one, four = (run(model, Parallel(cp=cp), mode="decode", batch=4, context=4095) for cp in (1, 4))
    cache = 4 * 4096 * model.layers * model.attention.cached * 2
    assert read_by_attention(one) - read_by_attention(four) == pytest.approx(cache * 3 / 4)
    assert word(one, "peak_memory") - word(four, "peak_memory") == pytest.approx(cache * 3 / 4, rel=0.01)
    kinds = [each.kernel.kind for each in four.plan.kernels if each.kernel.communication is not None]
    assert kinds == ["all_reduce"] * model.layers


CHUNKED: list[dict[str, Any]] = [{"seq": 256}, {"seq": 256, "chunk": 64}, {"seq": 256, "context": 128}]


@pytest.mark.parametrize("how", CHUNKED)
@pytest.mark.parametrize(
    ("model", "parallel"), [(SMALL, {"cp": 4}), (SMALL, {"cp": 2, "tp": 2}), (WINDOW, {"cp": 2, "sequence": False})]
)
def test_heads_exchanged_for_tokens(model: Transformer, parallel: dict[str, Any], how: dict[str, Any]) -> None:
    """The same matmuls as with gathered keys, and the same cache. What is exchanged: queries and results of a chip's tokens,
    keys and values of all that attention reads."""
    layout = Parallel(**parallel, context="all_to_all")
    gathered, exchanged = (
        run(model, each, mode="prefill", batch=8, **how) for each in (replace(layout, context="gather"), layout)
    )
    assert exchanged.plan.inserted == ()
    assert all_flops(exchanged) == pytest.approx(all_flops(gathered), rel=1e-9)
    within_bounds(exchanged, layout)
    moved = [each.kernel for each in exchanged.plan.kernels if each.kernel.kind == "all_to_all"]
    passes = 256 // how.get("chunk", 256)
    assert len(moved) == passes * model.layers * 4
    if model is SMALL:
        sides = 2 * model.attention.heads * 256 + 2 * model.attention.kv_heads * sum(keys_read(how))
        want = 8 * model.layers * sides * model.attention.head_dim * 2 / (layout.cp * layout.tp)
        assert sum(access.nbytes for kernel in moved for access in kernel.reads) == pytest.approx(want, rel=1e-12)


def keys_read(how: dict[str, Any]) -> list[int]:
    """Keys that attention of each pass reads."""
    each = how.get("chunk", how["seq"])
    return [how.get("context", 0) + at + each for at in range(0, how["seq"], each)]


def test_heads_of_a_latent_cache_are_not_exchanged() -> None:
    parallel = Parallel(cp=2, context="all_to_all")
    whole = run(MLA, parallel, mode="prefill", batch=2, seq=256)
    assert all_flops(whole) == pytest.approx(all_flops(run(MLA, Parallel(cp=2), mode="prefill", batch=2, seq=256)))
    with pytest.raises(SpecError, match="rows of a latent cache have no heads to exchange"):
        graph_of(MLA, parallel, mode="prefill", batch=2, seq=256, chunk=64)


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_a_chip_holds_its_heads_of_the_cache_and_one_at_least(tp: int) -> None:
    result = run(SMALL, Parallel(tp=tp), mode="decode", batch=2, context=8191)
    heads = max(1, SMALL.attention.kv_heads // tp)
    cache = 2 * 8192 * SMALL.layers * 2 * heads * SMALL.attention.head_dim * 2
    assert read_by_attention(result) == pytest.approx(cache, rel=0.01)
    assert word(result, "peak_memory") == pytest.approx(cache + parameters(SMALL).total * 2 / tp, rel=0.02)


def test_a_prefill_leaves_the_cache_behind() -> None:
    batch, seq = 2, 2048
    result = run(SMALL, mode="prefill", batch=batch, seq=seq, precision=Precision(kv="int8"))
    kept = [each for each in result.plan.kernels if each.kernel.name.split(".")[0] in ("kkept", "vkept")]
    written = sum(access.nbytes for each in kept for access in each.kernel.writes)
    assert written == batch * seq * SMALL.layers * SMALL.attention.cached
    assert word(result, "peak_memory") > written + parameters(SMALL).total * 2


@pytest.mark.parametrize("model", [SMALL, MLA], ids=["heads", "latent"])
@pytest.mark.parametrize("chunk", [1024, 512, 256])
def test_chunks_of_a_prompt_leave_all_of_the_cache_behind(model: Transformer, chunk: int) -> None:
    """Weights and the cache of every token are there at the end, and no more beside them than for a whole prompt."""
    deep = replace(model, layers=32)
    whole, result = (
        word(run(deep, mode="prefill", batch=8, seq=2048, chunk=tokens), "peak_memory") for tokens in (None, chunk)
    )
    cache = 8 * 2048 * deep.layers * deep.attention.cached * 2
    assert cache + parameters(deep).total * 2 < result <= whole


def test_of_experts_those_are_read_that_tokens_go_to() -> None:
    model = replace(EXPERTS, moe=Moe(experts=64, top_k=2, d_expert=256))

    def read(batch: int) -> float:
        result = run(model, mode="decode", batch=batch, context=16)
        names = ("egate", "eup", "ed")
        kernels = [each.kernel for each in result.plan.kernels if each.kernel.name.split(".")[0] in names]
        return sum(access.nbytes for kernel in kernels for access in kernel.reads if access.tensor.startswith("we"))

    every = model.layers * 64 * 3 * 256 * 256 * 2
    for batch in (1, 4, 16):
        expected = 64 * (1 - (1 - 2 / 64) ** batch)
        assert read(batch) == pytest.approx(every * expected / 64, rel=1e-12)
    assert read(1) == every * 2 / 64
    assert read(4096) == every


def test_every_tensor_has_its_owner() -> None:
    graph = graph_of(MLA, Parallel(tp=2, pp=2), mode="prefill", batch=4, seq=128, chunk=64)
    owners = graph.owners
    for op in graph.flat():
        for tensor in (op.output, *op.inputs):
            base = tensor.base
            if base.startswith(("w", "gn", "table")):
                assert owners[tensor.name] == "weights", tensor.name
            if base.startswith(("ccache", "ckept")):
                assert owners[tensor.name] == "kv cache", tensor.name
    assert {"weights", "kv cache", "logits and loss", "inputs", "activations"} <= set(owners.values())


def test_stages_without_a_block_have_the_embedding_and_the_head_alone() -> None:
    whole = run(SMALL, mode="prefill", batch=1, seq=64)
    apart = run(SMALL, Parallel(pp=3, layers=(0, SMALL.layers, 0)), mode="prefill", batch=1, seq=64)
    assert flops_of_all(apart) == pytest.approx(flops_of_all(whole), rel=1e-9)
    assert [op.kind for op in apart.plan.graph.every_op()].count("embedding") == 1


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
