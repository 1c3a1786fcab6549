"""What a transformer is, as plain data: shapes and kinds of layers, nothing of hardware, dtypes, batch or parallelism.

Model: a stack of `layers` blocks of width `d_model`, each attention and feed-forward network (FFN) with norms and
residuals, between an embedding (tokens or patches of an image) and a head. Blocks differ in two things only: how far their
attention sees (`attention.kinds`, taken in turn), and whether their FFN is one network or a mixture of experts
(`moe.first_dense`, `moe.every`). Everything else is alike in all blocks. `moe` gives the sizes of experts, and `ffn` what
all feed-forward networks share (gated or not, activation, biases).
Assumes: weights are matrices [in, out]; a norm without scale, dropout and initial values are no part of a model's shape.
Source: Vaswani et al. 2017; Radford et al. 2019 (GPT-2); Devlin et al. 2019 (BERT); Dosovitskiy et al. 2021 (ViT);
Touvron et al. 2023 (Llama 2); Gemma Team 2024 (Gemma 2); DeepSeek-AI 2024 (DeepSeek-V2: MLA); Jiang et al. 2024 (Mixtral);
OpenAI 2025 (gpt-oss); the words for keys follow DESIGN section 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["decoder", "encoder", "vision"]
"""A causal language model; one that sees both ways; one that sees both ways over the patches of an image."""

AttentionKind = Literal["full", "sliding", "linear"]
"""How far one block's queries see: to the beginning, or `window` keys back; or to the beginning through one matrix a head to
which each token adds its key and value (Katharopoulos et al. 2020), with no scores."""

Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "clamped_silu"]
"""The non-linearity of an FFN. `clamped_silu` is gpt-oss's: gate and up are clamped, silu has a gain, up gets 1 added."""

Router = Literal["softmax", "top_k", "sigmoid"]
"""How a token's scores over experts become weights: a softmax over all of them, a softmax over the chosen ones only, or a
sigmoid of each."""

NormPlaces = Literal["pre", "post", "sandwich"]
"""Before attention and FFN (and once at the end); after each residual is added; or both before and after each of them,
within the residual (and once at the end)."""

PositionKind = Literal["rope", "learned", "alibi", "none"]
"""Queries and keys are rotated; a table is added to the embedding; scores get a bias by distance; nothing is done."""

HeadKind = Literal["tokens", "masked_tokens", "classes", "none"]
"""What the last block's output becomes: a vocabulary at each token; the same after a dense layer and a norm (BERT); classes
from one token of the sequence; nothing."""

