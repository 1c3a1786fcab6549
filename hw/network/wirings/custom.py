"""Wirings without a form of their own: a graph that somebody drew, and chips that only routes join.

Model: all that can be said of them is found by search. A graph's builder comes with its file (`hw.network.graphs`); what
it may be recognised as is said by `hw.network.recognition`.
"""

from __future__ import annotations

from hw.network.axes import Axis
from hw.network.wirings.base import Wiring

GRAPH = Wiring(name="graph", example="", inside=True)
"""A graph, as long as nothing else is recognised in it."""

ROUTED = Wiring(name="routes", example="")
"""Chips that form no wiring: routes lead from each to each, through whatever lies between."""


def routed_axis(size: int) -> Axis:
    """Chips in some order, of which no more is known than that routes lead from each to each."""
    return Axis(GRAPH.name, size, 1, 0)
