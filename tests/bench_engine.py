"""The engine's speed, as ratios inside one run:  python -m tests.bench_engine

Machines differ and are shared, so every figure is CPU time divided by that of something well known, measured side by
side, best of three: a bare SimPy loop (a timeout and a callback per event) for the core, and a straightforward SimPy
design (a process per op, units and links as Resources, transfers in 4 store-and-forward chunks) for the whole.
Workload: a ring of 16 chips; per chip and layer two matmuls, a vector op and a send to the right neighbour.
"""

from __future__ import annotations

import gc
import random
import resource
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

from analysis import timeline_frame
from hw import System, load_chip
from simulator import (
    PS_PER_S,
    Engine,
    Kernel,
    OpGraph,
    Plan,
    PlannedKernel,
    Program,
    Queue,
    Resource,
    Result,
    RunOptions,
    Shape,
    Traffic,
    Variant,
)

CHIPS = 16
HBM, LINK = 1e12, 1e11
OPS = ("matmul", "vector", "matmul2", "send")


@dataclass(frozen=True)
class Case:
    """A row of the table: its name, workload, and the figures to reach (ratio to a bare loop)."""

    name: str
    tasks: int
    contended: bool
    jitter: float
    prototype: str
    goal: str


CASES = (
    Case("core, nothing contended", 100_000, False, 0.0, "2.1x at 1.33 events/task", "1.7x"),
    Case("core, contended, all chips alike", 50_000, True, 0.0, "4.2x at 1.9 events/task", "2.5x"),
    Case("core, contended, every task different", 20_000, True, 0.2, "25x at 1.8 events/task", "10x"),
)


