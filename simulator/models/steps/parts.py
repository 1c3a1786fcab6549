"""The parts of a model: embedding, blocks that repeat, head and loss, each with its weights in buffers.

Model: a chunk is what one stage of a pipeline computes at once: some of the blocks, with the embedding before the first
and the head behind the last. Without a pipeline there is one chunk, the whole model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from simulator.graph.items import Dim, Items, Op, Repeat, Tensor
from simulator.graph.owners import Roles
from simulator.models.blocks import Run, runs
from simulator.models.description import Transformer
from simulator.models.steps.block import block_ops
from simulator.models.steps.buffers import Stored
from simulator.models.steps.ends.images import image_ops
from simulator.models.steps.ends.losses import LossFormat, model_loss, model_outputs
from simulator.models.steps.ends.tokens import embedding_ops
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.storage.buffer import Buffer, buffers
from simulator.models.steps.writer import Writer
from simulator.passes.differentiate import Remake

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model: forward items, its buffers, what they make, what of it is run again in the backward pass, which
    ops are one kernel, whose memory is taken by what is no activation, and what is made again in another way. `returns`:
    what the model hands to whoever called it, in the part that ends in a loss. `kept`: what is kept for the backward pass
    even if nothing there reads it. `whole`: what ends the blocks that are run again to their end. `tied`: the weight that is
    the same as one of another chunk."""

    items: Items
    buffers: tuple[Buffer, ...]
    makes: Tensor
    again: frozenset[str] = frozenset()
    fuse: tuple[tuple[str, ...], ...] = ()
    roles: Roles = field(default_factory=dict)
    remakes: Mapping[str, Remake] = field(default_factory=dict)
    returns: str = ""
    tied: Tensor | None = None
    kept: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()

    @property
    def rounds(self) -> int | str | None:
        """How often its block repeats; None where it has none."""
        return next((item.count for item in self.items if isinstance(item, Repeat)), None)

    def for_each(self, ops: Sequence[Op]) -> list[Op | Repeat]:
        """Ops once for every round of the part's block, or once."""
        if not ops:
            return []
        return list(ops) if self.rounds is None else [Repeat(self.rounds, tuple(ops))]


@dataclass(frozen=True, slots=True)
class Slice:
    """Which blocks a chunk has, from `first` to before `end`; `number`: of the chunk, None if it is the only one.
    `opens`, `closes`: whether the model begins and ends with it, which a chunk without blocks does not tell; `leads`:
    whether it is the first chunk of its stage."""

    first: int
    end: int
    number: int | None = None
    opens: bool = True
    closes: bool = True
    leads: bool = True

    @property
    def suffix(self) -> str:
        """What the names of a chunk end in."""
        return "" if self.number is None else f"_{self.number}"

    @property
    def mark(self) -> str:
        """The same in the names of buffers, which are dims too."""
        return "" if self.number is None else f"{self.number}"


