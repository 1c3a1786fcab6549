"""A simulation: a plan, a SimPy environment, and the door through which a user's own processes come in.

`simulate(graph, system, options)` is the short way. The long way shares the environment:

    sim = Simulation(graph, system, RunOptions())
    loaded = sim.hold("y")                       # y waits until loaded() is called

    def loader():
        yield sim.use({"chip0.hbm": 1e9})        # 1 GB of HBM traffic, beside whatever the ops do
        yield sim.timeout(2e-3)
        loaded()

    sim.process(loader())
    result = sim.run()

Every time that a user gives or gets is in seconds; `sim.now` too. The clock inside is integer picoseconds, so processes
wait with `sim.timeout`, not with the environment's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

from simpy.events import Event, Process

from hw import RunError, System
from hw.input import Dimension, chips_named, few, show, unknown
from simulator.engine.clock import Clock
from simulator.engine.engine import Engine
from simulator.engine.fluid_pool import Use
from simulator.engine.shape import PS_PER_S, alone_time, to_ps
from simulator.engine.together import run_together
from simulator.graph.op_graph import OpGraph
from simulator.lowering.lowering import lower
from simulator.lowering.planning.plan import Plan
from simulator.options import RunOptions
from simulator.result import Result

_NOTHING_LEFT = "No scheduled events left"
"""How SimPy says that a run ended before what it was to run until: a deadlock, reported with names."""


class Simulation:
    """One run of a graph on a system, open to user processes until `run` is called. `like`: the plan of a run that may
    differ in rates and fixed times only; then this one costs less."""

    def __init__(
        self, graph: OpGraph, system: System, options: RunOptions | None = None, like: Plan | None = None
    ) -> None:
        self._asked = (graph, system, options or RunOptions())
        again = like.again if like is not None else None
        self.plan: Plan = (again or lower)(*self._asked)
        self.env = Clock()
        self._resource_at = {resource.name: at for at, resource in enumerate(self.plan.program.resources)}
        self._holds: list[int] = []
        self._watched: dict[int, list[Event]] = {}
        self._tasks_by_op: dict[str, list[int]] = {}
        self._engine: Engine | None = None
        self._own_flows = 0
        self._open = False  # whether anyone outside may use resources: then none is left out as not binding

    @property
    def now(self) -> float:
        """The time in seconds."""
        return self.env.now / PS_PER_S

    @property
    def resources(self) -> list[str]:
        """The names of all resources: 'chip0.matrix_unit', 'chip0.hbm', ..., and the wires."""
        self._unfold()
        return list(self._resource_at)

    def _unfold(self) -> None:
        """Whoever comes in may tell chips apart: from here on every chip is simulated."""
        graph, system, options = self._asked
        if self._engine is None and self.plan.classes < system.size:
            self.plan = lower(graph, system, replace(options, fold=False))
            self._resource_at = {resource.name: at for at, resource in enumerate(self.plan.program.resources)}
            self._tasks_by_op = {}

    def process(self, generator: Generator[Event, Any, Any]) -> Process:
        """Add a user process."""
        self._open = True
        self._unfold()
        return self.env.process(generator)

    def timeout(self, seconds: float) -> Event:
        """An event `seconds` from now. Raises ValueError for a time that is negative or not a number."""
        _check_amount("a timeout", seconds)
        return self.env.timeout(to_ps(seconds))

    def use(self, amounts: Mapping[str, float], overlap: bool = True) -> Event:
        """An event for the end of a flow of `amounts` (bytes; seconds for the units) on resources, shared max-min fair
        with everything else that runs. `overlap`: all at once, else one after the other. Raises KeyError for an unknown
        name, ValueError for an amount that is negative or not a number."""
        demands = []
        self._unfold()
        known = self._resource_at
        for name, amount in amounts.items():
            if name not in known:
                raise KeyError(unknown("resource", name, known))
            _check_amount(name, amount)
            at = known[name]
            demands.append((at, amount / self.plan.program.resources[at].per_s * PS_PER_S))
        event = self.env.event()
        alone = alone_time([time for _, time in demands], float("inf") if overlap else 1.0)
        if alone <= 0:
            return event.succeed()
        self._open = True
        engine = self._running()
        self._own_flows += 1
        number = len(engine.program.shapes) + self._own_flows
        use = Use(number, alone, tuple(demands), self._weight(amounts, demands, alone))
        engine.pool.start(-self._own_flows, use, lambda _key: event.succeed())
        engine.pool.touch()
        return event

    def _weight(self, amounts: Mapping[str, float], demands: list[tuple[int, float]], alone_ps: float) -> float:
        """What a flow counts in fairness, as tasks do: on wires, and where a host holds it up, the bytes of its largest
        stream; on a chip the bytes that the chip's HBM could move in the time that it takes alone."""
        resources = self.plan.program.resources
        slowest, _ = max(demands, key=lambda demand: demand[1])
        far = resources[slowest].cause == "host"
        streams = [amounts[resources[at].name] for at, _ in demands if resources[at].chip < 0]
        streams += [amounts[resources[slowest].name]] if far else []
        if streams and max(streams) > 0:
            return max(streams)
        hbm = resources[self._resource_at[f"chip{resources[slowest].chip}.hbm"]]
        return alone_ps / PS_PER_S * hbm.per_s

    def hold(self, op: str) -> Callable[[], None]:
        """Make every task of `op` wait until the returned function is called."""
        self._open = True
        self._unfold()
        held = self._tasks_of(op)
        for task in held:
            if self._engine is None:
                self._holds.append(task)
            else:
                self._engine.hold(task)

        def let_go() -> None:
            while held:  # once: a second call finds nothing to let go
                self._running().release(held.pop())

        return let_go

    def ended(self, op: str) -> Event:
        """An event for the end of `op` on all chips."""
        self._open = True
        self._unfold()
        tasks = self._tasks_of(op)
        events = [self.env.event() for _ in tasks]
        for task, event in zip(tasks, events, strict=True):
            if self._engine is not None and self._engine.end[task] >= 0:
                event.succeed()
            else:
                self._watched.setdefault(task, []).append(event)
        return self.env.all_of(events)

    def run(self) -> Result:
        """Run to the end of all tasks. Raises RunError if some can never start."""
        if self._has_outsiders():
            self._unfold()
        elif (together := run_together(self.plan.program, self.plan.options.order)) is not None:
            return Result(self.plan, *together)
        engine = self._running()
        if self._has_outsiders():
            self._run_with_outsiders(engine)
        else:
            engine.run()
        waiting = engine.waiting_tasks()
        if waiting:
            raise RunError(_deadlock(self.plan, engine, waiting))
        return Result(self.plan, engine.begin, engine.end)

    def _run_with_outsiders(self, engine: Engine) -> None:
        engine.start()
        if not engine.waiting_tasks():
            return
        try:
            self.env.run(until=engine.all_ended)
            while not self.env.quiet():  # what happens in the last instant still happens
                self.env.step()
        except RuntimeError as error:
            if not str(error).startswith(_NOTHING_LEFT):
                raise  # a user's process failed

    def _has_outsiders(self) -> bool:
        """Whether anything but the tasks takes part: asked for through this object, or put into the environment itself."""
        return self._open or self.env.peek() != math.inf

    def _running(self) -> Engine:
        """The engine; it is made when first needed, so that it knows whether others share its resources."""
        if self._engine is None:
            shared = range(len(self._resource_at)) if self._has_outsiders() else ()
            self._engine = Engine(self.plan.program, self.env, self.plan.options.order, shared)
            self._engine.watched = self._watched
            for task in self._holds:
                self._engine.hold(task)
        return self._engine

    def _tasks_of(self, op: str) -> list[int]:
        if not self._tasks_by_op:
            kernels = self.plan.kernels
            self._tasks_by_op = {name: [] for planned in kernels for name in planned.kernel.ops}
            for task, kernel in enumerate(self.plan.program.kernel):
                for name in kernels[kernel].kernel.ops:
                    self._tasks_by_op[name].append(task)
        if op not in self._tasks_by_op:
            raise KeyError(unknown("op", op, self._tasks_by_op))
        return list(self._tasks_by_op[op])


def _check_amount(what: str, amount: float) -> None:
    if not (isinstance(amount, Real) and math.isfinite(amount) and amount >= 0):
        raise ValueError(f"{what} wants a number of 0 or more, not {amount!r}")


def _deadlock(plan: Plan, engine: Engine, waiting: list[int]) -> str:
    """Which ops wait on which chips; at most eight are named."""
    named: dict[str, list[int]] = {}
    for task in waiting:
        kernel = plan.kernels[plan.program.kernel[task]].kernel
        chips = [chip for each in plan.program.chips_of(task) for chip in plan.members(each)]
        named.setdefault(f"{kernel.name} ({kernel.kind})", []).extend(chips)
    waits = few((f"{name} on {chips_named(chips)}" for name, chips in named.items()), 8, "; ")
    return f"deadlock at {show(engine.env.now / PS_PER_S, Dimension.TIME)}: these wait for ever: {waits}"


def simulate(graph: OpGraph, system: System, options: RunOptions | None = None) -> Result:
    """Run a graph on a system. Raises SpecError for wrong input, RunError if it cannot be done."""
    return Simulation(graph, system, options).run()
