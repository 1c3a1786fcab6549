"""The engine's speed, as ratios inside one run.

Machines differ and are shared, so every figure is CPU time divided by that of something well known, measured side by side,
best of three: a bare SimPy loop (a timeout and a callback per event) for the core, and a straightforward SimPy design (a
process per op, units and links as Resources, transfers in 4 store-and-forward chunks) for the whole. Ratios are by task:
how many bare events one task costs, so that an engine that needs fewer events is not punished for it.
Workload: a ring of 16 chips; per chip and layer two matmuls, a vector op and a send to the right neighbour.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import random
import time
from collections.abc import Callable, Generator
from typing import Any

import simpy

from benchmarks.commands import top_lines
from benchmarks.table import Figure, Figures
from simulator import PS_PER_S, Engine, Program, Queue, Resource, Shape

CHIPS = 16
HBM, LINK = 1e12, 1e11
OPS = ("matmul", "vector", "matmul2", "send")


def ring(tasks: int, contended: bool, jitter: float) -> Program:
    """The workload as a program: 4 tasks per chip and layer. `jitter`: how unlike the chips' layers are."""
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


def bare_event_ns() -> float:
    """What a bare event costs on this machine today: by it figures of different machines and hours can be compared."""
    return 1e9 * min(bare_loop_s(100_000) for _ in range(3)) / 100_000


def cpu_s(work: Callable[[], Any]) -> float:
    """CPU seconds that some work takes, garbage collected before."""
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


Case = tuple[int, bool, float]
"""Tasks, whether they contend, jitter."""

FREE: Case = (100_000, False, 0.0)
ALIKE: Case = (50_000, True, 0.0)
UNLIKE: Case = (20_000, True, 0.2)


def bare_events_a_task(case: Case) -> Figures:
    """What a task costs, in events of a bare loop that ran beside it: best of three each."""
    program = ring(*case)
    best, bare = float("inf"), float("inf")
    for _ in range(3):
        engine = Engine(program)
        best = min(best, cpu_s(engine.run))
        bare = min(bare, bare_loop_s(len(program)))
    return {"events": Figure(best / bare)}


def profile(case: Case) -> str:
    """Where the engine's time goes."""
    engine = Engine(ring(*case))
    with cProfile.Profile() as profiler:
        engine.run()
    return top_lines(pstats.Stats(profiler))


def against_processes() -> Figures:
    """1e6 tasks, against the straightforward design (whose cost by task was measured with a tenth of them)."""
    small = ring(100_000, False, 0.0)
    plain_s = cpu_s(processes_and_resources(small)) / len(small)
    large = ring(1_000_000, False, 0.0)
    engine = Engine(large)
    return {"x faster": Figure(plain_s / (cpu_s(engine.run) / len(large)))}
