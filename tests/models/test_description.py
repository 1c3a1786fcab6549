"""Descriptions of models: what they add up to follows from closed forms, whatever the shape.

Closed forms are those of papers, named where they stand; the laws hold for random shapes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.models import (
    Attention,
    AttentionKind,
    Block,
    ConvNet,
    Embedding,
    Ffn,
    GraphNetwork,
    Head,
    Latent,
    Moe,
    Norm,
    Patches,
    Position,
    Run,
    Stage,
    Transformer,
    Weight,
    Work,
    alike,
    block_weights,
    blocks,
    description_problems,
    flops_per_token,
    forward_flops,
    input_weights,
    output_weights,
    parameters,
    runs,
    shortest_kinds,
)
from tests.support.models import decoder, decoders, kinds, megatron

# Parameters


@pytest.mark.parametrize(("layers", "d_model", "heads"), [(24, 2304, 24), (96, 12288, 96), (128, 25600, 160)])
def test_parameters_of_a_gpt_are_the_formula_of_narayanan(layers: int, d_model: int, heads: int) -> None:
    """Narayanan et al. 2021, equation 2, without the two vectors of the norm after the last block."""
    vocab, seq = 51200, 2048
    formula = 12 * layers * d_model**2 + 13 * layers * d_model + (vocab + seq) * d_model
    assert parameters(megatron(layers, d_model, heads, vocab, seq)).total == formula + 2 * d_model


def matrices(model: Transformer) -> int:
    """Parameters in matrices and tables, as the scaling book counts: no norms, no router."""
    counted = parameters(model)
    return sum(
        part.count * weight.size
        for part in counted.parts
        for weight in part.weights
        if weight.use != "vector" and weight.same_as is None and weight.name != "moe.router"
    )


BOOK = {"layers": 64, "d_model": 4096, "attention": Attention(heads=32, kv_heads=8, head_dim=256)}
"""The invented model of "How to Scale Your Model", chapter on inference, question 1."""


def test_parameters_of_the_books_invented_model() -> None:
    """Rows IN06, IN09 and IN10 of the book's cases: LD(3F + 2H(N+K)) + DV, and 16 experts of which 2 are used."""
    dense = decoder(**BOOK, ffn=Ffn(d_ff=16384), embedding=Embedding(vocab=32128, tied=True))
    assert matrices(dense) == 64 * 4096 * (3 * 16384 + 2 * 256 * (32 + 8)) + 4096 * 32128
    assert matrices(dense) == pytest.approx(18.3852e9, rel=1e-5)
    moe = Moe(experts=16, top_k=2, d_expert=16384)
    sparse = replace(dense, ffn=Ffn(d_ff=None), moe=moe)
    assert matrices(sparse) == pytest.approx(211.659e9, rel=1e-5)
    router = 64 * 4096 * 16
    norms = (2 * 64 + 1) * 4096
    active = parameters(sparse).active - router - norms - 4096  # a row of the table; tied, it is the head, too
    assert active == pytest.approx(31.2701e9, rel=1e-5)


def test_names_and_shapes_of_a_llama_block_in_the_order_of_use() -> None:
    model = decoder()
    (kind,) = alike(model)
    assert [(weight.name, weight.shape) for weight in block_weights(model, kind)] == [
        ("attention.norm", (64,)),
        ("attention.q", (64, 64)),
        ("attention.k", (64, 32)),
        ("attention.v", (64, 32)),
        ("attention.o", (64, 64)),
        ("ffn.norm", (64,)),
        ("ffn.gate", (64, 160)),
        ("ffn.up", (64, 160)),
        ("ffn.down", (160, 64)),
    ]
    assert [weight.name for weight in input_weights(model)] == ["embedding.tokens"]
    assert [weight.name for weight in output_weights(model)] == ["final_norm", "head.vocabulary"]


def test_tensors_are_named_block_by_block() -> None:
    shapes = parameters(decoder()).tensors
    assert len(shapes) == 4 * 9 + 3
    assert shapes["blocks.3.ffn.down"] == (160, 64)
    assert "blocks.4.ffn.down" not in shapes


def test_a_latent_has_the_matmuls_of_mla() -> None:
    latent = Latent(q_lora_rank=24, kv_lora_rank=12, qk_nope_head_dim=10, qk_rope_head_dim=6, v_head_dim=8)
    model = decoder(attention=Attention(heads=4, kv_heads=4, head_dim=16, latent=latent))
    shapes = {weight.name: weight.shape for weight in block_weights(model, Block("full", False))}
    assert shapes["attention.q_a"] == (64, 24)
    assert shapes["attention.q_b"] == (24, 4 * 16)
    assert shapes["attention.kv_a"] == (64, 12 + 6)
    assert shapes["attention.kv_b"] == (12, 4 * (10 + 8))
    assert shapes["attention.o"] == (4 * 8, 64)
    assert model.attention.cached == 18
    direct = replace(model.attention, latent=replace(latent, q_lora_rank=None))
    shapes = {
        weight.name: weight.shape for weight in block_weights(replace(model, attention=direct), Block("full", False))
    }
    assert shapes["attention.q"] == (64, 64)
    assert "attention.q_a" not in shapes


