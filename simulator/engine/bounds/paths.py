"""The bounds of a run, and where between them it landed.

- lower_bound: the busiest resource's total work over its capacity: the roofline of the whole run.
- upper_bound: the longest path over data dependencies and program order, with one queue per chip, each task at its serial
  time: its fixed time, then its stages one after the other (k = 1); the groups of one collective go side by side. On chips
  of one class that is the sum over the whole program, and no schedule takes longer: while anything runs, serial work is
  done at a rate of at least 1 (a task is at its own cap, or a resource that it uses is full).
- dependency_bound: the longest chain of data dependencies, each task at its own max; queues not counted.
- eta = (upper - time) / (upper - lower): 1 at the lower bound, 0 at the upper, never clipped; 1 where they meet.
A collective that goes by messages is counted as the one task that they carry out; at its own max that is the bytes of its
busiest resource, for messages hide latencies that the closed form adds up. No bound runs a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hw.rows import array_of, batch_of, largest
from simulator.engine.bounds.stretches import stretches_of
from simulator.engine.program import Program
from simulator.engine.shape import PS_PER_S


def lower_bound_s(program: Program) -> float:
    """Seconds that the busiest resource needs for all of its work."""
    return largest(program.work_ps(), default=0.0) / PS_PER_S


def upper_bound_s(program: Program, order: Iterable[int] | None = None) -> float:
    """Seconds of the longest path on which nothing overlaps on a chip. `order`: `in_order`, where that is known.

    What a chip does between two tasks that other chips wait for, or that wait for those, is one stretch: within it each
    task begins where the one before has ended.
    """
    serial = [shape.fixed_ps + shape.serial_ps for shape in program.shapes]
    later, _ = _later(serial)
    free: dict[int, float] = {}
    reached: dict[int, float] = {}
    for stretch in stretches_of(program, array_of(serial), in_order(program) if order is None else order):
        begin = reached.pop(stretch.first, 0.0)
        for chip in stretch.chips:
            begin = later(begin, free.get(chip, 0.0))
        end = begin + stretch.total
        free.update(dict.fromkeys(stretch.chips, end))
        for after in stretch.awaited:
            reached[after] = later(reached.get(after, 0.0), end)
    return largest(free.values(), default=0.0) / PS_PER_S


def dependency_bound_s(program: Program, order: Iterable[int] | None = None) -> float:
    """Seconds along the longest chain of dependencies, every task as fast as its slowest resource. `order`: as above."""
    ideal = [shape.ideal_ps for shape in program.shapes]
    later, plain = _later(ideal)
    reached = [0.0] * len(program)
    shape = program.shape
    before, waiting = program.dependencies()
    ends = np.append(0, np.cumsum(np.bincount(before, minlength=len(program)))).tolist()
    followers = waiting.tolist()
    for task in in_order(program) if order is None else order:
        reached[task] = end = reached[task] + ideal[shape[task]]
        for after in followers[ends[task] : ends[task + 1]]:
            if not plain:
                reached[after] = later(reached[after], end)
            elif reached[after] < end:  # a call is too much for each of so many
                reached[after] = end
    return largest(reached, default=0.0) / PS_PER_S


def _later(times: Sequence[float]) -> tuple[Callable[[float, float], float], bool]:
    """The larger of two sums of some times, which may stand for many rows; and whether they do not."""
    if batch_of(*times) is None:
        return max, True
    return lambda one, other: largest([one, other]), False


def in_order(program: Program) -> Iterable[int]:
    """The tasks but for messages, each after what it waits for.

    Ids are such an order unless the two ends of a transfer stand at different places of their queues.
    """
    return program.possible_order() if program.places else program.outer()


def eta(time_s: float, lower_s: float, upper_s: float) -> float:
    """The share of the way from the upper bound down to the lower one that a run has come."""
    gap = upper_s - lower_s
    # bounds that differ by less than the clock's picosecond meet
    return 1.0 if gap <= largest([1e-12, 1e-9 * upper_s]) else (upper_s - time_s) / gap
