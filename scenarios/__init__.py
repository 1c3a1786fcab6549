"""Scenario files and the command: the language, its loader, studies, and the scenarios themselves.

Front door: `run("library:llama3_8b_block")` gives an Outcome with `.summary`, `.timeline`, `.failed`;
`sweep("library:llama3_8b_block", {"workload.dims.T": "512:4096:x2"}).frame` is a table of many runs. The names are
imported when they are first used: the command lives in this package too, and its `--help` must not wait for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.building.build import Scenario, build_scenario, load_scenario
    from scenarios.building.run_one import summarise
    from scenarios.language.schema import schema_of
    from scenarios.language.source import LIBRARY, library_names, read_source
    from scenarios.outcome.outcome import Outcome, run
    from scenarios.outcome.step_time import StepTime, step_time
    from scenarios.questions.compare import Compared, compare
    from scenarios.questions.crossover import Crossover, crossover
    from scenarios.questions.estimate import estimate
    from scenarios.questions.find import Found, find
    from scenarios.questions.measured import BesideTrace, compare_measured
    from scenarios.questions.what_if import WhatIf, what_if
    from scenarios.studies.executors import dask_cluster
    from scenarios.studies.sweeps import Study, sweep

__all__ = [
    # A scenario: where it is from, and what it says.
    "LIBRARY",
    "Scenario",
    "build_scenario",
    "library_names",
    "load_scenario",
    "read_source",
    "schema_of",
    # One run.
    "Outcome",
    "run",
    "summarise",
    # One step of a model, without a file.
    "StepTime",
    "step_time",
    # Bounds of a training step, without a run.
    "estimate",
    # Many runs.
    "BesideTrace",
    "Compared",
    "Crossover",
    "Found",
    "Study",
    "WhatIf",
    "compare",
    "compare_measured",
    "crossover",
    "dask_cluster",
    "find",
    "sweep",
    "what_if",
]

_NAMES = {
    "building.build": ["Scenario", "build_scenario", "load_scenario"],
    "building.run_one": ["summarise"],
    "language.schema": ["schema_of"],
    "language.source": ["LIBRARY", "library_names", "read_source"],
    "outcome.outcome": ["Outcome", "run"],
    "outcome.step_time": ["StepTime", "step_time"],
    "questions.compare": ["Compared", "compare"],
    "questions.crossover": ["Crossover", "crossover"],
    "questions.estimate": ["estimate"],
    "questions.find": ["Found", "find"],
    "questions.measured": ["BesideTrace", "compare_measured"],
    "questions.what_if": ["WhatIf", "what_if"],
    "studies.executors": ["dask_cluster"],
    "studies.sweeps": ["Study", "sweep"],
}
_HOMES = {name: f"scenarios.{module}" for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scenarios' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
