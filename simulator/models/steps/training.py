"""A training step of a transformer as an op graph: forward, backward, gradients, optimizer.

Model: the blocks of a run are one block of ops, repeated; its backward pass is that block walked backwards
(`simulator.passes.differentiate`). Gradients are reduced over data-parallel chips part by part, in the queue of their
axes, beside the backward pass of the parts before. Several microbatches are one repeated block of both passes whose
gradients are added up, and a last one whose gradients are reduced.
Law: forward and backward matmuls are 6 FLOPs a parameter and token, attention and the vocabulary's apart; what is
recomputed comes on top.
Source: Kaplan et al. 2020 (6 P D); Narayanan et al. 2021; Chen et al. 2016 and Korthikanti et al. 2022 for recomputation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from hw import Mark, Problem, SpecError
from hw.input import unknown
from simulator.graph.items import Items, Op, Repeat, Tensor, every_op
from simulator.graph.op_graph import OpGraph
from simulator.models.blocks import Run, runs
from simulator.models.description import Transformer
from simulator.models.steps.buffers import STATES, Buffer, Stored, buffers
from simulator.models.steps.ends import embedding_ops, head_ops, loss_ops
from simulator.models.steps.layout import Parallel
from simulator.models.steps.precision import PRECISIONS, Precision
from simulator.models.steps.sizes import microbatches, sizes_of
from simulator.models.steps.transformer import Shapes, block_ops
from simulator.models.steps.writer import Writer
from simulator.passes.differentiate import Gradients, differentiate
from simulator.passes.rename import own_names, renamed

_LAST = "Z"
"""What the names of the last microbatch end in."""

RECOMPUTE = ("none", "selective", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a step is: sequences of all replicas together, tokens of each, formats, optimizer, and what is recomputed:
    'none', 'selective' (attention), 'full' (all but the blocks' inputs), or the number of blocks of which all is."""

    batch: int
    seq: int
    precision: Precision = PRECISIONS["mixed_bf16"]
    optimizer: str = "adamw"
    recompute: str | int = "none"

    def __post_init__(self) -> None:
        if self.optimizer not in STATES:
            raise SpecError([Problem(Mark("optimizer"), unknown("optimizer", self.optimizer, STATES))])
        if isinstance(self.recompute, str) and self.recompute not in RECOMPUTE:
            raise SpecError([Problem(Mark("recompute"), unknown("recompute", self.recompute, RECOMPUTE))])


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model: forward items, from the stream it takes to what it makes, its buffers, and what of it is run
    again in the backward pass."""

    items: Items
    buffers: tuple[Buffer, ...]
    makes: Tensor
    again: frozenset[str]
    fuse: tuple[tuple[str, ...], ...]


def train_graph(model: Transformer, parallel: Parallel, training: Training) -> OpGraph:
    """The op graph of one step. Raises SpecError where batch or sequence do not divide."""
    return _Step(model, parallel, training).graph()


class _Step:
    """One step being built."""

    def __init__(self, model: Transformer, parallel: Parallel, training: Training) -> None:
        self.model, self.parallel, self.training = model, parallel, training
        self.microbatches = microbatches(parallel, training.batch)
        self.stored = Stored(parallel, training.precision, adds_up=self.microbatches > 1)
        self.shapes = Shapes.of(model, parallel)
        self.sizes = sizes_of(model, parallel, training.batch, training.seq)

    def graph(self) -> OpGraph:
        """All parts put together."""
        parts = self.parts()
        every = [buffer for part in parts for buffer in part.buffers]
        dims = {**self.sizes, **{buffer.dim: buffer.size for buffer in every}}
        forward = tuple(item for part in parts for item in part.items)
        loss = next(op.output for op in every_op(forward) if op.name == "loss")
        again = frozenset().union(*(part.again for part in parts))
        wanted = {weight.name for buffer in every for weight in buffer.weights}
        back = differentiate(forward, {"loss": loss}, wanted, again)
        declared = self._declared(parts)
        last = (*forward, *self._with_gradients(parts, back, dims, last=True))
        fuse = [group for part in parts for group in part.fuse]
        items = [*declared]
        names: dict[str, str] = {}
        if self.microbatches > 1:
            # all microbatches but the last are a block; the last one stands apart, since behind it sums are complete
            micro = (*forward, *self._with_gradients(parts, back, dims, last=False))
            items.append(Repeat(self.microbatches - 1, micro))
            shared = {op.name for op in every_op(tuple(declared))}
            names = {name: f"{name}{_LAST}" for name in own_names(last, shared)}
            fuse += [tuple(names[name] for name in group) for group in fuse]
        items += renamed((*last, *self._stepped(parts)), names)
        return OpGraph(dims, tuple(items), fuse=[list(group) for group in fuse] or "none")

    def parts(self) -> list[Part]:
        """Embedding, runs of blocks, head and loss."""
        found = [self._first()]
        for number, run in enumerate(runs(self.model)):
            found.append(self._run(run, found[-1].makes, number))
        found.append(self._last(found[-1].makes, found[0]))
        return found

    def _writer(self, suffix: str = "") -> Writer:
        return Writer(self.training.precision.compute, self.training.precision.weights, suffix)

    def _first(self) -> Part:
        write = self._writer()
        x = embedding_ops(write, self.shapes, "x")
        found = buffers("In", write.weights, self.parallel, self.sizes, repeated=False)
        views = [op for buffer in found for op in self.stored.views(buffer, "")]
        return Part((*views, *write.ops), found, x, frozenset(), tuple(write.fuse))

    def _run(self, run: Run, x: Tensor, number: int) -> Part:
        """Blocks that repeat: in each round the stream goes through all of them."""
        name = "" if number == 0 else str(number)
        write = self._writer()
        start = replace(x, name=x.name)
        stream = start
        for at, block in enumerate(run.blocks):
            last = at == len(run.blocks) - 1
            write.suffix = name + ("" if len(run.blocks) == 1 else "abcdefghijklmnopqrstuvwxyz"[at])
            stream = block_ops(write, self.shapes, block, stream, "y" if last else "z")
        found = buffers(name or "L", write.weights, self.parallel, self.sizes, repeated=True)
        late = f"{stream.name}@round-{self.parallel.prefetch + 1}"
        views = [op for buffer in found for op in self.stored.views(buffer, late)]
        again = frozenset().union(*(self.stored.late_names(buffer) for buffer in found))
        body = (*views, *write.ops)
        again |= self._recomputed(write.ops, stream)
        block_item = Repeat(run.repeat, body, ((start.name, stream.name),))
        return Part((block_item,), found, stream, again, tuple(write.fuse))

    def _recomputed(self, ops: Sequence[Op], end: Tensor) -> frozenset[str]:
        """What of a block is run again in the backward pass."""
        how = self.training.recompute
        if how == "selective":
            return frozenset(op.name for op in ops if op.kind == "attention")
        if how == "full":
            return frozenset(op.name for op in ops if op.name != end.name)
        return frozenset()

    def _last(self, y: Tensor, first: Part) -> Part:
        write = self._writer()
        tied = self.model.embedding is not None and self.model.embedding.tied
        table = next((each for buffer in first.buffers for each in buffer.weights if each.name == "table"), None)
        logits = head_ops(write, self.shapes, y, table if tied else None)
        loss_ops(write, self.shapes, logits, self.training.precision.logits)
        found = buffers("Out", write.weights, self.parallel, self.sizes, repeated=False)
        views = [op for buffer in found for op in self.stored.views(buffer, "")]
        return Part((*views, *write.ops), found, logits, frozenset(), tuple(write.fuse))

    def _declared(self, parts: Sequence[Part]) -> list[Op | Repeat]:
        items: list[Op | Repeat] = []
        for part in parts:
            ops = tuple(op for buffer in part.buffers for op in self.stored.declared(buffer))
            items += _repeated(part, ops)
        return items

    def _with_gradients(
        self, parts: Sequence[Part], back: Gradients, dims: dict[str, int], last: bool
    ) -> list[Op | Repeat]:
        """The backward pass of a microbatch, each part's gradients collected where they are complete, and reduced where
        sums are: behind the last microbatch, or behind each."""
        owned = {
            self.stored.owned(buffer).name
            for part in parts
            for buffer in part.buffers
            if self.stored.gathers_late(buffer)
        }
        items = [self._prefetched(item, owned) if isinstance(item, Repeat) else item for item in back.items]
        for part in parts:
            for buffer in part.buffers:
                ops = self._collected(buffer, back.of, dims, last)
                _insert(items, ops, {back.of[weight.name].name for weight in buffer.weights})
        return items

    def _prefetched(self, block: Repeat, owned: Collection[str]) -> Repeat:
        """A block of the backward pass whose gathers of weights wait for the rounds before, as in the forward pass."""
        end = next(iter(dict(block.carry).values()))
        late = ("after", f"{end}@round+{self.parallel.prefetch + 1}")
        waiting = [
            replace(op, options=(*op.options, late))
            if isinstance(op, Op) and op.kind == "all_gather" and op.inputs[0].name in owned
            else op
            for op in block.items
        ]
        return replace(block, items=tuple(waiting))

    def _collected(self, buffer: Buffer, gradients: Mapping[str, Tensor], dims: dict[str, int], last: bool) -> list[Op]:
        ops, packed = self.stored.collected(buffer, gradients)
        for op in ops:
            if op.name == f"q{buffer.name}":
                dims[f"shared{buffer.name}"] = sum(_elements(tensor, dims) for tensor in op.inputs)
        more, _ = self.stored.finished(buffer, packed, last and not self.stored.waits(buffer))
        return [*ops, *more]

    def _stepped(self, parts: Sequence[Part]) -> list[Op | Repeat]:
        """Gradients that waited for the end of the backward pass reduced, then every part's weights stepped."""
        reductions: list[Op | Repeat] = []
        steps: list[Op | Repeat] = []
        for part in parts:
            late: list[Op] = []
            ops: list[Op] = []
            for buffer in part.buffers:
                packed = buffer.tensor("g", self.training.precision.gradients, partial=buffer.data)
                more, summed = self.stored.finished(buffer, packed)
                if self.stored.waits(buffer):
                    more, summed = self.stored.reduced(buffer, packed)
                    late += more
                ops += self.stored.stepped(buffer, summed, self.training.optimizer)
            reductions += _repeated(part, tuple(late))
            steps += _repeated(part, tuple(ops))
        return [*reductions, *steps]


def _repeated(part: Part, ops: tuple[Op, ...]) -> list[Op | Repeat]:
    """Ops for every round of a part, or once."""
    block = next((item for item in part.items if isinstance(item, Repeat)), None)
    if not ops:
        return []
    return list(ops) if block is None else [Repeat(block.count, ops)]


def _insert(items: list[Op | Repeat], ops: Sequence[Op], made: Collection[str]) -> None:
    """Put ops right behind the last of the ops that make some tensors, in the block in which they stand."""
    for at, item in enumerate(items):
        if isinstance(item, Repeat) and any(op.name in made for op in every_op(item.items)):
            inner = list(item.items)
            _insert(inner, ops, made)
            items[at] = replace(item, items=tuple(inner))
            return
    last = max(at for at, item in enumerate(items) if isinstance(item, Op) and item.name in made)
    items[last + 1 : last + 1] = ops


def _elements(tensor: Tensor, sizes: Mapping[str, int]) -> int:
    """Elements of a tensor that is whole on every chip."""
    count = 1
    for dim in tensor.dims:
        count *= sizes[dim.size] if isinstance(dim.size, str) else dim.size
    return count
