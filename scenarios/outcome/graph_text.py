"""The op graph of a scenario as a workload in the words of the language, dims first: it can be pasted into a scenario.

Law: a scenario with what is printed here as its workload (and the mesh that is named above it) takes the same time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scenarios.building.build import Scenario
from simulator import Cost, OpGraph, lower, plan_sharding, print_items

_PLAIN = re.compile(r"[A-Za-z0-9][^#]*")
"""Text that needs no quotes in YAML, unless a colon is followed by a space."""

_WIDEST = 100

_RULES = (("fuse", "none"), ("uneven", "refuse"), ("split", "equal"))
"""What a graph says beside its ops, and what need not be said."""


def graph_as_run(scenario: Scenario) -> OpGraph:
    """The graph that is run, with the collectives that the sharding planner inserts. Raises SpecError, RunError."""
    graph, system, options = scenario.graph, scenario.system, scenario.options
    if options.sharding == "auto":  # what is cheapest shows only in a run
        return lower(graph, system, options).graph
    return plan_sharding(graph, system, options.sharding, Cost(graph, system, options).seconds)


def workload_words(graph: OpGraph) -> dict[str, Any]:
    """A graph as the `workload` of a scenario, in plain data."""
    words: dict[str, Any] = {"dims": dict(graph.dims)} if graph.dims else {}
    for name, usual in _RULES:
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


def workload_lines(words: Mapping[str, Any]) -> Iterator[str]:
    """A workload in YAML: dims, rules, then ops, blocks in block style."""
    yield "workload:"
    if "dims" in words:
        yield "  dims:"
        yield from (f"    {name}: {size}" for name, size in words["dims"].items())
    for name, _ in _RULES:
        if name in words:
            yield from _rule_lines(name, words[name])
    yield "  ops:"
    yield from _op_lines(words["ops"], "    ")


def _rule_lines(name: str, rule: Any) -> Iterator[str]:
    short = f"  {name}: {rule if isinstance(rule, str) else _flow(rule)}"
    if len(short) <= _WIDEST or isinstance(rule, Mapping):
        yield short
        return
    yield f"  {name}:"
    yield from (f"    - {_flow(group)}" for group in rule)


def _flow(value: Any) -> str:
    """A list or map in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(part)}" for name, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value)


def _op_lines(items: Sequence[Any], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, str):
            yield f"{indent}- {_text(item)}"
            continue
        yield f"{indent}- repeat: {item['repeat']}"
        if "reverse" in item:
            yield f"{indent}  reverse: true"
        if "carry" in item:
            yield f"{indent}  carry: {_flow(item['carry'])}"
        yield f"{indent}  ops:"
        yield from _op_lines(item["ops"], f"{indent}    ")


def _text(line: str) -> str:
    """An op line as YAML has it: in quotes where it must be."""
    return line if _PLAIN.fullmatch(line) and ": " not in line else json.dumps(line)
