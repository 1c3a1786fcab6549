"""Pieces of blocks: norms, matmuls with their biases, feed-forward networks, and the ends of tensor-parallel regions.

Model: a tensor-parallel region begins where tokens are gathered over the tensor axis (or stand whole on its chips) and
ends where its sums are scattered over tokens again (or added up). A bias is added by the matmul's own kernel, that of sums
over chips when they are whole.
Source: Shoeybi et al. 2019 (Megatron-LM); Korthikanti et al. 2022 (sequence parallelism).
"""

from __future__ import annotations

from simulator.graph.items import Dim, Tensor
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu", "relu": "relu", "silu": "silu", "clamped_silu": "silu"}
"""The op of each activation."""

CHOOSES = ("router", "shweigh")
"""Matmuls that are as wide as activations whatever others are: few numbers, on which much depends."""


def norm(write: Writer, shapes: Shapes, x: Tensor, out: str, named: str = "") -> Tensor:
    """A norm over the width of the model; its weights are named after it, or after `named`."""
    given = shapes.model.norm
    weights = [write.weight(f"g{named or out}", dims("model"))]
    if given.has_bias:
        weights.append(write.weight(f"b{named or out}", dims("model")))
    return write.op(f"{given.kind}_norm", x, *weights, out=out, shape=x.dims, dtype=write.wide)


def enter(write: Writer, shapes: Shapes, x: Tensor, as_operand: bool = False) -> Tensor:
    """Tokens at the beginning of a tensor-parallel region: gathered over its chips where they were sharded, `as_operand` of
    matmuls where nothing but those reads them."""
    if not shapes.layout.sequence:
        return x
    x = write.operand(x) if as_operand else write.narrow(x)
    return write.gathered(x, f"{base_name(write, x)}g", shapes.inside, shapes.layout.tensor)


def leave(write: Writer, shapes: Shapes, x: Tensor, has_bias: bool) -> Tensor:
    """Sums at the end of a tensor-parallel region: scattered over tokens, or whole on every chip; then their bias."""
    if not x.partial:
        return x
    name = base_name(write, x)
    if shapes.layout.sequence:
        made = write.scattered(x, f"{name}r", shapes.stream, x.partial)
    else:
        made = write.op("all_reduce", x, out=f"{name}r", shape=shapes.stream, over=x.partial)
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
    """A matmul with weight `w<out>`; with a bias, which the same kernel adds. Axes that it contracts leave partial sums.
    Operands are cast to the format of matmuls, but for what chooses experts; a bias to that of activations."""
    w = write.weight(f"w{out}", weight)
    cast = write.narrow if out in CHOOSES else write.operand
    x, w = cast(x, out), cast(w)
    kept = {dim.size for dim in shape}
    partial = "".join(dim.axes for dim in weight if dim.size not in kept)
    # the bias of sums over chips is added when they are whole
    late = bias is not None and partial
    made = write.op("matmul", x, w, out=f"{out}m" if bias and not late else out, shape=shape, partial=partial)
    if bias is None or late:
        return made
    added = write.op("add", made, write.narrow(write.weight(f"b{out}", bias)), out=out, shape=shape)
    write.together(made, added)
    return added


def network(write: Writer, shapes: Shapes, x: Tensor, width: str, prefix: str = "") -> Tensor:
    """A feed-forward network of some width, from tokens inside a region to the sums of its last matmul; its tensors have
    a prefix where the block has another such network."""
    ffn, axes = shapes.model.ffn, shapes.layout.tensor
    wide, hidden = dims("model", (width, axes)), shapes.tokens((width, axes))
    if ffn.fused:
        x = write.narrow(x)
    bias = dims((width, axes)) if ffn.bias else None
    if ffn.gated:
        gate = linear(write, x, f"{prefix}gate", wide, hidden, bias)
        up = linear(write, x, f"{prefix}up", wide, hidden, bias)
        if write.eager:
            # the product keeps what it multiplies: one tensor more than a fused kernel
            opened = write.op(ACTIVATIONS[ffn.activation], gate, out=f"{prefix}act", shape=hidden)
            s = write.op("mul", opened, up, out=f"{prefix}s", shape=hidden)
        else:
            s = write.op("swiglu", gate, up, out=f"{prefix}s", shape=hidden)
    else:
        up = linear(write, x, f"{prefix}up", wide, hidden, bias)
        s = write.op(ACTIVATIONS[ffn.activation], up, out=f"{prefix}s", shape=hidden)
    last = dims("model") if ffn.bias else None
    return linear(write, s, f"{prefix}d", dims((width, axes), "model"), shapes.inside, last)


def dropped(write: Writer, x: Tensor) -> Tensor:
    """What is left of a tensor of which some numbers are dropped."""
    return write.op("dropout", x, out=f"{base_name(write, x)}o", shape=x.dims, partial=x.partial)


def head_norm(write: Writer, x: Tensor, width: str = "head") -> Tensor:
    """Rows of a width normed by themselves: each head, or a narrow vector."""
    name = base_name(write, x)
    return write.op("rms_norm", x, write.weight(f"g{name}", dims(width)), out=f"{name}n", shape=x.dims)


def heads_for_tokens(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """Some heads of the whole sequence for all heads of some tokens, or the other way round. The dims of heads and of tokens
    are the second and the third."""
    axes = shapes.layout.seq
    batch, heads, tokens, size = x.dims
    if any(axis in tokens.axes for axis in axes):
        swapped = Dim(heads.size, heads.axes + axes), Dim(tokens.size)
    else:
        swapped = Dim(heads.size, without(heads.axes, axes)), Dim(tokens.size, axes)
    shape = (batch, *swapped, size)
    return write.op("all_to_all", x, out=f"{base_name(write, x)}x", shape=shape, over=axes, dtype=x.dtype)


def without(axes: str, others: str) -> str:
    """Axes but for some others."""
    return "".join(axis for axis in axes if axis not in others)


def keys_of_all(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """Keys or values of the whole sequence."""
    if not shapes.layout.seq:
        return x
    if shapes.exchanges:
        return heads_for_tokens(write, shapes, x)
    whole = tuple(Dim(dim.size) if dim.size == "seq" else dim for dim in x.dims)
    return write.op("all_gather", x, out=f"{base_name(write, x)}c", shape=whole, over=shapes.layout.seq)


def base_name(write: Writer, x: Tensor) -> str:
    """A tensor's name without the writer's suffix."""
    return x.name.removesuffix(write.suffix) if write.suffix else x.name
