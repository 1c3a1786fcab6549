"""What a chip does without another: its tasks, in stretches between those by which chips wait for each other.

Model: the tasks of a chip stand in one line, whatever queues they are in. A stretch begins where a task waits for another
chip's, and ends where another chip waits for one; a task on several chips is a stretch of its own. Within a stretch each
task can follow the one before: all that it waits for on its own chip stands earlier in the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from simulator.engine.program import Program


class Stretch(NamedTuple):
    """Tasks one after the other: on which chips, the first of them, what they take in all, and the tasks of other chips
    that wait for the last."""

    chips: Sequence[int]
    first: int
    total: Any
    awaited: Sequence[int]


def stretches_of(program: Program, taken: Any, order: Iterable[int]) -> Iterator[Stretch]:
    """The stretches of a program, each after those that it waits for. `taken`: by shape, what a task takes; `order`: the
    tasks that count, each after what it waits for."""
    tasks = np.fromiter(order, dtype=np.int64)
    if not len(tasks):
        return
    chip_of = np.asarray([queue.chip for queue in program.queues], dtype=np.int64)
    place = np.full(len(program), -1)
    place[tasks] = np.arange(len(tasks))
    line, task = _lines(program, chip_of, place)
    begins, ends, awaited = _between(program, chip_of, place)
    cut = np.ones(len(task), dtype=bool)
    cut[1:] = (line[1:] != line[:-1]) | begins[task[1:]] | ends[task[:-1]]
    since = np.flatnonzero(cut)
    until = np.append(since[1:], len(task))
    # one after the other, as numbers of many rows are: numpy adds floats up in pairs, which rounds otherwise
    total = np.add.reduceat(taken.astype(object)[np.asarray(program.shape)[task]], since).tolist()
    # one of a task on several chips stands for all of them
    _, once = np.unique(place[task[until - 1]], return_index=True)
    columns = (once.tolist(), line[since[once]].tolist(), task[since[once]].tolist(), task[until[once] - 1].tolist())
    for at, chip, first, last in zip(*columns, strict=True):
        chips = program.chips_of(first) if first in program.groups else (chip,)
        yield Stretch(chips, first, total[at], awaited.get(last, ()))


def _lines(program: Program, chip_of: Any, place: Any) -> tuple[Any, Any]:
    """The tasks that count, in the line of each chip that they are on: columns of chips and of tasks."""
    queues = [(queue, task) for task, all_of in program.groups.items() for queue in all_of]
    queue, several = np.asarray(queues, dtype=np.int64).reshape(-1, 2).T
    alone = np.ones(len(program), dtype=bool)
    alone[several] = False
    task = np.concatenate([np.flatnonzero(alone), several])
    line = chip_of[np.concatenate([np.asarray(program.queue, dtype=np.int64)[alone], queue])]
    counts = place[task] >= 0
    line, task = line[counts], task[counts]
    inside = np.lexsort((place[task], line))
    return line[inside], task[inside]


def _between(program: Program, chip_of: Any, place: Any) -> tuple[Any, Any, dict[int, list[int]]]:
    """Which tasks begin a stretch, and which end one; and by task, those of other chips that wait for it."""
    several = np.zeros(len(program), dtype=bool)
    several[list(program.groups)] = True
    chip = chip_of[np.asarray(program.queue, dtype=np.int64)]
    before, after = program.dependencies()
    apart = (chip[before] != chip[after]) | several[before] | several[after]
    apart &= (place[before] >= 0) & (place[after] >= 0)
    before, after = before[apart], after[apart]
    begins, ends = several.copy(), several.copy()
    begins[after] = ends[before] = True
    since = np.flatnonzero(np.diff(before, prepend=-1))
    waiting = after.tolist()
    spans = zip(before[since].tolist(), pairwise([*since.tolist(), len(waiting)]), strict=True)
    return begins, ends, {task: waiting[start:stop] for task, (start, stop) in spans}
