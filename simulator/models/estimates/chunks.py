"""The distinct chunks of a step: each sort built once, for all configurations in which it is the same but for sizes.

Model: a chunk depends on which blocks it has, with what before and behind them, on which axes of the mesh there are, how
weights are stored, what is recomputed; not on how many chips an axis has, nor on the microbatch. Nor does it depend on how
often a run of blocks repeats, where that is all that is counted in it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal

from simulator.graph.items import Items
from simulator.graph.owners import Roles
from simulator.models.blocks import Run, runs
from simulator.models.description import Transformer
from simulator.models.estimates.program import Structure
from simulator.models.steps.chunk import Chunk
from simulator.models.steps.layout import AXES, Parallel
from simulator.models.steps.parts import Slice
from simulator.models.steps.sizes import copies_of_heads
from simulator.models.steps.training import Step, Training
from simulator.passes.pipeline.chunks import SECTIONS, PipelineChunk, Section, named_in
from simulator.passes.pipeline.schedules import Pass
from simulator.passes.sharding.collective_matmul import in_pieces


@dataclass(frozen=True, eq=False)
class ChunkSort:
    """A chunk, and its step as sections without sizes."""

    chunk: Chunk
    structure: Structure
    roles: Roles
    begun: frozenset[str]

    def takes(self, name: str) -> tuple[int, ...]:
        """The slots of what a section takes in from another chunk, or, the last, from its own forward pass."""
        items = self.structure.chunk
        taken = {"forward": items.takes, "backward": items.takes_back}.get(name, ())
        return tuple(map(self.structure.slot, taken))

    def gives(self, name: str) -> tuple[int, ...]:
        """The slots of what a section gives on to another chunk."""
        items = self.structure.chunk
        given = {"forward": items.makes, "backward": items.makes_back}.get(name, ())
        return self._behind(given)

    def stays(self, name: str) -> tuple[int, ...]:
        """The slots of what a section makes that is held until the step is over, whoever reads it."""
        if not self.is_buffered:
            return ()
        items = self.structure.chunk
        made = {"forward": (*items.makes, *items.held), "backward": items.makes_back}.get(name, ())
        return self._behind(made)

    @property
    def is_buffered(self) -> bool:
        """Whether it is of a pipeline as PyTorch runs them: what is received has a buffer for each microbatch that is there
        for the whole step, and what is made is held until that is over."""
        stored = self.chunk.stored
        return stored.pytorch and stored.parallel.chunks > 1

    @cached_property
    def waits(self) -> bool:
        """Whether much may wait for queues beside compute: gradients that are thrown away once they are reduced, weights
        that are gathered late, what goes to the host and comes from there."""
        stored = self.chunk.stored
        late = (stored.sums_late(each) or stored.gathers_late(each) for each in self.chunk.buffers)
        return bool(stored.offload) or any(late)

    @property
    def seed(self) -> int:
        """The slot of what the last chunk makes, from which its backward pass begins."""
        return self._behind((self.chunk.ends.makes.name,))[0]

    def _behind(self, names: Iterable[str]) -> tuple[int, ...]:
        """The slots of what is made, behind what may be a view of it."""
        return tuple(slot for name in names for slot, _ in self.structure.refs(name))

    @cached_property
    def fetched_by_layer(self) -> Mapping[int, int]:
        """The slots of what the first layers of passes fetch, and in which layer of a round each stands."""
        layers = self.chunk.pace.layers
        return {self.structure.slot(name): layers.get(name, 0) for name in self.structure.chunk.paced}

    @cached_property
    def layers_of_rounds(self) -> Mapping[int, int]:
        """By the slot of what rounds of several layers end in, how many those are."""
        return {self.structure.slot(end): len(ends) for end, ends in self.chunk.pace.ends.items()}

    @cached_property
    def layer_ends(self) -> frozenset[int]:
        """The slots of what layers end in that are not the last of their round."""
        return frozenset(self.structure.slot(name) for ends in self.chunk.pace.ends.values() for name in ends[:-1])

    @property
    def reductions(self) -> frozenset[str]:
        """The names of what passes leave for later ones to wait for."""
        return frozenset(name for left in self.structure.chunk.leaves for name, _ in left)

    def dims(self, parallel: Parallel, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes of the dims of its buffers under a parallelism that has the same axes."""
        return self.chunk.dims(sizes, parallel)


@dataclass(frozen=True, slots=True)
class Sized:
    """A sort of chunk under a configuration: how often its blocks repeat, by the count that they have in the sort, and the
    number of the last stage, which has a table in common with the first, by that in the sort."""

    sort: ChunkSort
    rounds: tuple[tuple[int, int], ...]
    last_stage: tuple[int, int]


