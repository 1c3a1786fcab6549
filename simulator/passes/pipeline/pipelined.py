"""Chunks as a pipeline: the door of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from simulator.graph.items import Items
from simulator.passes.pipeline.assembly import Assembly
from simulator.passes.pipeline.chunks import PipelineChunk
from simulator.passes.pipeline.schedules import in_one_order, schedule
from simulator.passes.pipeline.stamped import PipelineItems
from simulator.passes.pipeline.step import Pipeline, Step


@dataclass(frozen=True, slots=True)
class Pipelined:
    """The items of a step, and the groups of ops to fuse, all under the names of their copies."""

    items: Items
    fuse: Sequence[tuple[str, ...]] = ()


def pipelined(chunks: Sequence[PipelineChunk], pipeline: Pipeline) -> Pipelined:
    """The step of some chunks, in the order of the model; chunk c stands on stage c mod the number of stages. Without a
    backward pass it is a forward pipeline. Raises ValueError for what cannot be a pipeline."""
    if not chunks or len(chunks) % pipeline.stages:
        raise ValueError(f"{len(chunks)} chunks are no multiple of {pipeline.stages} stages")
    _check_hops(chunks)
    interleave = len(chunks) // pipeline.stages
    orders = schedule(pipeline.schedule, pipeline.stages, pipeline.microbatches, interleave)
    step = Step(chunks, pipeline, in_one_order(orders))
    if not step.is_stamped:
        # what is written out has no copies to find groups in: they go by the names of their ops
        return Pipelined(Assembly(step).items(step.order), tuple(step.fuse()))
    items = PipelineItems(step)
    items.once()  # or says what cannot be
    return Pipelined(items, step.fuse())


def _check_hops(chunks: Sequence[PipelineChunk]) -> None:
    """Raise ValueError where chunks do not fit: what one makes is not what the next one takes."""
    for number, (chunk, following) in enumerate(pairwise(chunks)):
        hops = [(chunk, chunk.makes, following, following.takes)]
        if following.backward:
            hops.append((following, following.makes_back, chunk, chunk.takes_back))
        for sender, made, receiver, taken in hops:
            if len(made) != len(taken) or not made:
                raise ValueError(
                    f"chunks {number} and {number + 1}: {', '.join(made) or 'nothing'} is made where "
                    f"{', '.join(taken) or 'nothing'} is taken"
                )
            for one, other in zip(made, taken, strict=True):
                sent, got = sender.tensor(one), receiver.tensor(other)
                if sent.type_text != got.type_text:
                    raise ValueError(
                        f"chunks {number} and {number + 1}: {one}:{sent.type_text} is sent as {other}:{got.type_text}"
                    )
