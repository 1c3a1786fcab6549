"""Overlapse from Python: `import overlapse as ov`.

    step = ov.step_time("llama3_8b", "dgx_h100", batch=64, seq=4096, parallel={"zero": 3})
    outcome = ov.run("library:llama3_8b_block")
    table = ov.study("library:llama3_8b_block", {"workload.dims.T": "512:4096:x2"}).frame
    result = ov.simulate(graph, ov.System(ov.load_chip("tpu_v5e")), ov.RunOptions())

Here stand the names for everyday use; the rooms `hw`, `simulator`, `analysis` and `scenarios` have the others.
Names are imported when they are first used. The rooms are packages with common names: where a module of the user's
hides one of them, that is an ImportError which says so.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from overlapse.rooms import need_rooms

if TYPE_CHECKING:
    from analysis import read_trace
    from hw import (
        Chip,
        Mesh,
        RunError,
        SpecError,
        System,
        Topology,
        chip_names,
        load_chip,
        load_system,
        parse_topology,
        system_names,
    )
    from scenarios import Outcome, Study, compare, crossover, library_names, load_scenario, run, step_time, what_if
    from scenarios import sweep as study
    from simulator import GraphBuilder, OpGraph, Result, RunOptions, parse_graph, simulate

    __version__: str

__all__ = [
    "__version__",
    # Scenario files: one run, many runs, and questions.
    "Outcome",
    "Study",
    "compare",
    "crossover",
    "library_names",
    "load_scenario",
    "run",
    "step_time",
    "study",
    "what_if",
    # Hardware.
    "Chip",
    "Mesh",
    "System",
    "Topology",
    "chip_names",
    "load_chip",
    "load_system",
    "parse_topology",
    "system_names",
    # A graph by hand, and its run.
    "GraphBuilder",
    "OpGraph",
    "Result",
    "RunOptions",
    "parse_graph",
    "simulate",
    # Profiles of real machines.
    "read_trace",
    # What is raised: the input is wrong; the run cannot be done.
    "RunError",
    "SpecError",
]

_NAMES = {
    "analysis": ["read_trace"],
    "hw": [
        "Chip",
        "Mesh",
        "RunError",
        "SpecError",
        "System",
        "Topology",
        "chip_names",
        "load_chip",
        "load_system",
        "parse_topology",
        "system_names",
    ],
    "scenarios": [
        "Outcome",
        "Study",
        "compare",
        "crossover",
        "library_names",
        "load_scenario",
        "run",
        "step_time",
        "what_if",
    ],
    "simulator": ["GraphBuilder", "OpGraph", "Result", "RunOptions", "parse_graph", "simulate"],
}
_HOMES = {name: (room, name) for room, names in _NAMES.items() for name in names}
_HOMES["study"] = ("scenarios", "sweep")
_HOMES["__version__"] = ("hw", "VERSION")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'overlapse' has no attribute '{name}'")
    need_rooms()
    room, attribute = _HOMES[name]
    return getattr(import_module(room), attribute)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
