"""From the numbers of tokens to the stream: the ops before a transformer's first block.

Model: the table of tokens is sharded over the tensor axis by its rows; each chip looks up those that it has, and what the
chips found is added up. Learned positions are a table, too: added as it is where a sequence is as long as the table, else
its rows are looked up. Chips of the context axis, which have parts of a sequence, all have the whole table: its gradient is
a sum over them, as that of any weight is. A table of segments (BERT) is small and stands whole on every chip.
Source: Shoeybi et al. 2019 (Megatron-LM), section 3; Vaswani et al. 2017; Devlin et al. 2019 (segments).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simulator.graph.items import Tensor
from simulator.models.description import Transformer
from simulator.models.steps.pieces import norm
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims

_Step = Callable[[Writer, Shapes, Tensor, str], Tensor]
"""One more thing done to embedded tokens; the last argument is what it makes is called."""


def embedding_ops(write: Writer, shapes: Shapes, out: str) -> Tensor:
    """From the numbers of tokens to the stream."""
    after = list(_after(shapes.model))
    x = _looked_up(write, shapes, "e" if after else out)
    for name, step in after:
        last = step is after[-1][1]
        x = step(write, shapes, x, out if last else name)
    return x


def _after(model: Transformer) -> Iterator[tuple[str, _Step]]:
    """What is done to the rows of the table of tokens, and what it makes is called where more follows."""
    embedding = model.embedding
    if embedding is None:
        return
    if embedding.scaled:
        yield "es", _scaled
    if model.position.kind == "learned":
        yield "ep", position_ops
    if embedding.segments:
        yield "eg", _segmented
    if embedding.norm:
        yield "en", _normed


def _looked_up(write: Writer, shapes: Shapes, out: str) -> Tensor:
    axes = shapes.layout.tensor
    ids = write.tensor("ids", shapes.tokens(), "int32")
    write.owned("inputs", ids)
    table = write.weight("table", dims(("vocab", axes), "model"))
    name = "e" if axes else out
    x = write.op("embedding", table, ids, out=name, shape=shapes.inside, partial=axes, dtype=write.wide)
    if not axes:
        return x
    name = "er" if out == "e" else out
    if shapes.layout.sequence:
        return write.scattered(x, name, shapes.stream, axes, write.wide)
    return write.op("all_reduce", x, out=name, shape=shapes.stream, over=axes, dtype=write.wide)


def _scaled(write: Writer, shapes: Shapes, x: Tensor, out: str) -> Tensor:
    return write.op("scale", x, out=out, shape=shapes.stream, dtype=write.wide)


def _normed(write: Writer, shapes: Shapes, x: Tensor, out: str) -> Tensor:
    return norm(write, shapes, x, out, "e")


def position_ops(write: Writer, shapes: Shapes, x: Tensor, out: str) -> Tensor:
    """Learned positions added to the stream: the whole table, or the rows that a shorter sequence or a part of one has."""
    tokens = dims(("seq", shapes.layout.rows))
    if shapes.places == "seq":
        rows = write.weight("places", (*tokens, *dims("model")))
    else:
        table = write.weight("places", dims(shapes.places, "model"))
        at = write.tensor("at", tokens, "int32")
        write.owned("inputs", at)
        rows = write.op("embedding", table, at, out="placed", shape=(*tokens, *dims("model")), dtype=write.wide)
    return write.op("add", x, rows, out=out, shape=shapes.stream, dtype=write.wide)


def _segmented(write: Writer, shapes: Shapes, x: Tensor, out: str) -> Tensor:
    table = write.weight("segments", dims("segments", "model"))
    which = write.tensor("which", shapes.stream[:-1], "int32")
    write.owned("inputs", which)
    rows = write.op("embedding", table, which, out="segmented", shape=shapes.stream, dtype=write.wide)
    return write.op("add", x, rows, out=out, shape=shapes.stream, dtype=write.wide)
