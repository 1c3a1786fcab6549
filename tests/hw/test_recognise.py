"""Graphs as wirings: what they are recognised as, what that costs, and that the names of chips decide nothing.

Expected times are worked out by hand from the textbook's forms; the wirings that a torus, a tree, ... is given as a graph
are compared with the built-in ones, whose forms have tests of their own.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import pytest

from hw import Link, Mesh, System, Topology, load_chip, parse_topology
from hw.network.recognition.lattice import Lattice, laid
from hw.systems import fitted
from simulator import RunOptions, parse_graph, simulate

CHIP = load_chip("h100_sxm")
LINKS = {"nvlink": Link(bandwidth=10e9, latency=1e-6, count=16)}
SIZE = 5040 * 64
"""Bytes: divisible by every number of chips here, and each shard by them again."""

COLLECTIVES = {
    "all_reduce": "y:int8[I] = all_reduce(x:int8[I]{U_X}, over=X)",
    "all_gather": "y:int8[I] = all_gather(x:int8[I_X], over=X)",
    "reduce_scatter": "y:int8[I_X] = reduce_scatter(x:int8[I]{U_X}, over=X)",
    "all_to_all": "y:int8[I,J_X] = all_to_all(x:int8[I_X,J], over=X)",
    "permute": "y:int8[I] = permute(x:int8[I], over=X, shift=1)",
    "broadcast": "y:int8[I] = broadcast(x:int8[I], over=X, root=ROOT)",
    "reduce_to": "y:int8[I] = reduce_to(x:int8[I]{U_X}, over=X, root=ROOT)",
    "scatter": "y:int8[I_X] = scatter(x:int8[I], over=X, root=ROOT)",
    "gather_to": "y:int8[I] = gather_to(x:int8[I_X], over=X, root=ROOT)",
}
CUBE_MESH = (
    """0 1 1, 0 2 1, 0 3 2, 0 4 2, 1 2 2, 1 3 1, 1 5 2, 2 3 2, 2 6 1, 3 7 1, 4 5 1, 4 6 1, 4 7 2, 5 6 2, 5 7 1, 6 7 2"""
)
"""The pairs of a DGX-1's eight chips and how many links each has."""


def time_s(topology: Topology, op: str, mesh: Mapping[str, int] | None = None, **options: Any) -> float:
    """Seconds of one op alone."""
    system = System(CHIP, topology, Mesh(mesh or {"X": topology.size}))
    lines = [op] if isinstance(op, str) else op
    return simulate(parse_graph(lines, {"I": SIZE, "J": 5040}), system, RunOptions(overlap="full", **options)).time_s


def times_ps(
    topology: Topology, lines: Mapping[Any, str], mesh: Mapping[str, int] | None = None, **options: Any
) -> Any:
    """Picoseconds of each of some ops over one axis, by its key. Those with a root, and those without, run one after the
    other in one program: nothing runs beside them, and chips that only a root tells apart are alike for the others."""
    system = System(CHIP, topology, Mesh(mesh or {"X": topology.size}))
    found: dict[Any, int] = {}
    for rooted in (False, True):
        keys = [key for key, line in lines.items() if ("root=" in line) == rooted]
        own = [re.sub(r"\b([xy]):", rf"\g<1>{at}:", lines[key]) for at, key in enumerate(keys)]
        graph = parse_graph(own, {"I": SIZE, "J": 5040})
        result = simulate(graph, system, RunOptions(overlap="full", **options))
        ends = dict.fromkeys((f"y{at}" for at in range(len(keys))), 0)
        for kernel, end in zip(result.plan.program.kernel, result.end_ps, strict=True):
            (name,) = result.plan.kernels[kernel].kernel.ops
            ends[name] = max(ends[name], end)
        found |= {
            key: end - begin for key, (begin, end) in zip(keys, itertools.pairwise([0, *ends.values()]), strict=True)
        }
    return found


def cube_mesh(names: Sequence[int] = range(8), apart: bool = False) -> Topology:
    """The cube mesh over 25 GB/s links; doubled ones as one wide edge, or as two."""
    graph = nx.MultiGraph()
    for line in CUBE_MESH.split(", "):
        here, there, links = map(int, line.split())
        for _ in range(links if apart else 1):
            width = 25e9 if apart else 25e9 * links
            graph.add_edge(f"chip{names[here]}", f"chip{names[there]}", bandwidth=width)
    return Topology.from_networkx(graph)


