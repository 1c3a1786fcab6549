"""MFU of sharded models: the model's FLOPs, each product once, whatever several chips make alike.

Laws: model FLOPs of all chips are those of the same tokens on one chip, and so is MFU times time and chips; MFU is no more
than HFU, and that no more than 1; the printed graph of a model has the same MFU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Summary
from hw import SpecError
from simulator import (
    Forward,
    Inference,
    OpGraph,
    Parallel,
    Result,
    RunOptions,
    Training,
    bind,
    forward_graph,
    inference_graph,
    parse_graph,
    print_items,
    simulate,
    train_graph,
)
from simulator.models import Attention, Latent, Moe, Transformer, Work, forward_flops
from tests.support.models import SMALL, VISION, system_for

LATENT = Latent(q_lora_rank=64, kv_lora_rank=128, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32)
MOE = Moe(experts=8, top_k=2, d_expert=64, shared_experts=1, d_shared=64, shared_gate=True)
MODELS: dict[str, Transformer] = {
    "grouped": SMALL,
    "one_head": replace(SMALL, attention=Attention(heads=8, kv_heads=1, head_dim=32, qkv_bias=True)),
    "whole_heads": replace(SMALL, attention=Attention(heads=24, kv_heads=3, head_dim=32)),
    "latent": replace(SMALL, attention=Attention(heads=8, kv_heads=8, head_dim=48, latent=LATENT)),
    "experts": replace(SMALL, moe=MOE),
    "linear": replace(SMALL, attention=Attention(heads=8, kv_heads=2, head_dim=32, kinds=("linear", "full"))),
}


def model_flops(graph: OpGraph, parallel: Parallel) -> float:
    """Of all chips together."""
    return of_result(simulate(graph, system_for(parallel), RunOptions(overlap="full")))


def of_result(result: Result) -> float:
    plan = result.plan
    assert plan.inserted == ()
    return sum(
        work.model_flops * len(plan.members(chip))
        for planned in plan.kernels
        for chip in planned.chips
        for work in plan.variant(planned, chip).kernel.works
        if work.unit == "matrix_unit"
    )


def word(result: Result, name: str) -> float:
    value = Summary(result.plan, lambda: result)[name]
    assert isinstance(value, (int, float))
    return value


LAYOUTS = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([1, 2, 4, 8]),
        "cp": st.sampled_from([1, 2]),
        "dp": st.sampled_from([1, 2]),
        "pp": st.sampled_from([1, 2]),
        "sequence": st.booleans(),
    }
)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(MODELS)), LAYOUTS, st.sampled_from(["plain", "megatron", "pytorch"]), st.data())
def test_a_step_has_the_model_flops_of_one_chip(
    name: str, layout: dict[str, Any], engine: Any, data: st.DataObject
) -> None:
    model = MODELS[name]
    if name == "linear":
        layout |= {"cp": 1, "tp": min(layout["tp"], 2)}  # one kernel makes the state of all keys and reads it
    ep = data.draw(st.sampled_from([1, 2])) if model.moe is not None else 1
    context: Any = data.draw(st.sampled_from(["gather", "ring"])) if name != "linear" else "gather"
    parallel = Parallel(**layout, ep=ep, context=context)
    recompute = data.draw(st.sampled_from(["none", "selective", "full"]))
    training = Training(batch=4, seq=256, engine=engine, recompute=recompute)
    got = model_flops(train_graph(model, parallel, training), parallel)
    want = model_flops(train_graph(model, Parallel(), training), Parallel())
    assert got == pytest.approx(want, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(MODELS)), LAYOUTS, st.sampled_from(["decode", "prefill", "chunks"]), st.data())
def test_inference_has_the_model_flops_of_one_chip(
    name: str, layout: dict[str, Any], mode: str, data: st.DataObject
) -> None:
    model = MODELS[name]
    ep = data.draw(st.sampled_from([1, 2, 4])) if model.moe is not None else 1
    parallel = Parallel(**{**layout, "cp": 1} if name == "linear" else layout, ep=ep)
    asked: dict[str, Any] = {
        "decode": {"mode": "decode", "context": 127},
        "prefill": {"mode": "prefill", "seq": 256},
        "chunks": {"mode": "prefill", "seq": 256, "chunk": 128},
    }[mode]
    inference = Inference(batch=16, **asked)
    got = model_flops(inference_graph(model, parallel, inference), parallel)
    want = model_flops(inference_graph(model, Parallel(), inference), Parallel())
    assert got == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_a_forward_pass_has_too(tp: int) -> None:
    parallel, forward = Parallel(tp=tp, dp=2, sequence=False), Forward(batch=4)
    got = model_flops(forward_graph(VISION, parallel, forward), parallel)
    assert got == pytest.approx(model_flops(forward_graph(VISION, Parallel(), forward), Parallel()), rel=1e-9)


@pytest.mark.parametrize("cp", [2, 4, 8])
def test_a_shared_context_is_no_more_of_a_model(cp: int) -> None:
    """Projections were counted on each of the chips that share the context."""
    inference, parallel = Inference(mode="decode", batch=8, context=1023), Parallel(cp=cp)
    one, many = (
        simulate(inference_graph(SMALL, each, inference), system_for(each), RunOptions(overlap="full"))
        for each in (Parallel(), parallel)
    )
    used = word(many, "mfu") * many.time_s * cp
    assert used == pytest.approx(word(one, "mfu") * one.time_s, rel=1e-9)
    assert word(many, "mfu") < word(many, "hfu") <= 1


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_printed_graph_has_the_same_mfu(name: str) -> None:
    parallel = Parallel(tp=8)
    graph = train_graph(MODELS[name], parallel, Training(batch=1, seq=256))
    again = replace(parse_graph(print_items(graph.items), graph.dims), fuse=graph.fuse)
    first, second = (simulate(each, system_for(parallel), RunOptions(overlap="full")) for each in (graph, again))
    assert word(first, "mfu") == word(second, "mfu")
    assert word(first, "hfu") == word(second, "hfu")


def test_a_shared_expert_may_be_scaled_by_a_gate_of_its_own() -> None:
    """Its network has a gate, too: two weights, and 2 d_model FLOPs a token for the one that scales it."""
    model, batch, seq = MODELS["experts"], 2, 64
    graph = inference_graph(model, Parallel(), Inference(mode="prefill", batch=batch, seq=seq))
    counted = forward_flops(model, Work(tokens=seq))
    want = batch * (counted.matmul + counted.attention + counted.vocabulary / seq)
    assert model_flops(graph, Parallel()) == pytest.approx(want, rel=1e-12)
    plain = replace(model, moe=replace(MOE, shared_gate=False))
    less = forward_flops(plain, Work(tokens=seq))
    assert counted.matmul - less.matmul == 2 * model.d_model * seq * model.layers


def line(alike: str) -> str:
    return f"y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], alike={alike})"


SIZES = {"B": 256, "D": 512, "F": 512}


@pytest.mark.parametrize(("alike", "chips"), [("T", 4), ("[T]", 4), ("2", 2), ("[T, 3]", 12), ("[2, T]", 8)])
def test_a_line_says_who_does_the_same(alike: str, chips: int) -> None:
    (kernel,) = bind(parse_graph([line(alike)], SIZES), system_for(Parallel(tp=4)))
    (work,) = kernel.works
    assert work.flops == 2 * 256 * 512 * 512
    assert work.model_flops == work.flops / chips


@pytest.mark.parametrize("alike", ["X", "0", "t", "[T,T]", "1.5"])
def test_what_nobody_does_alike_is_told(alike: str) -> None:
    with pytest.raises(SpecError, match=r"alike|mesh axis"):
        bind(parse_graph([line(alike)], SIZES), system_for(Parallel(tp=4)))


def test_what_is_marked_counts_in_a_fused_kernel_too() -> None:
    lines = [line("T"), "z:bf16[B,F] = relu(y)"]
    graph = replace(parse_graph(lines, SIZES), fuse=[["y", "z"]])
    result = simulate(graph, system_for(Parallel(tp=4)))
    assert word(result, "hfu") == pytest.approx(4 * word(result, "mfu"), rel=1e-12)
