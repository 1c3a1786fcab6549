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
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat, Tensor
from simulator.passes.pipeline.renaming import Copies
from simulator.passes.pipeline.schedules import StagePass
from simulator.passes.pipeline.step import Backlog, Hop, LeftBehind, Step, holder, room_for


class Assembly:
    """A step written out."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.copies = [Copies(chunk, number, step.place(number)) for number, chunk in enumerate(step.chunks)]
        self.backlog: Backlog[str] = Backlog(step)
        self.types: dict[tuple[int, str], Tensor] = {}

    def items(self, order: Sequence[StagePass]) -> Items:
        """Some of its passes, in their order."""
        items: list[Op | Repeat] = []
        for copies in self.copies:
            items += copies.copy("begin")
        for step in order:
            after = self._awaited(step)
            items += self.copies[step.chunk].copy(step.does, step.microbatch, self.step.is_last(step), after)
            for hop in self.step.hops(step):
                items += self._hop(step, hop)
        for copies in self.copies:
            items += copies.copy("end")
        items += (self._held(number) for number in range(len(self.copies)) if self.step.held(number))
        return tuple(items)

    def _awaited(self, step: StagePass) -> dict[str, list[str]]:
        """What ops of a pass wait for of the passes of its stage before, by their names; "" is the first op."""
        sent, left = self.backlog.awaited(step)
        return {"": sent} | {name: [*self._left(each)] for name, each in left.items()}

    def _left(self, left: Sequence[LeftBehind]) -> Iterator[str]:
        for each in left:
            yield from (self.copies[each.chunk].reference(*op, each.microbatch) for op in each.names)

    def _held(self, number: int) -> Op:
        """What reads, when the step is over, what a chunk has made of all microbatches, and given back."""
        names, microbatches = self.step.held(number), range(self.step.pipeline.microbatches)
        made = tuple(self._tensor(number, name, at) for name in names for at in microbatches)
        return replace(holder(f"held.s{number}", self.step.place(number)), inputs=made)

    def _hop(self, step: StagePass, hop: Hop) -> Iterator[Op]:
        """The send and the recv of one tensor; on one stage it is there already."""
        sent = self._tensor(step.chunk, hop.made, step.microbatch)
        got = self._tensor(hop.there, hop.taken, step.microbatch)
        if hop.options is None:
            yield Op(got, "view", (sent,))
            return
        token = Tensor(f"{sent.name}.sent", sent.dtype, sent.dims, sent.partial, sent.memory, (), f"{hop.made}.sent")
        send, recv = hop.options
        yield Op(token, "send", (sent,), send)
        yield Op(got, "recv", (room_for(got),) if self.step.pipeline.buffered else (), recv)
        self.backlog.sent(step.chunk, token.name)

    def _tensor(self, number: int, name: str, microbatch: int) -> Tensor:
        """A tensor of a chunk under the name that it has for a microbatch."""
        like = self.types.get((number, name))
        if like is None:
            like = self.types[number, name] = self.step.chunks[number].tensor(name)
        called = self.copies[number].name(name, microbatch)
        return Tensor(called, like.dtype, like.dims, like.partial, like.memory, (), name)
