"""What is told of efficiencies that are said and change nothing: of a resource that the run asks nothing of.

Model: what tasks ask of resources is known once they are lowered, and is all that an efficiency has to act on. Where a run
chooses its collectives by cost, or data are loaded beside it, what is not used may be so for its efficiency, or be used by
others: nothing is said then.
"""

from __future__ import annotations

from collections.abc import Iterator

from analysis.runs import used_of
from scenarios.building.build import Scenario
from simulator import Plan


def idle_efficiencies(scenario: Scenario, plan: Plan) -> Iterator[str]:
    """A line for each, in the words of other keys that change nothing."""
    options = scenario.options
    said = any((options.efficiency, *options.chip_efficiency.values()))
    if not said or "auto" in (options.sharding, options.collectives) or scenario.loaders.loaders:
        return
    used, default = used_of(plan), 1.0 if options.calibration == "spec" else None
    for name, share in options.efficiency.items():
        own = {chip for chip, shares in options.chip_efficiency.items() if name in shares}
        if share != default and not used.get(name, set()) - own:
            why = "chips that use it say their own" if name in used else "the run asks nothing of it"
            yield f"run.efficiency.{name} ({share:g}) changes nothing: {why}"
    for chip, shares in options.chip_efficiency.items():
        for name, share in shares.items():
            if share != default and chip not in used.get(name, set()):
                yield f"run.efficiency.{chip}.{name} ({share:g}) changes nothing: the run asks nothing of it"