def renamed(topology: Topology, names: Sequence[int], seed: int = 0) -> Topology:
    """The wires of a topology as a graph whose chips have other numbers, edges and nodes in any order."""
    rng = random.Random(seed)
    called = {f"chip{chip}": f"chip{name}" for chip, name in enumerate(names)}
    wires = list(topology.wires)
    rng.shuffle(wires)
    nodes = list(dict.fromkeys(node for wire in wires for node in (wire.source, wire.target)))
    rng.shuffle(nodes)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(called.get(node, node) for node in nodes)
    for wire in wires:
        ends = (called.get(wire.source, wire.source), called.get(wire.target, wire.target))
        graph.add_edge(*ends, bandwidth=wire.bytes_per_s, latency=wire.latency_s)
    return Topology.from_networkx(graph)


def shuffled(size: int, seed: int) -> list[int]:
    """The numbers of so many chips in another order."""
    names = list(range(size))
    random.Random(seed).shuffle(names)
    return names


# What they are


@pytest.mark.parametrize(
    ("graph", "drawn"),
    [
        (nx.cycle_graph(6), "ring(6)"),
        (nx.path_graph(6), "line(6)"),
        (nx.complete_graph(5), "full(5)"),
        (nx.grid_2d_graph(4, 5), "grid(5,4)"),
        (nx.grid_2d_graph(4, 5, periodic=True), "torus(5,4)"),
        (nx.grid_2d_graph(4, 5, periodic=(True, False)), "torus(5,4,wrap=[no,yes])"),
        (nx.grid_graph([3, 4, 5], periodic=True), "torus(5,4,3)"),
        (nx.hypercube_graph(6), "torus(4,4,4)"),
        (nx.petersen_graph(), "graph"),
        (nx.balanced_tree(2, 2), "graph"),
        (nx.circulant_graph(9, [1, 2]), "graph"),
        (nx.cycle_graph(5, create_using=nx.DiGraph), "one-way ring(5)"),
    ],
)
def test_graphs_of_networkx_are_recognised_whatever_their_nodes_are_called(graph: Any, drawn: str) -> None:
    for seed in range(3):
        names = shuffled(len(graph), seed)
        called = {node: f"chip{name}" for node, name in zip(graph, names, strict=True)}
        assert Topology.from_networkx(nx.relabel_nodes(graph, called), LINKS).levels[0].drawn == drawn


def test_switches_and_trees_are_recognised() -> None:
    star = nx.star_graph(["switch", *(f"chip{chip}" for chip in (2, 0, 3, 1))])
    assert Topology.from_networkx(star, LINKS).levels[0].drawn == "switch(4)"
    tree = nx.balanced_tree(2, 3)
    leaves = [node for node in tree if tree.degree(node) == 1]
    called = {node: f"chip{leaves.index(node)}" if node in leaves else f"s{node}" for node in tree}
    drawn = nx.relabel_nodes(tree, called)
    nx.set_edge_attributes(drawn, 1e9, "bandwidth")
    assert Topology.from_networkx(drawn, LINKS).levels[0].drawn == "tree(8)"


def test_a_lattice_that_lacks_a_link_is_none() -> None:
    whole = Lattice((4, 4), (True, True)).near()
    assert laid(Lattice((4, 4), (True, True)), whole, range(16)) == list(range(16))
    graph = nx.grid_2d_graph(4, 4, periodic=True)
    graph.remove_edge((0, 0), (0, 1))
    assert Topology.from_networkx(graph, LINKS).levels[0].drawn == "graph"
    graph.add_edge((0, 0), (2, 2))  # as many links as before, but not where a torus has them
    assert Topology.from_networkx(graph, LINKS).levels[0].drawn == "graph"


# What that costs


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("apart", [False, True])
def test_a_cube_mesh_reduces_over_its_ring_of_double_links(seed: int, apart: bool) -> None:
    # the double links form one ring of all eight: two phases of floor(8/2) hops of V/8 at 50 GB/s
    topology = cube_mesh(shuffled(8, seed), apart)
    assert time_s(topology, COLLECTIVES["all_reduce"]) == pytest.approx(2 * 4 * (SIZE / 8) / 50e9, rel=1e-6)