def ring(tasks: int, contended: bool, jitter: float) -> Program:
    """The workload as a program: 4 tasks per chip and layer."""
    program = Program(
        resources=[Resource(f"chip{at}.hbm", "memory", HBM, at) for at in range(CHIPS)]
        + [Resource(f"link{at}", "network", LINK) for at in range(CHIPS)],
        queues=[Queue(at // 3, name) for at in range(3 * CHIPS) for name in (("matrix", "vector", "send")[at % 3],)],
    )
    rng, load = random.Random(0), 1.0 if contended else 0.05
    before: list[tuple[int, ...]] = [()] * CHIPS

    def shape(seconds: float, demands: list[tuple[int, float, float]], fixed_ps: int = 0) -> int:
        stages = [(at, nbytes / rate * PS_PER_S) for at, nbytes, rate in demands]
        alone = max(seconds * PS_PER_S, *(time for _, time in stages))
        weight = max(nbytes for _, nbytes, _ in demands)
        return program.intern(Shape(fixed_ps, tuple(sorted(stages)), (alone,), alone, weight))

    for _ in range(tasks // (4 * CHIPS)):
        sends, last = [], []
        speeds = [1 + jitter * rng.random() for _ in range(CHIPS)]
        for chip in range(CHIPS):
            matmul = shape(100e-6 * speeds[chip], [(chip, load * 60e6, HBM)])
            vector = shape(10e-6 * speeds[chip], [(chip, load * 80e6, HBM)])
            there = (chip + 1) % CHIPS
            moved = load * 10e6
            send = shape(0.0, [(chip, moved, HBM), (CHIPS + chip, moved, LINK), (there, moved, HBM)], 1_000_000)
            first = program.add([3 * chip], matmul, before[chip], 0)
            after = program.add([3 * chip + 1], vector, [first], 1)
            second = program.add([3 * chip], matmul, [first], 2)
            sends.append(program.add([3 * chip + 2], send, [first], 3))
            last.append((second, after))
        before = [(*last[chip], sends[chip - 1]) for chip in range(CHIPS)]
    return program


def bare_loop_s(events: int) -> float:
    """CPU seconds of a SimPy loop with `events` timeouts and a callback each, 48 pending."""
    env = simpy.Environment()
    left = events

    def fire(_event: Any) -> None:
        nonlocal left
        left -= 1
        if left > 0:
            callbacks = env.timeout(1.0).callbacks
            assert callbacks is not None
            callbacks.append(fire)

    for at in range(48):
        callbacks = env.timeout(1 + at / 50).callbacks
        assert callbacks is not None
        callbacks.append(fire)
    return cpu_s(env.run)


def cpu_s(work: Callable[[], Any]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def processes_and_resources(program: Program, chunks: int = 4) -> Callable[[], None]:
    """The same program in the straightforward design."""
    env = simpy.Environment()
    units = [simpy.Resource(env, 1) for _ in program.queues]
    shared = [simpy.Resource(env, 1) for _ in program.resources]
    done = [env.event() for _ in range(len(program))]
    before: list[list[int]] = [[] for _ in range(len(program))]
    for task, successors in enumerate(program.successors):
        for after in successors:
            before[after].append(task)

    def stream(shape: Shape) -> Generator[Any, Any, None]:
        for at, whole in shape.demands:
            with shared[at].request() as turn:
                yield turn
                yield env.timeout(whole / chunks)

    def op(task: int) -> Generator[Any, Any, None]:
        if before[task]:
            yield env.all_of([done[each] for each in before[task]])
        shape = program.shapes[program.shape[task]]
        with units[program.queue[task]].request() as turn:
            yield turn
            if shape.fixed_ps:
                yield env.timeout(shape.fixed_ps)
            for _ in range(chunks):
                yield env.process(stream(shape)) & env.timeout(shape.alone_ps / chunks)
        done[task].succeed()

    for task in range(len(program)):
        env.process(op(task))
    return env.run


def events_of(engine: Engine) -> int:
    return next(engine.env._eid)


def core_row(case: Case) -> str:
    program = ring(case.tasks, case.contended, case.jitter)
    best, bare, events = 1e9, 1e9, 0
    for _ in range(3):
        engine = Engine(program)
        best = min(best, cpu_s(engine.run))
        events = events_of(engine)
        bare = min(bare, bare_loop_s(events))
    ratio, per_task = best / bare, events / len(program)
    measured = f"{ratio:5.2f}x at {per_task:.2f} events/task, {ratio * per_task:5.1f} bare events a task"
    return f"{case.name:40} {measured:58} {case.prototype:26} {case.goal}"


def million_row() -> str:
    small = ring(100_000, False, 0.0)
    naive = cpu_s(processes_and_resources(small)) / len(small)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    large = ring(1_000_000, False, 0.0)
    engine = Engine(large)
    ours = cpu_s(engine.run) / len(large)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measured = f"{naive / ours:5.1f}x, {(peak - before) / 2**20:.2f} GiB more, {1e-3 / ours:.0f} k tasks/s"
    return f"{'1e6 tasks, against processes + Resources':40} {measured:58} {'45x':26} 50x, 0.5 GB"


def frame_row() -> str:
    program = ring(1_000_000, False, 0.0)
    engine = Engine(program)
    engine.run()
    graph = OpGraph({}, ())
    plan = Plan(System(load_chip("tpu_v5e")), graph, RunOptions(), program=program)
    for name in OPS:
        kernel = Kernel(name=name, ops=(name,), kind=name)
        plan.kernels.append(PlannedKernel(kernel, (Variant(kernel, 1.0, "", 0.0, {}),), Traffic(), 0.0, name, (0,)))
    result = Result(plan, engine.begin, engine.end)
    best = min(cpu_s(lambda: timeline_frame(result)) for _ in range(3))
    size = timeline_frame(result).memory_usage(deep=True).sum() / 1e6
    return f"{'timeline of 1e6 rows to a DataFrame':40} {f'{best:.3f} s, {size:.0f} MB':58} {'0.1 s, 30 MB':26} 0.05 s"


def main() -> None:
    print(f"{'':40} {'measured':58} {'prototype':26} goal")
    for case in CASES:
        print(core_row(case), flush=True)
    print(million_row(), flush=True)
    print(frame_row(), flush=True)


if __name__ == "__main__":
    main()
