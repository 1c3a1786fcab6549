"""MFU counts the FLOPs of the model, HFU those that are done again too (Chowdhery et al. 2022, appendix B)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import overlapse as ov
from analysis import Summary
from hw import SpecError, System, load_chip
from simulator import FuseRule, RunOptions, Simulation, parse_graph
from tests.support.claims import of_library

DIMS = {"B": 4096, "D": 4096, "F": 4096}
FLOPS = 2 * 4096**3


def words(lines: list[str], fuse: FuseRule = "none", dims: Mapping[str, int] = DIMS) -> Summary:
    graph = replace(parse_graph(lines, dims), fuse=fuse)
    simulation = Simulation(graph, System(load_chip("tpu_v5e")), RunOptions(overlap="full"))
    return Summary(simulation.plan, simulation.run)


def test_a_layer_computed_twice_has_six_of_its_eight_pb_in_the_model() -> None:
    assert of_library("dense_layer_recompute", "mfu") == pytest.approx(0.75)
    assert of_library("dense_layer_recompute", "hfu") == pytest.approx(1.0)
    for word in ("mfu", "hfu"):
        assert of_library("dense_layer_training", word) == pytest.approx(1.0)


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_only_what_the_model_asks_counts(again: list[bool]) -> None:
    flags = [", recompute=true" if each else "" for each in again]
    lines = [f"y{at}:bf16[B,F] = matmul(x{at}:bf16[B,D], w:bf16[D,F]{flag})" for at, flag in enumerate(flags)]
    lines = [line.replace("w:bf16[D,F]", "w") if at else line for at, line in enumerate(lines)]
    found = words(lines)
    assert found["hfu"] == pytest.approx(1.0, rel=1e-6)
    assert found["mfu"] == pytest.approx(again.count(False) / len(again), rel=1e-6)
    assert found["flops"] == len(again) * FLOPS  # what is done is done


def test_a_fused_kernel_keeps_apart_what_its_members_do_again() -> None:
    lines = [
        "h:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], recompute=true)",
        "a:bf16[B,F] = gelu(h, recompute=true)",
        "y:bf16[B,D] = matmul(a, v:bf16[F,D])",
    ]
    found = words(lines, fuse=[["h", "a"]])
    assert float(found["mfu"] or 0) / float(found["hfu"] or 1) == pytest.approx(0.5)
    mixed = words([lines[0], "a:bf16[B,F] = gelu(h)", lines[2]], fuse=[["h", "a"]])
    assert float(mixed["mfu"] or 0) / float(mixed["hfu"] or 1) == pytest.approx(0.5)


ATTENTION = {
    "flash": ("attention", "kind=flash", 1.0),
    "causal": ("attention", "kind=flash, causal=true", 4097 / 8192),  # a query sees itself and those before it
    "a block of a ring": ("attention_block", "causal=true", 4097 / 8192),
}


@pytest.mark.parametrize("kind", ATTENTION)
def test_scores_that_flash_attention_makes_again_are_no_work_of_the_model(kind: str) -> None:
    """Forwards q k and p v; backwards dv, dp, dq and dk: six products of which the model has each once. A seventh makes p
    again. With heads of kv shared by two of q there are as many products."""
    name, options, seen = ATTENTION[kind]
    q, kv = "bf16[B,H,S,A]", "bf16[B,K,S,A]"
    lines = [
        f"o:{q} = {name}(q:{q}, k:{kv}, v:{kv}, {options})",
        f"dq:{q} = {name}_backward(q, k, v, {'o, do:' + q if name == 'attention' else 'do:' + q}, {options})",
    ]
    sizes = {"B": 2, "H": 8, "K": 4, "S": 4096, "A": 128}
    found = words(lines, dims=sizes)
    product = 2 * 2 * 8 * 4096 * 4096 * 128 * seen
    possible = 1.97e14 * float(found["time"] or 0)
    assert found["mfu"] == pytest.approx(6 * product / possible, rel=1e-9)
    assert found["hfu"] == pytest.approx(7 * product / possible, rel=1e-9)
    again = words([line.replace(")", ", recompute=true)") for line in lines], dims=sizes)
    assert (again["mfu"], again["hfu"]) == (0.0, found["hfu"])


def test_mfu_of_a_training_step_is_that_of_its_formula() -> None:
    """Six FLOPs a weight and token, and of attention 12 d a head and pair that is seen, at any recomputation.

    Source: Chowdhery et al. 2022 (PaLM), appendix B, whose pairs are all, seen or not; sizes of Llama 3 8B.
    """
    layers, d, heads, kv, a, ff, vocabulary, seq, batch = 32, 4096, 32, 8, 128, 14336, 128256, 4096, 8
    block = 2 * d * heads * a + 2 * d * kv * a + 3 * d * ff
    pairs = layers * heads * seq * (seq + 1) // 2
    model = batch * (6 * (layers * block + d * vocabulary) * seq + 12 * a * pairs)
    whole = 2 * layers * (block - d * ff) * seq + 4 * a * pairs  # nobody needs what the last matmul of a block made
    for recompute, again in (("none", 0), ("full", whole)):
        options: dict[str, Any] = {"parallel": {"zero": 3}, "run": {"overlap": "full"}, "recompute": recompute}
        summary = ov.step_time("llama3_8b", "dgx_h100", batch=batch, seq=seq, **options).outcome.summary
        possible = 8 * 9.89e14 * float(summary["time"] or 0)
        assert summary["mfu"] == pytest.approx(model / possible, rel=1e-9)
        # the scores, made again by the backward pass itself
        assert summary["hfu"] == pytest.approx((model + batch * (again + 2 * a * pairs)) / possible, rel=1e-9)


def test_another_word_than_true_or_false_is_refused() -> None:
    with pytest.raises(SpecError, match=r"unknown value of recompute= 'yes'"):
        words(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], recompute=yes)"])
