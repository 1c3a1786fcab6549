"""Graph networks as plain data: every node's features times a matrix, then summed over its neighbours.

Model: `widths` are the features that each layer puts out. `gcn`: neighbours, itself among them, are summed with weights by
degree, and multiplied with one matrix. `sage`: the mean of the neighbours is multiplied with one matrix, the node itself
with another. `edges` counts each direction, without the loops of nodes to themselves.
Source: Kipf & Welling 2017 (GCN); Hamilton et al. 2017 (GraphSAGE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from simulator.models.weights import Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNetwork:
    """Layers over one graph of `nodes` and `edges`; a node has `features` numbers."""

    name: str
    nodes: int
    edges: int
    features: int
    widths: tuple[int, ...]
    layer: Literal["gcn", "sage"] = "gcn"
    bias: bool = True
    activation: Literal["relu", "none"] = "relu"
    family: Literal["graph"] = "graph"

    @property
    def summed(self) -> int:
        """Neighbours that one layer sums, over all nodes; a GCN counts a node among its own."""
        return self.edges + (self.nodes if self.layer == "gcn" else 0)


def graph_weights(model: GraphNetwork) -> Iterator[Weight]:
    """The weights of every layer, in order; each meets every node."""
    before = model.features
    for number, width in enumerate(model.widths):
        names = ("weight",) if model.layer == "gcn" else ("neighbours", "itself")
        for name in names:
            yield Weight(name=f"layers.{number}.{name}", shape=(before, width), use="matmul")
        if model.bias:
            yield Weight(name=f"layers.{number}.bias", shape=(width,), use="vector")
        before = width
