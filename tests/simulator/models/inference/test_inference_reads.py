"""Prefill and decode of transformers: what they read and hold, however they are laid out.

Law: a decode step reads every weight but the table's, and the cache, once, on whichever chips these lie; of a window only
what it sees.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis import Summary
from hw import SpecError
from simulator import (
    Parallel,
    Precision,
    Result,
)
from simulator.models import (
    Embedding,
    Moe,
    Transformer,
    parameters,
)
from tests.simulator.models.inference.steps import EXPERTS, MLA, WINDOW, all_flops, graph_of, run, within_bounds
from tests.support.models import SMALL
from tests.support.training_steps import flops_of_all


def word(result: Result, name: str) -> float:
    value = Summary(result.plan, lambda: result)[name]
    assert isinstance(value, (int, float))
    return value


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
