"""A training step of a model as an op graph: forward, backward, gradients, optimizer.

Model: the blocks of a run are one block of ops, repeated; its backward pass is that block walked backwards
(`simulator.passes.differentiate`). Gradients are reduced over data-parallel chips part by part, in the queue of their
axes, beside the backward pass of the parts before. Several microbatches are one repeated block of both passes whose
gradients are added up, and a last one whose gradients are reduced.
Law: forward and backward matmuls are 6 FLOPs a parameter and token, attention and the vocabulary's apart; what is
recomputed comes on top. Nothing makes a gradient of what a model reads, images and features of nodes included.
Source: Kaplan et al. 2020 (6 P D); Narayanan et al. 2021; Chen et al. 2016 and Korthikanti et al. 2022 for recomputation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hw import Mark, Problem, Problems, SpecError
from hw.input import unknown
from simulator.graph.items import Op, Repeat, Tensor, every_op
from simulator.graph.op_graph import OpGraph
from simulator.models.parameters import Model
from simulator.models.steps.buffers import STATES, Stored
from simulator.models.steps.chunk import Chunk
from simulator.models.steps.layout import Layout, Parallel
from simulator.models.steps.megatron.placeholders import placeholders
from simulator.models.steps.parts import Part, Slice
from simulator.models.steps.precision import PRECISIONS, Precision
from simulator.models.steps.pytorch.pools import pools
from simulator.models.steps.stacks.families import stack_of
from simulator.models.steps.stacks.stack import Asked
from simulator.models.steps.stepping.stepped import Optimizer
from simulator.models.steps.storage.tied import Tie
from simulator.passes.pipeline.pipelined import pipelined
from simulator.passes.pipeline.schedules import PAIRED
from simulator.passes.pipeline.step import Pipeline
from simulator.passes.rename import own_names, renamed
from simulator.passes.sharding.collective_matmul import collective_matmuls

_LAST = "Z"
"""What the names of the last microbatch end in."""

RECOMPUTE = (
    "none",
    "selective",
    "light",
    "alternate",
    "projected",
    "attended",
    "joined",
    "surrounded",
    "full",
    "whole",
)

ENGINES = ("plain", "megatron", "pytorch", "fsdp1")

OFFLOADED = ("optimizer", "activations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a step is: sequences (or images) of all replicas together, tokens of each where they do not follow from the
    model, formats, optimizer, and what is recomputed: 'none', 'selective' (attention), 'light' (norms and what
    activates), 'alternate' (all but the blocks' inputs, attention and every second matmul), 'projected' (all but the
    blocks' inputs and what matmuls in front of attention make), 'attended' (attention is kept as well), 'joined' (all
    but the blocks' inputs and what the matmul behind attention makes), 'surrounded' (what matmuls in front of
    attention make as well), 'full' (all but the blocks' inputs, as far as a gradient reads it), 'whole' (all ops of
    the blocks, to their end), or the number of blocks of which all is. `clip`: gradients are clipped by their norm, so
    that nothing is stepped before all of them are read once more. `eager`: ops are those of PyTorch without a compiler
    ('loss': those of the loss, behind a model that is compiled), and the step's Python holds what the model returns
    until the step is over. `engine`: 'plain', or 'megatron': gradients are added up by the matmuls that make them,
    what is gathered over the tensor or context axis is gathered once more in the backward pass, the gradient of logits
    is written over them, and buffers of the libraries are held (`simulator.models.steps.megatron`), and stages of a
    pipeline wait for what they send; or 'pytorch': FSDP2 and PyTorch's pipelines, which keep what is in no block
    gathered, pools for their streams (`simulator.models.steps.pytorch`), buffers for all that stages receive, and what
    they make until the step is over; or 'fsdp1': the flat gradients of PyTorch's first FSDP
    (`simulator.models.steps.buffers`). `attention`: the `kind` of its ops, 'flash', 'standard' or 'fused_softmax'.
    `dropout`: weights of attention, and what attention and networks make, are dropped in part. `offload`: what lives
    in the memory of the host, 'optimizer' or 'activations' or both (`simulator.models.steps.offloading`). `dropless`:
    with engine 'megatron' experts take all tokens that ask for them, so that its host waits for how many these are;
    else what is beyond a capacity is dropped, and nobody waits. `one_hot`: tokens are brought to experts and back by
    matmuls with masks of ones (the einsums of GShard), sequence by sequence. `expert_biases`: biases of experts are
    added by their matmuls' kernels ('fused'), or 'gathered', a row for each that an expert has; engine 'megatron' adds
    the last of them expert by expert."""

    batch: int = 1
    seq: int = 0
    precision: Precision = PRECISIONS["mixed_bf16"]
    optimizer: str = "adamw"
    recompute: str | int = "none"
    clip: bool = False
    eager: bool | Literal["loss"] = False
    engine: Literal["plain", "megatron", "pytorch", "fsdp1"] = "plain"
    offload: tuple[str, ...] = ()
    attention: Literal["flash", "standard", "fused_softmax"] = "flash"
    dropout: bool = False
    dropless: bool = True
    one_hot: bool = False
    expert_biases: Literal["fused", "gathered"] = "fused"

    def __post_init__(self) -> None:
        problems = Problems()
        if self.optimizer not in STATES:
            problems.add(Mark("optimizer"), unknown("optimizer", self.optimizer, STATES))
        if isinstance(self.recompute, str) and self.recompute not in RECOMPUTE:
            problems.add(Mark("recompute"), unknown("recompute", self.recompute, RECOMPUTE))
        if self.engine not in ENGINES:
            problems.add(Mark("engine"), unknown("engine", self.engine, ENGINES))
        for each in self.offload:
            if each not in OFFLOADED:
                problems.add(Mark("offload"), unknown("thing to offload", each, OFFLOADED))
        if self.eager not in (True, False, "loss"):
            problems.add(Mark("eager"), f"'{self.eager}' will not do: eager is true, false or loss")
        elif self.eager and self.engine == "megatron":
            problems.add(Mark("eager"), "eager is of PyTorch's own ops; megatron brings others")
        problems.raise_if_any()

    @property
    def tokens(self) -> int:
        """Tokens of a step, of all replicas together, as far as they are said."""
        return self.batch * self.seq


