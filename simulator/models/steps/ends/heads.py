"""From the stream to what a model tells: the ops behind a transformer's last block.

Model: the matmul over the vocabulary makes logits sharded by vocabulary over the tensor axis. Before it a model of masked
tokens (BERT) has a dense layer, an activation and a norm. Classes are read off one token: the first, which a class token
or a pooler makes that of the whole sequence, else off the mean of all. Where tokens are sharded between tensor-parallel
regions, all of them are gathered for that; every chip of the tensor axis does the little that follows.
Source: Shoeybi et al. 2019 (Megatron-LM), section 3; Devlin et al. 2019; Dosovitskiy et al. 2021; torchvision.
"""

from __future__ import annotations

from simulator.graph.items import Tensor
from simulator.models.steps.pieces import ACTIVATIONS, enter, linear, norm
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims


def head_ops(write: Writer, shapes: Shapes, x: Tensor, tied: Tensor | None) -> Tensor:
    """From the stream to logits; `tied`: the table of tokens, where the head's matrix is that."""
    model = shapes.model
    if model.norm.is_final:
        x = norm(write, shapes, x, "nf")
    if model.head.kind == "classes":
        logits = _classes(write, shapes, x)
    else:
        if model.head.kind == "masked_tokens":
            x = _dense(write, shapes, x)
        logits = _vocabulary(write, shapes, x, tied)
    write.owned("logits and loss", logits)
    return logits


def pair_ops(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """From the stream to whether two sentences follow each other."""
    batch = dims(("batch", shapes.layout.batch))
    logits = linear(write, pooled(write, shapes, x), "pairs", dims("model", "two"), (*batch, *dims("two")), dims("two"))
    write.owned("logits and loss", logits)
    return logits


def pooled(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """The first token through a dense layer and tanh."""
    batch = dims(("batch", shapes.layout.batch))
    first = write.op(
        "first", _all_tokens(write, shapes, x), out="xfirst", shape=(*batch, *dims("model")), dtype=x.dtype
    )
    made = linear(write, first, "pool", dims("model", "model"), (*batch, *dims("model")), dims("model"))
    return write.op("tanh", made, out="pooled", shape=made.dims)


def _vocabulary(write: Writer, shapes: Shapes, x: Tensor, tied: Tensor | None) -> Tensor:
    axes = shapes.layout.tensor
    inside = write.narrow(enter(write, shapes, x), "logits")
    w = write.narrow(tied or write.weight("wvocab", dims("model", ("vocab", axes))))
    shape = shapes.tokens(("vocab", axes))
    biased = shapes.model.head.bias
    logits = write.op("matmul", inside, w, out="logitsm" if biased else "logits", shape=shape)
    if not biased:
        return logits
    bias = write.weight("bvocab", dims(("vocab", axes)))
    made = write.op("add", logits, bias, out="logits", shape=shape)
    write.together(logits, made)
    return made


def _dense(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """A dense layer, an activation and a norm."""
    made = linear(write, x, "dense", dims("model", "model"), x.dims, dims("model"))
    opened = write.op(ACTIVATIONS[shapes.model.ffn.activation], made, out="denseact", shape=x.dims)
    return norm(write, shapes, opened, "nd")


def _classes(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    model = shapes.model
    shape = dims(("batch", shapes.layout.batch), "model")
    if model.head.pooler:
        token = pooled(write, shapes, x)
    elif model.patches is None or model.patches.class_token:
        token = write.op("first", _all_tokens(write, shapes, x), out="xfirst", shape=shape, dtype=x.dtype)
    else:
        token = write.op("reduce", _all_tokens(write, shapes, x), out="xmean", shape=shape, dtype=x.dtype)
    bias = dims("classes") if model.head.bias else None
    return linear(write, token, "logits", dims("model", "classes"), (shape[0], *dims("classes")), bias)


def _all_tokens(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """The whole sequence on every chip."""
    axes = shapes.layout.rows
    if not axes:
        return x
    whole = dims(("batch", shapes.layout.batch), "seq", "model")
    return write.op("all_gather", x, out="xall", shape=whole, over=axes, dtype=x.dtype)
