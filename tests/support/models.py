"""Small models of every family of transformers, those of random shape, the GPT of papers, and chips to run a step on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from hw import Mesh, System, load_chip, parse_topology
from simulator import Parallel
from simulator.models import (
    Attention,
    AttentionKind,
    Embedding,
    Ffn,
    Head,
    Latent,
    Moe,
    Norm,
    Patches,
    Position,
    Transformer,
    blocks,
)


def decoder(**changes: Any) -> Transformer:
    """A small decoder of the Llama line."""
    plain = Transformer(
        name="small",
        family="decoder",
        layers=4,
        d_model=64,
        attention=Attention(heads=4, kv_heads=2, head_dim=16),
        ffn=Ffn(d_ff=160),
        norm=Norm(),
        position=Position(longest=128),
        head=Head(),
        embedding=Embedding(vocab=1000),
    )
    return replace(plain, **changes)


SMALL = decoder(
    d_model=256,
    attention=Attention(heads=8, kv_heads=4, head_dim=32),
    ffn=Ffn(d_ff=512),
    position=Position(),
    embedding=Embedding(vocab=1024),
)
"""Wide enough to be laid over eight chips."""
EXPERTS = Transformer(
    name="experts",
    family="decoder",
    layers=3,
    d_model=128,
    attention=Attention(
        heads=8,
        kv_heads=8,
        head_dim=48,
        latent=Latent(q_lora_rank=64, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32),
    ),
    ffn=Ffn(d_ff=256),
    norm=Norm(),
    position=Position(),
    head=Head(),
    embedding=Embedding(vocab=512),
    moe=Moe(experts=8, top_k=2, d_expert=64, shared_experts=1, d_shared=64, first_dense=1),
)
"""Latent attention, and experts in all blocks but the first."""
ENCODER = Transformer(
    name="encoder",
    family="encoder",
    layers=2,
    d_model=64,
    attention=Attention(heads=4, kv_heads=4, head_dim=16, causal=False, qkv_bias=True, out_bias=True),
    ffn=Ffn(d_ff=256, gated=False, activation="gelu", bias=True),
    norm=Norm(kind="layer", places="post"),
    position=Position(kind="learned", longest=128),
    embedding=Embedding(vocab=1000, tied=True, segments=2, norm=True),
    head=Head(kind="masked_tokens", bias=True, pooler=True, pairs=True),
)
GPT = Transformer(
    name="gpt",
    family="decoder",
    layers=4,
    d_model=256,
    attention=Attention(heads=8, kv_heads=8, head_dim=32, qkv_bias=True, out_bias=True),
    ffn=Ffn(d_ff=1024, gated=False, activation="gelu", bias=True),
    norm=Norm(kind="layer"),
    position=Position(kind="learned", longest=512),
    head=Head(),
    embedding=Embedding(vocab=1024, tied=True),
)
"""With what models before Llama had: layer norms, biases, learned positions."""

VISION = replace(
    ENCODER,
    name="vision",
    family="vision",
    norm=Norm(kind="layer"),
    position=Position(kind="learned"),
    embedding=None,
    patches=Patches(image=32, patch=4),
    head=Head(kind="classes", classes=10, bias=True),
)


def system_for(parallel: Parallel, node: int | None = None) -> System:
    """As many H100 as a parallelism takes, on one switch, or in nodes of `node` where there are more."""
    chip = load_chip("h100_sxm")
    if parallel.chips == 1:
        return System(chip)
    wiring: Any = f"switch({parallel.chips}) over nvlink"
    if node is not None and parallel.chips > node:
        wiring = [f"switch({node}) over nvlink", f"switch({parallel.chips // node}) over infiniband"]
    return System(chip, parse_topology(wiring, chip.links), Mesh(parallel.mesh))


def megatron(layers: int, d_model: int, heads: int, vocab: int, seq: int) -> Transformer:
    """The GPT of Narayanan et al. 2021."""
    return Transformer(
        name="gpt",
        family="decoder",
        layers=layers,
        d_model=d_model,
        attention=Attention(
            heads=heads, kv_heads=heads, head_dim=d_model // heads, qkv_bias=True, out_bias=True, fused=True
        ),
        ffn=Ffn(d_ff=4 * d_model, gated=False, activation="gelu_tanh", bias=True),
        norm=Norm(kind="layer"),
        position=Position(kind="learned", longest=seq),
        head=Head(),
        embedding=Embedding(vocab=vocab, tied=True),
    )


small = st.integers(1, 6)
ways: tuple[AttentionKind, ...] = ("full", "sliding")
kinds = st.lists(st.sampled_from(ways), min_size=1, max_size=5)


@st.composite
def decoders(draw: st.DrawFn) -> Transformer:
    """Decoders of random shape: heads shared or not, windows, experts in some blocks or none."""
    kv_heads, group, head_dim = draw(small), draw(small), 2 * draw(small)
    taken = tuple(draw(kinds))
    attention = Attention(
        heads=kv_heads * group,
        kv_heads=kv_heads,
        head_dim=head_dim,
        kinds=taken,
        window=draw(st.integers(1, 40)) if "sliding" in taken else None,
        qkv_bias=draw(st.booleans()),
        fused=draw(st.booleans()),
    )
    number = draw(st.integers(1, 12))
    moe = None
    if draw(st.booleans()):
        experts = draw(small)
        moe = Moe(
            experts=experts,
            top_k=draw(st.integers(1, experts)),
            d_expert=8 * draw(small),
            shared_experts=draw(st.integers(0, 1)),
            d_shared=8,
            first_dense=draw(st.integers(0, number - 1)),
        )
        moe = replace(moe, d_shared=8 * moe.shared_experts)
    model = decoder(layers=number, d_model=8 * draw(small), attention=attention, moe=moe)
    return model if any(not block.has_experts for block in blocks(model)) else replace(model, ffn=Ffn(d_ff=None))
