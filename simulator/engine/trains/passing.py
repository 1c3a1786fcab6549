"""What the tasks of a train leave to others when they have ended.

Model: tasks that have ended together leave their lanes, whose heads are one dependency nearer to their begin, and are no
longer waited for. Among themselves nothing is left to count: they are over. So a train costs what it means to others, not
what it is long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from simulator.engine.program import Program


class Passing:
    """Counts down, for tasks that have ended together, `waits` by task, and takes them out of `lanes` by queue, whose heads
    stand at the end."""

    def __init__(self, program: Program, lanes: Sequence[list[int]], waits: list[int]) -> None:
        self._lanes, self._waits = lanes, waits
        self._queue, self._successors = program.queue, program.successors
        before, after = program.dependencies()
        # most wait for the task just before them: who does is found without a look at its dependencies
        further = after != before + 1
        self._after = after[further]
        followed = np.bincount(before[further], minlength=len(program))
        self._since: Sequence[int] = [0, *np.cumsum(followed).tolist()]

    def ended(self, first: int, stop: int, under_way: Collection[int]) -> None:
        """Tasks from the first on, before another one, have ended, but for some of the last of them."""
        waits = self._waits
        until = min(under_way, default=stop)
        alone = [task for task in range(until, stop) if task not in under_way]
        queues = Counter(self._queue[first:until])
        queues.update(self._queue[task] for task in alone)
        for queue, count in queues.items():
            lane = self._lanes[queue]
            del lane[-count:]
            if lane:
                waits[lane[-1]] -= 1
        for task in alone:
            for after in self._successors[task]:
                waits[after] -= 1
        if until == first:
            return
        later = self._after[self._since[first] : self._since[until]]
        for after in later[(later < first) | (later >= until)].tolist():
            waits[after] -= 1
        for after in self._successors[until - 1]:
            if after == until:
                waits[after] -= 1
