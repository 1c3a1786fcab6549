"""The attention of a block: its forward ops, in the order in which the reference implementations run them.

Model: of heads of keys and values that are fewer than the chips of the tensor axis each chip has a copy of the one that its
query heads read, where numbers divide; else they stand whole on each of them. Megatron-LM has no copies, and gathers what
one matmul makes of all heads. With a context axis keys and values are
gathered over it before attention, heads are exchanged for tokens, or keys and values go round
(`simulator.models.steps.context.ring`); linear attention makes its state of all that was gathered. Multi-head latent
attention (MLA): queries through a narrow vector (or at once); keys and values of all heads from one narrow vector and a
rotated part that all heads share, expanded for each head.
Assumes: sinks (a number a head) and caps of scores cost nothing beside the scores.
Source: Vaswani et al. 2017; Ainslie et al. 2023 (GQA); Llama Team 2024 for keys and values gathered over the context axis;
DeepSeek-AI 2024 (DeepSeek-V2), equations 1 to 19.
"""

from __future__ import annotations

from simulator.graph.items import Dim, Tensor
from simulator.models.blocks import Block
from simulator.models.description import Latent
from simulator.models.steps.context.ring import ring_attention
from simulator.models.steps.pieces import base_name, head_norm, heads_for_tokens, keys_of_all, linear
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims


def attention_ops(write: Writer, shapes: Shapes, block: Block, x: Tensor) -> Tensor:
    """From tokens inside a region to the sums of the output's matmul."""
    attention = shapes.model.attention
    if attention.latent is not None:
        q, k, v = _latent(write, shapes, attention.latent, x)
    else:
        q, k, v = queries_keys_values(write, shapes, x)
    size = "head" if attention.latent is None else "vhead"
    if shapes.ring:
        return heads_joined(write, shapes, ring_attention(write, shapes, q, k, v, size))
    k, v = keys_of_all(write, shapes, k), keys_of_all(write, shapes, v)
    seen = attention.window if block.attention == "sliding" else None
    causal = attention.causal or None
    if shapes.exchanges:
        q = heads_for_tokens(write, shapes, q)
    shape = (*q.dims[:-1], *dims(size))
    how = None if shapes.attention == "flash" else shapes.attention
    if block.attention == "linear":
        how = "linear"
    drops = shapes.dropout or None
    a = write.op("attention", q, k, v, out="a", shape=shape, kind_=how, causal=causal, window=seen, dropout=drops)
    rotates = shapes.model.position.kind == "rope"
    if (rotates and write.by_heads) or (write.eager and _of_multihead(shapes)):
        # attention's output is laid out as rotated queries are, by heads, so that tokens are copied side by side again
        a = write.op("copy", a, out="at", shape=shape)
    if shapes.exchanges:
        a = heads_for_tokens(write, shapes, a)
    if shapes.keeps_attended:
        # the output's matmul keeps what it multiplies; what runs again makes its own
        a = write.op("view", a, out="akept", shape=a.dims)
    return heads_joined(write, shapes, a)


def _of_multihead(shapes: Shapes) -> bool:
    """Whether attention is that of PyTorch's MultiheadAttention: an encoder's, with one matmul for queries, keys and values.
    It lays these one behind the other, and what attention made by sequences again (torch/nn/functional.py,
    `_in_projection_packed` and `multi_head_attention_forward`)."""
    return shapes.model.attention.fused and not shapes.model.attention.causal


def heads_joined(write: Writer, shapes: Shapes, a: Tensor) -> Tensor:
    """From what each head makes to the sums of the output's matmul."""
    attention, axes = shapes.model.attention, shapes.layout.tensor
    bias = dims("model") if attention.out_bias else None
    size = "head" if attention.latent is None else "vhead"
    return linear(write, a, "o", dims(("heads", axes), size, "model"), shapes.inside, bias)


