"""How much of a run some kernels are at work on their chip: an instant counts once, however many of their tasks run then."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from analysis.words.intervals import Interval, length, union
from simulator import PS_PER_S, Result


def busy_s(result: Result, groups: Sequence[tuple[Collection[int], int]]) -> list[float]:
    """For each (kernels, chip) the seconds in which any task of these kernels runs on that chip; never more than the run."""
    plan, program = result.plan, result.plan.program
    wanted: dict[int, list[int]] = {}
    for group, (kernels, _) in enumerate(groups):
        for kernel in kernels:
            wanted.setdefault(kernel, []).append(group)
    spans: list[list[Interval]] = [[] for _ in groups]
    for task, carried in enumerate(program.kernel):
        if program.is_inner(task):
            continue  # inside the time of its collective
        for kernel in {carried, plan.partner.get(carried, carried)}:
            for group in wanted.get(kernel, ()):
                if groups[group][1] in program.chips_of(task):
                    spans[group].append((result.begin_ps[task], result.end_ps[task]))
    return [length(union(each)) / PS_PER_S for each in spans]
