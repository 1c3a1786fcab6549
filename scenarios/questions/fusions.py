"""Which ops of a scenario to fuse, and what that really saves: the best partition, run beside what is usual.

Model: `simulator.best_fusion` finds the partition; then the scenario is run with it, with every op apart, with
`elementwise`, and as it is written. What the search says is time of kernels one after the other; what the runs say is
the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hw import Dimension, RunError, SpecError
from hw.input import notebook_html, show
from scenarios.building.build import Scenario
from scenarios.building.run_one import summarise
from simulator import BestFusion, FuseRule, best_fusion

BEST, APART, ELEMENTWISE, WRITTEN = "best", "apart", "elementwise", "as written"


@dataclass(frozen=True)
class Fusions:
    """The best partition, and the time of a run for each way to fuse; None where it cannot be run."""

    best: BestFusion
    times_s: Mapping[str, float | None]

    def __repr__(self) -> str:
        return f"Fusions({self.best!r})"

    def _repr_html_(self) -> str:
        rows = [
            (name, "cannot be run" if time_s is None else show(time_s, Dimension.TIME))
            for name, time_s in self.times_s.items()
        ]
        return notebook_html("Fusions", f"{len(self.best.groups)} groups", ("fused", "time"), rows)


def fusions(scenario: Scenario, most_contractions: int | None = None) -> Fusions:
    """The best way to fuse a scenario's ops; `most_contractions`: of a group. Raises SpecError, RunError."""
    best = best_fusion(scenario.graph, scenario.system, scenario.options, most_contractions)
    rules: dict[str, FuseRule] = {BEST: best.rule, APART: "none", ELEMENTWISE: "elementwise"}
    if scenario.graph.fuse not in rules.values():
        rules[WRITTEN] = scenario.graph.fuse
    return Fusions(best, {name: _time_s(scenario, rule) for name, rule in rules.items()})


def _time_s(scenario: Scenario, rule: FuseRule) -> float | None:
    try:
        return summarise(replace(scenario, graph=replace(scenario.graph, fuse=rule))).result.time_s
    except (SpecError, RunError):
        return None
