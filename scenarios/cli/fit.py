"""What commands that run a scenario say of a model that its chips cannot hold: what `run` says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw import RunError
from scenarios.building.run_one import summarise
from scenarios.console.terminal import tell
from scenarios.outcome.fitting import misfit

if TYPE_CHECKING:
    from analysis import Summary
    from scenarios.building.build import Scenario


def check_fits(scenario: Scenario) -> None:
    """Raises RunError where a scenario's model does not fit, with who needs what and the smallest change that fits."""
    if scenario.model is None:
        return
    found = misfit(scenario, summarise(scenario))
    if found is not None:
        raise RunError("\n".join(found.lines()))


def tell_fit(name: str, scenario: Scenario, words: Summary) -> None:
    """Say that a scenario's model does not fit, if so: its time is that of a run that cannot be."""
    if scenario.model is not None and words["fits"] is False:
        tell(f"{name} does not fit on its chips: its time is what it would take if it did")
