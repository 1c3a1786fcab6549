"""What all families of models have in common when a step is built of them.

Model: a stack is cut into chunks, one for each stage of a pipeline; its maker makes the parts of one. What a step is asked
for beside the model and its parallelism is an `Asked`, the same for training and for a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hw import Mark, Problems
from simulator.graph.items import Tensor
from simulator.models.steps.buffers import Stored
from simulator.models.steps.ends.losses import LossFormat, loss_ops, squares_ops
from simulator.models.steps.layout import Parallel
from simulator.models.steps.parts import Part, Slice
from simulator.models.steps.writer import Writer


class Maker(Protocol):
    """Makes the parts of a chunk."""

    @property
    def taken(self) -> Tensor:
        """What the chunk takes in where it is not the first."""
        ...

    def parts(self) -> list[Part]:
        """Its parts, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What a step is asked for. `seq`: tokens of a sequence, 0 for models that read none; `trains`: whether it ends in a
    loss, and statistics of norms are those of the batch; `megatron`: as Megatron-LM runs it."""

    batch: int
    seq: int
    recompute: str | int = "none"
    eager: bool | str = False
    trains: bool = True
    megatron: bool = False
    attention: str = "flash"
    dropout: bool = False
    dropless: bool = False
    one_hot: bool = False
    biased: str = "fused"


@dataclass(frozen=True, slots=True)
class Stack:
    """A model as layers that can be cut into chunks; `microbatches`: how many a step has; `sizes`: of its dims;
    `maker`: makes the parts of a chunk."""

    layers: int
    microbatches: int
    sizes: Mapping[str, int]
    maker: Callable[[Slice, Stored], Maker]


def writer_of(stored: Stored, eager: bool | str, suffix: str = "") -> Writer:
    """What writes the ops of a layer, in the formats of what is stored."""
    return Writer(stored.precision.compute, stored.precision.weights, suffix, eager=eager is True)


def loss_of_classes(stored: Stored, eager: bool | str, scores: Tensor) -> Part:
    """The loss that a model without blocks ends in: of the scores of classes, else (images) of squares."""
    write = writer_of(stored, bool(eager))
    if len(scores.dims) > 2:
        loss = squares_ops(write, scores, stored.precision.logits)
    else:
        write.owned("logits and loss", scores)
        loss, _ = loss_ops(write, scores, LossFormat(stored.precision.logits))
    return Part(tuple(write.ops), (), loss, roles=write.roles, returns=scores.name)


def refuse_ways(parallel: Parallel, what: str, *ways: str) -> Problems:
    """Problems, so far of kinds of parallelism that a family of models does not have."""
    problems = Problems()
    for way in ways:
        if parallel.extent(way) > 1:
            problems.add(Mark(f"parallel.{way}"), f"{way} is {parallel.extent(way)}: {what}")
    if parallel.interleave > 1 and "pp" in ways:
        problems.add(Mark("parallel.interleave"), f"interleave is {parallel.interleave}: {what}")
    return problems


def refuse_blocks(problems: Problems, asked: Asked, allowed: Sequence[str]) -> None:
    """Say what is of the blocks of transformers alone: most of recomputing, and Megatron-LM."""
    if asked.megatron:
        problems.add(Mark("engine"), "engine megatron has the blocks of transformers; here plain")
    if asked.recompute not in allowed:
        known = " or ".join(allowed)
        problems.add(Mark("recompute"), f"recompute {asked.recompute} is of the blocks of transformers; here {known}")