def train_graph(model: Model, parallel: Parallel, training: Training) -> OpGraph:
    """The op graph of one step. Raises SpecError where batch, sequence or layers do not divide."""
    graph = Step(model, parallel, training).graph()
    return collective_matmuls(graph, parallel.axes("tp"), parallel.collective_matmul)


class Step:
    """One step being built: its sizes, and its chunks."""

    def __init__(self, model: Model, parallel: Parallel, training: Training) -> None:
        self.parallel, self.training = parallel, training
        if training.attention != "flash" and parallel.context == "ring":
            told = "context: ring adds attention up block by block, which is flash; gather and all_to_all keep scores"
            raise SpecError([Problem(Mark("attention"), told)])
        if training.one_hot and parallel.expert_nodes > 1:
            told = "one_hot brings tokens to experts by matmuls, which are not sent to nodes first: expert_nodes is to be 1"
            raise SpecError([Problem(Mark("one_hot"), told)])
        megatron = training.engine == "megatron"
        asked = Asked(
            training.batch,
            training.seq,
            training.recompute,
            training.eager,
            megatron=megatron,
            attention=training.attention,
            dropout=training.dropout,
            dropless=megatron and training.dropless,
            one_hot=training.one_hot,
            biased="grouped" if megatron else training.expert_biases,
        )
        self.stack = stack_of(model, parallel, asked)
        self.sizes = self.stack.sizes
        parallel.cut(self.stack.layers)  # or says why not
        self.microbatches = self.stack.microbatches
        several = self.microbatches > 1
        pytorch, flat = (training.engine == name for name in ("pytorch", "fsdp1"))
        self.stored = Stored(parallel, training.precision, several, megatron, tuple(training.offload), pytorch, flat)

    @property
    def blocking(self) -> bool:
        """Whether a stage of a pipeline waits for what it sends: Megatron-LM does, unless it is told to overlap, as it has
        to be where passes go on beside each other."""
        return self.training.engine == "megatron" and self.parallel.schedule not in PAIRED

    @property
    def _holds_returned(self) -> bool:
        """Whether what the model returned of the last microbatch is held until the step is over: a loop of PyTorch's own
        lets go of it once it has the loss."""
        return bool(self.training.eager) and not self.stored.pytorch and self.parallel.chunks == 1

    def graph(self) -> OpGraph:
        """All chunks put together."""
        return self._whole() if self.parallel.chunks == 1 else self._pipelined()

    def _whole(self) -> OpGraph:
        """Without a pipeline: every microbatch through the whole model."""
        chunk = self.chunk(Slice(0, self.stack.layers))
        declared, final = chunk.declared(), chunk.held_back(chunk.backward(last=True))
        last = (*chunk.forward, *chunk.behind_forward(final.items))
        fuse = chunk.fuse
        items: list[Op | Repeat] = [*declared]
        names: dict[str, str] = {}
        if self.microbatches > 1:
            # all microbatches but the last are a block; the last one stands apart, since behind it sums are complete
            others = chunk.held_back(chunk.backward(last=False))
            backward = chunk.behind_forward(others.between_rounds())
            items.append(Repeat(self.microbatches - 1, (*chunk.between_rounds(), *backward)))
            shared = {op.name for op in every_op(tuple(declared))}
            names = {name: f"{name}{_LAST}" for name in own_names(last, shared)}
            fuse += [tuple(names[name] for name in group) for group in fuse]
        items += final.behind_others(chunk.behind_others(renamed((*last, *chunk.stepped()), names), names), names)
        dims = {**self.sizes, **chunk.dims(self.sizes)}
        roles = chunk.roles()
        roles |= {called: roles[name] for name, called in names.items() if name in roles}
        return OpGraph(dims, tuple(items), fuse=[list(group) for group in fuse] or "none", roles=roles)

    def _pipelined(self) -> OpGraph:
        """A pipeline of chunks, in the order of its schedule. Raises SpecError for what cannot be one."""
        chunks, dims = self._chunks()
        parallel = self.parallel
        pipeline = Pipeline(
            stages=parallel.pp,
            microbatches=self.microbatches,
            schedule=parallel.schedule,
            blocking=self.blocking,
            buffered=self.stored.pytorch,
        )
        splits = parallel.schedule == "zero_bubble"
        try:
            made = pipelined([chunk.for_pipeline(splits) for chunk in chunks], pipeline)
        except ValueError as error:
            raise SpecError([Problem(Mark("parallel.schedule"), str(error))]) from None
        roles = {name: owner for chunk in chunks for name, owner in chunk.roles().items()}
        return OpGraph({**self.sizes, **dims}, made.items, fuse=made.fuse or "none", roles=roles)

    def _chunks(self) -> tuple[list[Chunk], dict[str, int]]:
        """The chunks of a pipeline and the sizes of their buffers, whose dims have the names of one chunk where all are
        alike, else a number each."""
        for numbered in (False, True):
            chunks = [self.chunk(where) for where in self.slices(numbered)]
            sizes = [chunk.dims(self.sizes) for chunk in chunks]
            dims = {name: size for each in sizes for name, size in each.items()}
            if all(each.items() <= dims.items() for each in sizes):
                break
        return chunks, dims

    def slices(self, numbered: bool = False) -> list[Slice]:
        """The blocks of each chunk, in the order of the model; `numbered`: told apart by their numbers."""
        counts = self.parallel.cut(self.stack.layers)
        found, first, stages = [], 0, self.parallel.pp
        for at, count in enumerate(counts):
            number = at if numbered else None
            found.append(Slice(first, first + count, number, at == 0, at + 1 == len(counts), at < stages))
            first += count
        return found

    def _held_by_libraries(self, parts: Sequence[Part], where: Slice) -> list[Tensor]:
        """What a chip's libraries hold for a whole run; of several chunks of a stage the first has it, but for pools, which
        are as large as what a chunk has."""
        if self.stored.megatron:
            if not where.leads:
                return []
            return placeholders(parts, Layout.of(self.parallel), self.sizes, self.parallel, where.mark)
        return pools(parts, self.stored, where.mark, where.leads) if self.stored.pytorch else []

    def chunk(self, where: Slice) -> Chunk:
        """One chunk: some of the blocks, with what stands before and behind them."""
        maker = self.stack.maker(where, self.stored)
        takes = None if where.opens else maker.taken
        optimizer, parts = Optimizer(self.training.optimizer, self.training.clip), maker.parts()
        if not parts:
            message = f"a chunk without layers, at layer {where.first}, has neither an embedding nor a head"
            raise SpecError([Problem(Mark("parallel.layers"), message)])
        held = self._held_by_libraries(parts, where)
        chunk = Chunk(parts, self.stored, optimizer, takes, where.closes, held)
        chunk.returned = parts[-1].returns if self._holds_returned else ""
        if self.parallel.pp > 1:
            ends = (0, self.parallel.pp - 1) if where.opens else (self.parallel.pp - 1, 0)
            chunk.ties = {part.tied.name: Tie(part.tied, *ends) for part in parts if part.tied is not None}
        return chunk
