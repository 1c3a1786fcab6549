"""A program: tasks as columns, ready to be run. Everything the engine reads, and nothing else.

Model: a task is one kernel (or one chunk of it) on one chip, or a collective of a whole group. It sits in one queue per
member chip, waits for its dependencies and for its turn in all of its queues, spends its fixed time, and then works:
each resource needs t_r = amount / capacity, and alone the task takes T = max(t_r) + (sum(t_r) - max(t_r)) / k.
Tasks that ask the same share one `Shape`. Times are picoseconds: fixed times whole ones, amounts of work exact floats.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, pairwise, repeat
from typing import Any

import numpy as np

from hw.rows import Memo, batch_of
from simulator.engine.followers import Followers
from simulator.engine.shape import Shape

ADDED = 1e-9
"""Relative slack in sums of loads, far above float noise and far below anything that matters."""

_INT64 = 2.0**62

_NOBODY: list[int] = []
"""Who waits for a task for which nobody waits so far: one list for all of them, which stays empty."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A capacity: its name ('chip0.hbm'), which `t_*` word its time counts under, and amount per second."""

    name: str
    cause: str
    per_s: float
    chip: int = -1


@dataclass(frozen=True, slots=True)
class Queue:
    """An in-order lane of one chip; an inner one holds the messages of collectives that another lane is busy with."""

    chip: int
    name: str
    inner: bool = False


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks as columns of whole numbers: first queue, shape, kernel, chunk; all queues of those that have several, by the
    number of the task among these."""

    queue: Any
    shape: Any
    kernel: Any
    chunk: Any
    groups: Mapping[int, tuple[int, ...]]


@dataclass(slots=True)
class Program:
    """Tasks as columns, by task id; ids are program order.

    `groups`: all queues of a task that has several. `places`: where a task stands in a queue, if not at its id.
    `parts`: of a task that stands for others (a collective by messages), those that start with it, and how many it ends
    after; it keeps its queues from its begin to its end.
    """

    resources: list[Resource] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    shape: list[int] = field(default_factory=list)
    queue: array[int] = field(default_factory=lambda: array("i"))
    groups: dict[int, tuple[int, ...]] = field(default_factory=dict)
    successors: Sequence[list[int]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    priority: dict[int, int] = field(default_factory=dict)
    places: dict[tuple[int, int], float] = field(default_factory=dict)
    parts: dict[int, tuple[tuple[int, ...], int]] = field(default_factory=dict)
    kernel: array[int] = field(default_factory=lambda: array("i"))
    chunk: array[int] = field(default_factory=lambda: array("i"))
    cores: dict[int, int] = field(default_factory=dict)
    _interned: Memo[Shape, int] = field(default_factory=Memo)
    _dependencies: tuple[Any, Any] | None = None

    def __len__(self) -> int:
        return len(self.shape)

    def intern(self, shape: Shape) -> int:
        """The number of a shape, the same for equal ones."""
        number = self._interned.get(shape)
        if number is None:
            number = self._interned.put(shape, len(self.shapes))
            self.shapes.append(shape)
        return number

    def add(self, queues: Sequence[int], shape: int, after: Iterable[int], kernel: int = -1, chunk: int = 0) -> int:
        """Append a task in `queues` (one per member chip) that waits for the tasks `after`; returns its id."""
        task = len(self.shape)
        self.shape.append(shape)
        self.queue.append(queues[0])
        if len(queues) > 1:
            self.groups[task] = tuple(queues)
        self.listed().append(_NOBODY)
        self.kernel.append(kernel)
        self.chunk.append(chunk)
        waits = 0
        for before in after:
            self._lets(before, task)
            waits += 1
        self.waits.append(waits)
        self._dependencies = None
        return task

    def add_all(self, tasks: Tasks) -> None:
        """Append many tasks; what they wait for is told by `wait_all`."""
        count, first = len(tasks.queue), len(self.shape)
        self.shape.extend(tasks.shape.tolist())
        for column, added in ((self.queue, tasks.queue), (self.kernel, tasks.kernel), (self.chunk, tasks.chunk)):
            column.frombytes(added.astype("i").tobytes())
        self.groups.update((first + task, queues) for task, queues in tasks.groups.items())
        self.listed().extend(repeat(_NOBODY, count))
        self.waits.extend(repeat(0, count))
        self._dependencies = None

    def wait_all(self, tasks: Any, before: Any) -> None:
        """Each of some tasks starts only after what stands beside it has ended."""
        waiting, awaited = (np.asarray(each, dtype=np.int64) for each in (tasks, before))
        order = np.argsort(awaited, kind="stable")
        of, after = awaited[order], waiting[order]
        more = np.bincount(waiting, minlength=len(self))
        if not any(self.waits):  # so far nobody waits
            self.successors, self.waits = Followers(of, after, len(self)), more.tolist()
            self._dependencies = of, after
            return
        first, successors = np.flatnonzero(np.diff(of, prepend=-1)), self.listed()
        spans = pairwise([*first.tolist(), len(order)])
        for task, (since, until) in zip(of[first].tolist(), spans, strict=True):
            successors[task] = successors[task] + after[since:until].tolist()
        self.waits = (np.asarray(self.waits, dtype=np.int64) + more).tolist()
        self._dependencies = None

    def wait(self, task: int, before: int) -> None:
        """`task` starts only after `before` has ended."""
        self._lets(before, task)
        self.waits[task] += 1
        self._dependencies = None

    def enclose(self, task: int, heads: Sequence[int], tails: Sequence[int]) -> None:
        """`task` lets `heads` start when it begins, and ends when `tails` have ended."""
        self.parts[task] = (tuple(heads), len(tails))
        for head in heads:
            self.waits[head] += 1
        for tail in tails:
            self._lets(tail, task)
        self._dependencies = None

    def _lets(self, before: int, task: int) -> None:
        """`task` is one of those that `before` is waited for by."""
        successors = self.listed()
        if successors[before] is _NOBODY:
            successors[before] = [task]
        else:
            successors[before].append(task)

    def listed(self) -> list[list[int]]:
        """Who waits for each task, as lists that can be added to."""
        if not isinstance(self.successors, list):
            self.successors = [*self.successors]
        return self.successors

    def dependencies(self) -> tuple[Any, Any]:
        """All dependencies as columns: the task that is waited for, in the order of tasks, and the one that waits."""
        if self._dependencies is None:
            count = np.fromiter(map(len, self.successors), dtype=np.int64, count=len(self))
            after = np.fromiter(chain.from_iterable(self.successors), dtype=np.int64, count=int(count.sum()))
            self._dependencies = np.repeat(np.arange(len(self)), count), after
        return self._dependencies

    def is_inner(self, task: int) -> bool:
        """Whether a task is a message of a collective."""
        return self.queues[self.queue[task]].inner

    def queues_of(self, task: int) -> tuple[int, ...]:
        """All queues that a task occupies."""
        return self.groups.get(task) or (self.queue[task],)

    def chips_of(self, task: int) -> tuple[int, ...]:
        """All chips that a task runs on."""
        return tuple(self.queues[queue].chip for queue in self.queues_of(task))

    def outer(self) -> Iterator[int]:
        """The tasks that are no messages, in program order: a collective that goes by messages stands for them."""
        if not self.parts:
            return iter(range(len(self)))
        inner = [queue.inner for queue in self.queues]
        return (task for task, queue in enumerate(self.queue) if not inner[queue])

    def lanes(self) -> list[list[int]]:
        """The tasks of each queue in the order in which it issues them."""
        alone = np.ones(len(self), dtype=bool)
        alone[list(self.groups)] = False
        count = np.fromiter(map(len, self.groups.values()), dtype=np.int64, count=len(self.groups))
        tasks = np.concatenate([np.flatnonzero(alone), np.repeat(np.fromiter(self.groups, dtype=np.int64), count)])
        joined = np.fromiter(chain.from_iterable(self.groups.values()), dtype=np.int64)
        queue = np.concatenate([np.asarray(self.queue, dtype=np.int64)[alone], joined])
        in_lane = tasks[np.lexsort((tasks, queue))].tolist()
        ends = np.cumsum(np.bincount(queue, minlength=len(self.queues))).tolist()
        lanes = [in_lane[since:until] for since, until in pairwise([0, *ends])]
        for each in {queue for _, queue in self.places}:
            lanes[each].sort(key=lambda task: self.places.get((task, each), task))
        return lanes

    def possible_order(self) -> list[int]:
        """All tasks but messages in an order that respects dependencies and queues, smallest ids first; what cannot run
        comes last."""
        if self._runs_as_numbered():
            return list(range(len(self)))
        lanes = [() if queue.inner else lane for queue, lane in zip(self.queues, self.lanes(), strict=True)]
        waits, done = list(self.waits), [0] * len(lanes)
        for lane in lanes:
            for task in lane[1:]:
                waits[task] += 1
        inner = [queue.inner for queue in self.queues]
        outer = [not inner[queue] for queue in self.queue]
        order: list[int] = []
        # most tasks can run when those of smaller ids have: only who had to be waited for is put in its order by a heap
        ready: list[int] = []
        for reached in range(len(self)):
            if not outer[reached] or waits[reached]:
                continue
            heappush(ready, reached)
            while ready:
                task = heappop(ready)
                order.append(task)
                after = self.successors[task]
                for queue in self.groups.get(task) or (self.queue[task],):
                    done[queue] = place = done[queue] + 1
                    if place < len(lanes[queue]):
                        after = [*after, lanes[queue][place]]
                for each in after:
                    waits[each] -= 1
                    if not waits[each] and each < reached and outer[each]:
                        heappush(ready, each)
        return order + [task for task in range(len(self)) if outer[task] and waits[task]]

    def _runs_as_numbered(self) -> bool:
        """Whether ids are such an order: nobody waits for who comes later, or stands behind them in a queue."""
        before, after = self.dependencies()
        if self.parts or not (before < after).all():
            return False
        lanes = self.lanes()
        return all(one < next_ for each in {queue for _, queue in self.places} for one, next_ in pairwise(lanes[each]))

    def times(self) -> MutableSequence[int]:
        """A column for a time per task, -1 each: 64-bit where even a run without any overlap fits, else unlimited."""
        longest = [shape.early_ps + shape.fixed_ps + sum(shape.stage_ps) + 1 for shape in self.shapes]
        total = sum(longest[number] * count for number, count in Counter(self.shape).items())
        plain = batch_of(total) is None and total < _INT64
        return array("q", [-1]) * len(self) if plain else [-1] * len(self)

    def work_ps(self) -> list[float]:
        """Total time that each resource needs for all tasks, alone at full capacity."""
        counted = (self.shape[task] for task in self.outer()) if self.parts else self.shape
        total = [0.0] * len(self.resources)
        for number, count in Counter(counted).items():
            for resource, time in self.shapes[number].demands:
                total[resource] += time * count
        return total
