"""The weights of a transformer, in the order in which the reference implementation uses them.

Model: a weight is a tensor with a name and a shape, and is used in one of three ways: rows are multiplied with it (matmul,
[in, out]), rows of it are looked up, or it is applied element by element (scales, biases). Experts stand in one tensor,
[experts, in, out], of which a token uses top_k. Parameter counts and FLOPs follow from this one table, and a graph of the
model has one matmul for each weight of use `matmul`, in this order.
Source: the modelling files of Hugging Face transformers 5.24 (llama, qwen3_moe, gemma2, gpt2, deepseek_v3, gpt_oss, phi,
phi3, bert, vit), their modules and the order in which `forward` calls them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from simulator.models.blocks import Block
from simulator.models.description import Attention, Latent, Moe, Transformer

Use = Literal["matmul", "lookup", "vector"]

Rows = Literal["token", "patch", "sequence"]
"""What a weight meets once each: every token, every patch of an image, or every sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One tensor. `share`: the part of it that one token uses. `same_as`: the weight that it is a second name for, so that
    it holds no parameters of its own. `trained` False: it has no gradient."""

    name: str
    shape: tuple[int, ...]
    use: Use
    rows: Rows = "token"
    share: Fraction = Fraction(1)
    same_as: str | None = None
    trained: bool = True

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def block_weights(model: Transformer, block: Block) -> tuple[Weight, ...]:
    """The weights of one block, named without its number: `attention.q`, `ffn.down`, ..."""
    return (*_attention_part(model), *_ffn_part(model, block))


def input_weights(model: Transformer) -> tuple[Weight, ...]:
    """The weights before the first block."""
    return (*_token_tables(model), *_patch_weights(model), *_position_table(model), *_input_norm(model))


def output_weights(model: Transformer) -> tuple[Weight, ...]:
    """The weights after the last block."""
    final = _norm(model, "final_norm", model.d_model) if model.norm.is_final else iter(())
    return (*final, *_head(model))


# --- before the blocks


def _token_tables(model: Transformer) -> Iterator[Weight]:
    table = model.embedding
    if table is None:
        return
    yield _lookup("embedding.tokens", table.vocab, model.d_model)
    if table.segments:
        yield _lookup("embedding.segments", table.segments, model.d_model)


def _patch_weights(model: Transformer) -> Iterator[Weight]:
    patches = model.patches
    if patches is None:
        return
    pixels = patches.channels * patches.patch**2
    yield from _matrix("patches.projection", pixels, model.d_model, patches.bias, rows="patch")
    if patches.class_token:
        yield _vector("patches.class_token", model.d_model, rows="sequence")


def _position_table(model: Transformer) -> Iterator[Weight]:
    if model.position.kind != "learned":
        return
    rows = model.patches.tokens if model.patches is not None else model.position.longest
    yield _lookup("embedding.positions", rows or 0, model.d_model)


def _input_norm(model: Transformer) -> Iterator[Weight]:
    if model.embedding is not None and model.embedding.norm:
        yield from _norm(model, "embedding.norm", model.d_model)


# --- attention


def _attention_part(model: Transformer) -> Iterator[Weight]:
    places = model.norm.places
    if places != "post":
        yield from _norm(model, "attention.norm", model.d_model)
    yield from _attention(model)
    if places == "post":
        yield from _norm(model, "attention.norm", model.d_model)
    if places == "sandwich":
        yield from _norm(model, "attention.post_norm", model.d_model)


def _attention(model: Transformer) -> Iterator[Weight]:
    attention = model.attention
    if attention.latent is None:
        yield from _queries_keys_values(attention, model.d_model)
    else:
        yield from _latent(model, attention, attention.latent)
    yield from _qk_norms(model)
    if attention.sinks:
        yield _vector("attention.sinks", attention.heads)
    out = attention.heads * attention.v_dim
    yield from _matrix("attention.o", out, model.d_model, attention.out_bias)


def _queries_keys_values(attention: Attention, d_model: int) -> Iterator[Weight]:
    q, kv = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    if attention.fused:
        yield from _matrix("attention.qkv", d_model, q + 2 * kv, attention.qkv_bias)
        return
    yield from _matrix("attention.q", d_model, q, attention.qkv_bias)
    yield from _matrix("attention.k", d_model, kv, attention.qkv_bias)
    yield from _matrix("attention.v", d_model, kv, attention.qkv_bias)


def _latent(model: Transformer, attention: Attention, latent: Latent) -> Iterator[Weight]:
    q = attention.heads * attention.qk_dim
    if latent.q_lora_rank is None:
        yield from _matrix("attention.q", model.d_model, q, False)
    else:
        yield from _matrix("attention.q_a", model.d_model, latent.q_lora_rank, attention.qkv_bias)
        yield from _norm(model, "attention.q_a_norm", latent.q_lora_rank)
        yield from _matrix("attention.q_b", latent.q_lora_rank, q, False)
    narrow = latent.kv_lora_rank + latent.qk_rope_head_dim
    wide = attention.heads * (latent.qk_nope_head_dim + latent.v_head_dim)
    yield from _matrix("attention.kv_a", model.d_model, narrow, attention.qkv_bias)
    yield from _norm(model, "attention.kv_a_norm", latent.kv_lora_rank)
    yield from _matrix("attention.kv_b", latent.kv_lora_rank, wide, False)


def _qk_norms(model: Transformer) -> Iterator[Weight]:
    attention = model.attention
    if attention.qk_norm == "none":
        return
    whole = attention.qk_norm == "whole"
    q = attention.head_dim * (attention.heads if whole else 1)
    k = attention.head_dim * (attention.kv_heads if whole else 1)
    yield from _norm(model, "attention.q_norm", q)
    yield from _norm(model, "attention.k_norm", k)


# --- feed-forward


def _ffn_part(model: Transformer, block: Block) -> Iterator[Weight]:
    places = model.norm.places
    if places != "post" and not model.parallel:
        yield from _norm(model, "ffn.norm", model.d_model)
    if block.has_experts and model.moe is not None:
        yield from _mixture(model, model.moe)
    else:
        yield from _network(model, "ffn", model.ffn.d_ff or 0)
    if places == "post":
        yield from _norm(model, "ffn.norm", model.d_model)
    if places == "sandwich":
        yield from _norm(model, "ffn.post_norm", model.d_model)


def _network(model: Transformer, name: str, d_ff: int) -> Iterator[Weight]:
    ffn = model.ffn
    if ffn.gated and ffn.fused:
        yield from _matrix(f"{name}.gate_up", model.d_model, 2 * d_ff, ffn.bias)
    elif ffn.gated:
        yield from _matrix(f"{name}.gate", model.d_model, d_ff, ffn.bias)
    if not (ffn.gated and ffn.fused):
        yield from _matrix(f"{name}.up", model.d_model, d_ff, ffn.bias)
    yield from _matrix(f"{name}.down", d_ff, model.d_model, ffn.bias)


def _mixture(model: Transformer, moe: Moe) -> Iterator[Weight]:
    yield from _matrix("moe.router", model.d_model, moe.experts, moe.router_bias)
    if moe.correction:
        yield Weight(name="moe.correction", shape=(moe.experts,), use="vector", trained=False)
    share = Fraction(moe.top_k, moe.experts)
    for weight in _network(model, "moe.experts", moe.d_expert):
        shape = (moe.experts, *weight.shape)
        yield Weight(name=weight.name, shape=shape, use=weight.use, share=share)
    if moe.shared_experts:
        yield from _network(model, "moe.shared", moe.d_shared)
    if moe.shared_gate:
        yield from _matrix("moe.shared_gate", model.d_model, 1, False)


# --- after the blocks


def _head(model: Transformer) -> Iterator[Weight]:
    head, d_model = model.head, model.d_model
    if head.pooler:
        yield from _matrix("head.pooler", d_model, d_model, True, rows="sequence")
    if head.kind == "masked_tokens":
        yield from _matrix("head.dense", d_model, d_model, True)
        yield from _norm(model, "head.norm", d_model)
    if head.kind in ("tokens", "masked_tokens") and model.embedding is not None:
        yield from _vocabulary(model, model.embedding.vocab, model.embedding.tied)
    if head.pairs:
        yield from _matrix("head.pairs", d_model, 2, True, rows="sequence")
    if head.kind == "classes":
        yield from _matrix("head.classes", d_model, head.classes, head.bias, rows="sequence")


def _vocabulary(model: Transformer, vocab: int, tied: bool) -> Iterator[Weight]:
    table = "embedding.tokens" if tied else None
    shape = (model.d_model, vocab)
    yield Weight(name="head.vocabulary", shape=shape, use="matmul", same_as=table)
    if model.head.bias:
        yield _vector("head.vocabulary.bias", vocab)


# --- single weights


def _matrix(name: str, inputs: int, outputs: int, bias: bool, *, rows: Rows = "token") -> Iterator[Weight]:
    yield Weight(name=name, shape=(inputs, outputs), use="matmul", rows=rows)
    if bias:
        yield _vector(f"{name}.bias", outputs, rows=rows)


def _norm(model: Transformer, name: str, width: int) -> Iterator[Weight]:
    yield _vector(name, width)
    if model.norm.has_bias:
        yield _vector(f"{name}.bias", width)


def _vector(name: str, width: int, *, rows: Rows = "token") -> Weight:
    return Weight(name=name, shape=(width,), use="vector", rows=rows)


def _lookup(name: str, rows: int, width: int) -> Weight:
    return Weight(name=name, shape=(rows, width), use="lookup")