@given(decoders())
def test_parameters_are_the_sizes_of_the_tensors(model: Transformer) -> None:
    counted = parameters(model)
    assert counted.total == sum(math.prod(shape) for shape in counted.tensors.values())
    assert counted.active <= counted.active_with_tables <= counted.total


@given(decoders())
def test_what_every_token_uses_is_everything_where_it_takes_all_experts(model: Transformer) -> None:
    whole = replace(model, moe=replace(model.moe, top_k=model.moe.experts)) if model.moe is not None else model
    assert parameters(whole).active_with_tables == parameters(model).total
    if model.moe is not None and model.moe.top_k < model.moe.experts:
        assert parameters(model).active < parameters(whole).active


def test_a_tied_head_is_no_parameter_and_yet_a_matmul() -> None:
    apart, tied = decoder(), decoder(embedding=Embedding(vocab=1000, tied=True))
    assert parameters(apart).total - parameters(tied).total == 64 * 1000
    assert flops_per_token(apart, 16) == flops_per_token(tied, 16)


def test_what_gets_no_gradient_is_stored_and_no_parameter() -> None:
    moe = Moe(experts=8, top_k=2, d_expert=16)
    plain = parameters(decoder(ffn=Ffn(d_ff=None), moe=moe))
    corrected = parameters(decoder(ffn=Ffn(d_ff=None), moe=replace(moe, correction=True)))
    assert corrected.total == plain.total == plain.stored
    assert corrected.stored - plain.stored == 4 * 8


# Blocks


@given(decoders())
def test_runs_are_the_blocks_in_order(model: Transformer) -> None:
    found = runs(model)
    laid_out = [block for run in found for _ in range(run.repeat) for block in run.blocks]
    assert tuple(laid_out) == blocks(model)
    assert [run.first for run in found] == [sum(run.layers for run in found[:at]) for at in range(len(found))]
    assert sorted(number for numbers in alike(model).values() for number in numbers) == list(range(model.layers))


def test_blocks_that_take_turns_are_one_run() -> None:
    gemma = decoder(
        layers=26, attention=Attention(heads=4, kv_heads=2, head_dim=16, kinds=("sliding", "full"), window=8)
    )
    assert runs(gemma) == (Run(0, (Block("sliding", False), Block("full", False)), 13),)
    odd = replace(gemma, layers=5)
    assert [(run.first, len(run.blocks), run.repeat) for run in runs(odd)] == [(0, 2, 2), (4, 1, 1)]


def test_blocks_without_experts_come_first_or_in_turn() -> None:
    moe = Moe(experts=4, top_k=2, d_expert=32, first_dense=3)
    deepseek = decoder(layers=61, moe=moe)
    assert [(run.first, run.repeat, run.blocks[0].has_experts) for run in runs(deepseek)] == [
        (0, 3, False),
        (3, 58, True),
    ]
    every_other = decoder(layers=8, moe=replace(moe, first_dense=0, every=2))
    assert [block.has_experts for block in blocks(every_other)] == [False, True] * 4


@given(kinds, st.integers(1, 5))
def test_the_shortest_kinds_say_the_same(pattern: list[AttentionKind], times: int) -> None:
    listed = pattern * times
    short = shortest_kinds(listed)
    assert len(short) <= len(pattern)
    assert [short[at % len(short)] for at in range(len(listed))] == listed


# Encoders, images and graphs


def test_bert_has_a_norm_after_each_residual_and_none_at_the_end() -> None:
    bert = decoder(
        family="encoder",
        attention=Attention(heads=4, kv_heads=4, head_dim=16, causal=False),
        norm=Norm(kind="layer", places="post"),
        head=Head(kind="masked_tokens", bias=True, pooler=True, pairs=True),
        embedding=Embedding(vocab=1000, tied=True, segments=2, norm=True),
        position=Position(kind="learned", longest=32),
    )
    names = [weight.name for weight in block_weights(bert, Block("full", False))]
    assert names.index("attention.o") < names.index("attention.norm") < names.index("ffn.gate")
    assert names[-2:] == ["ffn.norm", "ffn.norm.bias"]
    assert [weight.name for weight in output_weights(bert) if weight.use == "matmul"] == [
        "head.pooler",
        "head.dense",
        "head.vocabulary",
        "head.pairs",
    ]
    # the pooler and the pairs see one token of a sequence
    once = 2 * (64 * 64 + 64 * 2)
    long, longer = (forward_flops(bert, Work(tokens, masked_too=True)).matmul for tokens in (10, 20))
    assert longer - once == 2 * (long - once)


