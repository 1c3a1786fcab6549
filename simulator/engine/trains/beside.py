"""Tasks that begin together on a chip that they have for themselves: run in a pool of their own, by the rules of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.engine.clock import Clock
from simulator.engine.fluid_pool import Flow, Pool, Use
from simulator.engine.program import Program
from simulator.engine.work import Asked, UnderWay, Work


class _Noting(Pool):
    """A pool that knows the last flow of each task."""

    def __init__(self, env: Clock, resources: int) -> None:
        super().__init__(env, resources)
        self.begun: dict[int, Flow] = {}

    def start(self, key: int, use: Use, done: Callable[[int], object], left: float = 1.0) -> Flow:
        flow = self.begun[key] = super().start(key, use, done, left)
        return flow


class Beside:
    """Runs tasks of a program, a few at a time, that begin together with nobody else there."""

    def __init__(self, program: Program, asked: Asked) -> None:
        self._pool = _Noting(Clock(), len(program.resources))
        self._begins: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._work = Work(program, asked, self._pool, self._begins, self._has_ended)
        cores = self._work.cores
        if cores is not None:
            self._pool.before_settle = lambda: cores.settle(self._pool)

    def _has_ended(self, task: int) -> None:
        self._ends[task] = self._pool.env.now

    def lasts(self, tasks: Sequence[int]) -> list[int]:
        """How many ps each of some tasks lasts; -1 of each if they do not all begin at once."""
        begin = self._start(tasks)
        self._pool.env.run()
        at_once = all(self._begins[task] == begin for task in tasks)
        return [self._ends.get(task, begin - 1) - begin if at_once else -1 for task in tasks]

    def at(self, tasks: Sequence[int], since: int, now: int) -> UnderWay:
        """What tasks that began at some instant have come to before a later one."""
        begin, env = self._start(tasks), self._pool.env
        while env.due and env.due[0][0] < begin + now - since:
            env.step()
        cores = self._work.cores
        return UnderWay(
            tasks=tasks,
            since=since,
            later=since - begin,
            holders=cores.holders(tasks) if cores is not None else (),
            flows={
                task: self._pool.begun[task] for task in tasks if task in self._pool.begun and task not in self._ends
            },
            over={*self._ends},
            tight=frozenset(self._pool.tight),
        )

    def _start(self, tasks: Sequence[int]) -> int:
        """Let tasks begin, when those before are over; returns when."""
        self._pool.env.run()
        for noted in (self._begins, self._ends, self._pool.begun):
            noted.clear()
        for task in tasks:
            self._work.begin(task)
        self._pool.touch()
        return self._pool.env.now
