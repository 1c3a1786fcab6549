"""The ops before a transformer's first block and behind its last: embedding, final norm, head and loss.

Model: the table of tokens is sharded over the tensor axis by its rows; each chip looks up those that it has, and what the
chips found is added up. The head's matmul makes logits sharded by vocabulary, of which the loss needs two sums a token.
Logits are turned into the format of the loss first, as the reference implementations do. Without fused kernels
(PyTorch's cross_entropy) log-probabilities are a tensor, which the backward pass reads, and so is their gradient.
Source: Shoeybi et al. 2019 (Megatron-LM), section 3; Vaswani et al. 2017.
"""

from __future__ import annotations

from simulator.graph.items import Tensor
from simulator.models.steps.pieces import enter, norm
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims


def embedding_ops(write: Writer, shapes: Shapes, out: str) -> Tensor:
    """From the numbers of tokens to the stream."""
    model, axes = shapes.model, shapes.layout.tensor
    ids = write.tensor("ids", shapes.tokens(), "int32")
    write.owned("inputs", ids)
    table = write.weight("table", dims(("vocab", axes), "model"))
    extra = model.position.kind == "learned" or (model.embedding is not None and model.embedding.scaled)
    normed = model.embedding is not None and model.embedding.norm
    name = "e" if extra or normed or axes else out
    x = write.op("embedding", table, ids, out=name, shape=shapes.inside, partial=axes)
    if axes:
        kind = "reduce_scatter" if shapes.layout.sequence else "all_reduce"
        x = write.op(kind, x, out="er" if extra or normed else out, shape=shapes.stream, over=axes)
    if model.position.kind == "learned":
        places = write.weight("places", dims(("seq", shapes.layout.rows), "model"))
        x = write.op("add", x, places, out="ep" if normed else out, shape=shapes.stream)
    elif extra:
        x = write.op("scale", x, out="ep" if normed else out, shape=shapes.stream)
    return norm(write, shapes, x, out, "e") if normed else x


def head_ops(write: Writer, shapes: Shapes, x: Tensor, tied: Tensor | None) -> Tensor:
    """From the stream to logits; `tied`: the table of tokens, where the head's matrix is that."""
    axes = shapes.layout.tensor
    if shapes.model.norm.is_final:
        x = norm(write, shapes, x, "nf")
    inside = enter(write, shapes, x)
    w = tied or write.weight("wvocab", dims("model", ("vocab", axes)))
    logits = write.op("matmul", inside, w, out="logits", shape=shapes.tokens(("vocab", axes)))
    write.owned("logits and loss", logits)
    return logits


def loss_ops(write: Writer, shapes: Shapes, logits: Tensor, dtype: str, in_place: bool = False) -> Tensor:
    """From logits to the loss of each token; returns what is differentiated: the loss before chips add their sums up.
    `in_place`: the gradient of the logits is written over them."""
    scores = logits
    if dtype != logits.dtype:
        scores = logits = write.op("cast", logits, out="logits32", shape=logits.dims, dtype=dtype)
    if write.eager and not shapes.layout.tensor:
        logits = write.op("softmax", logits, out="logprobs", shape=logits.dims, dtype=dtype, axis="vocab")
    labels = write.tensor("labels", shapes.tokens(), "int32")
    write.owned("inputs", labels)
    axes = shapes.layout.tensor
    over = in_place or None
    shape = shapes.tokens()
    loss = write.op("cross_entropy", logits, labels, out="loss", shape=shape, partial=axes, dtype=dtype, in_place=over)
    write.owned("logits and loss", scores, logits, loss)
    if axes:
        whole = write.op("all_reduce", loss, out="lossr", shape=shapes.tokens(), over=axes, dtype=dtype)
        write.owned("logits and loss", whole)
    return loss


def squares_ops(write: Writer, shapes: Shapes, x: Tensor, dtype: str) -> Tensor:
    """From the stream of a model without vocabulary to the squares whose mean stands for a loss."""
    if shapes.model.norm.is_final:
        x = norm(write, shapes, x, "nf")
    wide = write.op("cast", x, out="out32", shape=x.dims, dtype=dtype)
    # as a product of two, whose backward pass has as many tensors at once as that of PyTorch's square and mean
    loss = write.op("mul", wide, wide, out="loss", shape=x.dims, dtype=dtype)
    write.owned("logits and loss", wide, loss)
    return loss
