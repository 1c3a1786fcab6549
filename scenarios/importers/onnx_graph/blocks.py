"""Sub-graphs of a model: branches that are taken, loops that are repeated or written out, and names that are kept apart.

Model: an If whose condition follows from constants and shapes is the branch that it takes. A Loop whose number of turns
follows, or is said, is a block that repeats its body, as is a Scan, whose turns are the length of what it scans; a body that
makes something of another size each turn (a cache that grows) is written out turn by turn.
Source: the ONNX operator schemas of If, Loop and Scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_TURNS = 1_000_000
"""More is no number of turns, but what exporters write for 'until the condition says so'."""

MOST_WRITTEN = 20_000
"""Nodes of a loop that is written out turn by turn."""


SUB_GRAPHS = (5, 10)
"""Types of attributes that hold a graph, or several."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A loop that goes round `count` times. Names are pairs, of the body and of the graph around it: `initial`, what the
    first turn is given; `carried`, what one turn hands to the next, both in the body; `slices`, what a turn is given a part
    of; `results` and `stacked`, what the last turn, or each, leaves behind. `given`: names that only count or tell
    whether to go on."""

    count: int
    nodes: Sequence[Any]
    initial: Sequence[tuple[str, str]]
    carried: Sequence[tuple[str, str]]
    slices: Sequence[tuple[str, str]]
    results: Sequence[tuple[str, str]]
    stacked: Sequence[tuple[str, str]]
    given: Sequence[str] = ()


def attribute(node: Any, name: str, usual: Any) -> Any:
    """The value of an attribute, by the field that its type names."""
    for each in node.attribute:
        if each.name == name:
            fields = {1: each.f, 2: each.i, 3: each.s, 4: each.t, 5: each.g, 6: list(each.floats), 7: list(each.ints)}
            return fields.get(each.type, usual)
    return usual


def label_of(node: Any) -> str:
    """What a node is called, its first output where it has no name."""
    return str(node.name or node.output[0])


def apart(graph: Any, prefix: str, names: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    """A copy of a graph in which all that it makes has a name of its own; `names`: what others have instead. With all names
    that were changed."""
    made = type(graph)()
    made.CopyFrom(graph)
    own = [each.name for each in (*made.input, *made.initializer)]
    own += [name for node in made.node for name in node.output if name]
    changed = {**{name: f"{prefix}/{name}" for name in own}, **names}
    for value in (*made.input, *made.output, *made.initializer, *made.value_info):
        value.name = changed.get(value.name, value.name)
    for node in made.node:
        _rename(node, changed)
    return made, changed


def _rename(node: Any, names: Mapping[str, str]) -> None:
    """Give a node other names, and those of its sub-graphs that come from around them."""
    for field in (node.input, node.output):
        for at, name in enumerate(field):
            field[at] = names.get(name, name)
    for each in node.attribute:
        for graph in (each.g, *each.graphs) if each.type in SUB_GRAPHS else ():
            for inner in graph.node:
                _rename(inner, names)
            for value in graph.output:
                value.name = names.get(value.name, value.name)