@dataclass
class Chunks:
    """The sorts of chunks of a model that are known so far."""

    model: Transformer
    _known: dict[Hashable, ChunkSort] = field(default_factory=dict)
    _numbers: dict[Hashable, int] = field(default_factory=dict)
    _manners: dict[Hashable, int] = field(default_factory=dict)
    _written: dict[Hashable, tuple[int, int]] = field(default_factory=dict)
    _runs: dict[tuple[int, int], Sequence[Run]] = field(default_factory=dict)
    _kinds: dict[tuple[int, int, bool], int] = field(default_factory=dict)
    _kind_numbers: dict[Hashable, int] = field(default_factory=dict)

    def of(self, step: Step) -> Sequence[Sized]:
        """The sort of each chunk of a step, in the order of the model."""
        told = _manner(step, self.model)
        manner = self._manners.setdefault(told, len(self._manners))
        return [self._sort(step, where, manner) for where in step.slices()]

    def _sort(self, step: Step, where: Slice, manner: int) -> Sized:
        runs = self._runs_of(where)
        repeats = runs[0].repeat if len(runs) == 1 and _counts_blocks_only(step, runs[0].repeat) else 0
        key = (self._blocks(step.training, where, not repeats), manner)
        if key not in self._known:
            chunk = step.chunk(where)
            items = _in_pieces(chunk.for_pipeline(passes_of(step) == "zero_bubble"), step.parallel)
            structure = Structure(items, self._numbers)
            self._known[key] = ChunkSort(chunk, structure, chunk.roles(), named_in(items.begin))
            self._written[key] = repeats, step.parallel.pp - 1
        rounds, last_stage = self._written[key]
        return Sized(self._known[key], ((rounds, repeats),) if repeats else (), (last_stage, step.parallel.pp - 1))

    def _runs_of(self, where: Slice) -> Sequence[Run]:
        place = where.first, where.end
        if place not in self._runs:
            self._runs[place] = runs(self.model, *place)
        return self._runs[place]

    def _blocks(self, training: Training, where: Slice, counted: bool) -> Hashable:
        """Which blocks a chunk has, how many of them if they are counted, and what stands before and behind them."""
        remade = training.recompute
        cut = min(max(remade, where.first), where.end) - where.first if isinstance(remade, int) else remade
        # what libraries hold stands in the first chunk of a stage
        leads = where.leads or training.engine == "plain"
        return where.opens, where.closes, leads, cut, self._kinds_of(where, counted)

    def _kinds_of(self, where: Slice, counted: bool) -> int:
        """A number for the blocks of a chunk, with how many there are of each if they are counted."""
        place = where.first, where.end, counted
        if place not in self._kinds:
            kinds = tuple((run.blocks, run.repeat if counted else 0) for run in self._runs_of(where))
            self._kinds[place] = self._kind_numbers.setdefault(kinds, len(self._kind_numbers))
        return self._kinds[place]


def _in_pieces(chunk: PipelineChunk, parallel: Parallel) -> PipelineChunk:
    """A chunk whose matmuls beside collectives of tensor parallelism come in pieces with them."""
    if parallel.collective_matmul == 1:
        return chunk

    def cut(last: Pass | None = None) -> dict[Section, Items]:
        """All sections as one program, a pass as the last microbatch has it."""
        parts = {name: chunk.section(name, name == last) for name in SECTIONS}
        together = tuple(item for items in parts.values() for item in items)
        rest = iter(in_pieces(together, parallel.axes("tp"), parallel.collective_matmul, chunk.fuse))
        return {name: tuple(islice(rest, len(items))) for name, items in parts.items()}

    whole, last = cut(), {name: cut(name)[name] for name in chunk.last}
    return replace(
        chunk,
        begin=whole["begin"],
        forward=whole["forward"],
        backward=whole["backward"],
        weights=whole["weights"],
        end=whole["end"],
        last=last,
    )


def _counts_blocks_only(step: Step, repeat: int) -> bool:
    """Whether nothing in a chunk but the repeats of its one run of blocks has to do with how many there are: a ring has
    rounds of its own, blocks of which some are made again are cut in two, and libraries hold what they hold of all."""
    ring = step.parallel.cp > 1 and step.parallel.context == "ring"
    return repeat > 1 and not ring and isinstance(step.training.recompute, str) and step.training.engine == "plain"


def passes_of(step: Step) -> Literal["1f1b", "zero_bubble"]:
    """A schedule that has the passes of a step's: whether backward passes are cut in two is all that chunks know of it."""
    splits = step.parallel.schedule == "zero_bubble" and step.parallel.chunks > 1
    return "zero_bubble" if splits else "1f1b"


def _manner(step: Step, model: Transformer) -> tuple[Hashable, ...]:
    """What chunks depend on beside their blocks: whether there is an axis, not how long it is; but a ring has a block of ops
    for each of its chips, and what the libraries of an engine hold is written with its size."""
    parallel = step.parallel
    lengths = ("cp", *(["dp"] if parallel.shard is not None else []))
    short: dict[str, Any] = {name: min(parallel.extent(name), 2) for name in AXES if name not in lengths}
    # a node less than there are chips that share experts, so that both axes are there, or each alone
    nodes = min(parallel.expert_nodes, 2)
    short |= {"expert_nodes": nodes, "ep": nodes * min(parallel.ep // parallel.expert_nodes, 2)}
    short |= {"microbatch": 1, "layers": (), "imbalance": 1.0, "interleave": min(parallel.interleave, 2)}
    alike = replace(parallel, **short, schedule=passes_of(step))
    training = replace(step.training, batch=1, seq=1)
    # copies of heads of keys exchange gradients in as many rounds as there are doublings of them
    copies = copies_of_heads(model, parallel.tp)
    shares_keys = model.attention.kv_heads * copies % parallel.tp == 0
    exact = (parallel, tuple(step.sizes.items())) if training.engine != "plain" else ()
    return shares_keys, copies, step.stored.adds_up, parallel.chunks > 1, alike, training, exact
