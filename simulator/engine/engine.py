"""The engine: runs a program's tasks through their queues on a SimPy environment.

Model: a task starts when its dependencies have ended and it has the turn in every one of its queues (a collective has
one per member chip: its last member to come starts it). It spends its fixed time, then flows through the pool of
resources (`simulator.engine.work`), and ends on all its queues at once.
- order "program": a queue takes its tasks in program order and its head blocks it. Being the head is one more
  dependency, so a counter per task is all there is.
- order "ready": among the tasks whose dependencies have ended, an idle queue takes the one of highest priority, then the
  first in program order. A collective starts when it is the choice of all its queues. Choices are made in the settling
  phase of an instant, so the order of simultaneous events does not matter.
A message of a collective that goes by messages waits for what it passes on, then for its latency, then for its lane,
which sends one at a time, first in program order among those that have come: latency runs while the lane is busy, as on a
wire, so that a pipeline pays it once.
Speed comes from what is not there: no process, no Resource object and no zero-delay event per task; a resource that
cannot bind whatever runs at once is left out before the start (unless a user's process shares it); tasks that follow each
other alone on their chip take one event together (`simulator.engine.trains.trains`).
A task that never starts leaves `end` at -1: `waiting_tasks` then names what blocks (a deadlock).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

from simpy.events import Event

from hw.rows import batch_of, largest
from simulator.engine.clock import Clock
from simulator.engine.fluid_pool import Pool
from simulator.engine.paced import paced
from simulator.engine.program import Program
from simulator.engine.trains.passing import Passing
from simulator.engine.trains.runs import TrainRuns
from simulator.engine.trains.trains import FEW, Train, Trains
from simulator.engine.turns import Outgoing, ReadyOrder
from simulator.engine.work import Asked, Turn, Work

Order = Literal["program", "ready"]
"""In which order a queue issues: as the program says, or whoever is ready first."""


class Engine:
    """One run of one program. `begin` and `end` are picoseconds by task id, -1 for what never happened."""

    def __init__(
        self,
        program: Program,
        env: Clock | None = None,
        order: Order = "program",
        shared: Collection[int] = (),
    ) -> None:
        self.program = program
        self.env = env if env is not None else Clock()
        count = len(program)
        # who comes in from outside may take any time: whole numbers without a limit
        self.begin = [-1] * count if shared else program.times()
        self.end = [-1] * count if shared else program.times()
        self._waits = list(program.waits)
        self._queue, self._shape = program.queue, program.shape
        self._groups, self._successors = program.groups, program.successors
        asked = Asked.by(program, shared)
        self.work = Work(program, asked, Pool(self.env, len(program.resources)), self.begin, self._finish, self._open)
        self._begin: Callable[[int], None] = self.work.begin
        self._opened: dict[int, int] = {}
        # by queue, whether it holds messages; empty where none does
        self._inner = [queue.inner for queue in program.queues] if program.parts else []
        self._early = [shape.early_ps for shape in program.shapes]
        self._on_came: Any = (self._early_ended,)
        self._outgoing = Outgoing(program) if program.parts else None
        self._unfinished = count
        self._started = False
        self.all_ended = self.env.event()
        self.watched: dict[int, list[Event]] = {}
        self._lanes = program.lanes() if order == "program" else []
        self._ready = ReadyOrder(program) if order == "ready" else None
        # whether turns are given at the end of an instant, and not as soon as a queue is free
        self._settles = self._ready is not None or self._outgoing is not None
        self._runs: TrainRuns | None = None
        if self._settles or self.work.cores is not None:
            self.pool.before_settle, self.work.settles = self._before_settle, True

    @property
    def pool(self) -> Pool:
        """Where the flows of its tasks are."""
        return self.work.pool

    @pool.setter
    def pool(self, pool: Pool) -> None:
        self.work.pool = pool

    def start(self) -> None:
        """Put everything that can start at time 0 under way; `run` calls it, user processes may be added before."""
        waits, self._started = self._waits, True
        if self._runs is None:  # whoever ends asks who follows it, which costs least of lists
            self._successors = self.program.listed()
        if self._ready is not None:
            outer = set(self.program.outer())
            for task in [task for task, count in enumerate(waits) if not count and task in outer]:
                self._ready.offer(task)
        # messages take turns by when they come, so their lanes have no heads
        lanes = [lane for queue, lane in enumerate(self._lanes) if not (self._inner and self._inner[queue])]
        for lane in lanes:
            lane.reverse()  # the head is popped from the end
            for task in lane:
                waits[task] += 1
        for lane in lanes:
            if lane:
                self._count_down(lane[-1])
        self.pool.touch()

    def hold(self, task: int) -> None:
        """One more thing that a task waits for; `release` lets it go. Raises ValueError if it has begun."""
        if self.begin[task] >= 0:
            raise ValueError("the op has begun already; it can no longer be held")
        self._waits[task] += 1

    def release(self, task: int) -> None:
        """What `hold` announced has happened."""
        if not self._started:
            self._waits[task] -= 1
            return
        self._count_down(task)
        self.pool.touch()

    def run(self) -> None:
        """Run to the end of everything, user processes included."""
        if self._is_paced() and (times := paced(self.program, self.work.asked.constant)) is not None:
            self.begin, self.end = times
            return
        if self._has_trains():
            self._couple()
        self.start()
        self.env.run()

    def _is_paced(self) -> bool:
        """Whether these are many rows whose tasks take constant times, with nobody else there: their events need not come
        in one order."""
        if self._started or self._settles or self.watched or self.env.due:
            return False
        constant = self.work.asked.constant
        return batch_of(*constant) is not None and all(each >= 0 for each in constant)

    def _has_trains(self) -> bool:
        """Whether tasks may take one event together: many of them, in 64-bit picoseconds, and nobody else there. Those of
        constant times have one event each already."""
        if self._started or self._settles or self.watched or self.env.due:
            return False
        if self._waits != self.program.waits:  # somebody holds a task
            return False
        many = len(self.program) >= FEW and isinstance(self.begin, array)
        return many and (self.work.cores is not None or any(use.load for use in self.work.asked.uses))

    def _couple(self) -> None:
        """From here on tasks go in trains."""
        self._passing = Passing(self.program, self._lanes, self._waits)
        trains = Trains(self.program, self.work.asked)
        self._runs = TrainRuns(trains, self.work, self._pass, self._finish)
        self._begin = self._runs.begin
        if self.pool.before_settle is None:
            self.pool.before_admit = self._runs.make_way

    def _pass(self, train: Train, stop: int, under_way: Collection[int]) -> None:
        """The tasks of a train before one of them have begun, and all but some have ended; nobody else can begin by that."""
        train.write(stop, self.begin, self.end)
        for task in under_way:
            self.end[task] = -1
        self._unfinished -= stop - train.first - len(under_way)
        self._passing.ended(train.first, stop, under_way)

    @property
    def makespan_ps(self) -> int:
        """When the last task ended; not `env.now`, which stale events and user processes move on."""
        return largest(self.end, default=0)

    def waiting_tasks(self) -> list[int]:
        """Tasks that never ended, in program order."""
        if not self._unfinished:
            return []
        return [task for task, end in enumerate(self.end) if end < 0]

    def _count_down(self, task: int) -> None:
        self._waits[task] = left = self._waits[task] - 1
        if not left:
            if self._settles:
                self._let_go(task)
            else:
                self._begin(task)

    def _let_go(self, task: int) -> None:
        """All that a task waited for is over; but for a message and in order "ready", its turn is among that."""
        if self._inner and self._inner[self.program.queue[task]]:
            self._set_off(task)
        elif self._ready is None or task in self._opened:
            self._begin(task)
        else:
            self._ready.offer(task)

    def _set_off(self, task: int) -> None:
        """A message's latency runs at once, also while its lane is busy with the ones before: a pipeline pays it once."""
        assert self._outgoing is not None
        early = self._early[self.program.shape[task]]
        if not early:
            self._outgoing.offer(task)
            return
        event = Turn()
        event.task = task
        event.callbacks = self._on_came
        self.env.after(early, event)

    def _early_ended(self, event: Turn) -> None:
        assert self._outgoing is not None
        self._outgoing.offer(event.task)
        self.pool.touch()

    def _before_settle(self) -> None:
        """At the end of an instant: turns, then units."""
        if self._settles:
            self._dispatch()
        cores, runs = self.work.cores, self._runs
        if cores is None:
            return
        if runs is not None:
            runs.make_way()
        cores.settle(self.pool)
        # who has got units may meet trains on what chips share
        while runs is not None and runs.make_way():
            cores.settle(self.pool)

    def _open(self, task: int) -> None:
        """The first time a task with parts lets them go; when they have ended it comes here again, and ends."""
        since = self._opened.pop(task, -1)
        if since >= 0:
            self.begin[task] = since
            self._finish(task)
            return
        self._opened[task] = self.env.now
        heads, self._waits[task] = self.program.parts[task]
        for head in heads:
            self._count_down(head)

    def _finish(self, task: int) -> None:
        self.end[task] = self.env.now
        self._unfinished -= 1
        if not self._unfinished:
            self.all_ended.succeed()
        if self.watched:
            for event in self.watched.pop(task, ()):
                event.succeed()
        if task in self._groups:
            self._free(self._groups[task])
        elif self._settles:
            self._free((self._queue[task],))
        else:
            lane = self._lanes[self._queue[task]]
            lane.pop()
            if lane:
                self._count_down(lane[-1])
        waits = self._waits
        for after in self._successors[task]:
            waits[after] = left = waits[after] - 1
            if not left:
                if self._settles:
                    self._let_go(after)
                else:
                    self._begin(after)

    def _free(self, queues: Sequence[int]) -> None:
        """Queues have ended their task: their heads leave, and those behind them come."""
        if self._inner and self._inner[queues[0]]:
            assert self._outgoing is not None
            self._outgoing.free(queues[0])
        elif self._ready is not None:
            self._ready.free(queues)
        else:
            for queue in queues:
                lane = self._lanes[queue]
                lane.pop()
                if lane:
                    self._count_down(lane[-1])

    def _dispatch(self) -> None:
        """Start what its turn has come for, at the end of an instant: the order of its events does not matter."""
        ready, outgoing = self._ready, self._outgoing
        while started := [*(ready.choose() if ready else ()), *(outgoing.choose() if outgoing else ())]:
            for task in started:  # what begins may let its messages go in the same instant
                self._begin(task)
