"""The files of several ranks: which is which, and the part of each that is replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw import Mark, Problem, SpecError
from hw.input import nearest
from scenarios.importers.kineto.events import HostCall, RankTrace


def by_rank(traces: Sequence[RankTrace]) -> dict[int, RankTrace]:
    """Files by the rank that each says, by their order where one says none. Raises SpecError for a rank said twice."""
    said = [trace.rank for trace in traces]
    numbers = said if None not in said and len(traces) > 1 else list(range(len(traces)))
    found: dict[int, RankTrace] = {}
    for number, trace in zip(numbers, traces, strict=True):
        assert number is not None
        if number in found:
            raise SpecError(
                [Problem(Mark(str(trace.path)), f"this says rank {number}, and so does {found[number].path}")]
            )
        found[number] = trace
    return dict(sorted(found.items()))


def cut_to(trace: RankTrace, step: str | None) -> RankTrace:
    """The part of a trace that was launched within a range of the program. Raises SpecError where there is none such."""
    if step is None:
        return trace
    if step not in trace.ranges:
        close = nearest(step, trace.ranges)
        hint = f", did you mean '{close}'?" if close else ""
        known = ", ".join(sorted(trace.ranges)[:8]) or "none"
        message = f"{trace.path.name} has no range '{step}'{hint or '.'} It has: {known}"
        raise SpecError([Problem(Mark("--step"), message)])
    begin, end = trace.ranges[step]
    calls = [call for call in trace.calls if begin <= call.begin_ps < end]
    launched = {call.correlation for call in calls}
    linked = {call.correlation for call in trace.calls}
    work = [
        each
        for each in trace.work
        if (each.correlation in launched if each.correlation in linked else begin <= each.begin_ps < end)
    ]
    if not work:
        raise SpecError([Problem(Mark("--step"), f"nothing was launched within '{step}'")])
    return replace(trace, calls=calls, work=work)


def shifted(call: HostCall, by_ps: int) -> HostCall:
    """A call at another time."""
    return replace(call, begin_ps=call.begin_ps + by_ps, end_ps=call.end_ps + by_ps)


def launches_of(trace: RankTrace) -> list[int]:
    """When the calls of a file began that launched something."""
    launched = {work.correlation for work in trace.work}
    begins = [call.begin_ps for call in trace.calls if call.correlation in launched]
    return begins or [trace.work[0].begin_ps]
