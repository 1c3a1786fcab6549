"""Heads of keys and values that are fewer than tensor-parallel chips: each chip has a copy of the one that it reads.

Laws: a step over `tp` chips does the matmuls, and holds the bytes, of a model with as many heads of keys as chips; beside
them R chips that share a head add up its gradients, 2 d_model head_dim numbers a block on each, in log2 R rounds.
With Megatron-LM a step does the matmuls of the model itself; all that its one matmul makes of a token, (heads + 2 heads of
keys) head_dim numbers, is gathered, and its gradient scattered, each time with a copy of it all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame
from simulator import (
    PRECISIONS,
    Estimator,
    Inference,
    Parallel,
    RunOptions,
    Training,
    inference_graph,
    parse_graph,
    print_items,
    simulate,
    train_graph,
)
from simulator.models import Attention, Model, Transformer, parameters
from tests.support.catalogue import cut
from tests.support.models import SMALL, system_for
from tests.support.training_steps import flops_of_all, matrix_flops, peak, step

HEADS = 8
PLAIN = Attention(heads=HEADS, kv_heads=HEADS, head_dim=32)


def model_of(kv_heads: int, **how: Any) -> Transformer:
    return replace(SMALL, attention=replace(PLAIN, kv_heads=kv_heads, **how))


LAYOUTS = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([2, 4, 8]),
        "dp": st.sampled_from([1, 2]),
        "pp": st.sampled_from([1, 2]),
        "zero": st.integers(0, 3),
        "sequence": st.booleans(),
    }
)
HOW = st.fixed_dictionaries(
    {
        "engine": st.sampled_from(["plain", "megatron", "pytorch", "fsdp1"]),
        "recompute": st.sampled_from(["none", "selective", "full"]),
        "precision": st.sampled_from(["bf16", "mixed_bf16"]).map(PRECISIONS.__getitem__),
    }
)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.booleans(), st.integers(1, 2), LAYOUTS, HOW)
def test_a_step_does_the_matmuls_of_as_many_heads_as_chips(
    kv_heads: int, biased: bool, micro: int, layout: dict[str, Any], how: dict[str, Any]
) -> None:
    parallel = Parallel(**layout)
    model = model_of(kv_heads, qkv_bias=biased)
    result = step(parallel, micro, model=model, **how)
    assert result.plan.inserted == ()
    # Megatron-LM gathers what it makes of all heads, and has none twice
    heads = kv_heads if how["engine"] == "megatron" else max(kv_heads, parallel.tp)
    alone = step(Parallel(), micro, model=model_of(heads), **how)
    assert flops_of_all(result) == pytest.approx(flops_of_all(alone) * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize("tp", [2, 4, 8])
@pytest.mark.parametrize("zero", [0, 3])
def test_a_chip_holds_what_it_would_of_a_head_of_its_own(tp: int, zero: int) -> None:
    parallel = Parallel(tp=tp, dp=2, zero=zero)
    assert peak(step(parallel, 2, model=model_of(1))) == peak(step(parallel, 2, model=model_of(tp)))


@pytest.mark.parametrize(
    ("kv_heads", "tp", "shifts"), [(8, 8, []), (4, 8, [1]), (2, 8, [1, 2]), (1, 8, [1, 2, 4]), (1, 3, [1, 1])]
)
@pytest.mark.parametrize("micro", [1, 3])
def test_chips_of_one_head_add_up_its_gradients(kv_heads: int, tp: int, shifts: list[int], micro: int) -> None:
    """W_k and W_v of one head, in bf16, for each block and microbatch."""
    attention = Attention(heads=24, kv_heads=kv_heads, head_dim=32)
    model = replace(SMALL, d_model=768, ffn=replace(SMALL.ffn, d_ff=768), attention=attention)
    parallel = Parallel(tp=tp, sequence=tp != 3)
    result = step(parallel, micro, model=model, precision=PRECISIONS["bf16"])
    found = [each.kernel.communication for each in result.plan.kernels if each.kernel.kind == "permute"]
    sent = [(told.shift, told.nbytes) for told in found if told is not None]
    one = 2 * 768 * 32 * 2
    assert sorted(sent) == sorted((shift, one) for shift in shifts for _ in range(micro * model.layers))


@pytest.mark.parametrize(("name", "tp"), [("llama3_8b", 16), ("llama3_8b", 32), ("qwen3_30b_a3b", 8)])
def test_published_models_hold_a_head_of_keys_a_chip(name: str, tp: int) -> None:
    """Weights of a chip in bf16: a part of all but keys' and values', of which it has one head, and norms, which it has
    whole (here one stage of a few blocks, with the vocabulary cut away by counting)."""
    model = cut(name, 4)
    one, more = (stored(replace(model, layers=layers), Parallel(tp=tp)) for layers in (1, 4))
    attention, moe = model.attention, model.moe
    norms = 2 * model.d_model + (2 * attention.head_dim if attention.qk_norm != "none" else 0)
    cut_up = 2 * attention.heads * attention.head_dim * model.d_model
    if moe is None:
        cut_up += 3 * model.d_model * (model.ffn.d_ff or 0)
        router = 0
    else:
        cut_up += 3 * moe.experts * model.d_model * moe.d_expert
        router = moe.experts * model.d_model
    keys = 2 * attention.head_dim * model.d_model
    assert more - one == pytest.approx(3 * 2 * (cut_up / tp + keys + norms + router), rel=1e-12)


def stored(model: Model, parallel: Parallel) -> float:
    """Bytes of weights that a chip holds from its begin."""
    training = Training(batch=1, seq=128, precision=PRECISIONS["bf16"])
    result = simulate(train_graph(model, parallel, training), system_for(parallel, node=8))
    held = memory_frame(result)
    return float(held.loc[(held["chip"] == 0) & (held["owner"] == "weights") & (held["begin"] == 0), "bytes"].sum())


@pytest.mark.parametrize("tp", [2, 4, 8])
@pytest.mark.parametrize("engine", ["plain", "megatron"])
def test_estimates_know_of_copies(tp: int, engine: Any) -> None:
    for kv_heads in (1, 2, 8):
        model, parallel = model_of(kv_heads), Parallel(tp=tp, dp=2)
        training = Training(batch=4, seq=256, engine=engine)
        system = system_for(parallel, node=8)
        result = simulate(train_graph(model, parallel, training), system, RunOptions())
        found = Estimator(model, system, RunOptions()).estimate(parallel, training)
        assert found.upper_bound == pytest.approx(result.upper_bound_s, rel=1e-9)
        assert found.lower_bound == pytest.approx(result.lower_bound_s, rel=1e-9)
        assert found.earliest <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize(("kv_heads", "tp"), [(1, 2), (2, 4), (1, 8), (4, 8)])
@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("norms", ["none", "rms"])
def test_megatron_gathers_what_its_matmul_makes(kv_heads: int, tp: int, recompute: Any, norms: Any) -> None:
    """In bf16, of 256 tokens: forwards, backwards, and forwards again where all is recomputed."""
    model = model_of(kv_heads, qk_norm=norms)
    result = step(Parallel(tp=tp), 1, model=model, engine="megatron", recompute=recompute)
    kernels = [each.kernel for each in result.plan.kernels]
    assert not [kernel for kernel in kernels if kernel.kind == "permute"]
    whole = 256 * (HEADS + 2 * kv_heads) * 32 * 2
    told = [kernel.communication for kernel in kernels if "qkv" in kernel.name and kernel.communication is not None]
    times = {"all_gather": 2 if recompute == "full" else 1, "reduce_scatter": 1}
    sent = sorted((each.kind, each.nbytes) for each in told)
    assert sent == sorted((kind, whole) for kind, count in times.items() for _ in range(count * model.layers))
    copied = [kernel for kernel in kernels if kernel.kind == "copy" and "qkv" in kernel.name]
    assert [kernel.hbm_bytes for kernel in copied] == [2 * whole] * model.layers * sum(times.values())
    # zeros around a chip's queries, then around all that it has taken
    queries = 256 * 32 * 2 * HEADS // kv_heads
    around = {
        "dqall": queries + queries * kv_heads // tp,
        "dqkvall": whole + queries + 2 * 256 * 32 * 2,
    }
    for name, nbytes in around.items():
        found = [kernel.hbm_bytes for kernel in kernels if kernel.kind == "own_backward" and kernel.base == name]
        assert found == [nbytes] * model.layers, name


@pytest.mark.parametrize(("kv_heads", "tp"), [(4, 4), (8, 8), (2, 1)])
def test_megatron_gathers_nothing_where_there_are_heads_for_all_chips(kv_heads: int, tp: int) -> None:
    result = step(Parallel(tp=tp), 1, model=model_of(kv_heads), engine="megatron")
    assert not [each for each in result.plan.kernels if each.kernel.kind in ("own", "own_backward", "permute")]


@pytest.mark.parametrize("tp", [2, 8])
def test_with_megatron_a_chip_holds_an_even_share_of_weights(tp: int) -> None:
    """Of queries, keys and values as of all matmuls: no head is in two places."""
    training = Training(batch=1, seq=128, precision=PRECISIONS["bf16"], engine="megatron")
    model = model_of(1)
    found = []
    for layers in (1, 2):
        result = simulate(
            train_graph(replace(model, layers=layers), Parallel(tp=tp), training), system_for(Parallel(tp=tp))
        )
        held = memory_frame(result)
        mine = (held["chip"] == 0) & (held["owner"] == "weights") & (held["begin"] == 0)
        found.append(float(held.loc[mine, "bytes"].sum()))
    one, two = (parameters(replace(model, layers=layers)).total for layers in (1, 2))
    norms = 2 * model.d_model
    assert found[1] - found[0] == pytest.approx(2 * ((two - one - norms) / tp + norms), rel=1e-12)


def test_a_printed_graph_gathers_as_well() -> None:
    parallel = Parallel(tp=4, dp=2)
    graph = train_graph(model_of(1), parallel, Training(batch=2, seq=128, engine="megatron"))
    again = replace(parse_graph(print_items(graph.items), graph.dims), fuse=graph.fuse)
    both = [simulate(each, system_for(parallel)).time_s for each in (graph, again)]
    assert both[0] == both[1]


def test_one_estimator_tells_copies_apart() -> None:
    """Rounds of one layout are not those of another, whatever was asked before."""
    model = model_of(1)
    training = Training(batch=2, seq=256)
    for order in ((2, 4, 8), (8, 4, 2)):
        for tp in order:
            system = system_for(Parallel(tp=tp))
            both = Estimator(model, system), Estimator(model, system)
            both[0].estimate(Parallel(tp=tp), training)
            assert both[0].estimate(Parallel(tp=tp), training) == both[1].estimate(Parallel(tp=tp), training)


def test_inference_of_one_matmul_for_queries_keys_and_values_copies_heads_too() -> None:
    """Weights that are one matmul in training are read apart where heads are in copies: 8 + 2 x 8 of them, not 8 + 2 x 2."""

    def flops(kv_heads: int, tp: int) -> float:
        model = model_of(kv_heads, fused=True)
        parallel = Parallel(tp=tp)
        graph = inference_graph(model, parallel, Inference(mode="decode", batch=4, context=128))
        return matrix_flops(simulate(graph, system_for(parallel)))

    assert flops(2, 8) == pytest.approx(flops(8, 1), rel=1e-9)
    assert parameters(model_of(2)).total < parameters(model_of(8)).total
