"""From what a model tells to its loss.

Model: cross entropy, for which logits are turned into the format of the loss first, as the reference implementations do.
Of a vocabulary that chips share each has two sums a token, which are added up. Without fused kernels (PyTorch's
cross_entropy, and its `loss_parallel` where the vocabulary is sharded) log-probabilities are a tensor, which the backward
pass reads, and so is their gradient. BERT's two losses
are added. A model that tells nothing has the mean of the squares of what it makes.
Source: Shoeybi et al. 2019 (Megatron-LM), section 3; Devlin et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulator.graph.items import Tensor
from simulator.models.steps.ends.heads import head_ops, pair_ops, pooled
from simulator.models.steps.pieces import norm
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer


def model_outputs(write: Writer, shapes: Shapes, x: Tensor, tied: Tensor | None) -> tuple[Tensor, ...]:
    """From the stream to all that a transformer tells."""
    head = shapes.model.head
    if head.kind == "none":
        if shapes.model.norm.is_final:
            x = norm(write, shapes, x, "nf")
        return (pooled(write, shapes, x),) if head.pooler else (x,)
    logits = head_ops(write, shapes, x, tied)
    return (logits, pair_ops(write, shapes, x)) if head.pairs else (logits,)


@dataclass(frozen=True, slots=True)
class LossFormat:
    """What a loss is computed in; `in_place`: the gradient of logits is written over them."""

    dtype: str
    in_place: bool = False


def model_loss(write: Writer, shapes: Shapes, x: Tensor, tied: Tensor | None, how: LossFormat) -> tuple[Tensor, Tensor]:
    """From the stream to what is differentiated, the loss, before chips add their sums up where nothing is added to it; and
    what it was told from."""
    logits, *pairs = model_outputs(write, shapes, x, tied)
    if shapes.model.head.kind == "none":
        return squares_ops(write, logits, how.dtype), logits
    loss, whole = loss_ops(write, logits, how)
    for each in pairs:
        other, _ = loss_ops(write, each, how, "pair")
        loss = write.op("add", whole, other, out="losses", shape=whole.dims, dtype=how.dtype)
        write.owned("logits and loss", loss)
    return loss, logits


def loss_ops(write: Writer, logits: Tensor, how: LossFormat, prefix: str = "") -> tuple[Tensor, Tensor]:
    """From logits to the loss of each row: the sums of each chip, and those of all."""
    scores, (*rows, vocabulary), dtype = logits, logits.dims, how.dtype
    if dtype != logits.dtype:
        scores = logits = write.op("cast", logits, out=f"{prefix}logits32", shape=logits.dims, dtype=dtype)
    known = write.eager or None
    if known:
        logits = log_probabilities(write, logits, prefix)
    labels = write.tensor(f"{prefix}labels", rows, "int32")
    write.owned("inputs", labels)
    axes = vocabulary.axes
    told: dict[str, Any] = {"partial": axes, "dtype": dtype, "in_place": how.in_place or None, "logprobs": known}
    loss = write.op("cross_entropy", logits, labels, out=f"{prefix}loss", shape=rows, **told)
    write.owned("logits and loss", scores, logits, loss)
    if not axes:
        return loss, loss
    whole = write.op("all_reduce", loss, out=f"{prefix}lossr", shape=rows, over=axes, dtype=dtype)
    write.owned("logits and loss", whole)
    return loss, whole


def log_probabilities(write: Writer, logits: Tensor, prefix: str) -> Tensor:
    """Log-probabilities as a tensor; of a sharded vocabulary by the sums of all chips."""
    *rows, vocabulary = logits.dims
    like: dict[str, Any] = {"out": f"{prefix}logprobs", "shape": logits.dims, "dtype": logits.dtype}
    axes = vocabulary.axes
    if not axes:
        options: dict[str, Any] = {"axis": str(vocabulary.size)} if isinstance(vocabulary.size, str) else {}
        return write.op("softmax", logits, **like, **options)
    powers = write.op("exp", logits, out=f"{prefix}powers", shape=logits.dims, dtype=logits.dtype)
    part = write.op("reduce", powers, out=f"{prefix}sums", shape=rows, partial=axes, dtype=logits.dtype)
    sums = write.op("all_reduce", part, out=f"{prefix}sumsr", shape=rows, over=axes, dtype=logits.dtype)
    write.owned("logits and loss", powers, part, sums)
    return write.op("log_softmax", logits, sums, **like)


def squares_ops(write: Writer, x: Tensor, dtype: str) -> Tensor:
    """From what a model makes to the squares whose mean stands for a loss."""
    wide = write.op("cast", x, out="out32", shape=x.dims, dtype=dtype)
    # as a product of two, whose backward pass has as many tensors at once as that of PyTorch's square and mean
    loss = write.op("mul", wide, wide, out="loss", shape=x.dims, dtype=dtype)
    write.owned("logits and loss", wide, loss)
    return loss
