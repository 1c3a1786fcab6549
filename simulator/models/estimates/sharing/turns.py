"""The turns of stages that go about two passes beside each other (`simulator.passes.pipeline.turns`).

Model: a turn begins when the stage's last one is over; each of its passes then begins when its input is there, and is over
no earlier than alone. Nor is the turn before its queues have done what both have for them: kernels of compute, what is sent
between kernels of a pass, what the host issues.
Assumes: queues run what is ready, so that of two passes one's work lies in the other's waits; how well it fits is not known
without a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.models.estimates.moves import Moves, Sweep
from simulator.models.estimates.stages import NEVER, Pipe


class Turns:
    """When the turn of each stage began, and until when some queue has something to do for both of its passes, of pipelines
    as columns."""

    def __init__(self, moves: Moves, pipes: Sequence[Pipe]) -> None:
        self._moves, self._pipes = moves, pipes
        self._began = np.zeros((moves.stages, len(pipes)))
        self._given = np.full((moves.stages, len(pipes)), NEVER)
        self._until = self._given.copy()
        self._key = np.zeros(moves.stages, dtype=np.int64)
        self._known: dict[tuple[int, int], Any] = {}

    def begin(self, sweep: Sweep, given: Any, free: Any) -> Any:
        """From when on stages have room for the passes of a sweep, whose input is `given` and which are `free` when all
        passes before are over."""
        at, stage = sweep.alone, sweep.stage[sweep.alone]
        self._began[stage], self._given[stage], self._key[stage] = free[at], given[at], sweep.key[at]
        self._until[stage] = NEVER
        if not len(sweep.beside):
            return free
        at, stage = sweep.beside, sweep.stage[sweep.beside]
        # whichever comes first, neither is over before the queues have done what both have for them
        first = np.minimum(self._given[stage], given[at])
        pairs = zip(self._key[stage].tolist(), sweep.key[at].tolist(), strict=True)
        self._until[stage] = np.maximum(self._began[stage], first) + np.stack([self._busy(*pair) for pair in pairs])
        room = free.copy()
        room[at] = self._began[stage]
        return room

    def end(self, sweep: Sweep, free: Any) -> Any:
        """Before when the turns of a sweep are not over, given when the passes before in them are."""
        return np.maximum(free, self._until[sweep.stage])

    def _busy(self, one: int, other: int) -> Any:
        """Seconds of the queue that has most to do for two passes."""
        if (one, other) not in self._known:
            found = []
            for pipe in self._pipes:
                first, second = (
                    pipe.chunks[at].passes[does].busy()
                    for does, at in (self._moves.passes[one], self._moves.passes[other])
                )
                found.append(max(first.get(queue, 0.0) + second.get(queue, 0.0) for queue in {*first, *second}))
            self._known[one, other] = np.asarray(found)
        return self._known[one, other]
