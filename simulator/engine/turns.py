"""Whose turn it is where a queue chooses: among messages on a lane, and among ready tasks in order "ready".

Model: what has come is offered, what has ended frees its queue; at the end of an instant every idle queue chooses once, so
the order of simultaneous events does not matter. Queues with nothing new are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import heappop, heappush

from simulator.engine.program import Program


class Outgoing:
    """Which message a free lane sends: of those that have come, the first in program order."""

    def __init__(self, program: Program) -> None:
        self._queue = program.queue
        self._heaps: list[list[int]] = [[] for _ in program.queues]
        self._busy = [False] * len(program.queues)
        self._awake: dict[int, None] = {}

    def offer(self, task: int) -> None:
        """`task` has come."""
        queue = self._queue[task]
        heappush(self._heaps[queue], task)
        if not self._busy[queue]:
            self._awake[queue] = None

    def free(self, queue: int) -> None:
        """The lane has sent its message."""
        self._busy[queue] = False
        if self._heaps[queue]:
            self._awake[queue] = None

    def choose(self) -> list[int]:
        """Messages that start now."""
        if not self._awake:
            return []
        started = []
        for queue in self._awake:
            self._busy[queue] = True
            started.append(heappop(self._heaps[queue]))
        self._awake.clear()
        return started


class ReadyOrder:
    """Which ready task an idle queue takes: highest priority, then program order."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._heaps: list[list[tuple[int, int]]] = [[] for _ in program.queues]
        self._busy = [False] * len(program.queues)
        self._awake: dict[int, None] = {}
        self._running: set[int] = set()

    def offer(self, task: int) -> None:
        """The dependencies of `task` have ended."""
        for queue in self._program.queues_of(task):
            heappush(self._heaps[queue], (-self._program.priority.get(task, 0), task))
            self._awake[queue] = None

    def free(self, queues: Collection[int]) -> None:
        """These queues have ended their task."""
        for queue in queues:
            self._busy[queue] = False
            self._awake[queue] = None

    def choose(self) -> list[int]:
        """Tasks that start now: each the best of every one of its queues, all of them idle."""
        started: list[int] = []
        for queue in self._awake:
            heap = self._heaps[queue]
            if self._busy[queue] or not heap:
                continue
            best = heap[0]
            queues = self._program.queues_of(best[1])
            if all(not self._busy[other] and self._heaps[other][0] == best for other in queues):
                for other in queues:
                    heappop(self._heaps[other])
                    self._busy[other] = True
                started.append(best[1])
        self._awake.clear()
        return started