def test_the_shipped_cube_mesh_has_the_same_ring() -> None:
    chip = load_chip("v100_sxm2_32gb")
    topology = parse_topology("hw/systems/hybrid_cube_mesh.json over nvlink", chip.links)
    want = 2 * 4 * ((SIZE / 8) / 50e9 + chip.links["nvlink"].latency_s)
    assert time_s(topology, COLLECTIVES["all_reduce"]) == pytest.approx(want, rel=1e-6)


def test_a_wide_ring_beats_the_full_mesh_that_it_is_part_of() -> None:
    # K4 with a ring of 100 GB/s and diagonals of 1 GB/s: V/4 over the slowest link, or two hops of V/4 over the wide ones
    graph = nx.complete_graph(4)
    for here, there in graph.edges:
        graph.edges[here, there]["bandwidth"] = 1e9 if abs(here - there) == 2 else 100e9
    assert time_s(Topology.from_networkx(graph), COLLECTIVES["all_gather"]) == pytest.approx(
        2 * SIZE / 4 / 100e9, rel=1e-6
    )
    nx.set_edge_attributes(graph, 1e9, "bandwidth")
    assert time_s(Topology.from_networkx(graph), COLLECTIVES["all_gather"]) == pytest.approx(SIZE / 4 / 1e9, rel=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_one_way_rings_have_their_own_form(seed: int) -> None:
    # (N-1) hops of alpha + V/(N W): nothing comes back the other way
    size, names = 5, shuffled(5, seed)
    graph = nx.DiGraph()
    for chip in range(size):
        ends = (f"chip{names[chip]}", f"chip{names[(chip + 1) % size]}")
        graph.add_edge(*ends, bandwidth=10e9, latency=1e-6)
    topology = Topology.from_networkx(graph)
    hops = (size - 1) * (1e-6 + SIZE / size / 10e9)
    whole = (size - 1) * 1e-6 + SIZE / 10e9
    want = {"all_gather": hops, "reduce_scatter": hops, "all_reduce": 2 * hops, "broadcast": whole, "reduce_to": whole}
    for kind, seconds in want.items():
        for algorithm in ("canonical", "ring_one_way", "auto"):
            op = COLLECTIVES[kind].replace("ROOT", "2")
            assert time_s(topology, op, collectives=algorithm) == pytest.approx(seconds, rel=1e-6), (kind, algorithm)
    # chip i's part for chip j passes (j - i) mod N wires: N (1 + ... + N-1) in all over N wires
    # and what has far to go is on its way while what is for the next chip is sent
    pair_s = SIZE * 5040 / size**2 / 10e9
    exchanged = max(hops * 1e-6 + sum(range(hops, size)) * pair_s for hops in range(1, size))
    assert time_s(topology, COLLECTIVES["all_to_all"]) == pytest.approx(exchanged, rel=1e-6)


def test_unequal_shards_go_round_a_one_way_ring() -> None:
    # parts 1/2, 1/4, 1/4: the wire into a chip carries all but its own shard, the wire into a chip of 1/4 three quarters;
    # scattered sums: the wire out of a chip carries all but what is its own
    graph = nx.cycle_graph(3, create_using=nx.DiGraph)
    nx.set_edge_attributes(graph, 10e9, "bandwidth")
    topology = Topology.from_networkx(graph)
    for op in (
        "y:int8[I] = all_gather(x:int8[I_X], over=X, shares=[0.5, 0.25, 0.25])",
        "y:int8[I_X] = reduce_scatter(x:int8[I]{U_X}, over=X, shares=[0.5, 0.25, 0.25])",
    ):
        assert time_s(topology, op) == pytest.approx(SIZE * 3 / 4 / 10e9, rel=1e-6)


def test_two_switches_with_one_link_between_share_it() -> None:
    # four chips on each side: V/2 has to cross 5 GB/s each way; a chip takes 7/8 V at 100 GB/s
    graph = nx.Graph()
    graph.add_edge("left", "right", bandwidth=5e9)
    for chip in range(8):
        graph.add_edge(f"chip{chip}", "left" if chip % 3 else "right", bandwidth=100e9)
    topology = Topology.from_networkx(graph)
    # chips 0, 3, 6 are right: what comes to them is V less their own three shards
    assert time_s(topology, COLLECTIVES["all_gather"]) == pytest.approx(SIZE * 5 / 8 / 5e9, rel=1e-6)


def test_links_side_by_side_are_as_wide_as_they_are_together() -> None:
    graph = nx.MultiGraph(nx.cycle_graph(6))
    graph.add_edges_from(list(graph.edges(keys=False)))
    nx.set_edge_attributes(graph, 10e9, "bandwidth")
    topology = Topology.from_networkx(graph)
    assert topology.levels[0].drawn == "ring(6)"
    assert time_s(topology, COLLECTIVES["all_gather"]) == pytest.approx(3 * SIZE / 6 / 20e9, rel=1e-6)


# Names


WIRINGS = [
    "ring(2)",
    "ring(7)",
    "line(2)",
    "line(5)",
    "torus(2,2)",
    "torus(4,2)",
    "torus(5,3)",
    "torus(4,4)",
    "torus(3,2,2)",
    "torus(4,3,wrap=[no,yes])",
    "grid(4,3)",
    "grid(3,3)",
    "full(6)",
    "switch(6)",
    "fat_tree(6,leaf=2)",
    "fat_tree(8,leaf=4,oversubscription=2)",
    "fat_tree(8,leaf=2,spines=2)",
]


@pytest.mark.parametrize("algorithm", ["canonical", "auto"])
@pytest.mark.parametrize("text", WIRINGS)
def test_a_wiring_given_as_a_graph_takes_as_long_as_itself(text: str, algorithm: str) -> None:
    built_in = parse_topology(f"{text} over nvlink", LINKS)
    lines = {kind: op.replace("ROOT", "0") for kind, op in COLLECTIVES.items()}
    want = times_ps(built_in, lines, collectives=algorithm)
    for seed in range(2):
        graph = renamed(built_in, shuffled(built_in.size, seed) if seed else range(built_in.size), seed)
        assert times_ps(graph, lines, collectives=algorithm) == want


@pytest.mark.parametrize(
    ("text", "mesh"),
    [("torus(4,2)", {"X": 4, "Y": 2}), ("torus(2,4)", {"X": 2, "Y": 4}), ("grid(3,4)", {"X": 3, "Y": 4})],
)
def test_a_mesh_is_laid_over_the_axes_of_a_graph(text: str, mesh: Mapping[str, int]) -> None:
    built_in = parse_topology(f"{text} over nvlink", LINKS)
    graphs = [renamed(built_in, shuffled(built_in.size, seed), seed) for seed in range(3)]
    for axis in mesh:
        lines = {kind: op.replace("ROOT", "0").replace("X", axis) for kind, op in COLLECTIVES.items()}
        want = times_ps(built_in, lines, mesh)
        for graph in graphs:
            assert times_ps(graph, lines, mesh) == want


@pytest.mark.parametrize("text", ["grid(2,3)", "grid(2,4)", "torus(3,4)", "torus(4,3,wrap=[yes,no])", "grid(2,2,3)"])
def test_along_which_axis_chips_are_numbered_changes_no_time(text: str) -> None:
    """A graph that is numbered along its short axis first, as wirings may be, and the same with numbers at random."""
    built_in = parse_topology(f"{text} over nvlink", LINKS)
    numbered = renamed(built_in, range(built_in.size), 1)
    other = renamed(built_in, shuffled(built_in.size, 2), 2)
    assert numbered.levels[0].drawn == other.levels[0].drawn != "graph"
    lines = {
        (kind, root): op.replace("ROOT", str(root))
        for kind, op in COLLECTIVES.items()
        for root in (range(built_in.size) if "ROOT" in op else (0,))
    }
    assert times_ps(numbered, lines) == times_ps(other, lines)


def test_a_mesh_that_does_not_line_up_counts_chips_by_number() -> None:
    ring = Topology.from_networkx(nx.cycle_graph(8), LINKS)
    cut = System(CHIP, ring, Mesh({"X": 2, "Y": 4}))
    assert cut.groups("Y") == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert fitted(ring, {"X": 8}).levels[0].drawn == "ring(8)"
    square = Topology.from_networkx(nx.cycle_graph(4), LINKS)
    assert fitted(square, {"X": 2, "Y": 2}).levels[0].drawn == "grid(2,2)"


def random_graph(rng: random.Random) -> Topology:
    """A connected graph of chips, or of chips and switches, with one to three widths and two latencies."""
    size = rng.randint(2, 9)
    widths, latencies = rng.choice([[1], [1, 2], [1, 2, 4]]), rng.choice([[0.0], [1e-6, 2e-6]])
    nodes: list[str] = [f"chip{chip}" for chip in range(size)] + [f"s{at}" for at in range(rng.choice([0, 0, 1, 3]))]
    graph = nx.MultiGraph()
    for at, node in enumerate(nodes[1:], 1):
        graph.add_edge(node, rng.choice(nodes[:at]))
    for _ in range(rng.randint(0, size)):
        graph.add_edge(*rng.sample(nodes, 2))
    for here, there, key in graph.edges:
        figures = {"bandwidth": 25e9 * rng.choice(widths), "latency": rng.choice(latencies)}
        graph.edges[here, there, key].update(figures)
    return Topology.from_networkx(graph)


def test_edges_take_their_width_from_the_link_that_is_named_or_from_none() -> None:
    links = load_chip("h100_sxm").links
    for over in ("nvlink", "infiniband"):
        graph = nx.path_graph(2)
        (wire, _) = Topology.from_networkx(graph, links, over=over).wires
        assert wire.bytes_per_s == links[over].bytes_per_s
    with pytest.raises(ValueError, match=r"unknown link 'nvlnk', did you mean 'nvlink'\?"):
        Topology.from_networkx(nx.path_graph(2), links, over="nvlnk")


def test_a_double_link_in_a_triangle_is_where_it_is_whatever_the_chips_are_called() -> None:
    times = set()
    for names in itertools.permutations(range(3)):
        graph = nx.MultiGraph()
        for here, there in ((0, 1), (0, 2), (0, 2), (1, 2)):
            graph.add_edge(f"chip{names[here]}", f"chip{names[there]}", bandwidth=25e9)
        topology = Topology.from_networkx(graph)
        times.add(
            tuple(time_s(topology, COLLECTIVES["all_reduce"], collectives=name) for name in ("canonical", "auto"))
        )
    assert len(times) == 1


@pytest.mark.parametrize("seed", range(60))
def test_renaming_chips_changes_no_time(seed: int) -> None:
    rng = random.Random(seed)
    one = random_graph(rng)
    names = shuffled(one.size, seed + 1)
    other = renamed(one.plain or one, names, seed)
    assert other.levels[0].drawn == one.levels[0].drawn
    # in a wiring that is recognised places follow the wires; else the root is a chip by its number, and renamed too
    root = rng.randrange(one.size)
    roots = (root, names[root] if one.levels[0].drawn == "graph" else root)
    # a permute goes from number to number, as written
    kinds = [kind for kind in COLLECTIVES if kind != "permute" or one.levels[0].drawn != "graph"]
    for algorithm in ("canonical", "auto"):
        found = [
            times_ps(
                topology, {kind: COLLECTIVES[kind].replace("ROOT", str(at)) for kind in kinds}, collectives=algorithm
            )
            for topology, at in zip((one, other), roots, strict=True)
        ]
        assert found[0] == found[1], algorithm
    here, there = rng.sample(range(one.size), 2)
    times = [
        time_s(topology, [f"y:int8[I] = send(x:int8[I], from={a}, to={b})", f"z:int8[I] = recv(from={a}, to={b})"])  # type: ignore[arg-type]
        for topology, a, b in ((one, here, there), (other, names[here], names[there]))
    ]
    assert times[0] == times[1]


@pytest.mark.long
def test_a_torus_of_thousands_is_recognised_in_no_time() -> None:
    names = shuffled(2048, 1)
    graph = nx.grid_graph([16, 16, 8], periodic=True)
    called = {node: f"chip{name}" for node, name in zip(graph, names, strict=True)}
    topology = Topology.from_networkx(nx.relabel_nodes(graph, called), LINKS)
    assert topology.levels[0].drawn == "torus(16,16,8)"


def test_systems_take_a_networkx_graph() -> None:
    graph = nx.cycle_graph(8)
    system = System(CHIP, graph, Mesh({"X": 8}))
    built_in = System(CHIP, parse_topology("ring(8) over nvlink", CHIP.links), Mesh({"X": 8}))
    ops = parse_graph([COLLECTIVES["all_reduce"]], {"I": SIZE})
    assert simulate(ops, system).time_s == simulate(ops, built_in).time_s
    assert parse_topology(graph, CHIP.links).levels[0].drawn == "ring(8)"
    assert parse_topology([graph, "switch(4) over infiniband"], CHIP.links).size == 32
    with pytest.raises(ValueError, match="none to take from"):
        Topology.from_networkx(graph)
