"""The op graph of a scenario as a workload in the words of the language, dims first: it can be pasted into a scenario.

Law: a scenario with what is printed here as its workload (and the mesh that is named above it) takes the same time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.building.build import Scenario
from scenarios.importers.workload_text import RULES
from simulator import Cost, OpGraph, lower, plan_sharding, print_items


def graph_as_run(scenario: Scenario) -> OpGraph:
    """The graph that is run, with the collectives that the sharding planner inserts. Raises SpecError, RunError."""
    graph, system, options = scenario.graph, scenario.system, scenario.options
    if options.sharding == "auto":  # what is cheapest shows only in a run
        return lower(graph, system, options).graph
    return plan_sharding(graph, system, options.sharding, Cost(graph, system, options).seconds)


def workload_words(graph: OpGraph) -> dict[str, Any]:
    """A graph as the `workload` of a scenario, in plain data."""
    words: dict[str, Any] = {"dims": dict(graph.dims)} if graph.dims else {}
    for name, usual in RULES:
        said = getattr(graph, name)
        if said != usual:
            words[name] = _plain(said)
    return {**words, "ops": print_items(graph.items)}


def _plain(rule: Any) -> Any:
    """A rule of a graph as lists and maps."""
    if isinstance(rule, str):
        return rule
    if isinstance(rule, Mapping):
        return {axis: list(weights) for axis, weights in rule.items()}
    return [list(group) for group in rule]


def graph_record(scenario: Scenario) -> dict[str, Any]:
    """The graph of a scenario, and the mesh that it lies on, as plain data."""
    mesh = dict(scenario.system.mesh.axes)
    return {"name": scenario.name, "mesh": mesh, "workload": workload_words(graph_as_run(scenario))}
