"""What tasks do between their begin and their end: fixed times, units of their chips, flows.

Model: a task spends its fixed time, then flows through the pool of resources (`simulator.engine.fluid_pool`) until its work
is done. One none of whose resources can bind takes a constant time. One that holds units of its chip waits for those first
(`simulator.engine.cores`): a collective before its fixed time, any other behind it. Whoever runs the tasks says when they
begin, and is told when they end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import dataclass
from heapq import heappush
from typing import Any

from simpy.events import NORMAL, Event

from simulator.engine.cores import Cores, Holder
from simulator.engine.fluid_pool import Flow, Pool, Use
from simulator.engine.program import Program
from simulator.engine.uses import binding, uses

OPEN = -2
"""Instead of a constant time: the task begins, lets its messages go, and ends after them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What shapes ask, by their numbers: fixed times (ps), uses of the resources that can be full (`full`), and the constant
    times (ps) of those that ask for nothing else; -1 of others, `OPEN` of those that let messages go."""

    full: Collection[int]
    fixed: Sequence[int]
    uses: Sequence[Use]
    constant: Sequence[int]

    @classmethod
    def by(cls, program: Program, shared: Collection[int]) -> Asked:
        """What those of a program ask. `shared`: resources that others use, too."""
        full = binding(program, shared)
        found = uses(program, full)
        fixed = [shape.fixed_ps for shape in program.shapes]
        constant = [
            OPEN if shape.opens else early + use.alone_ps if not (use.load or shape.held) else -1
            for shape, early, use in zip(program.shapes, fixed, found, strict=True)
        ]
        return cls(full, fixed, found, constant)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Tasks that began together at some instant (`since`) in a pool of their own, whose clock is so many ps behind
    (`later`), as they are before what happens in this instant: those that hold units, in the order in which they came;
    flows, by task; the tasks that are `over`; the resources that are full (`tight`)."""

    tasks: Sequence[int]
    since: int
    later: int
    holders: Sequence[Holder]
    flows: Mapping[int, Flow]
    over: Collection[int]
    tight: Collection[int]


class Turn(Event):
    """The event of a queue: it carries the task that the queue runs, and is used again for the next one."""

    __slots__ = ("task",)

    _ok = True
    _value = None

    def __init__(self) -> None:
        self.task = -1


