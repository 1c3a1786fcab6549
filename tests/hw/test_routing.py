"""Routes: as short as networkx finds them, conserving what they carry, the same every time.

Laws: the shares of a route conserve flow at every node; every way has as many wires as the shortest path of the graph; a
route does not depend on who asked before. Parted messages: a half each way to the antipode of a ring, 1/s over s spines.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise, permutations
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Link, Route, Router, Topology, load_system, parse_topology
from hw.network import ROUTINGS, Routing

LINKS = {
    "a": Link(bandwidth=1e9, latency=1e-6, message=1e-7, count=6),
    "b": Link(bandwidth=2e9, latency=5e-6, count=4),
    "pcie": Link(bandwidth=3e9),
}

SINGLE = st.one_of(
    st.builds("{}({})".format, st.sampled_from(["ring", "line", "switch", "full"]), st.integers(2, 12)),
    st.builds("torus({},{},{})".format, st.integers(1, 4), st.integers(1, 4), st.integers(2, 4)),
    st.builds("torus({},{},wrap=[no,yes])".format, st.integers(1, 4), st.integers(2, 5)),
    st.builds("grid({},{})".format, st.integers(1, 5), st.integers(2, 5)),
    st.builds("fat_tree({},leaf={},spines={})".format, st.integers(2, 9), st.integers(1, 4), st.integers(1, 3)),
    st.builds("dragonfly({},{},{})".format, st.integers(1, 6), st.integers(1, 4), st.integers(2, 3)),
)
ROUTING = st.sampled_from(ROUTINGS)


def balance(topology: Topology, route: Route) -> dict[str, float]:
    """What flows out of each node less what flows in."""
    net: Counter[str] = Counter()
    for number, share in route.shares.items():
        assert share > 0
        net[topology.wires[number].source] += share  # type: ignore[assignment]
        net[topology.wires[number].target] -= share  # type: ignore[assignment]
    return {node: value for node, value in net.items() if abs(value) > 1e-9}


def two_of(data: st.DataObject, topology: Topology) -> tuple[int, int]:
    chips = st.lists(st.integers(0, topology.size - 1), min_size=2, max_size=2, unique=True)
    source, target = data.draw(chips)
    return source, target


@given(SINGLE, ROUTING, st.data())
def test_a_route_is_a_shortest_path_of_the_graph(text: str, routing: Routing, data: st.DataObject) -> None:
    topology = parse_topology(f"{text} over a", LINKS)
    source, target = two_of(data, topology)
    route = Router(topology, routing).route(source, target)
    assert balance(topology, route) == pytest.approx({f"chip{source}": 1.0, f"chip{target}": -1.0})
    hops = nx.shortest_path_length(topology.graph, f"chip{source}", f"chip{target}")
    assert sum(route.shares.values()) == pytest.approx(hops)
    if routing in ("single", "ecmp"):
        assert set(route.shares.values()) == {1.0}
    latency = sum(topology.wires[number].latency_s * share for number, share in route.shares.items())
    assert route.latency_s == pytest.approx(latency + 1e-7)  # all shortest ways of these have the same latency


LEVELS = [
    ["switch(3) over a", "ring(4) over b"],
    ["switch(3) over a", "ring(3) over b", "switch(2) over a"],
    ["torus(2,3) over a", "switch(3) over b"],
    ["switch(4) over a", "fat_tree(4,leaf=2,spines=2,rails=yes) over b"],
    ["switch(4) over a", "fat_tree(4,leaf=2,nics=2) over b"],
    ["ring(4) over a", "switch(3,nics=1) over b"],
    ["line(2) over a", "torus(2,3) over b"],
    ["full(3) over a", "full(3) over b", "fat_tree(3,leaf=1,rails=yes) over a"],
    ["ring(2) over a", "dragonfly(3,2,1) over b"],
]


@pytest.mark.parametrize("levels", LEVELS, ids=str)
@pytest.mark.parametrize("routing", ROUTINGS)
def test_routes_through_levels(levels: list[str], routing: Routing) -> None:
    topology = parse_topology(levels, LINKS)
    router = Router(topology, routing)
    for source, target in permutations(range(topology.size), 2):
        route = router.route(source, target)
        assert balance(topology, route) == pytest.approx({f"chip{source}": 1.0, f"chip{target}": -1.0})
        used = {topology.wires[number].level for number in route.shares}
        apart = {axis.level for axis in topology.axes if axis.place(source) != axis.place(target)}
        outermost = max(apart)
        if topology.levels[outermost].shared:
            assert used == {outermost}
        else:
            assert outermost in used
            assert used <= set(range(outermost + 1))


def test_inside_first_then_across() -> None:
    topology = parse_topology(["switch(3) over a", "ring(4) over b"], LINKS)
    route = Router(topology).route(0, 4)
    names = [f"{topology.wires[n].source}>{topology.wires[n].target}" for n in route.shares]
    assert names == ["chip0>level0.0.switch", "level0.0.switch>chip1", "chip1>chip4"]
    assert route.latency_s == pytest.approx(1e-6 + 5e-6 + 1e-7)


def test_antipodes_are_split_or_go_forward() -> None:
    ring = parse_topology("ring(4) over a", LINKS)
    assert sorted(Router(ring).route(0, 2).shares.values()) == [0.5] * 4
    forward = Router(ring, "single").route(0, 2).shares
    assert [ring.wires[number].target for number in forward] == ["chip1", "chip2"]
    two = parse_topology("ring(2) over a", LINKS)
    assert sorted(Router(two).route(1, 0).shares.values()) == [0.5, 0.5]
    assert set(Router(two).route(1, 0).shares) == set(two.between("chip1", "chip0"))


def test_orders_of_the_axes() -> None:
    torus = parse_topology("torus(4,4) over a", LINKS)
    assert sorted(Router(torus).route(0, 5).shares.values()) == [1.0, 1.0]
    assert sorted(Router(torus, "minimal").route(0, 5).shares.values()) == [0.5] * 4
    assert len(Router(torus, "minimal").route(0, 10).shares) == len(nx_ways(torus, 0, 10))


def nx_ways(topology: Topology, source: int, target: int) -> set[tuple[str, str]]:
    graph = nx.DiGraph(topology.graph)
    ways = nx.all_shortest_paths(graph, f"chip{source}", f"chip{target}")
    corners = {tuple(way) for way in ways}
    return {pair for way in corners for pair in pairwise(way) if _on_one_turn(way)}


def _on_one_turn(way: tuple[str, ...]) -> bool:
    """Dimension-ordered ways turn once."""
    chips = [int(name[4:]) for name in way]
    along = [(there - here) % 4 == 0 for here, there in pairwise(chips)]
    return sum(one != two for one, two in pairwise(along)) <= 1


@given(st.integers(1, 6), st.data())
def test_spines_share_alike_and_one_is_picked(spines: int, data: st.DataObject) -> None:
    topology = parse_topology(f"fat_tree(8,leaf=2,spines={spines}) over a", LINKS)
    split = Router(topology).route(0, 7)
    over = [s for n, s in split.shares.items() if "spine" in topology.wires[n].target]
    assert over == pytest.approx([1 / spines] * spines)
    source, target = two_of(data, topology)
    assert len(Router(topology, "ecmp").route(source, target).shares) in (2, 4)


def test_ecmp_spreads_pairs_over_the_spines() -> None:
    topology = parse_topology("fat_tree(32,leaf=16,spines=4) over a", LINKS)
    router = Router(topology, "ecmp")
    used = Counter(
        topology.wires[number].target
        for source in range(16)
        for target in range(16, 32)
        for number in router.route(source, target).shares
        if "spine" in topology.wires[number].target
    )
    assert len(used) == 4
    assert max(used.values()) < 1.5 * 256 / 4


@given(SINGLE, ROUTING, st.data())
def test_routes_are_static(text: str, routing: Routing, data: st.DataObject) -> None:
    topology = parse_topology(f"{text} over a", LINKS)
    pairs = data.draw(st.lists(st.tuples(*[st.integers(0, topology.size - 1)] * 2), max_size=8))
    one, two = Router(topology, routing), Router(parse_topology(f"{text} over a", LINKS), routing)
    asked = {pair: one.route(*pair) for pair in pairs}
    assert {pair: two.route(*pair) for pair in reversed(pairs)} == asked
    assert all(not route.shares and route.latency_s == 0 for (a, b), route in asked.items() if a == b)


# Graphs


def lattice_file(folder: Path, rows: int, columns: int) -> Path:
    path = folder / "mesh.edges"
    lines = []
    for row in range(rows):
        for column in range(columns):
            here = row * columns + column
            lines += [f"chip{here} chip{here + 1} 1GB/s 1us"] if column + 1 < columns else []
            lines += [f"chip{here} chip{here + columns} 1GB/s 1us"] if row + 1 < rows else []
    path.write_text("\n".join(lines))
    return path


def test_shortest_ways_are_counted_not_listed(tmp_path: Path) -> None:
    """Between the corners of this mesh there are C(62, 31), about 4.7e17 shortest ways."""
    topology = parse_topology(str(lattice_file(tmp_path, 32, 32)), LINKS)
    for routing in ROUTINGS:
        route = Router(topology, routing).route(0, 1023)
        assert balance(topology, route) == pytest.approx({"chip0": 1.0, "chip1023": -1.0})
        assert sum(route.shares.values()) == pytest.approx(62)
        assert route.latency_s == pytest.approx(62e-6)


def test_every_shortest_way_of_a_graph_carries_the_same(tmp_path: Path) -> None:
    topology = parse_topology(str(lattice_file(tmp_path, 3, 4)), LINKS)
    graph = nx.DiGraph(topology.graph)
    for source, target in permutations(range(12), 2):
        ways = list(nx.all_shortest_paths(graph, f"chip{source}", f"chip{target}"))
        wanted: Counter[int] = Counter()
        for way in ways:
            for here, there in pairwise(way):
                wanted[topology.between(here, there)[0]] += 1
        route = Router(topology).route(source, target)
        assert dict(route.shares) == pytest.approx({n: count / len(ways) for n, count in wanted.items()})
        single = Router(topology, "single").route(source, target)
        assert set(single.shares) <= set(route.shares)


def test_parallel_links_of_a_graph_share_alike(tmp_path: Path) -> None:
    path = tmp_path / "two.edges"
    path.write_text("chip0 s 1GB/s\ns chip1 1GB/s\nchip0 s 1GB/s\n")
    topology = parse_topology(str(path), LINKS)
    assert len(topology.wires) == 6
    assert sorted(Router(topology).route(0, 1).shares.values()) == [0.5, 0.5, 1.0]
    assert sorted(Router(topology).route(1, 0).shares.values()) == [0.5, 0.5, 1.0]


def test_the_cube_mesh_goes_over_a_third_gpu() -> None:
    system = load_system("dgx_v100")
    assert system.topology is not None
    route = Router(system.topology).route(0, 7)
    via = {system.topology.wires[number].target for number in route.shares} - {"chip7"}
    assert via == {"chip3", "chip4"}
    lengths = Counter(
        round(sum(Router(system.topology).route(0, other).shares.values())) for other in range(1, 8)
    )  # fmt: skip
    assert lengths == {1: 4, 2: 3}
    assert math.isclose(sum(route.shares.values()), 2.0)


# Chips whose links differ in latency behind one fabric: a hop that they share takes as long as the slowest one's


def unlike_ib(texts: list[str], latencies: list[float]) -> Topology:
    links = [
        {"nv": Link(bandwidth=100e9), "ib": Link(bandwidth=50e9, latency=latency), "pcie": Link(bandwidth=64e9)}
        for latency in latencies
    ]
    return parse_topology(texts, links[0], links.__getitem__)


def test_a_nic_that_unlike_chips_share_is_as_slow_as_the_slowest() -> None:
    # chips 0, 2, 4, 6 have 1 us, the others 5 us; each two share a NIC. Up over the spine at the pace of the leaf's
    # slowest NIC, 5 us, and down to the chip at its own 1 us
    topology = unlike_ib(["switch(2) over nv", "fat_tree(4,leaf=2,nics=1) over ib"], [1e-6, 5e-6] * 4)
    assert Router(topology).route(0, 4).latency_s == pytest.approx(6e-6)
    assert Router(topology).route(0, 2).latency_s == pytest.approx(1e-6)  # below the leaf
    assert Router(topology).route(0, 5).latency_s == pytest.approx(10e-6)


def test_an_uplink_that_unlike_chips_share_is_as_slow_as_the_slowest() -> None:
    topology = unlike_ib(["fat_tree(4,leaf=2) over ib"], [1e-6, 5e-6, 1e-6, 1e-6])
    assert Router(topology).route(0, 2).latency_s == pytest.approx(6e-6)  # up from the leaf of chips 0 and 1, down to 2
    assert Router(topology).route(2, 0).latency_s == pytest.approx(2e-6)  # up from the leaf of chips 2 and 3, down to 0


def test_routers_that_join_unlike_chips_are_as_slow_as_the_slowest() -> None:
    topology = unlike_ib(["dragonfly(2,1,2) over ib"], [1e-6, 5e-6, 1e-6, 1e-6])
    assert Router(topology).route(0, 2).latency_s == pytest.approx(6e-6)
