"""Chips that the wires do not tell apart can change places, their unequal shards with them, and no time changes.

Model: an exchange is an automorphism of the wires (found by networkx, links with their figures). Algorithms that pass shards
on in some order must take an order that the links and the shards decide, not the chips' numbers.
Left out: tori and grids, where routes go along one axis before the other, so that numbers do tell chips apart.
Source: DESIGN section 3 (law 9, renaming).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import networkx as nx
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from networkx.algorithms.isomorphism import DiGraphMatcher

from hw import Mesh, System, Topology
from simulator import RunOptions, parse_graph, simulate
from tests.support.wirings import Wired, chip_of

ALPHA = 1e-6
SIZE = 50_000_000
NODES = "switch(2) over nvlink"
WIRINGS: tuple[Any, ...] = (
    "switch(5) over nvlink",
    "full(4) over nvlink",
    "fat_tree(4,leaf=2) over nvlink",
    "fat_tree(5,leaf=3) over nvlink",
    "fat_tree(6,leaf=2,oversubscription=2) over nvlink",
    "fat_tree(6,leaf=2,spines=2) over nvlink",
    "dragonfly(2,1,2) over nvlink",
    "dragonfly(2,2,1) over nvlink",
    (NODES, "switch(3) over infiniband"),
    (NODES, "switch(2,nics=1) over infiniband"),
    (NODES, "fat_tree(2,leaf=2,rails=yes) over infiniband"),
)
GATHERS = {
    "all_gather": "y:int8[I] = all_gather(x:int8[I_X], over=X, shares={shares})",
    "reduce_scatter": "y:int8[I_X] = reduce_scatter(x:int8[I]{{U_X}}, over=X, shares={shares})",
}


@cache
def topology_of(written: Any) -> Topology:
    """A wiring with hops of one latency."""
    return Wired(written if isinstance(written, str) else list(written), (2,)).topology(ALPHA)


@cache
def exchanges(written: Any) -> list[tuple[int, ...]]:
    """Which chip takes whose place, in all ways that leave the wires as they are."""
    topology = topology_of(written)
    graph = nx.DiGraph()
    graph.add_nodes_from((f"chip{chip}", {"word": "chip"}) for chip in range(topology.size))
    for wire in topology.wires:
        for node in (wire.source, wire.target):
            graph.add_node(node, word=topology.word_of(node))
        before = graph.get_edge_data(wire.source, wire.target, {"figures": ()})["figures"]
        graph.add_edge(wire.source, wire.target, figures=(*before, (wire.bytes_per_s, wire.latency_s)))
    found = DiGraphMatcher(
        graph, graph, lambda a, b: a["word"] == b["word"], lambda a, b: sorted(a["figures"]) == sorted(b["figures"])
    ).isomorphisms_iter()
    numbers = topology.chip_numbers
    return list({tuple(numbers[each[f"chip{chip}"]] for chip in range(topology.size)) for each in found})


def seconds(written: Any, shares: list[float], kind: str, **options: Any) -> float:
    """Of one gather or scatter alone; shares by chip, since places are numbers where no graph says otherwise."""
    topology = topology_of(written)
    system = System(chip_of(ALPHA), topology, Mesh({"X": topology.size}))
    line = GATHERS[kind].format(shares=shares)
    return simulate(parse_graph([line], {"I": SIZE}), system, RunOptions(overlap="full", **options)).time_s


@given(st.data(), st.sampled_from(WIRINGS), st.sampled_from(sorted(GATHERS)))
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_chips_that_are_alike_can_change_places_with_their_shards(data: st.DataObject, written: Any, kind: str) -> None:
    size = topology_of(written).size
    weights = data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 5]), min_size=size, max_size=size).filter(any))
    shares = [weight / sum(weights) for weight in weights]
    exchange = data.draw(st.sampled_from(exchanges(written)))
    moved = [shares[exchange[chip]] for chip in range(size)]
    algorithm = data.draw(st.sampled_from(["canonical", "auto", "ring", "ring_one_way", "direct"]))
    network = data.draw(st.sampled_from(["task", "task", "messages"]))
    found = [seconds(written, each, kind, collectives=algorithm, network=network) for each in (shares, moved)]
    assert found[0] == pytest.approx(found[1], rel=1e-9 if network == "task" else 1e-3), (algorithm, network)


def test_one_large_shard_in_a_tree_takes_as_long_whichever_chip_has_it() -> None:
    times = {
        seconds(
            "fat_tree(4,leaf=2) over nvlink",
            [0.75 if chip == most else 0.25 / 3 for chip in range(4)],
            kind,
            collectives="ring",
        )
        for most in range(4)
        for kind in GATHERS
    }
    assert len(times) == 1
