"""The estimate of a scenario that trains a model: bounds of its step and what chips hold, without running it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hw import Problem, SpecError
from scenarios.building.build import Scenario, load_scenario
from scenarios.language.source import listed
from simulator import Estimate, Estimator, Training
from simulator.models import Transformer


def estimate(reference: str, overrides: Iterable[str] = ()) -> Estimate:
    """The estimate of a scenario file, or one of the library (`library:NAME`). Raises SpecError."""
    return estimated(load_scenario(str(reference), listed(overrides)))


def estimated(scenario: Scenario) -> Estimate:
    """The estimate of a scenario. Raises SpecError where it does not train a transformer on chips that are alike."""
    run = scenario.model
    where = scenario.document.value_mark(("workload",))
    if run is None or not isinstance(run.how, Training) or not isinstance(run.model.description, Transformer):
        raise SpecError([Problem(where, "an estimate is of the training of a transformer; run does all others")])
    try:
        return Estimator(run.model.description, scenario.system, scenario.options).estimate(run.parallel, run.how)
    except SpecError as error:
        raise SpecError([Problem(where, problem.message) for problem in error.problems]) from None


def estimate_record(scenario: Scenario, found: Estimate) -> dict[str, Any]:
    """An estimate as JSON has it: the words of a run that it knows, `earliest`, `expected`, what chips of a stage hold."""
    words = ("lower_bound", "earliest", "expected", "upper_bound", "t_math", "t_vector", "t_memory", "t_network")
    return {
        "name": scenario.name,
        **{word: getattr(found, word) for word in words},
        "peak_memory": found.peak_memory,
        "least_memory": found.least_memory,
        "fits": found.peak_memory <= scenario.system.chip.hbm.capacity_bytes,
        **({"notes": list(scenario.notes)} if scenario.notes else {}),
        "stages": [{"peak_memory": stage.peak, "by_owner": dict(stage.at_peak)} for stage in found.memory],
    }