@dataclass(frozen=True, slots=True)
class PartMaker:
    """Makes the parts of a chunk. `has_loss`: it ends in a loss, and not in what the model tells."""

    model: Transformer
    shapes: Shapes
    stored: Stored
    sizes: Mapping[str, int]
    recompute: str | int
    where: Slice
    eager: bool | str = False
    has_loss: bool = True

    def parts(self) -> list[Part]:
        """Embedding, runs of blocks, head and loss, as far as the chunk has them."""
        found: list[Part] = []
        stream = self.taken
        if not self.where.opens and self._sends_parts:
            found.append(self._arrived(stream))
            stream = found[-1].makes
        if self.where.opens and (self.model.embedding is not None or self.model.patches is not None):
            found.append(self._first())
            stream = found[-1].makes
        for number, run in enumerate(self._runs()):
            found.append(self._run(run, stream, number, self._remakes(run)))
            stream = found[-1].makes
        if self.where.closes:
            found.append(self._last(stream, found[0] if found else None))
        elif self._sends_parts and found:
            found.append(self._leaving(stream))
        return found

    @property
    def taken(self) -> Tensor:
        """What the chunk takes in where it is not the first."""
        write = self._writer()
        if self._sends_parts:
            return write.tensor("xpart", self._in_parts, write.wide)
        return write.tensor("x", self.shapes.stream, write.wide)

    @property
    def _sends_parts(self) -> bool:
        """Whether each chip of a stage sends its part of what they all have, which the next stage's gather: Megatron-LM
        (Narayanan et al. 2021, section 4.1)."""
        layout, parallel = self.shapes.layout, self.stored.parallel
        whole = parallel.pp > 1 and bool(layout.tensor) and not layout.sequence
        return self.stored.megatron and whole and self.sizes["seq"] % (parallel.tp * parallel.cp) == 0

    @property
    def _in_parts(self) -> tuple[Dim, ...]:
        """The stream, a part of it on each chip of the tensor axis."""
        batch, tokens, width = self.shapes.stream
        return batch, Dim(tokens.size, tokens.axes + self.shapes.layout.tensor), width

    def _arrived(self, part: Tensor) -> Part:
        """What came in parts, gathered; it is kept whole."""
        write = self._writer()
        x = write.op(
            "all_gather", part, out="x", shape=self.shapes.stream, dtype=part.dtype, over=self.shapes.layout.tensor
        )
        return Part(tuple(write.ops), (), x, frozenset())

    def _leaving(self, y: Tensor) -> Part:
        """The own part of what is sent."""
        write = self._writer()
        part = write.op("slice", y, out="ypart", shape=self._in_parts, dtype=y.dtype, over=self.shapes.layout.tensor)
        return Part(tuple(write.ops), (), part, frozenset())

    def _runs(self) -> list[Run]:
        """Runs of blocks, cut where recomputing ends."""
        where, until = self.where, self._remade_until
        cuts = sorted({where.first, min(max(until, where.first), where.end), where.end})
        return [run for begin, end in pairwise(cuts) for run in runs(self.model, begin, end)]

    @property
    def _remade_until(self) -> int:
        """The block from which on nothing is recomputed whole, where that is said by a number."""
        return self.recompute if isinstance(self.recompute, int) else 0

    def _remakes(self, run: Run) -> str:
        if isinstance(self.recompute, str):
            return self.recompute
        return "full" if run.first < self._remade_until else "none"

    def _writer(self) -> Writer:
        """For blocks."""
        precision = self.stored.precision
        made = Writer(precision.compute, precision.weights, self.where.suffix, eager=self.eager is True)
        made.matmul, made.wide, made.in_rows = precision.matmul, precision.wide, self._in_rows
        made.joins_sums, made.by_heads = self.stored.megatron, self._by_heads
        return made

    @property
    def _by_heads(self) -> bool:
        """Whether attention's output lies by heads, as PyTorch makes it of queries that were rotated by heads, compiled or
        not; torchtitan, whose layers are compiled one by one, rotates before heads are apart."""
        return bool(self.eager) and (self.eager is True or not self.stored.pytorch)

    @property
    def _in_rows(self) -> bool:
        """PyTorch's collectives gather along the first dim, but for those that are one with their matmuls."""
        return self.stored.pytorch and self.stored.parallel.collective_matmul == 1

    def _end_writer(self) -> Writer:
        """For embedding and head."""
        precision = self.stored.precision
        stored = precision.vocabulary or precision.weights
        made = Writer(precision.compute, stored, self.where.suffix, eager=bool(self.eager), wide=precision.wide)
        made.in_rows = self._in_rows
        return made

    def _first(self) -> Part:
        write = self._end_writer()
        patches = self.model.patches
        x = embedding_ops(write, self.shapes, "x") if patches is None else image_ops(write, self.shapes, patches, "x")
        part = self._part(f"In{self.where.mark}", write, x)
        return replace(part, tied=_weight(part, "table")) if self._is_tied and not self._has_both else part

    @property
    def _is_tied(self) -> bool:
        """Whether the head's matrix is the table of tokens."""
        return self.model.embedding is not None and self.model.embedding.tied

    @property
    def _has_both(self) -> bool:
        """Whether the chunk has both ends of the model."""
        return self.where.opens and self.where.closes

    def _last(self, y: Tensor, first: Part | None) -> Part:
        write = self._end_writer()
        table = _weight(first, "table") if first is not None and self._is_tied and self._has_both else None
        if self.has_loss:
            dtype, in_place = self.stored.precision.logits, self.stored.megatron
            made, told = model_loss(write, self.shapes, y, table, LossFormat(dtype, in_place))
        else:
            made = told = model_outputs(write, self.shapes, y, table)[0]
        part = replace(self._part(f"Out{self.where.mark}", write, made), returns=told.name)
        return replace(part, tied=_weight(part, "wvocab")) if self._is_tied and not self._has_both else part

    def _gathered_again(self, ops: Sequence[Op]) -> frozenset[str]:
        """What Megatron-LM keeps the chip's part of, and gathers once more in the backward pass."""
        return frozenset(op.name for op in ops if op.kind == "all_gather") if self.stored.megatron else frozenset()

    def _part(self, name: str, write: Writer, makes: Tensor) -> Part:
        """A part without a block."""
        found = buffers(name, write.weights, self.stored.parallel, self.sizes, repeated=False)
        views = [op for buffer in found for op in self.stored.views(buffer, "")]
        again = self._gathered_again(write.ops)
        return Part((*views, *write.ops), found, makes, again, fuse=tuple(write.fuse), roles=write.roles)

    def _run(self, run: Run, x: Tensor, number: int, recompute: str) -> Part:
        """Blocks that repeat: in each round the stream goes through all of them."""
        write = self._writer()
        own = "" if number == 0 else _LETTERS[number - 1].upper()
        before: list[Op] = []
        if number:
            # what a block takes in has a name of its own, by which its rounds are told from those of the block before
            taken = replace(x, name=f"x{own}{self.where.suffix}")
            before.append(Op(taken, "view", (x,)))
            x = taken
        streams = [x]
        for at, block in enumerate(run.blocks):
            alone = len(run.blocks) == 1
            write.suffix = own + ("" if alone else _LETTERS[at]) + self.where.suffix
            streams.append(block_ops(write, self.shapes, block, streams[-1], "y" if at == len(run.blocks) - 1 else "z"))
        name = f"L{own}{self.where.mark}"
        found = buffers(name, write.weights, self.stored.parallel, self.sizes, repeated=True)
        late = f"{streams[-1].name}@round-{self.stored.parallel.prefetch + 1}"
        views = [op for buffer in found for op in self.stored.views(buffer, late)]
        again = frozenset().union(*(self.stored.late_names(buffer) for buffer in found))
        again |= write.cast_weights | self._gathered_again(write.ops) | frozenset(write.remakes)
        kept = _kept(write.ops, recompute)
        again |= _recomputed(write.ops, recompute, {stream.name for stream in streams} | kept)
        block_item = Repeat(run.repeat, (*views, *write.ops), ((x.name, streams[-1].name),))
        made = streams[-1]
        # a compiler keeps nothing that the backward pass does not read
        kept = kept if write.eager else frozenset()
        part = Part((*before, block_item), found, made, again, tuple(write.fuse), write.roles, write.remakes, kept=kept)
        # Megatron-LM's function runs a layer again to its end; PyTorch's stops behind the last that is read
        to_its_end = recompute == "whole" or (recompute == "full" and self.stored.megatron)
        return replace(part, whole=frozenset(each.name for each in streams[1:])) if to_its_end else part


