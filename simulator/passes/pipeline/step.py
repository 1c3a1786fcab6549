"""A step of a pipeline: its chunks, the order of their passes, and what goes from one to the next behind each pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

from simulator.graph.copied import CopiedGroups
from simulator.graph.items import Op, Tensor
from simulator.passes.pipeline.chunks import Left, PipelineChunk, made_in, named_in
from simulator.passes.pipeline.renaming import Options
from simulator.passes.pipeline.schedules import PAIRED, Order, Pass, StagePass
from simulator.passes.pipeline.turns import begins, ends

Sent = TypeVar("Sent")
"""How something that was sent is told: by its name, or its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """How chunks become a pipeline: so many stages along a mesh axis, microbatches, and a schedule by its name.

    `blocking`: a stage waits until what it sends has come before it goes on. `buffered`: what a stage receives has a buffer
    for each microbatch that is there for the whole step, and what it makes and gives back is held until the step is over,
    as PyTorch's pipelines do.
    """

    stages: int
    microbatches: int
    schedule: str = "1f1b"
    axis: str = "P"
    blocking: bool = False
    buffered: bool = False


@dataclass(frozen=True, slots=True)
class Hop:
    """One tensor that goes to another chunk, where it has another name. `options`: of the send and of the recv; none on one
    stage, where it is there already."""

    there: int
    made: str
    taken: str
    options: tuple[Options, Options] | None