QkNorm = Literal["none", "head", "whole"]
"""Whether queries and keys are normed before they are rotated: each head by itself, or all heads together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """The norm of a model. `bias`: a layer norm has one beside its scale (an RMS norm never has)."""

    kind: Literal["rms", "layer"] = "rms"
    places: NormPlaces = "pre"
    eps: float = 1e-5
    bias: bool = True

    @property
    def has_bias(self) -> bool:
        """Whether it has a bias beside its scale."""
        return self.kind == "layer" and self.bias

    @property
    def is_final(self) -> bool:
        """Whether one more norm stands after the last block."""
        return self.places != "post"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How tokens learn where they stand.

    `longest`: tokens of the longest sequence, the rows of a learned table. `rotary`: the share of a head that is rotated
    (phi: 0.4 or 0.5). `theta`: the base of RoPE's wavelengths; how a longer context rescales them costs nothing and is
    left out.
    """

    kind: PositionKind = "rope"
    longest: int | None = None
    theta: float = 1e4
    rotary: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention (MLA): keys and values of all heads come from one narrow vector, which is what is cached.

    `q_lora_rank` None: queries come from the block's input at once. A head of q and k is `qk_nope_head_dim` numbers that
    are not rotated and `qk_rope_head_dim` that are; the latter part of k is one for all heads.
    """

    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """The attention of every block.

    `kinds`: one for each block in turn, from the first again when they are over. `fused`: q, k and v are one matmul.
    `sinks`: one learned score a head that every softmax counts (gpt-oss). `softcap`: scores s become c tanh(s / c)
    (Gemma 2). `scale`: what scores are divided by is its square root; None: the size of a head of q. `chunk`: some blocks
    attend inside chunks of so many tokens (Llama 4); known is what is no longer than one, where that hides nothing.
    """

    heads: int
    kv_heads: int
    head_dim: int
    causal: bool = True
    kinds: tuple[AttentionKind, ...] = ("full",)
    window: int | None = None
    qkv_bias: bool = False
    out_bias: bool = False
    fused: bool = False
    qk_norm: QkNorm = "none"
    sinks: bool = False
    softcap: float | None = None
    scale: float | None = None
    chunk: int | None = None
    latent: Latent | None = None

    @property
    def qk_dim(self) -> int:
        """The size of one head of q, and of k as attention sees it."""
        if self.latent is None:
            return self.head_dim
        return self.latent.qk_nope_head_dim + self.latent.qk_rope_head_dim

    @property
    def v_dim(self) -> int:
        """The size of one head of v, and of the output."""
        return self.head_dim if self.latent is None else self.latent.v_head_dim

    @property
    def state(self) -> int:
        """Numbers that one block of linear attention keeps of a whole sequence: a matrix for each head of keys."""
        return self.kv_heads * self.qk_dim * self.v_dim

    @property
    def cached(self) -> int:
        """Numbers that one block, but for linear ones, keeps of one token for later ones: keys and values, or their common
        latent."""
        if self.latent is None:
            return 2 * self.kv_heads * self.head_dim
        return self.latent.kv_lora_rank + self.latent.qk_rope_head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class Ffn:
    """The feed-forward network of a block; what is said of it besides `d_ff` holds for experts, too.

    `gated`: activation(gate(x)) * up(x) goes down again, three matrices and not two. `fused`: gate and up are one matmul.
    `d_ff` None: every block has experts instead.
    """

    d_ff: int | None
    gated: bool = True
    activation: Activation = "silu"
    bias: bool = False
    fused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moe:
    """A mixture of experts in place of the FFN: block i (from 0) has one if i >= first_dense and every divides i + 1.

    `shared_experts` see every token, and together are one network of width `d_shared`; `shared_gate`:
    its output is scaled by a sigmoid of the token. `normalized`: the weights of the chosen experts are
    made to sum to 1, and `scaling` multiplies them. `router_bias`: the router's matmul has a bias;
    `correction`: a number for each expert is added to its score for the choice only, to balance load,
    and gets no gradient. `groups`: experts are chosen from the `top_groups` best groups of so many.
    """

    experts: int
    top_k: int
    d_expert: int
    shared_experts: int = 0
    d_shared: int = 0
    shared_gate: bool = False
    first_dense: int = 0
    every: int = 1
    router: Router = "softmax"
    normalized: bool = True
    router_bias: bool = False
    correction: bool = False
    groups: int = 1
    top_groups: int = 1
    scaling: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A table of `vocab` tokens. `tied`: the head's matrix is this table. `scaled`: multiplied by sqrt(d_model) (Gemma).
    `segments`: rows of a second table that is added (BERT). `norm`: the sum is normed."""

    vocab: int
    tied: bool = False
    scaled: bool = False
    segments: int = 0
    norm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """A square image, cut into square patches, each projected to one token. `class_token`: one more token,
    learned, before them."""

    image: int
    patch: int
    channels: int = 3
    bias: bool = True
    class_token: bool = True

    @property
    def tokens(self) -> int:
        """Tokens of one image."""
        return (self.image // self.patch) ** 2 + self.class_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What stands after the last block. `softcap`: as in attention. `pooler`: a dense layer with tanh over the first token;
    `pairs`: whether two sentences follow each other is read off it (BERT). `classes`: how many there are."""

    kind: HeadKind = "tokens"
    bias: bool = False
    softcap: float | None = None
    classes: int = 0
    pooler: bool = False
    pairs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformer:
    """A transformer. `parallel`: attention and FFN read the same normed input, and both are added to it (phi).

    One of `embedding` (tokens) and `patches` (an image), or neither: the stack alone, as in a stage of a pipeline.
    """

    name: str
    family: Family
    layers: int
    d_model: int
    attention: Attention
    ffn: Ffn
    norm: Norm
    position: Position
    head: Head
    embedding: Embedding | None = None
    patches: Patches | None = None
    moe: Moe | None = None
    parallel: bool = False