class Work:
    """The tasks of a program that are at work in a pool. `begins`: by task, where its begin is written down (ps); `finish`
    is told when one ends, `opens` when one begins, or ends, that lets messages go."""

    def __init__(
        self,
        program: Program,
        asked: Asked,
        pool: Pool,
        begins: MutableSequence[int] | MutableMapping[int, int],
        finish: Callable[[int], object],
        opens: Callable[[int], object] | None = None,
    ) -> None:
        self.pool, self.begins, self.asked = pool, begins, asked
        self._env, self._finish, self._opens = pool.env, finish, opens
        self._shape, self._shapes, self._queue = program.shape, program.shapes, program.queue
        # who holds units of its chip; nobody does where only one queue asks for them
        self.cores = Cores(program, asked.full, self._has_units, finish) if program.cores else None
        self._fixed, self._uses, self._constant = asked.fixed, asked.uses, asked.constant
        # by shape, whether its tasks go straight to the pool when they begin
        self._flows = [
            self.cores is None and not fixed and constant != OPEN
            for fixed, constant in zip(asked.fixed, asked.constant, strict=True)
        ]
        self._turns = [Turn() for _ in program.queues]
        self._ended: Any = (self._constant_ended,)
        self._worked: Any = (self._fixed_ended,)
        # whether what ends is looked at once more at the end of its instant, though nobody has come
        self.settles = self.cores is not None

    def begin(self, task: int) -> None:
        """A task begins in this instant. The pool's `touch()` must follow."""
        shape, env = self._shape[task], self._env
        self.begins[task] = now = env.now
        turn = self._turns[self._queue[task]]
        turn.task = task
        constant = self._constant[shape]
        if constant >= 0:
            turn.callbacks = self._ended
            heappush(env.due, (now + constant, NORMAL, next(env.numbers), turn))  # env.after(constant, turn)
        elif self._flows[shape]:
            self.pool.start(task, self._uses[shape], self._finish)
        elif constant == OPEN:
            assert self._opens is not None
            self._opens(task)
        elif self.cores is not None and (held := self._shapes[shape].held) is not None and held.whole:
            self.cores.start(task)
        else:
            self._enter(task)

    def _has_units(self, task: int) -> None:
        """A task that waited for units begins now; it has spent its fixed time already where it does not wait for all."""
        shape = self._shape[task]
        held = self._shapes[shape].held
        if held is not None and held.whole:
            self.begins[task] = self._env.now
            self._enter(task)
        else:
            self.begins[task] = self._env.now - self._fixed[shape]

    def _enter(self, task: int) -> None:
        """Spend the fixed time of a task, then work."""
        shape = self._shape[task]
        if not self._fixed[shape]:
            self._work(task, shape)
            return
        turn = self._turns[self._queue[task]]
        turn.task, turn.callbacks = task, self._worked
        self._env.after(self._fixed[shape], turn)

    def _work(self, task: int, shape: int) -> None:
        """The fixed time of a task is over."""
        held = self._shapes[shape].held
        if self.cores is None or held is None:
            self.pool.start(task, self._uses[shape], self._finish)
        elif held.whole:
            self.pool.start(task, self._uses[shape], self.cores.ended)
        else:
            self.cores.start(task)

    def _constant_ended(self, turn: Turn) -> None:
        self._finish(turn.task)
        if self.settles or self.pool.arrivals:
            self.pool.touch()

    def _fixed_ended(self, turn: Turn) -> None:
        self._work(turn.task, self._shape[turn.task])
        self.pool.touch()

    def take_over(self, others: UnderWay) -> list[int]:
        """Tasks go on here as they have come elsewhere, but for those that are over by now; these are returned. The pool's
        `touch()` must follow."""
        here, pool = self._env.now, self.pool
        holders = {holder.task: holder for holder in others.holders}
        # in the order in which they came for units
        tasks = [*holders, *(task for task in others.tasks if task not in holders)]
        going = [task for task in tasks if task not in others.over and self._goes_on(task, holders.get(task), others)]
        ending = [flow for flow in others.flows.values() if flow.ends + others.later == here]
        # of what ends in this very instant those that share with it do not know yet
        freed = [resource for flow in ending for resource in flow.use.resources if resource in others.tight]
        pool.crowd(others.tight, freed)
        return going

    def _goes_on(self, task: int, holder: Holder | None, others: UnderWay) -> bool:
        """Whether a task goes on, which does so."""
        shape, here = self._shape[task], self._env.now
        flow, constant = others.flows.get(task), self._constant[shape]
        if flow is None and (constant >= 0 or holder is None or holder.held.whole):
            return self._goes_on_waiting(task, holder, others, others.since + max(constant, self._fixed[shape]))
        ends_now = flow is not None and flow.ends + others.later == here
        if holder is not None and self.cores is not None:
            if ends_now and not holder.after:
                self.cores.offer(holder.chips)
                return False
            self.cores.adopt(holder, flow, self.pool, others.later)
            if ends_now:
                self.cores.ended(task)
        elif flow is not None and not ends_now:
            self.pool.resume(task, flow.use, self._finish, flow.later(others.later))
        return not ends_now or holder is not None

    def _goes_on_waiting(self, task: int, holder: Holder | None, others: UnderWay, until: int) -> bool:
        """Whether a task goes on that is in its constant or its fixed time, up to an instant."""
        shape, here = self._shape[task], self._env.now
        if holder is not None and self.cores is not None:
            self.cores.adopt(holder, None, self.pool, others.later)
        is_constant = self._constant[shape] >= 0
        if until > here:
            turn = self._turns[self._queue[task]]
            turn.task, turn.callbacks = task, self._ended if is_constant else self._worked
            self._env.after(until - here, turn)
        elif not is_constant:
            self._work(task, shape)
        return until > here or not is_constant