class Step:
    """The passes of a step in one order, those left out in which a chunk does nothing."""

    def __init__(self, chunks: Sequence[PipelineChunk], pipeline: Pipeline, order: Order) -> None:
        self.chunks, self.pipeline = chunks, pipeline
        self.order = tuple(step for step in order if chunks[step.chunk].section(step.does))
        # the last microbatch of each pass through each chunk, which may do something else
        self._known: dict[tuple[int, Pass, bool], tuple[tuple[str, ...], Left]] = {}
        self._final = {(step.does, step.chunk): step.microbatch for step in self.order}

    def is_last(self, step: StagePass) -> bool:
        """Whether a pass is the last one of its sort through its chunk."""
        return self._final[step.does, step.chunk] == step.microbatch

    def firsts(self) -> Order:
        """The first pass of each sort through each chunk, and the last one."""
        first: dict[tuple[str, int], int] = {}
        for step in self.order:
            first.setdefault((step.does, step.chunk), step.microbatch)
        return tuple(
            step for step in self.order if self.is_last(step) or first[step.does, step.chunk] == step.microbatch
        )

    def place(self, number: int) -> Options:
        """The options that put an op of a chunk on its stage."""
        if self.pipeline.stages == 1:
            return ()
        return (("on", f"{self.pipeline.axis}@{number % self.pipeline.stages}"),)

    def hops(self, step: StagePass) -> Iterator[Hop]:
        """What a pass sends to the next chunk, or back to the one before."""
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
            yield Hop(there, made, taken, self._sent(step.chunk, there, queue))

    def _sent(self, here: int, there: int, queue: str) -> tuple[Options, Options] | None:
        stages, axis = self.pipeline.stages, self.pipeline.axis
        source, target = here % stages, there % stages
        if source == target:
            return None
        ends = (("over", axis), ("from", str(source)), ("to", str(target)))
        return (*ends, ("queue", f"{queue}.out")), (*ends, ("queue", f"{queue}.in"))

    def fuse(self) -> CopiedGroups:
        """The groups of ops to fuse, as they are called in the step."""
        groups: dict[tuple[int, str, bool], list[tuple[str, ...]]] = {}
        copies = []
        for step in self.order:
            key = step.chunk, step.does, self.is_last(step)
            if key not in groups:
                groups[key] = list(self._groups(step))
            copies.append((groups[key], f".s{step.chunk}.m{step.microbatch}"))
        return CopiedGroups(copies)

    def _groups(self, step: StagePass) -> Iterator[tuple[str, ...]]:
        """The groups of ops to fuse that stand in a pass, as they are called in their chunk."""
        chunk = self.chunks[step.chunk]
        made = made_in(chunk.section(step.does, self.is_last(step))) if chunk.fuse else frozenset()
        for group in chunk.fuse:
            if made.issuperset(group):
                yield group

    @cached_property
    def is_stamped(self) -> bool:
        """Whether all copies of a pass are alike but for names and waits: what passes make is of one microbatch."""
        return all(map(_is_stamped, self.chunks))

    def held(self, number: int) -> tuple[str, ...]:
        """What a chunk makes for each microbatch that is held until the step is over."""
        chunk = self.chunks[number]
        return tuple(dict.fromkeys((*chunk.makes, *chunk.makes_back, *chunk.held))) if self.pipeline.buffered else ()

    def begun_by(self, step: StagePass) -> tuple[str, ...]:
        """The kernels with which a pass begins."""
        return self._bounds(step)[0]

    def ended_by(self, step: StagePass) -> Left:
        """The kernels with which a pass is over."""
        return self._bounds(step)[1]

    def _bounds(self, step: StagePass) -> tuple[tuple[str, ...], Left]:
        key = step.chunk, step.does, self.is_last(step)
        if key not in self._known:
            items = self.chunks[step.chunk].section(step.does, self.is_last(step))
            self._known[key] = begins(items), ends(items)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a pass has left for later ones of its stage to wait for: in the names of its chunk, for a microbatch."""

    chunk: int
    microbatch: int
    names: Left
    does: Pass


@dataclass(frozen=True, slots=True)
class Turn:
    """The passes that a stage goes about beside each other, and those of the turn `before`."""

    before: list[LeftBehind]
    passes: list[LeftBehind]

    @property
    def is_open(self) -> bool:
        """Whether a backward pass may go on beside it."""
        return [each.does for each in self.passes] == ["forward"]


class Backlog(Generic[Sent]):
    """What passes of a step wait for of those of their stage before, as one goes through them in their order."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._sent: dict[int, list[Sent]] = {}
        self._left: dict[int, list[LeftBehind]] = {}
        self._paces: dict[int, LeftBehind] = {}
        self._turns: dict[int, Turn] = {}

    def sent(self, chunk: int, token: Sent) -> None:
        """A chunk has sent something that the next pass of its stage waits for, if the pipeline blocks."""
        if self._step.pipeline.blocking:
            self._sent.setdefault(chunk % self._step.pipeline.stages, []).append(token)

    def awaited(self, step: StagePass) -> tuple[list[Sent], Mapping[str, Sequence[LeftBehind]]]:
        """What the first op of a pass waits for of what was sent, and others, by their names, of what was left; then the
        pass has left what it does."""
        chunk, stage = self._step.chunks[step.chunk], step.chunk % self._step.pipeline.stages
        sent, awaits = self._sent.pop(stage, []), self._turn_before(step, stage)
        if stage in self._paces:
            for name in chunk.paced:
                awaits.setdefault(name, []).append(self._paces[stage])
        if step.does in chunk.paces:
            self._paces[stage] = LeftBehind(step.chunk, step.microbatch, chunk.paces[step.does], step.does)
        if step.does == chunk.final:
            left = self._left.setdefault(stage, [])
            for name, back in chunk.awaits.items():
                if back <= len(left):
                    awaits.setdefault(name, []).append(left[-back])
            left += (LeftBehind(step.chunk, step.microbatch, names, step.does) for names in chunk.leaves)
        return sent, awaits

    def _turn_before(self, step: StagePass, stage: int) -> dict[str, list[LeftBehind]]:
        """What a pass of a stage that goes turn by turn waits for of the turn before; nothing where queues do."""
        if self._step.pipeline.schedule not in PAIRED:
            return {}
        turn = self._turns.get(stage, Turn([], []))
        if not (step.does == "backward" and turn.is_open):
            turn = Turn(turn.passes, [])
        self._turns[stage] = turn
        turn.passes.append(LeftBehind(step.chunk, step.microbatch, self._step.ended_by(step), step.does))
        return {name: list(turn.before) for name in self._step.begun_by(step)} if turn.before else {}


def holder(name: str, place: Options) -> Op:
    """What reads, when the step is over, what is held until then."""
    return Op(Tensor(name, "fp32", (), written="held"), "custom", (), (("bytes", "0"), *place))


def room_for(received: Tensor) -> Tensor:
    """The buffer that something is received into."""
    return replace(received, name=f"{received.name}.room", rounds=(), written=f"{received.base}.room")


def typed(chunk: PipelineChunk, name: str, called: str, written: str = "") -> Tensor:
    """A tensor of a chunk under another name."""
    like = chunk.tensor(name)
    return Tensor(called, like.dtype, like.dims, like.partial, like.memory, (), written)


def _is_stamped(chunk: PipelineChunk) -> bool:
    passes = (*chunk.forward, *chunk.backward, *chunk.weights, *(item for each in chunk.last.values() for item in each))
    return made_in(passes).isdisjoint({*chunk.shared, *chunk.carried, *named_in(chunk.begin)})
