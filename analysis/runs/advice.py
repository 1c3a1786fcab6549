"""What would help most: the run again with one thing better, really simulated, so that the next bottleneck shows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.runs.elasticity import levers
from analysis.words.summary import Summary
from hw import System
from simulator import RunOptions

MAX_TASKS = 20_000
"""Above this many tasks the re-runs would take longer than the run is worth waiting for."""

LEAST = 0.0005
"""Share of the time that a change saves at the least: less is shown as nothing."""

_GONE = {"launch": "no launch time", "latency": "no hop latency"}
"""Fixed times are taken away rather than halved."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A change and the time that it leads to."""

    change: str
    time_s: float
    gain: float


def _changes(summary: Summary) -> Iterator[tuple[str, tuple[System, RunOptions]]]:
    system, options = summary.plan.system, summary.plan.options
    for lever in levers(summary.plan):
        if lever.used or summary.beside.names:  # what others ask is not in the plan
            gone = _GONE.get(lever.name)
            change = gone or f"{lever.name.replace('_', ' ')} x2"
            yield change, lever.pull(system, options, math.inf if gone else 2.0)
    if options.overlap != "full":
        yield "perfect overlap inside every op", (system, replace(options, overlap="full"))


def advice(summary: Summary) -> list[Advice]:
    """Changes in order of gain (share of the time saved); empty for a run too large to repeat."""
    plan = summary.plan
    if len(plan.program) > MAX_TASKS:
        return []
    time_s = summary.result.time_s
    found = []
    times = [(change, summary.again(plan.graph, *setting).time_s) for change, setting in _changes(summary)]
    for name in summary.beside.names:
        faster = summary.beside.faster(name, 2.0)
        times.append((f"{name} x2", summary.again(plan.graph, plan.system, plan.options, faster).time_s))
    for change, again in times:
        if 1 - again / time_s >= LEAST:
            found.append(Advice(change, again, 1 - again / time_s))
    return sorted(found, key=lambda each: (-each.gain, each.change))