def _weight(part: Part, name: str) -> Tensor:
    """A weight of a part, by what it is called in every chunk."""
    return next(each for buffer in part.buffers for each in buffer.weights if each.name.startswith(name))


def _recomputed(ops: Sequence[Op], recompute: str, kept: Collection[str]) -> frozenset[str]:
    """What of a block is run again in the backward pass: nothing, attention, what is light, or all but what blocks take in
    and is kept."""
    if recompute == "selective":
        return frozenset(op.name for op in ops if op.kind in _ATTENTION)
    if recompute == "light":
        return frozenset(_light(ops))
    if recompute in ("full", "whole", *_KEEPING):
        return frozenset(op.name for op in ops if op.name not in kept)
    return frozenset()


def _light(ops: Sequence[Op]) -> Iterator[str]:
    """Norms of the stream and what activates, with what puts its clamped halves beside each other (Megatron-LM's modules
    layernorm, which has the two norms of a block and none of heads or of latents, and moe_act)."""
    made = {
        op.name for op in ops if op.kind in _ACTIVATES or (op.kind in _NORMS and op.output.dims[-1].size == "model")
    }
    yield from made
    yield from (op.name for op in ops if op.kind == "copy" and op.inputs[0].name in made)


def _kept(ops: Sequence[Op], recompute: str) -> frozenset[str]:
    """What is kept of a block by a rule of its own."""
    return frozenset(_KEEPING[recompute](ops)) if recompute in _KEEPING else frozenset()


def _alternate(ops: Sequence[Op]) -> Iterator[str]:
    """By the kind of its ops: attention, what was scattered over chips, and every second matmul, from the first one on."""
    yield from [op.name for op in ops if op.kind == "matmul"][::2]
    yield from (op.name for op in ops if op.kind in (*_ATTENTION, "reduce_scatter"))


def _projected(ops: Sequence[Op]) -> Iterator[str]:
    """What matmuls make that stand before attention: queries, keys and values."""
    attention = next((at for at, op in enumerate(ops) if op.kind in _ATTENTION), 0)
    yield from (op.name for op in ops[:attention] if op.kind == "matmul")


def _attended(ops: Sequence[Op]) -> Iterator[str]:
    """The same, and what attention makes of them."""
    yield from _projected(ops)
    yield from (op.name for op in ops if op.kind in _ATTENTION)


def _joined(ops: Sequence[Op]) -> Iterator[str]:
    """What the matmul behind attention makes, and its sum over chips."""
    attention = next((at for at, op in enumerate(ops) if op.kind in _ATTENTION), len(ops))
    made = next((op.name for op in ops[attention:] if op.kind == "matmul"), "")
    yield from (op.name for op in ops if op.name == made)
    yield from (op.name for op in ops if op.kind in _SUMS and op.inputs[0].name == made)


def _surrounded(ops: Sequence[Op]) -> Iterator[str]:
    """What matmuls in front of attention make, and the one behind it."""
    yield from _projected(ops)
    yield from _joined(ops)


_ATTENTION = ("attention", "attention_block")

_SUMS = ("reduce_scatter", "all_reduce")

_NORMS = ("rms_norm", "layer_norm")

_ACTIVATES = ("swiglu", "gelu", "relu", "clamp")

_KEEPING = {
    "alternate": _alternate,
    "projected": _projected,
    "attended": _attended,
    "joined": _joined,
    "surrounded": _surrounded,
}
"""Of rules by which all of a block is recomputed but something: what they keep."""