def test_a_sandwich_has_four_norms_and_side_by_side_has_one() -> None:
    def norms(model: Transformer) -> list[str]:
        return [each.name for each in block_weights(model, Block("full", False)) if each.name.endswith("norm")]

    assert norms(decoder(norm=Norm(places="sandwich"))) == [
        "attention.norm",
        "attention.post_norm",
        "ffn.norm",
        "ffn.post_norm",
    ]
    assert norms(decoder(parallel=True)) == ["attention.norm"]


def test_an_image_is_cut_into_tokens() -> None:
    patches = Patches(image=224, patch=16)
    assert patches.tokens == 14 * 14 + 1
    vit = decoder(
        family="vision",
        embedding=None,
        patches=patches,
        position=Position(kind="learned"),
        head=Head(kind="classes", classes=10, bias=True),
    )
    shapes = parameters(vit).tensors
    assert shapes["embedding.positions"] == (197, 64)
    assert shapes["patches.projection"] == (3 * 16 * 16, 64)
    without = replace(vit, head=Head(kind="none"))
    assert forward_flops(vit, Work(197)).matmul - forward_flops(without, Work(197)).matmul == 2 * 64 * 10


# What does not go together


WRONG: list[tuple[Any, tuple[Any, ...], str]] = [
    (
        decoder(attention=Attention(heads=4, kv_heads=3, head_dim=16)),
        ("attention", "kv_heads"),
        "4 heads do not share 3",
    ),
    (decoder(attention=Attention(heads=4, kv_heads=4, head_dim=16, kinds=("sliding",))), ("attention",), "a window"),
    (decoder(attention=Attention(heads=4, kv_heads=4, head_dim=16, window=3)), ("attention", "window"), "no kind"),
    (decoder(position=Position(kind="learned")), ("position", "longest"), "'position.longest'"),
    (decoder(position=Position(rotary=0.1)), ("position", "rotary"), "in pairs"),
    (decoder(ffn=Ffn(d_ff=None)), ("ffn", "d_ff"), "'ffn.d_ff' is missing: 4 of 4"),
    (decoder(ffn=Ffn(d_ff=8, gated=False, fused=True)), ("ffn", "fused"), "gate and up"),
    (decoder(moe=Moe(experts=4, top_k=2, d_expert=8)), ("ffn", "d_ff"), "every block has experts"),
    (decoder(moe=Moe(experts=4, top_k=5, d_expert=8, first_dense=1)), ("moe", "top_k"), "5 of 4 experts"),
    (decoder(moe=Moe(experts=6, top_k=2, d_expert=8, first_dense=1, groups=4)), ("moe", "groups"), "evenly"),
    (decoder(moe=Moe(experts=8, top_k=3, d_expert=8, first_dense=1, groups=4)), ("moe", "top_k"), "fewer than 3"),
    (decoder(moe=Moe(experts=8, top_k=3, d_expert=8, first_dense=4)), ("moe",), "none of 4 blocks"),
    (decoder(embedding=None), ("head", "kind"), "needs an embedding"),
    (decoder(head=Head(kind="classes")), ("head",), "number of classes"),
    (decoder(patches=Patches(image=10, patch=3)), ("patches", "patch"), "not cut evenly"),
    (decoder(parallel=True, norm=Norm(places="post")), ("parallel",), "one norm"),
    (ConvNet(name="c", image=4, stages=(Stage(kind="conv"),)), ("stages", 0), "needs 'channels'"),
    (ConvNet(name="c", image=4, stages=(Stage(kind="max_pool", channels=3),)), ("stages", 0), "keeps the channels"),
    (ConvNet(name="c", image=4, stages=(Stage(kind="max_pool", kernel=9, padding=0),)), ("stages",), "window of 9"),
    (GraphNetwork(name="g", nodes=2, edges=5, features=1, widths=(1,)), ("edges",), "at most 4"),
]


@pytest.mark.parametrize(("model", "key", "told"), WRONG)
def test_what_does_not_go_together_is_told_with_its_key(model: Any, key: tuple[Any, ...], told: str) -> None:
    assert [message for at, message in description_problems(model) if at == key and told in message]


def test_a_right_description_has_no_problems() -> None:
    assert list(description_problems(decoder())) == []
    assert list(description_problems(megatron(2, 64, 4, 100, 32))) == []


@pytest.mark.parametrize("function", [parameters, description_problems])
def test_something_else_is_no_description(function: Any) -> None:
    with pytest.raises(TypeError, match="dict is no description"):
        function({})


def test_a_weight_knows_its_size() -> None:
    assert Weight(name="experts", shape=(8, 3, 5), use="matmul").size == 120
