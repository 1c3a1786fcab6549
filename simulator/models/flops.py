"""FLOPs of a forward pass in closed form: what a graph of the model must add up to.

Model: two FLOPs for every weight of a matmul that a row meets, so 2 P a token where P counts matrices in use; attention is
2 (d_qk + d_v) a head for every pair of a query and a key that it sees; linear attention 4 d_qk d_v a head and token (2 of
it for each head of keys). The vocabulary's matmul is told apart, as papers do.
Work on the vector unit (softmax, norms, activations, sums over neighbours) is not counted. A backward pass costs twice as
much, but for the first layer where it is a matmul: images, and features of nodes, get no gradient.
Assumes: what a mask hides is not computed (flash attention) unless `masked_too`; MLA expands its latent to all heads.
Source: Kaplan et al. 2020, table 1; Narayanan et al. 2021, appendix; Dao et al. 2022 for masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

from simulator.models.blocks import Block, alike
from simulator.models.convolution import ConvNet, layers
from simulator.models.description import Transformer
from simulator.models.graph_network import GraphNetwork, graph_weights
from simulator.models.parameters import Model, parts
from simulator.models.weights import Weight, input_weights
from simulator.ops.kinds.attention.mask import Mask

_VOCABULARY = "head.vocabulary"


@dataclass(frozen=True, slots=True)
class Work:
    """What one sequence (image, graph) is. `tokens`: new ones; `context`: those that are in the cache already.
    `masked_too`: pairs that a mask hides are computed, as standard attention does."""

    tokens: int
    context: int = 0
    masked_too: bool = False


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs on the matrix unit: matmuls with weights, attention, and the vocabulary's matmul."""

    matmul: float
    attention: float = 0.0
    vocabulary: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.matmul + self.attention + self.vocabulary


@singledispatch
def forward_flops(model: Model, work: Work) -> Flops:
    """FLOPs of one sequence, one image or one graph, forwards."""
    raise TypeError(f"{type(model).__name__} is no description of a model")


@forward_flops.register
def _(model: Transformer, work: Work) -> Flops:
    matmul = vocabulary = 0.0
    for part in parts(model):
        for weight in part.weights:
            flops = part.count * _matmul_flops(model, weight, work)
            if weight.name == _VOCABULARY:
                vocabulary += flops
            else:
                matmul += flops
    return Flops(matmul, _attention_flops(model, work), vocabulary)


@forward_flops.register
def _(model: ConvNet, _work: Work) -> Flops:
    return Flops(float(sum(layer.flops for layer in layers(model))))


@forward_flops.register
def _(model: GraphNetwork, _work: Work) -> Flops:
    matrices = (weight for weight in graph_weights(model) if weight.use == "matmul")
    return Flops(float(sum(2 * weight.size * model.nodes for weight in matrices)))


@singledispatch
def first_flops(model: Model) -> float:
    """FLOPs, forwards, of matmuls with what one image or graph is: nothing makes a gradient of that. Tables of tokens have
    none."""
    raise TypeError(f"{type(model).__name__} is no description of a model")


@first_flops.register
def _(model: Transformer) -> float:
    return float(sum(2 * weight.size * _patches(model) for weight in input_weights(model) if weight.use == "matmul"))


@first_flops.register
def _(model: ConvNet) -> float:
    return float(next((layer.flops for layer in layers(model) if layer.flops), 0))


@first_flops.register
def _(model: GraphNetwork) -> float:
    matrices = 1 if model.layer == "gcn" else 2
    return float(2 * matrices * model.features * model.widths[0] * model.nodes)


def training_flops(model: Model, work: Work) -> float:
    """FLOPs of a forward and a backward pass over one sequence, image or graph; nothing is computed twice."""
    return 3 * forward_flops(model, work).total - first_flops(model)


@dataclass(frozen=True, slots=True)
class Sample:
    """One of a batch: what it is called, and how many tokens it has, if it has tokens."""

    name: str
    tokens: int = 0


@singledispatch
def sample_of(model: Model, _seq: int) -> Sample:
    """What one of a batch is, where sequences are so long."""
    raise TypeError(f"{type(model).__name__} is no description of a model")


@sample_of.register
def _(model: Transformer, seq: int) -> Sample:
    return Sample("image", model.patches.tokens) if model.patches is not None else Sample("sequence", seq)


@sample_of.register
def _(model: ConvNet, _seq: int) -> Sample:
    return Sample("image")


@sample_of.register
def _(model: GraphNetwork, _seq: int) -> Sample:
    return Sample("graph")


def flops_per_token(model: Transformer, seq: int) -> Flops:
    """FLOPs of one token, forwards, on average over a sequence of `seq` (an image: over its patches)."""
    whole = forward_flops(model, Work(seq))
    return Flops(whole.matmul / seq, whole.attention / seq, whole.vocabulary / seq)


def _matmul_flops(model: Transformer, weight: Weight, work: Work) -> float:
    if weight.use != "matmul":
        return 0.0
    rows = {"token": work.tokens, "patch": _patches(model), "sequence": 1}
    return float(2 * weight.size * weight.share * rows[weight.rows])


def _patches(model: Transformer) -> int:
    """Patches of one image: its tokens but for the class token."""
    return model.patches.tokens - model.patches.class_token if model.patches is not None else 0


def attention_mask(model: Transformer, block: Block, work: Work) -> Mask:
    """The mask of one block's attention."""
    attention = model.attention
    window = attention.window if block.attention == "sliding" else None
    keys = work.context + work.tokens
    return Mask(work.tokens, keys, attention.causal, window)


def _attention_flops(model: Transformer, work: Work) -> float:
    attention = model.attention
    a_pair = 2 * attention.heads * (attention.qk_dim + attention.v_dim)
    # each token is added to the matrix of its heads of keys, and each head of queries reads one
    a_token = 2 * (attention.kv_heads + attention.heads) * attention.qk_dim * attention.v_dim
    total = 0
    for block, numbers in alike(model).items():
        if block.attention == "linear":
            total += len(numbers) * work.tokens * a_token
            continue
        mask = attention_mask(model, block, work)
        pairs = mask.queries * mask.keys if work.masked_too else mask.pairs
        total += len(numbers) * pairs * a_pair
    return float(total)
