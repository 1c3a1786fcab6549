"""What would help most: the run again with one thing better, really simulated, so that the next bottleneck shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.summary import Summary
from simulator import RunOptions, simulate

MAX_TASKS = 20_000
"""Above this many tasks the re-runs would take longer than the run is worth waiting for."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A change and the time that it leads to."""

    change: str
    time_s: float
    gain: float


def _better(options: RunOptions, name: str) -> RunOptions:
    """The same run with a resource twice as fast."""
    return replace(options, efficiency={**options.efficiency, name: 2 * options.efficiency.get(name, 1.0)})


def _changes(summary: Summary) -> Iterator[tuple[str, RunOptions]]:
    options, topology = summary.plan.options, summary.plan.system.topology
    names = {
        "t_math": ("matrix_unit",),
        "t_vector": ("vector_unit",),
        "t_memory": ("hbm", "on_chip"),
        "t_network": tuple(dict.fromkeys(level.link for level in topology.levels)) if topology else (),
        "t_host": ("pcie", "host", "disk"),
    }
    for word, resources in names.items():
        if summary[word]:
            used = {resource for planned in summary.plan.kernels for resource in planned.times_s}
            for resource in resources:
                if word == "t_network" or any(name.startswith(resource) for name in used):
                    yield f"{resource.replace('_', ' ')} x2", _better(options, resource)
    if options.overlap != "full":
        yield "perfect overlap inside every op", replace(options, overlap="full")
    if options.launch_s:
        yield "no launch time", replace(options, launch_s=0.0)


def advice(summary: Summary) -> list[Advice]:
    """Changes in order of gain (share of the time saved); empty for a run too large to repeat."""
    plan = summary.plan
    if len(plan.program) > MAX_TASKS:
        return []
    time_s = summary.result.time_s
    found = []
    for change, options in _changes(summary):
        again = simulate(plan.graph, plan.system, options).time_s
        if again < time_s * (1 - 1e-4):
            found.append(Advice(change, again, 1 - again / time_s))
    return sorted(found, key=lambda each: (-each.gain, each.change))
