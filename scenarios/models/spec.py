"""How a model is written down: the keys of a catalogue file, and of an inline `workload.model`.

The words are those of a description (`simulator.models`), one for one; what a file leaves out is filled in here: as many
heads of keys and values as of queries, heads that share d_model evenly, experts without shared ones, and so on.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from hw.input import Spec
from scenarios.models.published import Published
from simulator.models import (
    Activation,
    Attention,
    AttentionKind,
    ConvNet,
    Embedding,
    Family,
    Ffn,
    GraphNetwork,
    Head,
    HeadKind,
    Latent,
    Moe,
    Norm,
    NormPlaces,
    Patches,
    Position,
    PositionKind,
    QkNorm,
    Router,
    Stage,
    Transformer,
)

MOST_LAYERS = 10_000
"""Layers are looked at one by one: no model has nearly as many."""

_MOST = 10**12

Count = Annotated[int, Field(gt=0, le=_MOST, strict=True)]
"""A whole number of something, at least one."""

Some = Annotated[int, Field(ge=0, le=_MOST, strict=True)]
"""A whole number that may be 0."""

Layers = Annotated[int, Field(gt=0, le=MOST_LAYERS, strict=True)]
"""How many layers there are."""

Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Flag = Annotated[bool, Field(strict=True)]

Share = Annotated[float, Field(gt=0, le=1)]


class LatentSpec(Spec):
    """Multi-head latent attention."""

    q_lora_rank: Count | None = Field(default=None, description="width of the latent of queries; none: no latent")
    kv_lora_rank: Count = Field(description="width of the latent of keys and values, which is cached")
    qk_nope_head_dim: Count = Field(description="numbers of a head of q and k that are not rotated")
    qk_rope_head_dim: Count = Field(description="numbers of a head that are rotated, of k one for all heads")
    v_head_dim: Count = Field(description="size of a head of v")


class AttentionSpec(Spec):
    """The attention of every block."""

    heads: Count = Field(description="heads of queries")
    kv_heads: Count | None = Field(default=None, description="heads of keys and values (default: as many as heads)")
    head_dim: Count | None = Field(default=None, description="size of a head (default: d_model / heads)")
    causal: Flag | None = Field(default=None, description="no token sees a later one (default: in a decoder)")
    kinds: Annotated[list[AttentionKind], Field(min_length=1, max_length=MOST_LAYERS)] = Field(
        default=["full"], description="how blocks attend, in turn: [sliding, full], or linear"
    )
    window: Count | None = Field(default=None, description="keys that a query of sliding attention sees")
    qkv_bias: Flag = Field(default=False, description="q, k and v have biases")
    out_bias: Flag = Field(default=False, description="the output's matmul has a bias")
    fused: Flag = Field(default=False, description="q, k and v are one matmul")
    qk_norm: QkNorm = Field(default="none", description="queries and keys are normed: each head, or whole")
    sinks: Flag = Field(default=False, description="a learned score a head that every softmax counts")
    softcap: Number | None = Field(default=None, description="scores s become c tanh(s / c)")
    scale: Number | None = Field(default=None, description="scores are divided by its root (default: a head's size)")
    chunk: Count | None = Field(default=None, description="tokens inside which some blocks attend; no more are known")
    latent: LatentSpec | None = Field(default=None, description="multi-head latent attention (MLA)")

    def built(self, d_model: int, causal: bool) -> Attention:
        """The attention of a model of that width."""
        latent = Latent(**self.latent.model_dump()) if self.latent is not None else None
        given = self.model_dump(exclude={"latent", "kinds", "kv_heads", "head_dim", "causal"})
        head_dim = self.head_dim
        if head_dim is None:
            head_dim = d_model // self.heads if latent is None else latent.qk_nope_head_dim + latent.qk_rope_head_dim
        return Attention(
            kv_heads=self.kv_heads or self.heads,
            head_dim=head_dim,
            causal=causal if self.causal is None else self.causal,
            kinds=tuple(self.kinds),
            latent=latent,
            **given,
        )


class FfnSpec(Spec):
    """The feed-forward network of every block; what is not a size holds for experts, too."""

    d_ff: Count | None = Field(default=None, description="width inside; left out where every block has experts")
    gated: Flag = Field(default=True, description="activation(gate(x)) * up(x): SwiGLU, GeGLU")
    activation: Activation = Field(default="silu", description="the non-linearity")
    bias: Flag = Field(default=False, description="its matmuls have biases")
    fused: Flag = Field(default=False, description="gate and up are one matmul")


class MoeSpec(Spec):
    """A mixture of experts in place of the feed-forward network."""

    experts: Count = Field(description="experts that a token may choose from")
    top_k: Count = Field(description="experts that a token chooses")
    d_expert: Count = Field(description="width inside one expert")
    shared_experts: Some = Field(default=0, description="experts that every token goes through")
    d_shared: Count | None = Field(
        default=None, description="width of them together (default: that of so many experts)"
    )
    shared_gate: Flag = Field(default=False, description="the shared experts' output is scaled by a sigmoid")
    first_dense: Some = Field(default=0, description="blocks at the beginning that have no experts")
    every: Count = Field(default=1, description="of the blocks after those, each whose number it divides has experts")
    router: Router = Field(default="softmax", description="softmax over all, over the top_k, or a sigmoid of each")
    normalized: Flag = Field(default=True, description="weights of the chosen experts are made to sum to 1")
    router_bias: Flag = Field(default=False, description="the router's matmul has a bias")
    correction: Flag = Field(default=False, description="a number an expert, added for the choice only")
    groups: Count = Field(default=1, description="groups of experts")
    top_groups: Count = Field(default=1, description="groups that a token chooses from")
    scaling: Number = Field(default=1.0, description="what the weights of experts are multiplied with")

    def built(self) -> Moe:
        """The mixture, with the width of its shared experts."""
        d_shared = self.d_shared or self.shared_experts * self.d_expert
        return Moe(d_shared=d_shared, **self.model_dump(exclude={"d_shared"}))


class NormSpec(Spec):
    """The norm of every block, and where it stands."""

    kind: Literal["rms", "layer"] = Field(default="rms", description="RMS norm or layer norm")
    places: NormPlaces = Field(default="pre", description="before, after, or before and after attention and FFN")
    eps: Number = Field(default=1e-5, description="what is added to the variance")
    bias: Flag = Field(default=True, description="a layer norm has a bias")


class PositionSpec(Spec):
    """How tokens learn where they stand."""

    kind: PositionKind = Field(
        default="rope", description="rotated, a learned table, a bias by distance, or not at all"
    )
    longest: Count | None = Field(default=None, description="tokens of the longest sequence")
    theta: Number = Field(default=1e4, description="base of RoPE's wavelengths")
    rotary: Share = Field(default=1.0, description="the share of a head that is rotated")


class EmbeddingSpec(Spec):
    """The table of tokens."""

    vocab: Count = Field(description="tokens of the vocabulary")
    tied: Flag = Field(default=False, description="the head's matrix is this table")
    scaled: Flag = Field(default=False, description="multiplied by the root of d_model")
    segments: Some = Field(default=0, description="rows of a table of segments, which is added")
    norm: Flag = Field(default=False, description="the sum of the tables is normed")


class PatchesSpec(Spec):
    """An image cut into patches."""

    image: Count = Field(description="side of the image")
    patch: Count = Field(description="side of a patch")
    channels: Count = Field(default=3, description="colours")
    bias: Flag = Field(default=True, description="the projection of patches has a bias")
    class_token: Flag = Field(default=True, description="one more token, learned")


class HeadSpec(Spec):
    """What stands after the last block."""

    kind: HeadKind = Field(default="tokens", description="a vocabulary, the same after a dense layer, classes, nothing")
    bias: Flag = Field(default=False, description="its matmul has a bias")
    softcap: Number | None = Field(default=None, description="scores s become c tanh(s / c)")
    classes: Some = Field(default=0, description="classes that are told apart")
    pooler: Flag = Field(default=False, description="a dense layer over the first token")
    pairs: Flag = Field(default=False, description="whether two sentences follow each other")


class ModelSpec(Spec):
    """What every file of a model may have beside its shape."""

    name: Annotated[str, Field(min_length=1)] = "model"
    about: str = ""
    hub: str = Field(default="", description="its repository on the Hugging Face hub")
    published: Published | None = Field(default=None, description="parameters as its authors print them")
    sources: dict[str, str] = Field(default_factory=dict, description="where the figures of a section come from")


class TransformerSpec(ModelSpec):
    """A transformer."""

    family: Family = Field(default="decoder", description="decoder, encoder, vision, convolution or graph")
    layers: Layers = Field(description="blocks")
    d_model: Count = Field(description="width of a token between blocks")
    attention: AttentionSpec
    ffn: FfnSpec
    norm: NormSpec = NormSpec()
    position: PositionSpec = PositionSpec()
    head: HeadSpec | None = Field(default=None, description="default: tokens where there is a vocabulary, else none")
    embedding: EmbeddingSpec | None = None
    patches: PatchesSpec | None = None
    moe: MoeSpec | None = None
    parallel: Flag = Field(default=False, description="attention and FFN side by side, after one norm")

    def uneven(self, width: str) -> str | None:
        """What is wrong with heads whose size follows from d_model, which is called `width`; None if nothing is."""
        given = self.attention.head_dim is not None or self.attention.latent is not None
        if given or self.d_model % self.attention.heads == 0:
            return None
        return (
            f"{self.attention.heads} heads do not share {width} {self.d_model} evenly, and no size of a head is given"
        )

    def built(self) -> Transformer:
        """The description."""
        head = self.head or HeadSpec(kind="tokens" if self.embedding is not None else "none")
        return Transformer(
            name=self.name,
            family=self.family,
            layers=self.layers,
            d_model=self.d_model,
            attention=self.attention.built(self.d_model, self.family == "decoder"),
            ffn=Ffn(**self.ffn.model_dump()),
            norm=Norm(**self.norm.model_dump()),
            position=Position(**self.position.model_dump()),
            head=Head(**head.model_dump()),
            embedding=Embedding(**self.embedding.model_dump()) if self.embedding is not None else None,
            patches=Patches(**self.patches.model_dump()) if self.patches is not None else None,
            moe=self.moe.built() if self.moe is not None else None,
            parallel=self.parallel,
        )


class StageSpec(Spec):
    """Layers of one kind in a row."""

    kind: Literal["conv", "basic", "bottleneck", "max_pool", "avg_pool", "linear"]
    channels: Some = Field(default=0, description="channels that come out; of a bottleneck, those inside")
    kernel: Some = Field(default=1, description="side of the window; of a pool 0: the whole image")
    stride: Count = Field(default=1, description="how far the window moves")
    padding: Some | None = Field(default=None, description="zeros around the image (default: keeps its size)")
    norm: Flag = Field(default=False, description="a batch norm, and no bias")
    activation: Literal["relu", "none"] = "relu"
    repeat: Layers = Field(default=1, description="how many of them")


class ConvNetSpec(ModelSpec):
    """A convolution stack."""

    family: Literal["convolution"]
    image: Count = Field(description="side of the image")
    channels: Count = Field(default=3, description="colours")
    stages: Annotated[list[StageSpec], Field(min_length=1, max_length=1_000)]

    def uneven(self, _width: str) -> str | None:
        """Nothing of it follows from a division."""
        return None

    def built(self) -> ConvNet:
        """The description."""
        stages = tuple(Stage(**stage.model_dump()) for stage in self.stages)
        return ConvNet(name=self.name, image=self.image, channels=self.channels, stages=stages)


class GraphNetworkSpec(ModelSpec):
    """A graph network over one graph."""

    family: Literal["graph"]
    nodes: Count = Field(description="nodes of the graph")
    edges: Count = Field(description="edges, each direction by itself, without loops")
    features: Count = Field(description="numbers that a node has at the beginning")
    widths: Annotated[list[Count], Field(min_length=1, max_length=MOST_LAYERS)] = Field(
        description="numbers of a node after each layer"
    )
    layer: Literal["gcn", "sage"] = Field(default="gcn", description="how neighbours are summed")
    bias: Flag = Field(default=True, description="layers have biases")
    activation: Literal["relu", "none"] = "relu"

    def uneven(self, _width: str) -> str | None:
        """Nothing of it follows from a division."""
        return None

    def built(self) -> GraphNetwork:
        """The description."""
        given = self.model_dump(include=set(GraphNetworkSpec.model_fields) - set(ModelSpec.model_fields))
        return GraphNetwork(name=self.name, **{**given, "widths": tuple(self.widths)})


AnySpec = TransformerSpec | ConvNetSpec | GraphNetworkSpec

SPECS: Mapping[Any, type[AnySpec]] = {
    "decoder": TransformerSpec,
    "encoder": TransformerSpec,
    "vision": TransformerSpec,
    "convolution": ConvNetSpec,
    "graph": GraphNetworkSpec,
}
"""What a model's file is checked against, by its `family`."""
