"""A step of a pipeline put together: every chunk for every microbatch, in the order of a schedule, with its transfers.

Model: all chips at one place along a mesh axis are a stage (`on=P@2`); inside it ops are sharded over the other axes. What
a chunk makes goes to the next one by a send right behind the op that makes it; so does the gradient of what it took in, to
the chunk before. Transfers in and out have a queue each, and those of activations and of gradients too, so that none
waits for one of another direction: a microbatch is sent while the next one is computed. With `blocking`, the stage that
sends goes on only when what it sent has come.
Law: the order of items respects dependencies and every stage's own order, and of two chunks one sends in the order in which
the other receives, so a pipeline cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from simulator.graph.items import Items, Op, Repeat, Tensor
from simulator.passes.pipeline.chunks import PipelineChunk, made_in
from simulator.passes.pipeline.renaming import Copies, Options
from simulator.passes.pipeline.schedules import Order, StagePass, in_one_order, schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """How chunks become a pipeline: so many stages along a mesh axis, microbatches, and a schedule by its name.

    `blocking`: a stage waits until what it sends has come before it goes on.
    """

    stages: int
    microbatches: int
    schedule: str = "1f1b"
    axis: str = "P"
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class Pipelined:
    """The items of a step, and the groups of ops to fuse, all under the names of their copies."""

    items: Items
    fuse: tuple[tuple[str, ...], ...] = ()


def pipelined(chunks: Sequence[PipelineChunk], pipeline: Pipeline) -> Pipelined:
    """The step of some chunks, in the order of the model; chunk c stands on stage c mod the number of stages. Without a
    backward pass it is a forward pipeline. Raises ValueError for what cannot be a pipeline."""
    if not chunks or len(chunks) % pipeline.stages:
        raise ValueError(f"{len(chunks)} chunks are no multiple of {pipeline.stages} stages")
    _check_hops(chunks)
    interleave = len(chunks) // pipeline.stages
    orders = schedule(pipeline.schedule, pipeline.stages, pipeline.microbatches, interleave)
    return _Assembly(chunks, pipeline, orders).step()


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


class _Assembly:
    """One step being put together."""

    def __init__(self, chunks: Sequence[PipelineChunk], pipeline: Pipeline, orders: Sequence[Order]) -> None:
        self.chunks, self.pipeline = chunks, pipeline
        self.order = [step for step in in_one_order(orders) if chunks[step.chunk].section(step.does)]
        self.copies = [Copies(chunk, number, self._place(number)) for number, chunk in enumerate(chunks)]
        # the last microbatch of each pass through each chunk, which may do something else
        self.final = {(step.does, step.chunk): step.microbatch for step in self.order}
        self.fuse: list[tuple[str, ...]] = []
        self.waits: dict[int, list[str]] = {}
        self.types: dict[tuple[int, str], Tensor] = {}

    def step(self) -> Pipelined:
        """Everything, in order."""
        items: list[Op | Repeat] = []
        for copies in self.copies:
            items += copies.copy("begin")
        for step in self.order:
            items += self._pass(step)
            items += self._hops(step)
        for copies in self.copies:
            items += copies.copy("end")
        return Pipelined(tuple(items), tuple(self.fuse))

    def _place(self, number: int) -> Options:
        if self.pipeline.stages == 1:
            return ()
        return (("on", f"{self.pipeline.axis}@{number % self.pipeline.stages}"),)

    def _pass(self, step: StagePass) -> Items:
        """One pass of a microbatch through a chunk."""
        last = self.final[step.does, step.chunk] == step.microbatch
        copies, chunk = self.copies[step.chunk], self.chunks[step.chunk]
        after = self.waits.pop(step.chunk % self.pipeline.stages, [])
        items = copies.copy(step.does, step.microbatch, last, after)
        made = made_in(chunk.section(step.does, last)) if chunk.fuse else frozenset()
        groups = (group for group in chunk.fuse if made.issuperset(group))
        self.fuse += (tuple(copies.name(name, step.microbatch) for name in group) for group in groups)
        return items

    def _hops(self, step: StagePass) -> Iterator[Op]:
        """What a pass sends to the next chunk, or back to the one before, and its receipt there."""
        chunk = self.chunks[step.chunk]
        if step.does == "forward" and step.chunk + 1 < len(self.chunks):
            there = step.chunk + 1
            pairs, queue = zip(chunk.makes, self.chunks[there].takes, strict=True), "acts"
        elif step.does == "backward" and step.chunk:
            there = step.chunk - 1
            pairs, queue = zip(chunk.makes_back, self.chunks[there].takes_back, strict=True), "grads"
        else:
            return
        for made, taken in pairs:
            yield from self._hop(step, there, (made, taken), queue)

    def _hop(self, step: StagePass, there: int, names: tuple[str, str], queue: str) -> Iterator[Op]:
        """The send and the recv of one tensor; on one stage it is there already."""
        made, taken = names
        stages, axis = self.pipeline.stages, self.pipeline.axis
        sent, got = self._tensor(step.chunk, made, step.microbatch), self._tensor(there, taken, step.microbatch)
        source, target = step.chunk % stages, there % stages
        if source == target:
            yield Op(got, "view", (sent,))
            return
        ends = (("over", axis), ("from", str(source)), ("to", str(target)))
        token = Tensor(f"{sent.name}.sent", sent.dtype, sent.dims, sent.partial, sent.memory, (), f"{made}.sent")
        yield Op(token, "send", (sent,), (*ends, ("queue", f"{queue}.out")))
        yield Op(got, "recv", (), (*ends, ("queue", f"{queue}.in")))
        if self.pipeline.blocking:
            self.waits.setdefault(source, []).append(token.name)

    def _tensor(self, number: int, name: str, microbatch: int) -> Tensor:
        """A tensor of a chunk under the name that it has for a microbatch."""
        like = self.types.get((number, name))
        if like is None:
            like = self.types[number, name] = self.chunks[number].tensor(name)
        called = self.copies[number].name(name, microbatch)
        return Tensor(called, like.dtype, like.dims, like.partial, like.memory, (), name)
