"""When chips do nothing because of others: what the word `t_waiting` counts.

Definition. A chip waits at an instant at which none of its tasks runs and the head of at least one of its queues waits for
another chip: for a member of its collective or transfer that has not come, or for an input that is made there. A head is
what its queue goes on with; it has come when what stood before it has ended. So a chip never waits longer than the run
lasts, never while any of its queues works, and what was merely posted early does not count.
Not counted: what a chip waits for on its own (its inputs, a user's process that holds a task), and the time after its last
task. A collective that goes by messages counts as the one task that it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from analysis.words.intervals import Interval, difference, joined, length, union
from simulator import Program, Result

_Arrival = tuple[int, Collection[int]]
"""When something came (ps), and the chips that it came from."""


def may_wait(program: Program) -> bool:
    """Whether there is another chip to wait for; follows from the work alone."""
    return len({queue.chip for queue in program.queues}) > 1


def waiting_spans(result: Result) -> dict[int, list[Interval]]:
    """When each simulated chip waits for others: disjoint intervals in order, ps. Chips that never do are left out."""
    program = result.plan.program
    if not may_wait(program):
        return {}
    edges = list(_from_others(program))
    heads = list(_heads(result, {after for _, after in edges}.union(program.groups)))
    arrivals = _arrivals(result, heads, edges)
    held: dict[int, list[Interval]] = {}
    for chip, task, since in heads:
        until = _last_of_others(arrivals[task], chip)
        if until > since:
            held.setdefault(chip, []).append((since, until))
    places = result.places
    busy = {chip: joined(places.begin[here], places.end[here]) for chip in held for here in [places.chip == chip]}
    found = {chip: difference(union(spans), union(busy[chip])) for chip, spans in held.items()}
    return {chip: spans for chip, spans in found.items() if spans}


def waiting_ps(result: Result) -> dict[int, int]:
    """For how long each simulated chip does nothing because of others (ps); chips that never do are left out."""
    return {chip: length(spans) for chip, spans in waiting_spans(result).items()}


def _heads(result: Result, wanted: Collection[int]) -> Iterator[tuple[int, int, int]]:
    """(chip, task, since when it has been the head of its queue) for every place of some tasks in a queue; messages left
    out."""
    program, begin, end = result.plan.program, result.begin_ps, result.end_ps
    as_written = result.plan.options.order == "program"
    is_wanted = np.zeros(len(program), dtype=bool)
    is_wanted[list(wanted)] = True
    for queue, lane in zip(program.queues, program.lanes(), strict=True):
        if queue.inner:
            continue
        if not as_written:
            lane = sorted(lane, key=lambda task: (begin[task], end[task], task))
        for at in np.flatnonzero(is_wanted[np.asarray(lane, dtype=np.int64)]).tolist():
            yield queue.chip, lane[at], end[lane[at - 1]] if at else 0


def _from_others(program: Program) -> Iterator[tuple[int, int]]:
    """(before, after) where a task waits for one in which another chip takes part, or that several chips carry out."""
    chip = np.asarray([queue.chip for queue in program.queues], dtype=np.int64)
    inner = np.asarray([queue.inner for queue in program.queues], dtype=bool)
    queue, count = np.asarray(program.queue, dtype=np.int64), len(program)
    grouped = np.zeros(count, dtype=bool)
    grouped[list(program.groups)] = True
    before, after = program.dependencies()
    apart = chip[queue[before]] != chip[queue[after]]
    some = (grouped[before] | grouped[after] | apart) & ~inner[queue[before]]
    yield from zip(before[some].tolist(), after[some].tolist(), strict=True)


def _arrivals(
    result: Result, heads: Sequence[tuple[int, int, int]], edges: Sequence[tuple[int, int]]
) -> dict[int, list[_Arrival]]:
    """What each task of several chips, or with inputs from other chips, had to wait for. `edges`: what waits for
    what, where other chips may take part."""
    program = result.plan.program
    groups = {task: frozenset(program.chips_of(task)) for task in program.groups}
    found: dict[int, list[_Arrival]] = {task: [] for _, task, _ in heads}
    for chip, task, since in heads:
        if task in groups:
            found[task].append((since, (chip,)))
    for task, after in edges:
        made_on = groups.get(task) or program.chips_of(task)
        if after in groups or program.queues[program.queue[after]].chip not in made_on:
            found.setdefault(after, []).append((result.end_ps[task], made_on))
    return found


def _last_of_others(arrivals: Sequence[_Arrival], chip: int) -> int:
    """When the last thing came that a chip has no part in; 0 if there is none."""
    return max((when for when, chips in arrivals if chip not in chips), default=0)
