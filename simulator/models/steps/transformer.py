"""The forward ops of a transformer's block, in the order in which the reference implementations run them.

Model: a block takes the stream `x` and makes `y`. A tensor-parallel region begins where tokens are gathered over the
tensor axis (or stand whole on its chips) and ends where its sums are scattered over tokens again (or added up). Heads of
keys and values that are fewer than the chips of the tensor axis stand whole on each of them. A bias is added by the
matmul's own kernel. With a context axis keys and values are gathered over it before attention.
Source: Vaswani et al. 2017; Shoeybi et al. 2019 and Korthikanti et al. 2022 for what is sharded where; the modelling files
named in `simulator.models.weights` for the order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.graph.items import Dim, Tensor
from simulator.models.blocks import Block
from simulator.models.description import Transformer
from simulator.models.steps.layout import Layout, Parallel
from simulator.models.steps.writer import Writer, dims

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu", "relu": "relu", "silu": "silu", "clamped_silu": "silu"}
"""The op of each activation."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Dims of a model's tensors under a layout."""

    model: Transformer
    layout: Layout
    kv_axes: str

    @classmethod
    def of(cls, model: Transformer, parallel: Parallel) -> Shapes:
        """The dims of a model under a parallelism."""
        layout = Layout.of(parallel)
        return cls(model, layout, layout.tensor if model.attention.kv_heads % parallel.tp == 0 else "")

    @property
    def stream(self) -> tuple[Dim, ...]:
        """Tokens between tensor-parallel regions."""
        return dims(("batch", self.layout.batch), ("seq", self.layout.rows), "model")

    @property
    def inside(self) -> tuple[Dim, ...]:
        """Tokens inside a tensor-parallel region."""
        return self.tokens("model")

    def tokens(self, *last: str | tuple[str, str]) -> tuple[Dim, ...]:
        """Tokens inside a tensor-parallel region, with other dims behind them."""
        return dims(("batch", self.layout.batch), ("seq", self.layout.seq), *last)

    def heads(self, heads: str, axes: str, seq: str = "seq", size: str = "head") -> tuple[Dim, ...]:
        """Tokens by heads; `seq`: the sequence, sharded as inside a region unless it was gathered."""
        split = self.layout.seq if seq == "seq" else ""
        return dims(("batch", self.layout.batch), (heads, axes), ("seq", split), size)


def block_ops(write: Writer, shapes: Shapes, block: Block, x: Tensor, out: str) -> Tensor:
    """Write the ops of one block behind `x`; returns what it makes, called `out`."""
    if shapes.model.parallel:
        return _side_by_side(write, shapes, block, x, out)
    model = shapes.model

    def attend(inside: Tensor) -> Tensor:
        return leave(write, shapes, attention_ops(write, shapes, block, inside), model.attention.out_bias)

    def feed(inside: Tensor) -> Tensor:
        return leave(write, shapes, ffn_ops(write, shapes, inside), model.ffn.bias)

    h = _residual(write, shapes, x, "1", "h", attend)
    return _residual(write, shapes, h, "2", out, feed)


def _residual(
    write: Writer, shapes: Shapes, x: Tensor, number: str, out: str, inner: Callable[[Tensor], Tensor]
) -> Tensor:
    """x and what `inner` makes of it, with norms where the model has them."""
    places = shapes.model.norm.places
    inside = x if places == "post" else norm(write, shapes, x, f"n{number}")
    made = inner(enter(write, shapes, inside))
    if places == "sandwich":
        made = norm(write, shapes, made, f"p{number}")
    if places != "post":
        return write.op("add", x, made, out=out, shape=shapes.stream)
    total = write.op("add", x, made, out=f"t{number}", shape=shapes.stream)
    return norm(write, shapes, total, out, f"n{number}")


def _side_by_side(write: Writer, shapes: Shapes, block: Block, x: Tensor, out: str) -> Tensor:
    """Attention and feed-forward network on one normed input, their sums added up before they leave the region."""
    inside = enter(write, shapes, norm(write, shapes, x, "n1"))
    attended, fed = attention_ops(write, shapes, block, inside), ffn_ops(write, shapes, inside)
    both = write.op("add", attended, fed, out="both", shape=shapes.inside, partial=attended.partial)
    biased = bool(both.partial) and (shapes.model.attention.out_bias or shapes.model.ffn.bias)
    return write.op("add", x, leave(write, shapes, both, biased), out=out, shape=shapes.stream)


def norm(write: Writer, shapes: Shapes, x: Tensor, out: str, named: str = "") -> Tensor:
    """A norm over the width of the model; its weights are named after it, or after `named`."""
    given = shapes.model.norm
    weights = [write.weight(f"g{named or out}", dims("model"))]
    if given.has_bias:
        weights.append(write.weight(f"b{named or out}", dims("model")))
    return write.op(f"{given.kind}_norm", x, *weights, out=out, shape=x.dims)


