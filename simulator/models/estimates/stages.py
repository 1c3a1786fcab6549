"""A pipeline in seconds: what each pass of a chunk takes, in what order stages go about them, what transfers take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from simulator.passes.pipeline.schedules import PAIRED

NEVER = -math.inf


@dataclass(frozen=True, slots=True)
class Paths:
    """Seconds of a pass to what it gives on, to the end of its last kernel in the compute queue, to the end of what follows
    it, if it is the last, and to the end of its last kernel in the queue `beside` compute that does most."""

    out: float
    queue: float
    end: float = NEVER
    beside: float = NEVER

    def until(self, end: float) -> Paths:
        """The same to the end of what follows, so many seconds."""
        return Paths(self.out, self.queue, end, self.beside)


UNBOUND = Paths(NEVER, NEVER)
"""Of what nothing keeps from being over."""


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass of a chunk: its paths from its input, from when the compute queue is free, and from when the queue beside it
    is; its serial seconds; and, by queue, the host's among them, the seconds for which it is `busy` with the pass, worked
    out when it is asked for."""

    from_input: Paths
    from_queue: Paths
    serial: float
    from_beside: Paths = UNBOUND
    busy: Callable[[], Mapping[str, float]] = dict


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPasses:
    """The passes of a chunk by their names, those of the last microbatch apart, and `first`: when the first one is over at
    the earliest, counted from the begin of the step, with what is there before. Serial seconds of what stands `before` all
    passes and `behind` them; of that, what two chunks exchange, and what follows it (`tied`), if they do. `beside`: that
    queue but compute which does most."""

    passes: Mapping[str, Pass]
    last: Mapping[str, Pass]
    first: Paths
    before: float
    behind: float
    tied: tuple[float, float] | None = None
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipe:
    """A pipeline: its chunks in the order of the model, stages, microbatches, schedule; transfers, (alone, serially) in
    seconds, from each chunk to the next, `there`, and from each to the one before, `back`. `blocking`: a stage goes on only
    when what it sends has come."""

    chunks: Sequence[ChunkPasses]
    stages: int
    microbatches: int
    schedule: str
    there: Sequence[tuple[float, float]] = ()
    back: Sequence[tuple[float, float]] = ()
    blocking: bool = False

    @property
    def has_beside(self) -> bool:
        """Whether a stage has one queue beside compute that does most, whichever of its chunks is at work."""
        return len({chunk.beside for chunk in self.chunks}) == 1

    @property
    def interleave(self) -> int:
        """Chunks a stage."""
        return len(self.chunks) // self.stages

    def walked(self) -> int:
        """How many microbatches are gone through, if the rest go on in the same way."""
        fewer = 3 * self.ahead + 2
        fewer += (self.microbatches - fewer) % self.group
        # to find out that they do not would cost as much again
        return fewer if 2 * fewer < self.microbatches else self.microbatches

    @property
    def group(self) -> int:
        """Microbatches that go through a stage's chunks together."""
        return self.stages if self.interleave > 1 else 1

    @property
    def ahead(self) -> int:
        """The most microbatches that a stage ever has ahead."""
        return self.stages * (2 if self.interleave > 1 or self.schedule in PAIRED else 1) + (self.schedule in PAIRED)

    def told(self, does: str, at: int) -> tuple[float, float]:
        """The transfer of what a pass makes."""
        hops = self.there if does == "forward" else self.back
        return hops[at] if at < len(hops) else (0.0, 0.0)
