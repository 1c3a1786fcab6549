"""The engine: runs a program's tasks through their queues on a SimPy environment.

Model: a task starts when its dependencies have ended and it has the turn in every one of its queues (a collective has
one per member chip: its last member to come starts it). It spends its fixed time, then flows through the pool of
resources (`simulator.engine.fluid_pool`), and ends on all its queues at once.
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
from collections.abc import Collection, Sequence
from heapq import heappush
from typing import Any, Literal

import numpy as np
from simpy.events import NORMAL, Event

from hw.rows import batch_of, equal_lines, largest
from simulator.engine.clock import Clock
from simulator.engine.cores import Cores
from simulator.engine.fluid_pool import Flow, Pool, Progress
from simulator.engine.paced import paced
from simulator.engine.program import Program
from simulator.engine.trains.lone import LoneTrains
from simulator.engine.trains.passing import Passing
from simulator.engine.trains.trains import FEW, Train, TrainRuns, Trains, UnderWay
from simulator.engine.turns import Outgoing, ReadyOrder
from simulator.engine.uses import binding, uses

Order = Literal["program", "ready"]
"""In which order a queue issues: as the program says, or whoever is ready first."""

_OPEN = -2
"""Instead of a constant time: the task begins, lets its messages go, and ends after them."""


class _Turn(Event):
    """The event of a queue: it carries the task that the queue runs, and is used again for the next one."""

    __slots__ = ("task",)

    _ok = True
    _value = None

    def __init__(self) -> None:
        self.task = -1


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
        self.pool = Pool(self.env, len(program.resources))
        count = len(program)
        # who comes in from outside may take any time: whole numbers without a limit
        self.begin = [-1] * count if shared else program.times()
        self.end = [-1] * count if shared else program.times()
        self._waits = list(program.waits)
        self._shape, self._queue = program.shape, program.queue
        self._groups, self._successors = program.groups, program.successors
        full = binding(program, shared)
        self._uses = uses(program, full)
        # who holds units of its chip; nobody does where only one queue asks for them
        self._cores = Cores(program, full, self._has_units, self._finish) if program.cores else None
        # by shape, whether its tasks go straight to the pool when they begin
        self._flows = [self._cores is None and not shape.fixed_ps for shape in program.shapes]
        self._fixed = [shape.fixed_ps for shape in program.shapes]
        # a task none of whose resources can bind takes a constant time: one event
        self._constant = [
            _OPEN if shape.opens else fixed + use.alone_ps if not (use.load or shape.held) else -1
            for shape, fixed, use in zip(program.shapes, self._fixed, self._uses, strict=True)
        ]
        self._opened: dict[int, int] = {}
        # by queue, whether it holds messages; empty where none does
        self._inner = [queue.inner for queue in program.queues] if program.parts else []
        self._early = [shape.early_ps for shape in program.shapes]
        self._on_came: Any = (self._early_ended,)
        self._outgoing = Outgoing(program) if program.parts else None
        self._turns = [_Turn() for _ in program.queues]
        self._unfinished = count
        self._started = False
        self.all_ended = self.env.event()
        self.watched: dict[int, list[Event]] = {}
        self._ended: Any = (self._constant_ended,)
        self._worked: Any = (self._fixed_ended,)
        self._done = self._finish
        self._lanes = program.lanes() if order == "program" else []
        self._ready = ReadyOrder(program) if order == "ready" else None
        # whether turns are given at the end of an instant, and not as soon as a queue is free
        self._settles = self._ready is not None or self._outgoing is not None
        if self._settles or self._cores:
            self.pool.before_settle = self._before_settle
        self._lone: LoneTrains | None = None

    def start(self) -> None:
        """Put everything that can start at time 0 under way; `run` calls it, user processes may be added before."""
        waits, self._started = self._waits, True
        if (
            self._lone is None and self.pool.lengthened is None
        ):  # no trains: whoever ends asks who follows it, which costs least of lists
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
        if self._is_paced() and (times := paced(self.program, self._constant)) is not None:
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
        return batch_of(*self._constant) is not None and all(each >= 0 for each in self._constant)

    def _has_trains(self) -> bool:
        """Whether tasks may take one event together: many of them, in 64-bit picoseconds, and nobody else there. Those of
        constant times have one event each already."""
        if self._started or self._settles or self.watched or self.env.due:
            return False
        if self._waits != self.program.waits:  # somebody holds a task
            return False
        many = len(self.program) >= FEW and isinstance(self.begin, array)
        return many and (self._cores is not None or any(use.load for use in self._uses))

    def _couple(self) -> None:
        """From here on tasks go in trains."""
        self._passing = Passing(self.program, self._lanes, self._waits)
        if self._cores is not None:
            trains = Trains(self.program, self._lasts_alone(self._cores), self._constant, self._uses, paired=False)
            self._lone = LoneTrains(trains, self.pool, self._cores, self._pass, self._goes_on_alone, self._finish)
            return
        alone = [
            use.alone_ps if flows and constant < 0 else constant
            for use, flows, constant in zip(self._uses, self._flows, self._constant, strict=True)
        ]
        lasts = np.asarray(alone, dtype=np.int64)[np.asarray(self.program.shape, dtype=np.int64)]
        trains = Trains(self.program, lasts, self._constant, self._uses, paired=True)
        runs = TrainRuns(trains, self.pool, self._pass, self._go_on, self._finish)
        self.pool.lengthened, self.pool.before_admit = runs.lead, runs.make_way

    def _lasts_alone(self, cores: Cores) -> Any:
        """By task, how many ps it lasts where nobody else is on its chip; -1 where that is not known."""
        program = self.program
        found = np.full(len(program), -1, dtype=np.int64)
        single = np.ones(len(program), dtype=bool)
        single[list(program.groups)] = False
        tasks = np.flatnonzero(single)
        shape, queue = (np.asarray(each, dtype=np.int64)[tasks] for each in (program.shape, program.queue))
        units = np.asarray([program.cores.get(each.chip, 0) for each in program.queues], dtype=np.int64)
        number, first = equal_lines(shape, units[queue])
        known = [self._alone_ps(task, cores) for task in tasks[first].tolist()]
        found[tasks] = np.asarray(known, dtype=np.int64)[number]
        return found

    def _alone_ps(self, task: int, cores: Cores) -> int:
        """How many ps a task of one queue lasts with its chip for itself; -1 where that is not known."""
        shape = self._shape[task]
        use, held, constant = self._uses[shape], self.program.shapes[shape].held, self._constant[shape]
        if constant != -1:
            return constant
        if held is not None and not held.whole:
            works = cores.lasts_alone(task)
        else:
            works = use.alone_ps if use.alone_rate >= use.cap else -1
        return self._fixed[shape] + works if works > 0 else -1

    def _pass(self, train: Train, stop: int, under_way: Collection[int]) -> None:
        """The tasks of a train before one of them have begun, and all but some have ended; nobody else can begin by that."""
        train.write(stop, self.begin, self.end)
        for task in under_way:
            self.end[task] = -1
        self._unfinished -= stop - train.first - len(under_way)
        self._passing.ended(train.first, stop, under_way)

    def _go_on(self, flow: Flow, under_way: UnderWay) -> None:
        """Tasks that began at or before this instant go on by themselves, instead of the flow of their train."""
        pool, now = self.pool, self.env.now
        pool.leave(flow)
        for task, come in under_way.goes_on.items():
            shape = self._shape[task]
            if self._constant[shape] >= 0:
                turn = self._turns[self._queue[task]]
                turn.task, turn.callbacks = task, self._ended
                self.env.after(under_way.since + self._constant[shape] - now, turn)
            elif come is None:
                pool.start(task, self._uses[shape], self._done)
            else:
                pool.resume(task, self._uses[shape], self._done, come)
        pool.crowd(under_way.tight, under_way.freed)

    def _goes_on_alone(self, task: int, since: int) -> None:
        """A task that began some time ago, and has had its chip for itself since, goes on without its train."""
        shape, now = self._shape[task], self.env.now
        if since == now:
            self._set_out(task)
            return
        turn, held = self._turns[self._queue[task]], self.program.shapes[shape].held
        turn.task, works = task, since + self._fixed[shape]
        if self._constant[shape] >= 0:
            turn.callbacks = self._ended
            self.env.after(since + self._constant[shape] - now, turn)
            return
        if held is not None and held.whole:
            self._cores.take_over_whole(task)
        if now < works:
            turn.callbacks = self._worked
            self.env.after(works - now, turn)
        elif now == works:
            self._work(task, shape)
        elif held is not None and not held.whole:
            self._cores.take_over(task, works, self.pool)
        else:
            use = self._uses[shape]
            done = self._done if held is None else self._cores.ended
            self.pool.resume(task, use, done, Progress(1.0, use.cap, works, works + use.alone_ps))

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
        event = _Turn()
        event.task = task
        event.callbacks = self._on_came
        self.env.after(early, event)

    def _early_ended(self, event: _Turn) -> None:
        assert self._outgoing is not None
        self._outgoing.offer(event.task)
        self.pool.touch()

    def _begin(self, task: int) -> None:
        self.begin[task] = self.env.now
        if self._lone is None or not self._lone.lead(task):
            self._set_out(task)

    def _set_out(self, task: int) -> None:
        """A task that has begun comes to do what it does first."""
        shape, env = self._shape[task], self.env
        turn = self._turns[self._queue[task]]
        turn.task = task
        constant = self._constant[shape]
        if constant >= 0:
            turn.callbacks = self._ended
            heappush(env.due, (env.now + constant, NORMAL, next(env.numbers), turn))  # env.after(constant, turn)
        elif constant == _OPEN:
            self._open(task)
        elif self._flows[shape]:
            self.pool.start(task, self._uses[shape], self._done)
        elif self._cores is not None and (held := self.program.shapes[shape].held) is not None and held.whole:
            self._cores.start(task)
        else:
            self._enter(task)

    def _has_units(self, task: int) -> None:
        """A task that waited for units begins now; it has spent its fixed time already where it does not wait for all."""
        shape = self._shape[task]
        held = self.program.shapes[shape].held
        if held is not None and held.whole:
            self.begin[task] = self.env.now
            self._enter(task)
        else:
            self.begin[task] = self.env.now - self._fixed[shape]

    def _enter(self, task: int) -> None:
        """Spend the fixed time of a task, then work."""
        shape = self._shape[task]
        if not self._fixed[shape]:
            self._work(task, shape)
            return
        turn = self._turns[self._queue[task]]
        turn.callbacks = self._worked
        self.env.after(self._fixed[shape], turn)

    def _work(self, task: int, shape: int) -> None:
        """The fixed time of a task is over."""
        held = self.program.shapes[shape].held
        if self._cores is None or held is None:
            self.pool.start(task, self._uses[shape], self._done)
        elif held.whole:
            self.pool.start(task, self._uses[shape], self._cores.ended)
        else:
            self._cores.start(task)

    def _before_settle(self) -> None:
        """At the end of an instant: turns, then units."""
        if self._settles:
            self._dispatch()
        if self._cores is None:
            return
        if self._lone is not None:
            self._lone.make_way()
        self._cores.settle(self.pool)
        # who has got units may meet trains on what chips share
        while self._lone is not None and self._lone.make_way():
            self._cores.settle(self.pool)

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

    def _constant_ended(self, turn: _Turn) -> None:
        self._finish(turn.task)
        if self._settles or self._cores or self.pool.arrivals:
            self.pool.touch()

    def _fixed_ended(self, turn: _Turn) -> None:
        self._work(turn.task, self.program.shape[turn.task])
        self.pool.touch()

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
