"""One answer: a wiring by its name, and the same wires as a graph whose chips have other numbers, take the same time.

Model: the wires of a lattice are a product of rings and lines in one way only, but that a ring of four is two lines of two.
So a graph tells which ring or line is along which mesh axis wherever sizes leave one way for it; a graph has the fewest
axes that fit the mesh, rings first. Along a mesh axis that is nothing but rings of four, or those beside axes that all wrap,
the named forms of the two differ, and the graph takes the ring's; beside an axis that does not wrap they have one form.
What goes by routes (`permute`, scatters and gathers to one chip) goes along the axes in the order of the name, which no
graph has.
Source: Sabidussi 1960, Vizing 1963 (unique prime factors of connected graphs).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import networkx as nx
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from hw import Mesh, System, Topology, parse_topology
from simulator import RunOptions, parse_graph, simulate
from tests.support.wirings import KINDS, chip_of

BY_PLACE = ("permute", "scatter", "gather_to")
ALPHA = 1e-6
DIMS = {"E": 5040 * 16, "F": 5040 * 16}
"""Divisible by all numbers of chips here."""


CORNERED = {kind: line.replace("root=1", "root=0") for kind, line in KINDS.items()}
"""Every kind of collective; roots stand in a corner, which is one in every order of the axes."""


class Side(NamedTuple):
    """One axis of a lattice."""

    size: int
    wraps: bool


Axes = tuple[tuple[Side, ...], ...]
"""Of each mesh axis, the axes of the lattice that it lies along, inside out."""


def named(axes: Axes) -> str:
    """The lattice by its name."""
    sides = [side for axis in axes for side in axis]
    wraps = ",".join("yes" if side.wraps else "no" for side in sides)
    return f"torus({','.join(str(side.size) for side in sides)},wrap=[{wraps}]) over nvlink"


def mesh_of(axes: Axes) -> dict[str, int]:
    """The sizes of its mesh axes."""
    return {name: math.prod(side.size for side in axis) for name, axis in zip("XYZ", axes, strict=False)}


def drawn(topology: Topology, seed: int) -> Topology:
    """The wires of a topology as a graph, chips renumbered, nodes and edges in any order."""
    rng = random.Random(seed)
    names = rng.sample(range(topology.size), topology.size)
    called = {f"chip{chip}": f"chip{name}" for chip, name in enumerate(names)}
    wires = rng.sample(topology.wires, len(topology.wires))
    graph = nx.MultiDiGraph()
    for wire in wires:
        ends = (called.get(wire.source, wire.source), called.get(wire.target, wire.target))
        graph.add_edge(*ends, bandwidth=wire.bytes_per_s, latency=wire.latency_s)
    return Topology.from_networkx(graph)


def times(topology: Topology, mesh: dict[str, int], collectives: str) -> dict[tuple[str, str], float]:
    """Seconds of each collective along each mesh axis."""
    system = System(chip_of(ALPHA), topology, Mesh(mesh))
    options = RunOptions(overlap="full", collectives=collectives)
    return {
        (kind, axis): simulate(parse_graph([line.format(at="", o=axis, more="")], DIMS), system, options).time_s
        for kind, line in CORNERED.items()
        for axis, size in mesh.items()
        if size > 1
    }


@st.composite
def lattices(draw: st.DrawFn) -> Axes:
    """Lattices of one to three axes of 2 to 4, of 24 chips at most, and how a mesh lies over them."""
    count = draw(st.integers(1, 3))
    sides = [Side(draw(st.sampled_from([2, 2, 3, 4])), draw(st.booleans())) for _ in range(count)]
    cuts = [draw(st.booleans()) for _ in sides[1:]]
    found: list[tuple[Side, ...]] = [(sides[0],)]
    for side, cut in zip(sides[1:], cuts, strict=True):
        found = [*found, (side,)] if cut else [*found[:-1], (*found[-1], side)]
    assume(math.prod(mesh_of(tuple(found)).values()) <= 24)
    return tuple(found)


def in_fours(axes: Axes) -> Axes:
    """The same, every two lines of two along one mesh axis as a ring of four: as a graph is read."""
    found = []
    for axis in axes:
        twos = axis.count(Side(2, wraps=False))
        others = tuple(side for side in axis if side != Side(2, wraps=False))
        found.append((Side(4, wraps=True),) * (twos // 2) + others + (Side(2, wraps=False),) * (twos % 2))
    return tuple(found)


def one_form(axis: Sequence[Side]) -> bool:
    """Whether a ring of four and two lines of two take the same time along a mesh axis: beside one that does not wrap."""
    mixed = any(not side.wraps for side in in_fours((tuple(axis),))[0])
    return mixed or axis.count(Side(2, wraps=False)) < 2


def readings(axes: Axes) -> Iterator[tuple[Counter[Side], ...]]:
    """All ways to share the prime factors of a lattice out among mesh axes of these sizes."""
    primes = [
        prime
        for side in (side for axis in axes for side in axis)
        for prime in ([Side(2, wraps=False)] * 2 if side == Side(4, wraps=True) else [side])
    ]
    sizes = list(mesh_of(axes).values())
    for where in product(range(len(sizes)), repeat=len(primes)):
        shared = [
            Counter(prime for prime, at in zip(primes, where, strict=True) if at == axis) for axis in range(len(sizes))
        ]
        if [math.prod(prime.size for prime in each.elements()) for each in shared] == sizes:
            yield tuple(shared)


def clear(axes: Axes) -> bool:
    """Whether sizes alone say what lies along which mesh axis."""
    return len({tuple(frozenset(each.items()) for each in shared) for shared in readings(axes)}) == 1


@given(lattices(), st.integers(0, 99), st.sampled_from(["canonical", "auto"]))
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_a_lattice_and_its_graph_take_the_same_time(axes: Axes, seed: int, collectives: str) -> None:
    mesh = mesh_of(axes)
    built_in = parse_topology(named(axes), chip_of(ALPHA).links)
    graph = drawn(built_in, seed)
    found = times(graph, mesh, collectives)
    read = times(parse_topology(named(in_fours(axes)), chip_of(ALPHA).links), mesh, collectives)
    plain = times(built_in, mesh, collectives)
    for (kind, name), seconds in found.items():
        axis = axes["XYZ".index(name)]
        if not clear(axes) or (kind in BY_PLACE and len(axis) > 1):
            continue
        assert seconds == pytest.approx(read[kind, name], rel=1e-9), (kind, name, "as it is read")
        if one_form(axis):
            assert seconds == pytest.approx(plain[kind, name], rel=1e-9), (kind, name, "as it is named")


@pytest.mark.parametrize(
    "text",
    [
        "full(2)",
        "full(3)",
        "full(5)",
        "switch(5,in_switch_reduction=no)",
        "fat_tree(6,leaf=2,in_switch_reduction=no)",
        "fat_tree(8,leaf=4,oversubscription=2,in_switch_reduction=no)",
    ],
)
@pytest.mark.parametrize("collectives", ["canonical", "auto"])
def test_a_fabric_and_its_graph_take_the_same_time(text: str, collectives: str) -> None:
    built_in = parse_topology(f"{text} over nvlink", chip_of(ALPHA).links)
    mesh = {"X": built_in.size}
    plain = times(built_in, mesh, collectives)
    for seed in range(3):
        assert times(drawn(built_in, seed), mesh, collectives) == pytest.approx(plain, rel=1e-9)


def test_a_mesh_says_whether_four_chips_are_a_ring_or_a_grid() -> None:
    graph = drawn(parse_topology("grid(2,2,3) over nvlink", chip_of(ALPHA).links), 1)

    def read(**mesh: int) -> str:
        topology = System(chip_of(ALPHA), graph, Mesh(mesh)).topology
        assert topology is not None
        return topology.levels[0].drawn

    assert read(X=2, Y=2, Z=3) == "grid(2,2,3)"
    assert read(X=6, Y=2) == "grid(3,2,2)"
    assert read(X=4, Y=3) == "torus(4,3,wrap=[yes,no])"
    assert read(X=12) == "torus(4,3,wrap=[yes,no])"
