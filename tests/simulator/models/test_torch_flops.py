"""FLOPs of training steps equal what PyTorch's own counter says of the same models, to the digit.

Model: small models, each written twice: as a description, and as plain PyTorch modules on the meta device, where shapes are
worked out and nothing is computed. The counter adds up matmuls, convolutions and attention of a forward and a backward
pass as autograd issues them; a step's kernels are added up likewise. The counter counts the pairs that a causal mask hides,
and flash attention does not compute them: of S x S pairs S (S + 1) / 2 are left.
Not covered: sums over neighbours, which are no matmuls to the counter.
Source: torch.utils.flop_counter.FlopCounterMode (PyTorch 2.13).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hw import System, load_chip
from simulator import Parallel, Training, bind, train_graph
from simulator.models import (
    Attention,
    ConvNet,
    Embedding,
    Ffn,
    GraphNetwork,
    Head,
    Model,
    Moe,
    Norm,
    Position,
    Stage,
    Transformer,
)
from tests.support.models import ENCODER, VISION

torch = pytest.importorskip("torch", reason="PyTorch is not here: pip install '.[test,peers]'", exc_type=ImportError)

nn: Any = torch.nn
functional: Any = torch.nn.functional
FlopCounterMode: Any = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode

BATCH, SEQ = 2, 64

DECODER = Transformer(
    name="decoder",
    family="decoder",
    layers=3,
    d_model=64,
    attention=Attention(heads=8, kv_heads=2, head_dim=16),
    ffn=Ffn(d_ff=192),
    norm=Norm(),
    position=Position(),
    head=Head(),
    embedding=Embedding(vocab=500),
)
GPT = replace(
    DECODER,
    name="gpt",
    attention=Attention(heads=4, kv_heads=4, head_dim=16, qkv_bias=True, out_bias=True, fused=True),
    ffn=Ffn(d_ff=256, gated=False, activation="gelu_tanh", bias=True),
    norm=Norm(kind="layer"),
    position=Position(kind="learned", longest=128),
    embedding=Embedding(vocab=500, tied=True),
)
BERT, VIT = ENCODER, VISION
EXPERTS = replace(
    DECODER, name="experts", moe=Moe(experts=8, top_k=2, d_expert=48, shared_experts=1, d_shared=48, first_dense=1)
)
STEM = (
    Stage(kind="conv", channels=16, kernel=7, stride=2, norm=True),
    Stage(kind="max_pool", kernel=3, stride=2),
)
RESNET = ConvNet(
    name="resnet",
    image=64,
    stages=(
        *STEM,
        Stage(kind="bottleneck", channels=8, repeat=2),
        Stage(kind="bottleneck", channels=16, stride=2, repeat=3),
        Stage(kind="basic", channels=24, stride=2, repeat=2),
        Stage(kind="avg_pool", kernel=0),
        Stage(kind="linear", channels=10, activation="none"),
    ),
)
VGG = ConvNet(
    name="vgg",
    image=32,
    stages=(
        Stage(kind="conv", channels=8, kernel=3, repeat=2),
        Stage(kind="max_pool", kernel=2, stride=2),
        Stage(kind="conv", channels=16, kernel=3, repeat=3),
        Stage(kind="max_pool", kernel=2, stride=2),
        Stage(kind="linear", channels=40, repeat=2),
        Stage(kind="linear", channels=10, activation="none"),
    ),
)
GCN = GraphNetwork(name="gcn", nodes=50, edges=300, features=24, widths=(16, 16, 7))
SAGE = replace(GCN, name="sage", layer="sage")


# The same as modules


class Attend(nn.Module):  # type: ignore[misc]
    """Attention with four projections; keys of fewer heads are repeated."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        given = model.attention
        self.given, wide = given, given.heads * given.head_dim
        self.q = nn.Linear(model.d_model, wide, given.qkv_bias)
        self.k = nn.Linear(model.d_model, given.kv_heads * given.head_dim, given.qkv_bias)
        self.v = nn.Linear(model.d_model, given.kv_heads * given.head_dim, given.qkv_bias)
        self.o = nn.Linear(wide, model.d_model, given.out_bias)

    def forward(self, x: Any) -> Any:
        batch, tokens, _ = x.shape
        split = (
            each(x).view(batch, tokens, -1, self.given.head_dim).transpose(1, 2) for each in (self.q, self.k, self.v)
        )
        q, k, v = (each.repeat_interleave(self.given.heads // each.shape[1], 1) for each in split)
        # the kernel itself: on the meta device its front door takes the formula apart
        made = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, self.given.causal)[0]
        return self.o(made.transpose(1, 2).reshape(batch, tokens, -1))


class Feed(nn.Module):  # type: ignore[misc]
    """A feed-forward network, gated or not."""

    def __init__(self, model: Transformer, width: int) -> None:
        super().__init__()
        bias = model.ffn.bias
        self.up, self.down = nn.Linear(model.d_model, width, bias), nn.Linear(width, model.d_model, bias)
        self.gate = nn.Linear(model.d_model, width, bias) if model.ffn.gated else None

    def forward(self, x: Any) -> Any:
        if self.gate is None:
            return self.down(functional.gelu(self.up(x)))
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Mixture(nn.Module):  # type: ignore[misc]
    """Experts that are all as full as each other, and a shared one."""

    def __init__(self, model: Transformer, moe: Moe) -> None:
        super().__init__()
        self.moe, d = moe, model.d_model
        self.router = nn.Linear(d, moe.experts, bias=False)
        self.gate, self.up = (nn.Parameter(torch.empty(moe.experts, d, moe.d_expert)) for _ in range(2))
        self.down = nn.Parameter(torch.empty(moe.experts, moe.d_expert, d))
        self.shared = Feed(model, moe.d_shared)

    def forward(self, x: Any) -> Any:
        rows = x.reshape(-1, x.shape[-1])
        weights = self.router(rows).softmax(-1)[:, : self.moe.top_k]
        slots = rows.repeat(self.moe.top_k, 1).view(self.moe.experts, -1, rows.shape[-1])
        made = (functional.silu(slots.bmm(self.gate)) * slots.bmm(self.up)).bmm(self.down)
        chosen = made.reshape(self.moe.top_k, *rows.shape) * weights.t().unsqueeze(-1)
        return chosen.sum(0).view_as(x) + self.shared(x)


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a network, each with a residual, normed before or after."""

    def __init__(self, model: Transformer, has_experts: bool) -> None:
        super().__init__()
        self.post = model.norm.places == "post"
        self.norms = nn.ModuleList(nn.LayerNorm(model.d_model) for _ in range(2))
        moe = model.moe if has_experts else None
        self.parts = nn.ModuleList([Attend(model), Mixture(model, moe) if moe else Feed(model, model.ffn.d_ff or 0)])

    def forward(self, x: Any) -> Any:
        for norm, part in zip(self.norms, self.parts, strict=True):
            x = norm(x + part(x)) if self.post else x + part(norm(x))
        return x


class Blocks(nn.Module):  # type: ignore[misc]
    """All blocks of a transformer."""

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        first = model.moe.first_dense if model.moe is not None else model.layers
        self.blocks = nn.Sequential(*(Block(model, at >= first) for at in range(model.layers)))
        self.norm = nn.LayerNorm(model.d_model) if model.norm.is_final else nn.Identity()

    def forward(self, x: Any) -> Any:
        return self.norm(self.blocks(x))


def language_loss(model: Transformer) -> Any:
    """The loss of a model of tokens; BERT's has two heads."""
    assert model.embedding is not None
    d, vocab = model.d_model, model.embedding.vocab
    table, blocks, head = nn.Embedding(vocab, d), Blocks(model), nn.Linear(d, vocab, bias=model.head.bias)
    x = blocks(table(torch.zeros(BATCH, SEQ, dtype=torch.long)))
    loss = torch.zeros(())
    if model.head.pairs:
        pair = nn.Linear(d, 2)(nn.Linear(d, d)(x[:, 0]).tanh())
        loss = functional.cross_entropy(pair, torch.zeros(BATCH, dtype=torch.long))
    if model.head.kind == "masked_tokens":
        x = nn.LayerNorm(d)(functional.gelu(nn.Linear(d, d)(x)))
    return loss + functional.cross_entropy(head(x).flatten(0, 1), torch.zeros(BATCH * SEQ, dtype=torch.long))


def vision_loss(model: Transformer) -> Any:
    """The loss of a vision transformer."""
    assert model.patches is not None
    d, patch, side = model.d_model, model.patches.patch, model.patches.image
    cut = nn.Conv2d(model.patches.channels, d, patch, patch)
    rows = cut(torch.zeros(BATCH, model.patches.channels, side, side)).flatten(2).transpose(1, 2)
    x = torch.cat([nn.Parameter(torch.zeros(1, 1, d)).expand(BATCH, -1, -1), rows], 1)
    x = Blocks(model)(x + nn.Parameter(torch.zeros(1, x.shape[1], d)))
    return functional.cross_entropy(nn.Linear(d, model.head.classes)(x[:, 0]), torch.zeros(BATCH, dtype=torch.long))


class Residual(nn.Module):  # type: ignore[misc]
    """A basic or a bottleneck block."""

    def __init__(self, stage: Stage, channels: int, stride: int) -> None:
        super().__init__()
        width = stage.channels
        if stage.kind == "basic":
            shapes = [(channels, width, 3, stride), (width, width, 3, 1)]
        else:
            shapes = [(channels, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        self.out = shapes[-1][1]
        self.inside = nn.Sequential(*(normed(*shape) for shape in shapes))
        same = stride == 1 and channels == self.out
        self.around = nn.Identity() if same else normed(channels, self.out, 1, stride)

    def forward(self, x: Any) -> Any:
        return functional.relu(self.inside(x) + self.around(x))


def normed(channels: int, out: int, kernel: int, stride: int) -> Any:
    """A convolution and its batch norm."""
    return nn.Sequential(nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out))


def convolution_loss(model: ConvNet) -> Any:
    """The loss of a convolution stack."""
    x = torch.zeros(BATCH, model.channels, model.image, model.image)
    for stage in model.stages:
        for turn in range(stage.repeat):
            x = through(stage, x, stage.stride if turn == 0 else 1)
    return functional.cross_entropy(x, torch.zeros(BATCH, dtype=torch.long))


def through(stage: Stage, x: Any, stride: int) -> Any:
    """One turn of a stage."""
    channels, kernel = x.shape[1], stage.kernel
    if stage.kind in ("basic", "bottleneck"):
        return Residual(stage, channels, stride)(x)
    if stage.kind == "max_pool":
        return functional.max_pool2d(x, kernel, stride, (kernel - 1) // 2)
    if stage.kind == "avg_pool":
        return functional.adaptive_avg_pool2d(x, 1)
    if stage.kind == "linear":
        rows = x.flatten(1)
        x = nn.Linear(rows.shape[1], stage.channels)(rows)
    else:
        x = nn.Conv2d(channels, stage.channels, kernel, stride, (kernel - 1) // 2)(x)
    return functional.relu(x) if stage.activation == "relu" else x


def graph_loss(model: GraphNetwork) -> Any:
    """The loss of a graph network."""
    h = torch.zeros(model.nodes, model.features)
    ends = torch.zeros(model.edges, dtype=torch.long)
    for width in model.widths:
        around = nn.Linear(h.shape[1], width, bias=False)
        if model.layer == "gcn":
            rows = around(h)
            h = torch.zeros_like(rows).index_add(0, ends, rows[ends])
        else:
            h = around(torch.zeros_like(h).index_add(0, ends, h[ends])) + nn.Linear(h.shape[1], width, bias=False)(h)
        h = functional.relu(h)
    return functional.cross_entropy(h, torch.zeros(model.nodes, dtype=torch.long))


CASES: list[tuple[Model, Callable[[Any], Any]]] = [
    (DECODER, language_loss),
    (GPT, language_loss),
    (BERT, language_loss),
    (EXPERTS, language_loss),
    (VIT, vision_loss),
    (RESNET, convolution_loss),
    (VGG, convolution_loss),
    (GCN, graph_loss),
    (SAGE, graph_loss),
]


def counted(model: Model, loss: Callable[[Any], Any]) -> Counter[str]:
    """FLOPs by the counter's names of ops, of a forward and a backward pass."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        loss(model).backward()
    return Counter({str(op).removeprefix("aten."): flops for op, flops in counter.get_flop_counts()["Global"].items()})


def computed(model: Model) -> Counter[str]:
    """FLOPs by kind of op, of a training step."""
    batch: dict[str, Any] = {} if isinstance(model, GraphNetwork) else {"batch": BATCH}
    seq: dict[str, Any] = {"seq": SEQ} if isinstance(model, Transformer) and model.patches is None else {}
    graph = train_graph(model, Parallel(microbatch=batch.get("batch", 1)), Training(**batch, **seq))
    found: Counter[str] = Counter()
    for kernel in bind(graph, System(load_chip("h100_sxm"))):
        assert kernel.matrix_flops == int(kernel.matrix_flops)
        found[kernel.kind] += int(kernel.matrix_flops)
    return found


@pytest.mark.parametrize(("model", "loss"), CASES, ids=[model.name for model, _ in CASES])
def test_flops_equal_those_of_pytorchs_counter(model: Any, loss: Callable[[Any], Any]) -> None:
    theirs, ours = counted(model, loss), computed(model)
    attention = {"attention": "", "attention_backward": "_backward"}
    for kind, suffix in attention.items():
        peer = theirs.pop(f"_scaled_dot_product_flash_attention{suffix}", 0)
        if isinstance(model, Transformer) and model.attention.causal:
            assert 2 * SEQ * ours.pop(kind) == (SEQ + 1) * peer
        else:
            assert ours.pop(kind, 0) == peer
    convolutions = [theirs.pop("convolution", 0), theirs.pop("convolution_backward", 0)]
    assert ours.pop("conv2d", 0) == convolutions[0]
    assert sum(ours.pop(f"conv2d_backward_{of}", 0) for of in ("input", "weight")) == convolutions[1]
    print(f"{model.name}: matmuls {sum(theirs.values()):,} FLOPs")
    assert set(theirs) <= {"mm", "addmm", "bmm", "baddbmm"}
    assert sum(ours.values()) == sum(theirs.values()) > 0
