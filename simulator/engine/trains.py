"""Trains: tasks of one chip that follow each other with nobody beside them take one event together.

Model: task t + 1 is coupled to task t where the end of t is what starts it, and starts nobody else: both are on one chip, in
one queue each; t is among what t + 1 waits for (a dependency, or the task before it in its queue), all else that t + 1 waits
for is over by then, and whoever else waits for t waits also for somebody who comes later. While no other flow is on their
chip's resources, coupled tasks take the times that they take alone, so that a whole train of them ends at a time known in
advance. Who arrives in between breaks the train: what has ended by then has ended, and the task that is under way becomes a
flow like any other. Times are the same whole picoseconds as without trains.

What is over when t ends, from the program alone (`_Couplings`): t and what stands before it in its queue; what t, or a task
before it in its queue, waited for, and what a task before t + 1 in the queue of that waited for, with all that stands before
those in their queues.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.engine.fluid_pool import Flow, Pool
from simulator.engine.program import Program

FEW = 2_000
"""Programs of fewer tasks go without: finding trains costs more than it saves."""

WORTH = 0.5
"""Share of the tasks that may be in trains at the least: a closer look at fewer does not pay."""

_SHORT = 2
"""A train has at least so many tasks after its first."""


@dataclass(frozen=True, slots=True)
class Train:
    """Tasks with numbers one after the other. `begins`: by task of the program, when it begins after an instant `zero` (ps),
    and behind the last of the train when that ends."""

    first: int
    last: int
    zero: int
    begins: Any

    def at(self, now: int) -> int:
        """The task that is under way at an instant, or begins in it."""
        later = self.begins[self.first + 1 : self.last + 1]
        return self.first + int(later.searchsorted(now - self.zero, side="right"))

    def begin(self, task: int) -> int:
        """When a task begins (ps)."""
        return self.zero + int(self.begins[task])

    @property
    def end(self) -> int:
        """When the last task ends (ps)."""
        return self.begin(self.last + 1)

    def write(self, until: int, begin: Any, end: Any) -> None:
        """Write down when the tasks before one of them began and ended, and when that one began."""
        times = array("q", (self.begins[self.first : until + 1] + self.zero).tobytes())
        begin[self.first : until + 1] = times
        end[self.first : until] = times[1:]


class Trains:
    """The trains of a program: `last[task]` is the last task of the one that a task is in."""

    def __init__(self, program: Program, constant: Sequence[int], asked: Sequence[tuple[int, ...]]) -> None:
        """`constant`: the ps that each shape takes alone, -1 for shapes that are in no train; `asked`: the resources of each
        shape that can be full."""
        shape = np.asarray(program.shape, dtype=np.int64)
        lasts = np.asarray(constant, dtype=np.int64)[shape]
        chips = np.asarray([queue.chip for queue in program.queues], dtype=np.int64)
        couplings = _Couplings(program, chips)
        coupled = couplings.coupled(lasts >= 0)
        count = len(shape)
        # a train ends with the next task that is not coupled to the one after it
        ends = np.where(coupled, count, np.arange(count))
        self.last: Sequence[int] = np.minimum.accumulate(ends[::-1])[::-1].tolist()
        self._before = np.concatenate([[0], np.cumsum(np.maximum(lasts, 0))])
        within = coupled | np.concatenate([[False], coupled[:-1]])
        self._resources = _resources(shape, chips[couplings.queue], within, asked)
        self._chip: Sequence[int] = chips.tolist()
        self._queue = program.queue

    def resources(self, task: int) -> tuple[int, ...]:
        """What the trains on the chip of a task ask for, of resources that can be full: each needs them for itself."""
        return self._resources[self._chip[self._queue[task]]]

    def led_by(self, task: int, now: int) -> Train:
        """The train from a task on that begins now."""
        return Train(task, self.last[task], now - int(self._before[task]), self._before)


class TrainRuns:
    """The trains that are under way in a pool. Whoever runs the tasks says how tasks of a train are passed, how one goes on
    by itself, and how the last one ends."""

    def __init__(
        self,
        trains: Trains,
        pool: Pool,
        passed: Callable[[Train, int], object],
        goes_on: Callable[[Flow, int, int], object],
        ended: Callable[[int], object],
    ) -> None:
        self._trains, self._pool = trains, pool
        self._passed, self._goes_on, self._ended = passed, goes_on, ended
        # by resource the flow of the train that has it for itself, and the trains by their first tasks
        self._on: dict[int, Flow] = {}
        self._under_way: dict[int, Train] = {}

    def lead(self, flow: Flow, lasts: int) -> int:
        """How many ps a flow lasts that begins: its own, or those of the train that it leads if there is room for one."""
        trains, key = self._trains, flow.key
        if trains.last[key] < key + _SHORT:
            return lasts
        resources = trains.resources(key)
        for resource in resources:
            here = self._pool.flows[resource]
            if resource in self._on or len(here) > 1 or (here and key not in here):
                return lasts
        now = self._pool.env.now
        train = trains.led_by(key, now)
        self._on.update(dict.fromkeys(resources, flow))
        self._under_way[key] = train
        flow.done = self._has_ended
        return train.end - now

    def make_way(self) -> None:
        """Who begins now on the resources of a train breaks it."""
        for arrival in list(self._pool.arrivals) if self._on else ():
            for resource in arrival.use.resources:
                if resource in self._on:
                    self._break(self._on[resource])

    def _break(self, flow: Flow) -> None:
        train = self._leave(flow.key)
        task = train.at(self._pool.env.now)
        self._passed(train, task)
        flow.done = self._ended
        self._goes_on(flow, task, train.begin(task))

    def _has_ended(self, first: int) -> None:
        train = self._leave(first)
        self._passed(train, train.last)
        self._ended(train.last)

    def _leave(self, first: int) -> Train:
        """A train has its resources no longer for itself."""
        for resource in self._trains.resources(first):
            del self._on[resource]
        return self._under_way.pop(first)


def _resources(shape: Any, chip: Any, within: Any, asked: Sequence[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """By chip, what its tasks that may be in trains ask for."""
    found: dict[int, dict[int, None]] = {}
    pairs = np.flatnonzero(np.bincount(chip[within] * len(asked) + shape[within]))
    for each, number in zip(*(column.tolist() for column in np.divmod(pairs, len(asked))), strict=True):
        found.setdefault(each, {}).update(dict.fromkeys(asked[number]))
    return {each: tuple(resources) for each, resources in found.items()}


class _Couplings:
    """Who waits for whom in a program, as columns: a line for each dependency, and for each two neighbours in a queue."""

    def __init__(self, program: Program, chips: Any) -> None:
        count = len(program)
        self.queue = np.asarray(program.queue, dtype=np.int64)
        self._chip = chips[self.queue]
        self._single = np.ones(count, dtype=bool)
        self._single[list(program.groups)] = False
        # queues of tasks that have several, or in another order than that of the numbers: who stands before whom is not told
        self._other_order = np.zeros(len(program.queues), dtype=bool)
        self._other_order[list({queue for queues in program.groups.values() for queue in queues})] = True
        self._other_order[list({queue for _, queue in program.places})] = True
        depended, depends = program.dependencies()
        before, after = self._neighbours()
        self._before = np.concatenate([depended, before])
        self._after = np.concatenate([depends, after])

    def _neighbours(self) -> tuple[Any, Any]:
        """Tasks that follow each other in a queue that has only tasks of one queue."""
        order = np.argsort(self.queue, kind="stable")
        same = self.queue[order[:-1]] == self.queue[order[1:]]
        return order[:-1][same], order[1:][same]

    def coupled(self, within: Any) -> Any:
        """Whether the next task is coupled to a task, by task: both among those that may be in trains."""
        count = len(self.queue)
        fits = within & self._single & ~self._other_order[self.queue]
        found = np.zeros(count, dtype=bool)
        next_waits = self._before + 1 == self._after
        found[self._before[next_waits]] = True
        # of one chip, and both may be in trains
        found[:-1] &= fits[:-1] & fits[1:] & (self._chip[:-1] == self._chip[1:])
        found[-1:] = False
        if np.count_nonzero(found) < WORTH * count:
            found[:] = False
            return found
        not_over = ~self._over()
        found[self._after[not_over] - 1] = False
        released = ~next_waits & ~self._held()
        found[self._before[released]] = False
        return found

    def _over(self) -> Any:
        """By line, whether who is waited for is over when the task before the waiting one (by number) ends."""
        before, after, queue = self._before, self._after, self.queue
        last = np.maximum(after - 1, 0)
        over = (queue[before] == queue[last]) & (before <= last)
        count, queues = len(queue), len(self._other_order)
        # who waits for later numbers may wait for ever, and proves nothing
        lines = np.flatnonzero(before < after)
        key = (queue[after[lines]] * queues + queue[before[lines]]) * count + after[lines]
        order = np.argsort(key)
        key = key[order]
        # each pair of queues has a range of numbers of its own, so that one running maximum serves all
        furthest = np.maximum.accumulate(key // count * count + before[lines[order]])
        open_ = np.flatnonzero(~over)
        for waiting in (last[open_], after[open_]):
            pair = (queue[waiting] * queues + queue[before[open_]]) * count
            at = np.searchsorted(key, pair + last[open_], side="right") - 1
            over[open_] |= (at >= 0) & (furthest[at] >= pair + before[open_])
        return over & ~self._other_order[queue[before]]

    def _held(self) -> Any:
        """By line, whether the waiting task waits also for one that cannot have ended when the task before it (by number)
        ends: one behind that task in its queue, or at or behind the task after that in the queue of that. Of tasks in queues
        of another order this says nothing; those are not coupled."""
        before, queue = self._before, self.queue
        latest = np.full(len(queue), -1)
        np.maximum.at(latest, self._after, before)
        ahead = np.full(len(queue), -1)
        neighbours = queue[before] == queue[self._after]
        np.maximum.at(ahead, self._after[neighbours], before[neighbours])
        beside = np.minimum(before + 1, len(queue) - 1)
        held = np.zeros(len(before), dtype=bool)
        for waited in (latest[self._after], ahead[self._after]):
            behind = (waited > before) & ((queue[waited] == queue[before]) | (queue[waited] == queue[beside]))
            held |= behind
        return held