def enter(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """Tokens at the beginning of a tensor-parallel region: gathered over its chips where they were sharded."""
    if not shapes.layout.sequence:
        return x
    return write.op("all_gather", x, out=f"{_base(write, x)}g", shape=shapes.inside, over=shapes.layout.tensor)


def leave(write: Writer, shapes: Shapes, x: Tensor, has_bias: bool) -> Tensor:
    """Sums at the end of a tensor-parallel region: scattered over tokens, or whole on every chip; then their bias."""
    if not x.partial:
        return x
    kind, name = ("reduce_scatter" if shapes.layout.sequence else "all_reduce"), _base(write, x)
    made = write.op(kind, x, out=f"{name}r", shape=shapes.stream, over=x.partial)
    if not has_bias:
        return made
    return write.op("add", made, write.weight(f"b{name}", dims("model")), out=f"{name}b", shape=shapes.stream)


def linear(
    write: Writer,
    x: Tensor,
    out: str,
    weight: tuple[Dim, ...],
    shape: tuple[Dim, ...],
    bias: tuple[Dim, ...] | None = None,
) -> Tensor:
    """A matmul with weight `w<out>`; with a bias, which the same kernel adds. Axes that it contracts leave partial sums."""
    w = write.weight(f"w{out}", weight)
    kept = {dim.size for dim in shape}
    partial = "".join(dim.axes for dim in weight if dim.size not in kept)
    # the bias of sums over chips is added when they are whole
    late = bias is not None and partial
    made = write.op("matmul", x, w, out=f"{out}m" if bias and not late else out, shape=shape, partial=partial)
    if bias is None or late:
        return made
    added = write.op("add", made, write.weight(f"b{out}", bias), out=out, shape=shape)
    write.together(made, added)
    return added


def attention_ops(write: Writer, shapes: Shapes, block: Block, x: Tensor) -> Tensor:
    """From tokens inside a region to the sums of the output's matmul."""
    attention, axes = shapes.model.attention, shapes.layout.tensor
    q = _heads(write, shapes, x, "q", "heads", axes)
    k, v = (_heads(write, shapes, x, name, "kv", shapes.kv_axes) for name in ("k", "v"))
    if attention.qk_norm != "none":
        q, k = (_head_norm(write, shapes, each) for each in (q, k))
    if shapes.model.position.kind == "rope":
        q, k = (write.op("rope", each, out=f"{_base(write, each)}r", shape=each.dims) for each in (q, k))
    k, v = (_gathered_keys(write, shapes, each) for each in (k, v))
    seen = attention.window if block.attention == "sliding" else None
    causal = attention.causal or None
    a = write.op("attention", q, k, v, out="a", shape=q.dims, causal=causal, window=seen)
    bias = dims("model") if attention.out_bias else None
    return linear(write, a, "o", dims(("heads", axes), "head", "model"), shapes.inside, bias)


def _heads(write: Writer, shapes: Shapes, x: Tensor, name: str, heads: str, axes: str) -> Tensor:
    """Queries, keys or values, by heads."""
    bias = dims((heads, axes), "head") if shapes.model.attention.qkv_bias else None
    return linear(write, x, name, dims("model", (heads, axes), "head"), shapes.heads(heads, axes), bias)


def _head_norm(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """Each head normed by itself (or all together, which costs the same)."""
    name = _base(write, x)
    return write.op("rms_norm", x, write.weight(f"g{name}", dims("head")), out=f"{name}n", shape=x.dims)


def _gathered_keys(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """Keys or values of the whole sequence."""
    if not shapes.layout.seq:
        return x
    whole = tuple(Dim(dim.size) if dim.size == "seq" else dim for dim in x.dims)
    return write.op("all_gather", x, out=f"{_base(write, x)}c", shape=whole, over=shapes.layout.seq)


def ffn_ops(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """From tokens inside a region to the sums of the last matmul."""
    ffn, axes = shapes.model.ffn, shapes.layout.tensor
    wide, hidden = dims("model", ("ff", axes)), shapes.tokens(("ff", axes))
    bias = dims(("ff", axes)) if ffn.bias else None
    if ffn.gated:
        gate = linear(write, x, "gate", wide, hidden, bias)
        up = linear(write, x, "up", wide, hidden, bias)
        s = write.op("swiglu", gate, up, out="s", shape=hidden)
    else:
        up = linear(write, x, "up", wide, hidden, bias)
        s = write.op(ACTIVATIONS[ffn.activation], up, out="s", shape=hidden)
    return linear(write, s, "d", dims(("ff", axes), "model"), shapes.inside, dims("model") if ffn.bias else None)


def _base(write: Writer, x: Tensor) -> str:
    """A tensor's name without the writer's suffix."""
    return x.name.removesuffix(write.suffix) if write.suffix else x.name
