"""The closed form of an all-to-all is what its messages ask, written down one by one.

By another road than `simulator.collectives.algorithms.exchange`: every pair of chips is a message over its route, and the
wires and their latency are counted message by message, with no knowledge of axes or levels.
"""

from __future__ import annotations

from itertools import permutations

import pytest

from hw import Mesh, Router, System, Topology, load_chip, parse_topology
from simulator import Group, Message
from simulator.collectives.algorithms.exchange import exchange
from simulator.collectives.flight import at_once

H100 = load_chip("h100_sxm")
NVLINK = H100.links["nvlink"]
NEAR = NVLINK.model_copy(update={"latency_s": 1e-6, "bytes_per_s": 10e9, "count": 12})
FAR = NVLINK.model_copy(update={"latency_s": 5e-6, "bytes_per_s": 4e9, "count": 12})
LINKS = {"near": NEAR, "far": FAR}
CHIP = H100.model_copy(update={"links": LINKS})

ALONE = (
    *("ring(2)", "ring(3)", "ring(4)", "ring(6)", "ring(7)", "line(2)", "line(3)", "line(5)", "full(4)", "full(5)"),
    *("torus(3,4)", "torus(2,3)", "torus(4,4,2)", "grid(2,3)", "switch(4)", "switch(6)"),
    *("fat_tree(8,leaf=4)", "fat_tree(6,leaf=4)", "fat_tree(12,leaf=4,oversubscription=2)", "fat_tree(10,leaf=4)"),
)
JOINED = (
    *("ring(2)", "ring(3)", "ring(4)", "line(2)", "line(3)", "switch(3)", "switch(4)", "full(3)"),
    *("fat_tree(4,leaf=2)", "torus(2,3)", "grid(2,2)"),
)


def group_of(topology: Topology) -> Group:
    chips = range(topology.size)
    lies = System(CHIP, topology, Mesh({"X": topology.size})).lying("X", chips)
    return Group(topology, Router(topology, "split", by_axes=True), lies.chips, lies.pieces)


def compare(topology: Topology, pair_bytes: float) -> None:
    group = group_of(topology)
    closed = exchange(group, group.size**2 * pair_bytes)
    loads, latency_s = at_once(group, (Message(a, b, pair_bytes) for a, b in permutations(range(group.size), 2)))
    worst = max(abs(closed.wires.get(wire, 0.0) / loads[wire] - 1.0) for wire in loads)
    print(f"bytes of a wire differ by {worst:.1e}; latency {closed.latency_s:.9g} s, pair by pair {latency_s:.9g} s")
    assert closed.wires == pytest.approx(loads, rel=1e-9)
    assert closed.latency_s == pytest.approx(latency_s, rel=1e-6)
    assert latency_s > 0


@pytest.mark.parametrize("pair_bytes", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("wiring", ALONE)
def test_one_level(wiring: str, pair_bytes: float) -> None:
    compare(parse_topology(f"{wiring} over near", LINKS), pair_bytes)


@pytest.mark.parametrize("outer", JOINED)
@pytest.mark.parametrize("inner", JOINED)
def test_two_levels(inner: str, outer: str) -> None:
    topology = parse_topology([f"{inner} over near", f"{outer} over far"], LINKS)
    for pair_bytes in (1.0, 1e4, 1e7):
        compare(topology, pair_bytes)
