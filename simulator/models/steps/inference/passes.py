"""The ops of one pass through one stage of a model: embedding, blocks over their caches, head and next tokens.

Model: a stage is what the chips at one place of a pipeline have: some of the blocks, with the embedding before the first
and the head behind the last; without a pipeline it is the whole model. Only the last token of a sequence goes to the head,
and the largest of its logits is the next token.
Assumes: next tokens are chosen greedily; sampling reads the logits once, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulator.graph.items import Items, Op, Repeat, Tensor
from simulator.graph.owners import Roles
from simulator.models.blocks import Run, mark_of_block, mark_of_run, runs
from simulator.models.description import AttentionKind
from simulator.models.steps.block import block_ops
from simulator.models.steps.ends.heads import head_ops
from simulator.models.steps.ends.tokens import embedding_ops
from simulator.models.steps.inference.cache import CacheAttention, Cached
from simulator.models.steps.inference.request import Pass
from simulator.models.steps.precision import Precision
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims

LAST = "last"
"""The dim of the tokens that go to the head: one of each sequence."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks from `first` to before `end`; `place` along the axis of the pipeline, None where there is none. `opens`,
    `closes`: whether the model begins and ends with them, which a stage without blocks does not tell."""

    first: int
    end: int
    place: int | None = None
    opens: bool = True
    closes: bool = True

    @property
    def mark(self) -> str:
        """What its names end in."""
        return "" if self.place is None else f"_{self.place}"


@dataclass(frozen=True, slots=True)
class Passed:
    """A pass through a stage: its items, its names of weights, what it takes in (None in the first stage) and makes, which
    ops are one kernel, and whose memory tensors take."""

    items: Items
    weights: frozenset[str]
    takes: Tensor | None
    makes: Tensor
    fuse: tuple[tuple[str, ...], ...]
    roles: Roles


@dataclass(frozen=True, slots=True)
class PassMaker:
    """Makes a pass. `earlier`: what names of the pass before end in; `caches`: by kind of attention; `memory`: where
    activations live."""

    shapes: Shapes
    precision: Precision
    step: Pass
    earlier: str | None
    caches: Mapping[AttentionKind, Cached]
    memory: str

    def through(self, stage: Stage) -> Passed:
        """The pass through one stage."""
        items: list[Op | Repeat] = []
        written: list[Writer] = []
        write = self._writer(stage, written)
        stream = taken = write.tensor("x", self.shapes.stream, write.wide)
        if stage.opens:
            write = self._end_writer(stage, written)
            stream = embedding_ops(write, self.shapes, "x")
            items += write.ops
        for number, run in enumerate(runs(self.shapes.model, stage.first, stage.end)):
            own = mark_of_run(number)
            stream = self._run(items, run, stream, (own, stage), written)
        if stage.closes and self.step.has_head:
            write = self._end_writer(stage, written)
            stream = self._next(write, stream)
            items += write.ops
        weights = frozenset(tensor.name for write in written for _, tensor in write.weights)
        fuse = tuple(group for write in written for group in write.fuse)
        roles = {name: owner for write in written for name, owner in write.roles.items()}
        return Passed(tuple(items), weights, None if stage.opens else taken, stream, fuse, roles)

    def _writer(self, stage: Stage, written: list[Writer], own: str = "") -> Writer:
        """A writer; `own`: what tells the names of a block from those of others."""
        suffix = own + stage.mark + self.step.suffix
        precision = self.precision
        made = Writer(
            precision.compute, precision.weights, suffix, self.memory, matmul=precision.matmul, wide=precision.wide
        )
        written.append(made)
        return made

    def _end_writer(self, stage: Stage, written: list[Writer]) -> Writer:
        """A writer for embedding or head, of which no matmul is narrow."""
        precision = self.precision
        stored = precision.vocabulary or precision.weights
        suffix = stage.mark + self.step.suffix
        made = Writer(precision.compute, stored, suffix, self.memory, wide=precision.wide)
        written.append(made)
        return made

    def _run(
        self, items: list[Op | Repeat], run: Run, x: Tensor, where: tuple[str, Stage], written: list[Writer]
    ) -> Tensor:
        """Blocks that repeat: in each round the stream goes through all of them."""
        own, stage = where
        if own:
            # what a block takes in has a name of its own, by which its rounds are told from those of the block before
            taken = self._writer(stage, written, own).tensor("x", self.shapes.stream, x.dtype)
            items.append(Op(taken, "view", (x,)))
            x = taken
        attention = CacheAttention(self.step, self.earlier, self.caches, self.precision.kv)
        stream, ops = x, list[Op]()
        for at, block in enumerate(run.blocks):
            mark = mark_of_block(at) if len(run.blocks) > 1 else ""
            write = self._writer(stage, written, own + mark)
            out = "y" if at == len(run.blocks) - 1 else "z"
            stream = block_ops(write, self.shapes, block, stream, out, attention)
            ops += write.ops
        items.append(Repeat(run.repeat, tuple(ops), ((x.name, stream.name),)))
        return stream

    def _next(self, write: Writer, x: Tensor) -> Tensor:
        """The next token of each sequence, from its last one."""
        layout, axes = self.shapes.layout, self.shapes.layout.tensor
        if self.step.tokens > 1:
            shape = (x.dims[0], *dims(LAST, "model"))
            x = write.op("view", x, out="xlast", shape=shape, dtype=x.dtype)
            if layout.rows:
                x = write.op("broadcast", x, out="xhead", shape=shape, over=layout.rows, dtype=x.dtype)
        alone = replace(self.shapes, layout=replace(layout, rows="", seq=""))
        before = len(write.ops)
        embedding = self.shapes.model.embedding
        tied = embedding is not None and embedding.tied
        table = write.weight("table", dims(("vocab", axes), "model")) if tied else None
        logits = head_ops(write, alone, x, table)
        shape = logits.dims[:-1]
        best = write.op("reduce", logits, out="best" if axes else "next", shape=shape, partial=axes, dtype="int32")
        if axes:
            best = write.op("all_reduce", best, out="next", shape=shape, over=axes, dtype="int32")
        if self.step.tokens > 1:
            write.ops[before:] = [of_last(op) for op in write.ops[before:]]
        return best


def of_last(op: Op) -> Op:
    """An op on whole sequences, on their last tokens."""

    def moved(tensor: Tensor) -> Tensor:
        return replace(tensor, dims=tuple(dim._replace(size=LAST) if dim.size == "seq" else dim for dim in tensor.dims))

    return replace(op, output=moved(op.output), inputs=tuple(map(moved, op.inputs)))
