"""Scenario files and the command: the language, its loader, studies, and the scenarios themselves.

Front door: `run("library:llama3_8b_block")` gives an Outcome with `.summary`, `.timeline`, `.failed`;
`sweep("library:llama3_8b_block", {"workload.dims.T": "512:4096:x2"}).frame` is a table of many runs. The names are
imported when they are first used: the command lives in this package too, and its `--help` must not wait for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.build import Scenario, load_scenario
    from scenarios.outcome import Outcome, run
    from scenarios.sweeps import Study, sweep

__all__ = ["Outcome", "Scenario", "Study", "load_scenario", "run", "sweep"]

_HOMES = {
    "Outcome": "scenarios.outcome",
    "Scenario": "scenarios.build",
    "Study": "scenarios.sweeps",
    "load_scenario": "scenarios.build",
    "run": "scenarios.outcome",
    "sweep": "scenarios.sweeps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scenarios' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
