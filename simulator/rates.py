"""How fast every task progressed, piece by piece: for who wants to see the load of a resource at any instant.

Model: a task's work is one flow; its rate changes only when a flow that it meets comes or goes. A run keeps begins and
ends alone. Where every task took exactly its time alone, its rate was its cap throughout and nothing need be run.
Else the program is run once more with a pool that writes the rates down; runs are deterministic, so it is the same run.
It is not where a user's process took part: then begins or ends differ, and only mean rates are known (`exact` is False).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.engine.clock import Clock
from simulator.engine.engine import Engine
from simulator.engine.fluid_pool import Flow, Pool

if TYPE_CHECKING:
    from simulator.result import Result


@dataclass(frozen=True, slots=True)
class Rates:
    """Stretches of constant progress: task, begin and end (ps), rate (share of the task's work per ps)."""

    task: Any
    begin_ps: Any
    end_ps: Any
    rate: Any
    exact: bool


def rates_of(result: Result) -> Rates:
    """The rates of all tasks with work; by task, then by time."""
    tasks, begin, end, alone = _work(result)
    lasted = end - begin
    if (lasted == np.maximum(1, np.rint(alone))).all():
        return Rates(tasks, begin, end, 1.0 / alone, True)
    found = _repeated(result)
    if found is not None:
        return found
    return Rates(tasks, begin, end, 1.0 / np.maximum(1.0, lasted), False)


def _work(result: Result) -> tuple[Any, Any, Any, Any]:
    """Tasks with work; when it begins (after the fixed time) and ends; its ps alone."""
    program = result.plan.program
    shape = np.asarray(program.shape, dtype=np.int64)
    # what goes by messages works through them
    alone = np.asarray([0.0 if each.opens else each.alone_ps for each in program.shapes], dtype=np.float64)
    fixed = np.asarray([each.fixed_ps for each in program.shapes])
    tasks = np.flatnonzero(alone[shape] > 0) if len(shape) else np.zeros(0, dtype=np.int64)
    shape = shape[tasks]
    return tasks, _times(result.begin_ps)[tasks] + fixed[shape], _times(result.end_ps)[tasks], alone[shape]


def _times(numbers: Sequence[int]) -> Any:
    """Times (ps) as a column; of a run of a hundred days and more, which 64 bits do not hold, as floats."""
    found = np.asarray(numbers)
    return found if found.dtype.kind == "i" else found.astype(np.float64)


class _Recorder(Pool):
    """A pool that writes down every rate that it sets."""

    def __init__(self, env: Clock, resources: int, before_settle: Callable[[], None] | None) -> None:
        super().__init__(env, resources)
        self.before_settle = before_settle
        self.tasks, self.rates = array("q"), array("d")
        self.times: list[int] = []  # which 64 bits need not hold

    def _note(self, task: int, now: int, rate: float) -> None:
        self.tasks.append(task)
        self.times.append(now)
        self.rates.append(rate)

    def _admit(self, now: int) -> list[Flow]:
        arrivals = self.arrivals
        crowded = super()._admit(now)
        for flow in arrivals:
            self._note(flow.key, now, flow.rate)
        return crowded

    def _set_rate(self, flow: Flow, rate: float, now: int) -> None:
        self._note(flow.key, now, rate)
        super()._set_rate(flow, rate, now)


def _repeated(result: Result) -> Rates | None:
    """The rates of the same run made again; None if it comes out otherwise."""
    plan = result.plan
    everything = range(len(plan.program.resources))  # a resource that cannot bind has a load too
    engine = Engine(plan.program, order=plan.options.order, shared=everything)
    engine.pool = pool = _Recorder(engine.env, len(everything), engine.pool.before_settle)
    engine.run()
    if list(engine.begin) != list(result.begin_ps) or list(engine.end) != list(result.end_ps):
        return None
    task, begin, rate = np.asarray(pool.tasks), _times(pool.times), np.asarray(pool.rates)
    order = np.argsort(task, kind="stable")  # a task's rates were written in order of time
    task, begin, rate = task[order], begin[order], rate[order]
    end = _times(engine.end)[task]
    same = task[1:] == task[:-1]
    end[:-1][same] = begin[1:][same]
    kept = end > begin
    return Rates(task[kept], begin[kept], end[kept], rate[kept], True)
