"""Tasks that take constant times: when they begin and end, without events.

Model: where no resource can be full a task takes as long as it takes alone, and begins when the last of what it waits for
has ended: its dependencies, and in each of its queues the task before it. So times follow from each other along the program
(max-plus), and the order in which unrelated events come makes no difference. The engine has the same times; here rows of a
study stay together whose events come in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hw.rows import largest
from simulator.engine.program import Program

Times = list[int]
"""Picoseconds by task."""


def paced(program: Program, constant: Sequence[int]) -> tuple[Times, Times] | None:
    """When each task begins and ends, given how long each shape takes; None if some tasks wait for ever."""
    after = _followers(program)
    waits = [0] * len(program)
    for followers in after:
        for task in followers:
            waits[task] += 1
    ready = [task for task, count in enumerate(waits) if not count]
    ended: list[list[int]] = [[] for _ in waits]
    begin, end = [0] * len(program), [0] * len(program)
    for task in ready:  # it grows as tasks end
        begin[task] = largest([0, *ended[task]])
        end[task] = begin[task] + constant[program.shape[task]]
        for follower in after[task]:
            ended[follower].append(end[task])
            waits[follower] -= 1
            if not waits[follower]:
                ready.append(follower)
    return (begin, end) if len(ready) == len(program) else None


def _followers(program: Program) -> list[list[int]]:
    """By task, those that wait for it, or come after it in a queue."""
    after = [list(successors) for successors in program.successors]
    for lane in program.lanes():
        for before, task in pairwise(lane):
            after[before].append(task)
    return after
