"""What other ways to run the same work would save: the edits of `what-if` that ask for no other hardware, really run.

Model: tried are the cheapest algorithms of collectives, collectives and their matmuls cut into chunks, and each of the
heaviest pairs of kernels fused, of which one feeds nothing but the other and memory decides both. What cannot be done, or
saves nothing, is left out. Runs of more tasks than `MOST_TASKS`, or more chips than `MOST_CHIPS` (to try every algorithm
there takes longer than all else), are not repeated; `overlapse what-if` does that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from analysis import Summary, op_figures
from analysis.runs import Advice
from hw import Mark, RunError, SpecError
from scenarios.building.build import Scenario
from scenarios.building.run_one import summarise
from scenarios.questions.edits import edited, read_edit

MOST_TASKS = 2_000
MOST_CHIPS = 4_096
_PAIRS = 2
_CHUNKS = 8
_LEAST = 1e-3
"""A gain that is worth a word."""


def software_advice(scenario: Scenario, summary: Summary) -> list[Advice]:
    """What saves time with the same hardware, the most first; empty for runs that are too large to repeat."""
    time_s = summary.result.time_s
    too_large = len(summary.plan.program) > MOST_TASKS or summary.plan.system.size > MOST_CHIPS
    if too_large or time_s <= 0:
        return []
    found = []
    for text in _edits(summary):
        again = _time_with(scenario, text)
        if again is not None and again < time_s * (1 - _LEAST):
            found.append(Advice(text, again, 1 - again / time_s))
    return sorted(found, key=lambda each: (-each.gain, each.change))


def _time_with(scenario: Scenario, text: str) -> float | None:
    try:
        return summarise(edited(scenario, read_edit(text), Mark("advice"))).result.time_s
    except (SpecError, RunError, ValueError):
        return None


def _edits(summary: Summary) -> Iterator[str]:
    plan = summary.plan
    sends = [sort for sort in plan.kernels.sorts if sort.kernel.communication is not None]
    if sends:
        if plan.options.collectives != "auto":
            yield "collectives=auto"
        yield f"chunks={_CHUNKS}"
    yield from (f"fuse={one}+{two}" for one, two in _pairs(summary)[:_PAIRS])


def _pairs(summary: Summary) -> list[tuple[str, str]]:
    """Ops of which one feeds only the other, and both wait for memory; those that take longest first."""
    figures = {each.name: each for each in op_figures(summary.result)}
    ops = list(summary.plan.graph.flat())
    readers = Counter(name for op in ops for name in {tensor.name for tensor in op.inputs})
    made = {op.output.name: op for op in ops}
    found = []
    for op in ops:
        for tensor in op.inputs:
            before = made.get(tensor.name)
            if before is None or readers[tensor.name] != 1:
                continue
            pair = figures.get(before.name), figures.get(op.name)
            if all(each is not None and each.bound_by == "memory" for each in pair):
                found.append((sum(each.time_s for each in pair if each is not None), before.name, op.name))
    return [(one, two) for _, one, two in sorted(found, key=lambda each: (-each[0], each[1:]))]
