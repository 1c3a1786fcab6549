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

from analysis.words.intervals import Interval, difference, length, union
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
    heads = list(_heads(result))
    arrivals = _arrivals(result, heads)
    held: dict[int, list[Interval]] = {}
    busy: dict[int, list[Interval]] = {}
    for chip, task, since in heads:
        busy.setdefault(chip, []).append((result.begin_ps[task], result.end_ps[task]))
        until = _last_of_others(arrivals.get(task, ()), chip)
        if until > since:
            held.setdefault(chip, []).append((since, until))
    found = {chip: difference(union(spans), union(busy[chip])) for chip, spans in held.items()}
    return {chip: spans for chip, spans in found.items() if spans}


def waiting_ps(result: Result) -> dict[int, int]:
    """For how long each simulated chip does nothing because of others (ps); chips that never do are left out."""
    return {chip: length(spans) for chip, spans in waiting_spans(result).items()}


def _heads(result: Result) -> Iterator[tuple[int, int, int]]:
    """(chip, task, since when it has been the head of its queue) for every place in a queue; messages left out."""
    program, begin, end = result.plan.program, result.begin_ps, result.end_ps
    for queue, lane in zip(program.queues, program.lanes(), strict=True):
        if queue.inner:
            continue
        since = 0
        for task in sorted(lane, key=lambda task: (begin[task], end[task], task)):
            yield queue.chip, task, since
            since = end[task]


def _arrivals(result: Result, heads: Sequence[tuple[int, int, int]]) -> dict[int, list[_Arrival]]:
    """What each task of several chips, or with inputs from other chips, had to wait for; the last first."""
    program = result.plan.program
    chip_of, inner = ([getattr(queue, name) for queue in program.queues] for name in ("chip", "inner"))
    groups = {task: frozenset(program.chips_of(task)) for task in program.groups}
    found: dict[int, list[_Arrival]] = {task: [] for task in groups}
    for chip, task, since in heads:
        if task in groups:
            found[task].append((since, (chip,)))
    for task, successors in enumerate(program.successors):
        queue = program.queue[task]
        if inner[queue]:
            continue
        made_on = groups.get(task) or (chip_of[queue],)
        for after in successors:
            if after in groups or chip_of[program.queue[after]] not in made_on:
                found.setdefault(after, []).append((result.end_ps[task], made_on))
    for each in found.values():
        each.sort(key=lambda arrival: -arrival[0])
    return found


def _last_of_others(arrivals: Sequence[_Arrival], chip: int) -> int:
    """When the last thing came that a chip has no part in; 0 if there is none."""
    return next((when for when, chips in arrivals if chip not in chips), 0)
