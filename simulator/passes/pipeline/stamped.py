"""The items of a step of a pipeline, written out only where somebody goes through them, and its columns without that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from hw import SpecError
from simulator.graph.copied import Copied
from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Items, Op
from simulator.graph.unroll import unrolled
from simulator.passes.pipeline.assembly import Assembly
from simulator.passes.pipeline.chunks import PipelineChunk
from simulator.passes.pipeline.program import Program, programs_of
from simulator.passes.pipeline.schedules import StagePass
from simulator.passes.pipeline.stamping import NO_MICROBATCH, ChunkStamp
from simulator.passes.pipeline.step import Backlog, Hop, LeftBehind, Step, holder, room_for, typed


class PipelineItems(Copied):
    """The items of a step."""

    def __init__(self, step: Step) -> None:
        self._step = step

    def once(self) -> Items:
        """The items of the first pass of each sort, and of the last one."""
        return self._once

    @cached_property
    def _once(self) -> Items:
        return Assembly(self._step).items(self._step.firsts())

    def written_out(self) -> Items:
        """All items."""
        return Assembly(self._step).items(self._step.order)

    def unrolled(self, dims: Mapping[str, int]) -> FlatOps:
        """All ops as columns. Raises SpecError for a round that does not exist or has not been yet."""
        try:
            return _Stamped(self._step, dims).flat
        except (KeyError, SpecError):  # what cannot be is told of the program written out
            return unrolled(self.written_out(), dims)


class _Stamped:
    """The columns of a step. Raises KeyError for what reads what cannot be found, SpecError for rounds that cannot be."""

    def __init__(self, step: Step, dims: Mapping[str, int]) -> None:
        self._step = step
        self.flat = FlatOps()
        self._chunks: list[ChunkStamp] = []
        # chunks that are equal do the same on their stages
        known: list[tuple[PipelineChunk, dict[bool, Program]]] = []
        for number, written in enumerate(step.chunks):
            programs = next((each for other, each in known if other == written), None)
            if programs is None:
                programs = programs_of(written, dims)
                known.append((written, programs))
            self._chunks.append(ChunkStamp(written, number, step.place(number), programs, self.flat))
        self._hops: dict[tuple[int, Hop], tuple[Op, ...]] = {}
        for chunk in self._chunks:
            chunk.copy("begin")
        self._backlog: Backlog[int] = Backlog(step)
        for each in step.order:
            last, after = step.is_last(each), self._awaited(each)
            self._chunks[each.chunk].copy(each.does, each.microbatch, last, after)
            for hop in step.hops(each):
                self._hop(each, hop)
        for chunk in self._chunks:
            chunk.copy("end")
        for number, chunk in enumerate(self._chunks):
            self._hold(number, chunk)

    def _awaited(self, step: StagePass) -> dict[str, list[int]]:
        """The values that ops of a pass wait for of the passes of its stage before, by their names; "" is the first op."""
        sent, left = self._backlog.awaited(step)
        return {"": sent} | {name: [*self._left(each)] for name, each in left.items()}

    def _left(self, left: Sequence[LeftBehind]) -> Iterator[int]:
        for each in left:
            for name, rounds in each.names:
                yield self._chunks[each.chunk].made(each.does, each.microbatch, name, rounds)

    def _hold(self, number: int, chunk: ChunkStamp) -> None:
        """What a chunk has made is held until the step is over, if the pipeline is buffered."""
        names, microbatches = self._step.held(number), range(self._step.pipeline.microbatches)
        if names:
            values = tuple(chunk.value(microbatch, name) for name in names for microbatch in microbatches)
            chunk.append(holder("held", self._step.place(number)), NO_MICROBATCH, values)

    def _hop(self, step: StagePass, hop: Hop) -> None:
        """A tensor on its way to another chunk."""
        here, there, microbatch = self._chunks[step.chunk], self._chunks[hop.there], step.microbatch
        value = here.made(step.does, microbatch, hop.made)
        key = step.chunk, hop
        if key not in self._hops:
            self._hops[key] = self._ops(step.chunk, hop)
        *sent, got = self._hops[key]
        read = [value]
        for op in sent:
            self._backlog.sent(step.chunk, here.append(op, microbatch, (value,), ending=".sent"))
            read = [there.take(room, microbatch, ending=".room") for room in got.inputs]
        there.receive(hop.taken, microbatch, there.append(got, microbatch, tuple(read)))

    def _ops(self, here: int, hop: Hop) -> tuple[Op, ...]:
        """The ops of a hop as they are written: the one whose output is there comes last."""
        chunk, there = self._step.chunks[here], self._step.chunks[hop.there]
        taken = typed(there, hop.taken, hop.taken)
        made = typed(chunk, hop.made, f"{hop.made}.s{here}")  # which may have the same name there
        if hop.options is None:
            return (Op(taken, "view", (made,)),)
        token = typed(chunk, hop.made, hop.made, f"{hop.made}.sent")
        send, recv = hop.options
        room = (replace(room_for(taken), name=hop.taken),) if self._step.pipeline.buffered else ()
        return Op(token, "send", (made,), send), Op(taken, "recv", room, recv)
