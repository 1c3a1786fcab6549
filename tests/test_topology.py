"""Topologies and meshes: which wires there are, what a chip's ports allow, and which chips form a group.

Law: every link has two directions; a line of n has n-1 links, a ring n (two between the chips of a ring of 2), a switch n.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Mesh, System, Topology, load_chip, parse_topology
from hw.chip import Link
from hw.routing import Router
from hw.system import mesh_problems
from hw.topology import MAX_CHIPS
from tests.strategies import outcome

LINKS = {"ici": Link(bandwidth=45e9, latency=1e-6, count=4), "nvlink": Link(bandwidth=25e9, count=18)}
SIZES = st.integers(1, 40)
LINK_COUNT: dict[str, Callable[[int], int]] = {
    "line": lambda n: n - 1,
    "ring": lambda n: n if n > 1 else 0,
    "switch": lambda n: n,
}


@given(st.sampled_from(sorted(LINK_COUNT)), SIZES)
def test_links_and_directions(kind: str, size: int) -> None:
    topology = parse_topology(f"{kind}({size})", LINKS)
    assert len(topology.wires) == 2 * LINK_COUNT[kind](size)
    assert len({wire.name for wire in topology.wires}) == len(topology.wires)
    there = sorted((wire.source, wire.target) for wire in topology.wires)
    back = sorted((wire.target, wire.source) for wire in topology.wires)
    assert there == back


def test_a_ring_of_two_has_two_links_and_a_line_of_two_one() -> None:
    assert len(parse_topology("ring(2)", LINKS).between("chip0", "chip1")) == 2
    assert len(parse_topology("ring(2)", LINKS).between("chip1", "chip0")) == 2
    assert len(parse_topology("line(2)", LINKS).between("chip0", "chip1")) == 1


@given(st.integers(3, 40))
def test_neighbours_on_a_ring_and_on_a_line(size: int) -> None:
    ring, line = parse_topology(f"ring({size})", LINKS), parse_topology(f"line({size})", LINKS)
    for chip in range(size):
        after = (chip + 1) % size
        assert len(ring.between(f"chip{chip}", f"chip{after}")) == 1
        assert len(line.between(f"chip{chip}", f"chip{after}")) == (1 if after else 0)


def test_a_ring_and_a_line_use_one_port_a_neighbour_a_switch_all_ports_together() -> None:
    assert {wire.bytes_per_s for wire in parse_topology("ring(4) over nvlink", LINKS).wires} == {25e9}
    assert {wire.bytes_per_s for wire in parse_topology("switch(8) over nvlink", LINKS).wires} == {450e9}
    assert {wire.latency_s for wire in parse_topology("line(3) over ici", LINKS).wires} == {1e-6}


@given(st.sampled_from(sorted(LINK_COUNT)), SIZES)
def test_the_graph_has_every_chip_and_every_wire(kind: str, size: int) -> None:
    topology = parse_topology(f"{kind}({size})", LINKS)
    graph = topology.graph
    assert isinstance(graph, nx.MultiDiGraph)
    assert {f"chip{chip}" for chip in range(size)} | ({"switch"} if kind == "switch" else set()) == set(graph)
    found = {(here, there, data["wire"], data["latency"]) for here, there, data in graph.edges(data=True)}
    assert found == {(wire.source, wire.target, wire, wire.latency_s) for wire in topology.wires}
    assert nx.is_strongly_connected(graph)


@given(st.sampled_from(sorted(LINK_COUNT)), st.integers(2, 16), st.data())
def test_a_route_is_connected_and_shortest(kind: str, size: int, data: st.DataObject) -> None:
    source, target = data.draw(st.permutations(range(size)))[:2]
    topology = parse_topology(f"{kind}({size})", LINKS)
    route = [topology.wires[wire] for wire in Router(topology, "single").route(source, target).shares]
    nodes = [route[0].source, *(wire.target for wire in route)]
    assert nodes[0] == f"chip{source}"
    assert nodes[-1] == f"chip{target}"
    assert all(wire.source == node for wire, node in zip(route, nodes, strict=False))
    apart = abs(source - target)
    hops = {"line": apart, "ring": min(apart, size - apart), "switch": 2}
    assert len(route) == hops[kind]


# Text


def test_the_first_link_is_the_default_and_the_text_reads_back() -> None:
    assert parse_topology("ring(4)", LINKS).levels[0].link == "ici"
    for kind in LINK_COUNT:
        for link in LINKS:
            topology = parse_topology(f" {kind} ( 4 )  over {link} ", LINKS)
            assert str(topology) == f"{kind}(4) over {link}"
            assert parse_topology(str(topology), LINKS) == topology


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ring", "'ring' is not a topology; write one of line(n), ring(n), torus(a,b,c)"),
        ("ring(4) nvlink", "is not a topology"),
        ("ring(-4)", "is not a topology"),
        ("ring(4.5)", "is not a topology"),
        ("", "is not a topology"),
        ("x" * 999, "is not a topology"),
        ("rign(4)", "unknown topology 'rign', did you mean 'ring'?"),
        ("ring(0)", "ring(0) is out of range: 1 to 65536 chips"),
        ("switch(999999999)", "out of range"),
        ("ring(4) over nvlik", "unknown link 'nvlik', did you mean 'nvlink'? Allowed: ici, nvlink"),
    ],
)
def test_a_wrong_text_says_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_topology(text, LINKS)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("text", "needs"), [("ring(2)", 2), ("ring(3)", 2), ("line(3)", 2)])
def test_too_few_ports(text: str, needs: int) -> None:
    one_port = {"pcie": Link(bandwidth=1e9)}
    with pytest.raises(ValueError, match=f"needs {needs} ports a chip, pcie has 1"):
        parse_topology(text, one_port)
    for fitting in ("line(2)", "line(1)", "ring(1)", "switch(8)"):
        assert parse_topology(fitting, one_port).size == int(fitting[-2])


def test_a_chip_without_links_stands_alone() -> None:
    assert (parse_topology("ring(1)", {}).size, parse_topology("ring(1)", {}).wires) == (1, ())
    with pytest.raises(ValueError, match="Allowed: none"):
        parse_topology("ring(2)", {})


def test_the_largest_topology_is_built() -> None:
    assert len(parse_topology(f"ring({MAX_CHIPS})", LINKS).wires) == 2 * MAX_CHIPS


@given(st.text(max_size=20))
def test_any_text_is_a_topology_or_a_value_error(text: str) -> None:
    got = outcome(lambda: parse_topology(text, LINKS))
    assert str(got) if isinstance(got, ValueError) else got.size <= MAX_CHIPS


# Meshes

MESHES = st.dictionaries(st.sampled_from("XYZW"), st.integers(1, 4), min_size=1, max_size=4).map(Mesh)


@given(MESHES, st.data())
def test_groups_cut_the_chips_into_equal_parts(mesh: Mesh, data: st.DataObject) -> None:
    axes = "".join(data.draw(st.lists(st.sampled_from(list(mesh.axes)), unique=True)))
    groups = mesh.groups(axes)
    assert sorted(chip for group in groups for chip in group) == list(range(mesh.size))
    assert {len(group) for group in groups} == {mesh.extent(axes)}


def test_groups_of_a_mesh_of_two_by_three() -> None:
    """Chips are numbered row-major, the last axis fastest."""
    mesh = Mesh({"X": 2, "Y": 3})
    assert mesh.groups("Y") == ((0, 1, 2), (3, 4, 5))
    assert mesh.groups("X") == ((0, 3), (1, 4), (2, 5))
    assert mesh.groups("XY") == mesh.groups("YX") == ((0, 1, 2, 3, 4, 5),)
    assert mesh.groups("") == ((0,), (1,), (2,), (3,), (4,), (5,))
    assert (mesh.size, mesh.extent("X"), mesh.extent("XY"), mesh.extent("")) == (6, 2, 6, 1)


RING, SWITCH = parse_topology("ring(4)", LINKS), parse_topology("switch(8)", LINKS)


@pytest.mark.parametrize(
    ("axes", "topology"),
    [({"X": 4}, RING), ({"X": 1, "Y": 4}, RING), ({"X": 2, "Y": 4}, SWITCH), ({}, None), ({"X": 1}, None)],
)
def test_a_mesh_that_fits(axes: dict[str, int], topology: Topology | None) -> None:
    assert list(mesh_problems(axes, topology)) == []


@pytest.mark.parametrize(
    ("axes", "topology", "place", "words"),
    [
        ({"X": 3}, RING, "", "the mesh has 3 places, ring(4) over ici has 4 chips"),
        ({}, RING, "", "the mesh has 1 places, ring(4) over ici has 4 chips"),
        ({"X": 2}, None, "", "the mesh has 2 places, a single chip has 1 chips"),
        ({"X": 2, "Y": 2}, RING, "", "a ring has one axis"),
        ({"x": 4}, RING, "x", "must be a single capital letter"),
        ({"XY": 4}, RING, "XY", "must be a single capital letter"),
        ({"X": 0}, RING, "X", "must be at least 1"),
    ],
)
def test_a_mesh_that_does_not_fit(axes: dict[str, int], topology: Topology | None, place: str, words: str) -> None:
    problems = list(mesh_problems(axes, topology))
    assert any(at == place and words in message for at, message in problems), problems


def test_a_system_in_words() -> None:
    chip = load_chip("h100_sxm")
    assert System(chip).name == "h100_sxm"
    assert System(chip).size == 1
    eight = System(chip, parse_topology("switch(8)", chip.links), Mesh({"X": 8}))
    assert (eight.name, eight.size) == ("8 x h100_sxm, switch(8) over nvlink", 8)
