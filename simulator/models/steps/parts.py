"""The parts of a model: embedding, blocks that repeat, head and loss, each with its weights in buffers.

Model: a chunk is what one stage of a pipeline computes at once: some of the blocks, with the embedding before the first
and the head behind the last. Without a pipeline there is one chunk, the whole model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

from simulator.graph.items import Dim, Items, Op, Repeat, Tensor, reference
from simulator.graph.owners import Roles
from simulator.models.blocks import Run, mark_of_block, mark_of_run, runs
from simulator.models.description import Transformer
from simulator.models.steps.block import block_ops
from simulator.models.steps.buffers import Stored
from simulator.models.steps.ends.images import image_ops
from simulator.models.steps.ends.losses import LossFormat, model_loss, model_outputs
from simulator.models.steps.ends.tokens import embedding_ops
from simulator.models.steps.recomputing.rules import kept_of, recomputed
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.storage.buffer import Buffer, buffers
from simulator.models.steps.writer import Writer
from simulator.passes.differentiate import Remake
from simulator.passes.pipeline.paces import layer_before


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a model: forward items, its buffers, what they make, what of it is run again in the backward pass, which
    ops are one kernel, whose memory is taken by what is no activation, and what is made again in another way. `returns`:
    what the model hands to whoever called it, in the part that ends in a loss. `kept`: what is kept for the backward pass
    even if nothing there reads it. `whole`: what ends the blocks that are run again to their end. `tied`: the weight that is
    the same as one of another chunk. `ends`: what each layer of a round ends in, where blocks repeat."""

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
    ends: tuple[str, ...] = ()

    @property
    def layers(self) -> list[Sequence[Buffer]]:
        """Its buffers, those of each layer of a round by themselves."""
        if len(self.ends) < 2:
            return [self.buffers]
        return [tuple(mine) for _, mine in groupby(self.buffers, key=lambda buffer: buffer.layer)]

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
        own = mark_of_run(number)
        before: list[Op] = []
        if number:
            # what a block takes in has a name of its own, by which its rounds are told from those of the block before
            taken = replace(x, name=f"x{own}{self.where.suffix}")
            before.append(Op(taken, "view", (x,)))
            x = taken
        streams, found = [x], list[Buffer]()
        layers: list[Sequence[Op]] = []
        for at, block in enumerate(run.blocks):
            mark = "" if len(run.blocks) == 1 else mark_of_block(at)
            write.suffix = own + mark + self.where.suffix
            begin, known = len(write.ops), len(write.weights)
            streams.append(block_ops(write, self.shapes, block, streams[-1], "y" if at == len(run.blocks) - 1 else "z"))
            layers.append(write.ops[begin:])
            name, weights = f"L{own}{mark}{self.where.mark}", write.weights[known:]
            mine = buffers(name, weights, self.stored.parallel, self.sizes, True, self.shapes.key_copies)
            found += (replace(each, layer=at) for each in mine)
        ends = tuple(stream.name for stream in streams[1:])
        items = [op for at, ops in enumerate(layers) for op in (*self._views(found, at, ends), *ops)]
        again = frozenset().union(*(self.stored.late_names(buffer) for buffer in found))
        again |= write.cast_weights | self._gathered_again(write.ops) | frozenset(write.remakes)
        kept = frozenset().union(*(kept_of(ops, recompute) for ops in layers))
        held = {stream.name for stream in streams} | kept
        again = again.union(*(recomputed(ops, recompute, held) for ops in layers))
        block_item = Repeat(run.repeat, tuple(items), ((x.name, ends[-1]),))
        made = streams[-1]
        # a compiler keeps nothing that the backward pass does not read
        kept = kept if write.eager else frozenset()
        part = Part((*before, block_item), tuple(found), made, again, tuple(write.fuse), write.roles, write.remakes)
        # Megatron-LM's function runs a layer again to its end; PyTorch's stops behind the last that is read
        to_its_end = recompute == "whole" or (recompute == "full" and self.stored.megatron)
        return replace(part, kept=kept, ends=ends, whole=frozenset(ends) if to_its_end else frozenset())

    def _views(self, found: Sequence[Buffer], layer: int, ends: Sequence[str]) -> list[Op]:
        """The weights of a layer of a round, whose layers end in `ends`; gathered late as many layers ahead as is said."""
        end, rounds = layer_before(len(ends), layer, self.stored.parallel.prefetch + 1)
        late = reference(ends[end], rounds)
        return [op for buffer in found if buffer.layer == layer for op in self.stored.views(buffer, late)]


def _weight(part: Part, name: str) -> Tensor:
    """A weight of a part, by what it is called in every chunk."""
    return next(each for buffer in part.buffers for each in buffer.weights if each.name.startswith(name))
