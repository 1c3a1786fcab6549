"""The attention of a block: its forward ops, in the order in which the reference implementations run them.

Model: heads of keys and values that are fewer than the chips of the tensor axis stand whole on each of them. With a
context axis keys and values are gathered over it before attention. Multi-head latent attention (MLA): queries through a
narrow vector (or at once); keys and values of all heads from one narrow vector and a rotated part that all heads share,
expanded for each head.
Assumes: sinks (a number a head) and caps of scores cost nothing beside the scores.
Source: Vaswani et al. 2017; Ainslie et al. 2023 (GQA); Llama Team 2024 for keys and values gathered over the context axis;
DeepSeek-AI 2024 (DeepSeek-V2), equations 1 to 19.
"""

from __future__ import annotations

from simulator.graph.items import Tensor
from simulator.models.blocks import Block
from simulator.models.description import Latent
from simulator.models.steps.pieces import base_name, head_norm, heads_for_tokens, keys_of_all, linear
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims


def attention_ops(write: Writer, shapes: Shapes, block: Block, x: Tensor) -> Tensor:
    """From tokens inside a region to the sums of the output's matmul."""
    attention, axes = shapes.model.attention, shapes.layout.tensor
    if attention.latent is not None:
        q, k, v = _latent(write, shapes, attention.latent, x)
    else:
        q, k, v = _queries_keys_values(write, shapes, x)
    seen = attention.window if block.attention == "sliding" else None
    causal = attention.causal or None
    size = "head" if attention.latent is None else "vhead"
    if shapes.exchanges:
        q = heads_for_tokens(write, shapes, q)
    shape = (*q.dims[:-1], *dims(size))
    a = write.op("attention", q, k, v, out="a", shape=shape, causal=causal, window=seen)
    if shapes.exchanges:
        a = heads_for_tokens(write, shapes, a)
    bias = dims("model") if attention.out_bias else None
    return linear(write, a, "o", dims(("heads", axes), size, "model"), shapes.inside, bias)


def _queries_keys_values(write: Writer, shapes: Shapes, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, normed and rotated where the model does that; keys and values of the whole sequence."""
    q = _heads(write, shapes, x, "q", "heads", shapes.layout.tensor)
    k, v = (_heads(write, shapes, x, name, "kv", shapes.kv_axes) for name in ("k", "v"))
    if shapes.model.attention.qk_norm != "none":
        q, k = (head_norm(write, each) for each in (q, k))
    if shapes.model.position.kind == "rope":
        q, k = (write.op("rope", each, out=f"{base_name(write, each)}r", shape=each.dims) for each in (q, k))
    return q, keys_of_all(write, shapes, k), keys_of_all(write, shapes, v)


def _heads(write: Writer, shapes: Shapes, x: Tensor, name: str, heads: str, axes: str) -> Tensor:
    """Queries, keys or values, by heads."""
    bias = dims((heads, axes), "head") if shapes.model.attention.qkv_bias else None
    return linear(write, x, name, dims("model", (heads, axes), "head"), shapes.heads(heads, axes), bias)


def _latent(write: Writer, shapes: Shapes, latent: Latent, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of MLA, by heads."""
    axes = shapes.layout.tensor
    q = _latent_queries(write, shapes, latent, x)
    narrow = linear(write, x, "kva", dims("model", "kvrank"), shapes.tokens("kvrank"))
    narrow = head_norm(write, narrow, "kvrank")
    rotated = linear(write, x, "kr", dims("model", "rotated"), shapes.tokens("rotated"))
    rotated = write.op("rope", rotated, out="krr", shape=rotated.dims)
    plain = linear(
        write, narrow, "kn", dims("kvrank", ("heads", axes), "plain"), shapes.heads("heads", axes, size="plain")
    )
    v = linear(write, narrow, "v", dims("kvrank", ("heads", axes), "vhead"), shapes.heads("heads", axes, size="vhead"))
    k = write.op("concat", plain, rotated, out="k", shape=shapes.heads("heads", axes))
    q = write.op("rope", q, out="qr", shape=q.dims)
    return q, keys_of_all(write, shapes, k), keys_of_all(write, shapes, v)


def _latent_queries(write: Writer, shapes: Shapes, latent: Latent, x: Tensor) -> Tensor:
    axes = shapes.layout.tensor
    heads = shapes.heads("heads", axes)
    if latent.q_lora_rank is None:
        return linear(write, x, "q", dims("model", ("heads", axes), "head"), heads)
    narrow = head_norm(write, linear(write, x, "qa", dims("model", "qrank"), shapes.tokens("qrank")), "qrank")
    return linear(write, narrow, "q", dims("qrank", ("heads", axes), "head"), heads)
