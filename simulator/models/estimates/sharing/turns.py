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

from simulator.models.estimates.moves import Moves
from simulator.models.estimates.stages import Numbers, Pipe


class Turns:
    """When the turn of each stage began, and until when some queue has something to do for both of its passes."""

    def __init__(self, moves: Moves, pipes: Sequence[Pipe], numbers: Numbers) -> None:
        self._moves, self._pipes, self._numbers = moves, pipes, numbers
        self._began = [numbers.nothing] * moves.stages
        self._given = [numbers.never] * moves.stages
        self._key = [0] * moves.stages
        self._until = [numbers.never] * moves.stages
        self._known: dict[tuple[int, int], Any] = {}

    def begin(self, at: int, key: int, stage: int, given: Any, free: Any) -> Any:
        """From when on a stage has room for a pass, which is `free` when all passes before are over."""
        if not self._moves.beside[at]:
            self._began[stage], self._given[stage], self._key[stage] = free, given, key
            self._until[stage] = self._numbers.never
            return free
        # whichever comes first, neither is over before the queues have done what both have for them
        first = self._numbers.smaller(self._given[stage], given)
        begin = self._numbers.larger(self._began[stage], first)
        self._until[stage] = begin + self._busy(self._key[stage], key)
        return self._began[stage]

    def end(self, stage: int, free: Any) -> Any:
        """Before when a turn is not over, given when the passes before in it are."""
        return self._numbers.larger(free, self._until[stage])

    def _busy(self, one: int, other: int) -> Any:
        """Seconds of the queue that has most to do for two passes."""
        if (one, other) not in self._known:
            found = []
            for pipe in self._pipes:
                first, second = (
                    pipe.chunks[at].passes[does].busy for does, at in (self._passes(one), self._passes(other))
                )
                found.append(max(first.get(queue, 0.0) + second.get(queue, 0.0) for queue in {*first, *second}))
            self._known[one, other] = self._numbers.of(found)
        return self._known[one, other]

    def _passes(self, key: int) -> tuple[str, int]:
        return self._moves.passes[key]
