"""The two bounds of a run, its dependency bound, and where between the bounds it landed.

- lower_bound: the busiest resource's total work over its capacity: the roofline of the whole run.
- upper_bound: the same tasks (chunks, latencies, bytes) simulated with one queue per chip and nothing overlapping
  inside a task. With one class of chips no schedule is longer; with user processes or unlike chips it may be.
- dependency_bound: the longest chain of data dependencies, each task at its own max; queues not counted.
- eta = (upper - time) / (upper - lower): 1 at the lower bound, 0 at the upper, never clipped; 1 where they meet.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.engine import Engine
from simulator.program import PS_PER_S, Program


def lower_bound_s(program: Program) -> float:
    """Seconds that the busiest resource needs for all of its work."""
    return max(program.work_ps(), default=0.0) / PS_PER_S


def upper_bound_s(program: Program) -> float:
    """Seconds of the run in which nothing overlaps on a chip."""
    engine = Engine(program.serial())
    engine.run()
    return engine.makespan_ps / PS_PER_S


def dependency_bound_s(program: Program) -> float:
    """Seconds along the longest chain of dependencies, every task as fast as its slowest resource."""
    waits = list(program.waits)
    ready = [task for task, count in enumerate(waits) if not count]
    reached = [0.0] * len(program)
    longest = 0.0
    ideal = [shape.ideal_ps for shape in program.shapes]
    opened: set[int] = set()
    for task in ready:
        end = reached[task] + ideal[program.shape[task]]
        longest = max(longest, end)
        follow: Sequence[int] = program.successors[task]
        if task in program.parts and task not in opened:
            opened.add(task)
            follow, waits[task] = program.parts[task]
        for after in follow:
            reached[after] = max(reached[after], end)
            waits[after] -= 1
            if not waits[after]:
                ready.append(after)
    return longest / PS_PER_S


def eta(time_s: float, lower_s: float, upper_s: float) -> float:
    """The share of the way from the upper bound down to the lower one that a run has come."""
    gap = upper_s - lower_s
    # bounds that differ by less than the clock's picosecond meet
    return 1.0 if gap <= max(1e-12, 1e-9 * upper_s) else (upper_s - time_s) / gap