def queries_keys_values(write: Writer, shapes: Shapes, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a chip's tokens, normed and rotated where the model does that."""
    q, k, v = _projected(write, shapes, x)
    if shapes.model.attention.qk_norm != "none":
        q, k = (head_norm(write, each) for each in (q, k))
    if shapes.model.position.kind == "rope":
        q, k = (write.op("rope", each, out=f"{base_name(write, each)}r", shape=each.dims) for each in (q, k))
    return q, k, v


def _projected(write: Writer, shapes: Shapes, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What matmuls make of tokens: each for itself, or all by one, of which they are parts (Transformer Engine makes values
    contiguous where queries and keys are elsewhere: pytorch/attention, get_qkv_layout)."""
    axes = shapes.layout.tensor
    if not shapes.one_matmul:
        if shapes.model.attention.fused:
            x = write.narrow(x)
        q = _heads(write, shapes, x, "q", "heads", axes)
        return (
            q,
            _heads(write, shapes, x, "k", "kv", shapes.kv_axes),
            _heads(write, shapes, x, "v", "kv", shapes.kv_axes),
        )
    if shapes.gathers_heads:
        made, whole = _taken_from_all(write, shapes, x), "keyed"
    else:
        made, whole = _heads(write, shapes, x, "qkv", "qkv", axes), "qkv"
    if write.eager and _of_multihead(shapes):
        made = write.op("copy", made, out="qkvc", shape=made.dims, dtype=made.dtype)

    def part(name: str, heads: str) -> Tensor:
        return write.op("part", made, out=name, shape=shapes.heads(heads, axes), dtype=made.dtype, axis=whole)

    if shapes.gathers_heads:
        q = write.op("own", part("qall", "asked"), out="q", shape=shapes.heads("heads", axes), dtype=made.dtype)
    else:
        q = part("q", "heads")

    if not (shapes.fuses_qkv and shapes.model.position.kind == "rope"):
        return q, part("k", "kv"), part("v", "kv")
    # rotated queries and keys lie elsewhere, and the library's attention takes no values between what others were
    k, v = part("k", "kv"), part("vpart", "kv")
    return q, k, write.op("copy", v, out="v", shape=v.dims, dtype=v.dtype)


def _taken_from_all(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """Of a chip its head of keys, that of values, and the queries of all that read them: out of what all chips have made,
    gathered chip by chip and copied token by token (Megatron-LM, core/transformer/attention.py,
    `get_query_key_value_tensors`; core/tensor_parallel/mappings.py, `_gather_along_last_dim`)."""
    axes, attention = shapes.layout.tensor, shapes.model.attention
    wide, whole = dims(("qkvwidth", axes)), shapes.tokens("qkvwidth")
    bias = wide if attention.qkv_bias else None
    made = linear(write, x, "qkv", (*dims("model"), *wide), shapes.tokens(("qkvwidth", axes)), bias)
    rows = write.op("all_gather", made, out="qkvrows", shape=whole, dtype=made.dtype, over=axes)
    every = write.op("copy", rows, out="qkvall", shape=whole, dtype=made.dtype)
    return write.op("own", every, out="qkvown", shape=shapes.heads("keyed", axes), dtype=made.dtype)


def _heads(write: Writer, shapes: Shapes, x: Tensor, name: str, heads: str, axes: str) -> Tensor:
    """Queries, keys or values, by heads."""
    bias = dims((heads, axes), "head") if shapes.model.attention.qkv_bias else None
    before = len(write.weights)
    made = linear(write, x, name, dims("model", (heads, axes), "head"), shapes.heads(heads, axes), bias)
    if heads == "kv" and shapes.key_copies > 1:
        write.in_copies(before)
    return made


def _latent(write: Writer, shapes: Shapes, latent: Latent, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of MLA, by heads."""
    q = latent_queries(write, shapes, latent, x)
    return q, *expanded(write, shapes, *narrow_keys(write, shapes, x))


def narrow_keys(write: Writer, shapes: Shapes, x: Tensor) -> tuple[Tensor, Tensor]:
    """What keys and values of all heads are made of, and the rotated part of keys: what a cache keeps of a token."""
    narrow = linear(write, x, "kva", dims("model", "kvrank"), shapes.tokens("kvrank"))
    narrow = head_norm(write, narrow, "kvrank")
    rotated = linear(write, x, "kr", dims("model", "rotated"), shapes.tokens("rotated"))
    return narrow, write.op("rope", rotated, out="krr", shape=rotated.dims)


def expanded(write: Writer, shapes: Shapes, narrow: Tensor, rotated: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of every head."""
    axes = shapes.layout.tensor
    batch, tokens, _ = narrow.dims

    def heads(size: str) -> tuple[Dim, ...]:
        return (batch, *dims(("heads", axes)), tokens, *dims(size))

    plain = linear(write, narrow, "kn", dims("kvrank", ("heads", axes), "plain"), heads("plain"))
    v = linear(write, narrow, "v", dims("kvrank", ("heads", axes), "vhead"), heads("vhead"))
    return write.op("concat", plain, rotated, out="k", shape=heads("head")), v


def latent_queries(write: Writer, shapes: Shapes, latent: Latent, x: Tensor) -> Tensor:
    """Queries of MLA, rotated."""
    axes = shapes.layout.tensor
    heads, wide = shapes.heads("heads", axes), dims(("heads", axes), "head")
    if latent.q_lora_rank is None:
        q = linear(write, x, "q", (*dims("model"), *wide), heads)
    else:
        narrow = head_norm(write, linear(write, x, "qa", dims("model", "qrank"), shapes.tokens("qrank")), "qrank")
        q = linear(write, narrow, "q", (*dims("qrank"), *wide), heads)
    return write.op("rope", q, out="qr", shape=q.dims)
