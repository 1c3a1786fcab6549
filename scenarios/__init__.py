"""Scenario files and the command: the language, its loader, studies, and the scenarios themselves.

Front door: `run("library:llama3_8b_block")` gives an Outcome with `.summary`, `.timeline`, `.failed`;
`sweep("library:llama3_8b_block", {"workload.dims.T": "512:4096:x2"}).frame` is a table of many runs. The names are
imported when they are first used: the command lives in this package too, and its `--help` must not wait for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.build import Scenario, build_scenario, load_scenario
    from scenarios.executors import dask_cluster
    from scenarios.outcome import Outcome, run
    from scenarios.schema import schema_of
    from scenarios.source import LIBRARY, library_names, read_source
    from scenarios.studies.compare import Compared, compare
    from scenarios.studies.crossover import Crossover, crossover
    from scenarios.studies.find import Found, find
    from scenarios.studies.what_if import WhatIf, what_if
    from scenarios.study import summarise
    from scenarios.sweeps import Study, sweep

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
    # Many runs.
    "Compared",
    "Crossover",
    "Found",
    "Study",
    "WhatIf",
    "compare",
    "crossover",
    "dask_cluster",
    "find",
    "sweep",
    "what_if",
]

_NAMES = {
    "build": ["Scenario", "build_scenario", "load_scenario"],
    "executors": ["dask_cluster"],
    "outcome": ["Outcome", "run"],
    "schema": ["schema_of"],
    "source": ["LIBRARY", "library_names", "read_source"],
    "studies.compare": ["Compared", "compare"],
    "studies.crossover": ["Crossover", "crossover"],
    "studies.find": ["Found", "find"],
    "studies.what_if": ["WhatIf", "what_if"],
    "study": ["summarise"],
    "sweeps": ["Study", "sweep"],
}
_HOMES = {name: f"scenarios.{module}" for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scenarios' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
