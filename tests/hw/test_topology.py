"""Topologies and meshes: which wires there are, what a chip's ports allow, and which chips form a group.

Law: every link has two directions; a line of n has n-1 links, a ring n (two between the chips of a ring of 2), a switch n.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Link, Topology, parse_topology
from hw.network import MAX_CHIPS, written_wirings
from tests.support.strategies import outcome

LINKS = {"ici": Link(bandwidth=45e9, latency=1e-6, count=6), "nvlink": Link(bandwidth=25e9, count=18)}
SIZES = st.integers(1, 40)
LINK_COUNT: dict[str, Callable[[int], int]] = {
    "line": lambda n: n - 1,
    "grid": lambda n: n - 1,
    "ring": lambda n: n if n > 1 else 0,
    "torus": lambda n: n if n > 1 else 0,
    "switch": lambda n: n,
    "fat_tree": lambda n: n,
    "full": lambda n: n * (n - 1) // 2,
}
ONE_SIZE = sorted(LINK_COUNT)


def test_every_wiring_has_its_law_here() -> None:
    assert {*LINK_COUNT, "dragonfly"} == set(written_wirings())


def links_of(topology: Topology) -> int:
    assert len({wire.name for wire in topology.wires}) == len(topology.wires)
    there = sorted((wire.source, wire.target, wire.bytes_per_s) for wire in topology.wires)
    assert there == sorted((wire.target, wire.source, wire.bytes_per_s) for wire in topology.wires)
    return len(topology.wires) // 2


@given(st.sampled_from(ONE_SIZE), SIZES)
def test_links_and_directions(kind: str, size: int) -> None:
    assert links_of(parse_topology(f"{kind}({size})", LINKS)) == LINK_COUNT[kind](size)


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


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=3))
def test_a_torus_is_a_product_of_rings_and_lines(axes: list[tuple[int, bool]]) -> None:
    """networkx builds the same graph as a product, where no axis of two has its double link."""
    sizes, wraps = [size for size, _ in axes], [wrap for _, wrap in axes]
    text = f"torus({','.join(map(str, sizes))},wrap=[{','.join('yes' if wrap else 'no' for wrap in wraps)}])"
    topology = parse_topology(text, LINKS)
    total = math.prod(sizes)
    wanted = sum(total // size * (LINK_COUNT["ring" if wrap else "line"](size)) for size, wrap in axes)
    assert links_of(topology) == wanted
    graph = nx.grid_graph(sizes[::-1], periodic=wraps[::-1])
    number = {place: sum(at * math.prod(sizes[n + 1 :]) for n, at in enumerate(place)) for place in _places(sizes)}
    as_place = {place if len(sizes) > 1 else place[0]: chip for place, chip in number.items()}
    edges = {frozenset((as_place[a], as_place[b])) for a, b in graph.edges if a != b}
    assert {frozenset((int(w.source[4:]), int(w.target[4:]))) for w in topology.wires} == edges


def _places(sizes: list[int]) -> list[tuple[int, ...]]:
    places: list[tuple[int, ...]] = [()]
    for size in sizes:
        places = [(*place, at) for place in places for at in range(size)]
    return places


def test_ports_and_rates() -> None:
    assert {wire.bytes_per_s for wire in parse_topology("ring(4) over nvlink", LINKS).wires} == {25e9}
    assert {wire.bytes_per_s for wire in parse_topology("switch(8) over nvlink", LINKS).wires} == {450e9}
    assert {wire.bytes_per_s for wire in parse_topology("full(10) over nvlink", LINKS).wires} == {50e9}
    assert {wire.latency_s for wire in parse_topology("line(3) over ici", LINKS).wires} == {1e-6}


@given(st.sampled_from(ONE_SIZE), st.integers(2, 20))
def test_a_chip_never_sends_more_than_its_ports(kind: str, size: int) -> None:
    topology = parse_topology([f"{kind}({size}) over nvlink", "switch(3) over nvlink"], LINKS)
    for chip in range(topology.size):
        out = sum(wire.bytes_per_s for wire in topology.wires if wire.source == f"chip{chip}")
        assert out <= LINKS["nvlink"].egress_bytes_per_s * (1 + 1e-12)


def test_levels_over_one_link_share_its_ports() -> None:
    topology = parse_topology(["ring(4) over nvlink", "switch(2) over nvlink", "full(3) over nvlink"], LINKS)
    rates = {level: {wire.bytes_per_s for _, wire in topology.of_level(level)} for level in range(3)}
    assert rates == {0: {25e9}, 1: {200e9}, 2: {100e9}}
    for level in (1, 2):
        assert topology.levels[level].link == "nvlink"
    assert topology.wires[topology.port_out(5, 1)].target == "level1.0.switch"
    assert topology.wires[topology.port_in(5, 1)].source == "level1.0.switch"


def test_ports_of_two_switches_over_one_link_are_told_apart() -> None:
    topology = parse_topology(["switch(4) over nvlink", "switch(2) over nvlink"], LINKS)
    out = [topology.wires[topology.port_out(5, level)] for level in (0, 1)]
    assert [wire.target for wire in out] == ["level0.1.switch", "level1.0.switch"]
    assert [wire.bytes_per_s for wire in out] == [225e9, 225e9]


@given(st.sampled_from(ONE_SIZE), SIZES)
def test_the_graph_has_every_chip_and_every_wire(kind: str, size: int) -> None:
    topology = parse_topology(f"{kind}({size})", LINKS)
    graph = topology.graph
    assert isinstance(graph, nx.MultiDiGraph)
    extra = {"switch": {"switch"}, "fat_tree": {"leaf0"}}.get(kind, set())
    assert {f"chip{chip}" for chip in range(size)} | extra == set(graph)
    found = {(here, there, data["wire"], data["latency"]) for here, there, data in graph.edges(data=True)}
    assert found == {(wire.source, wire.target, wire, wire.latency_s) for wire in topology.wires}
    assert nx.is_strongly_connected(graph)


@given(st.integers(1, 6), st.sampled_from(["ring", "line", "full"]), st.integers(2, 9), st.integers(1, 3))
def test_a_step_goes_to_the_neighbour_and_all_steps_go_round(inner: int, kind: str, size: int, outer: int) -> None:
    levels = [f"switch({inner}) over ici", f"{kind}({size}) over nvlink", f"switch({outer}) over ici"]
    topology = parse_topology(levels, LINKS)
    axis = topology.axes[1]
    used = set()
    for chip in range(topology.size):
        for forward in (True, False):
            if kind == "line" and axis.place(chip) == (size - 1 if forward else 0):
                continue
            there, number = topology.step(axis, chip, forward)
            wire = topology.wires[number]
            assert (wire.source, wire.target, wire.level) == (f"chip{chip}", f"chip{there}", 1)
            assert axis.place(there) == (axis.place(chip) + (1 if forward else -1)) % size
            assert there - chip == (axis.place(there) - axis.place(chip)) * inner
            used.add(number)
    if kind != "full":
        assert used == {number for number, _ in topology.of_level(1)}  # both links of a ring of two, too


# Fabrics


@given(st.integers(2, 12), st.integers(1, 5), st.integers(1, 4), st.sampled_from([1, 1.5, 2, 4]), st.booleans())
def test_a_fat_tree_has_its_leaves_uplinks_and_trunks(
    size: int, leaf: int, spines: int, ratio: float, rails: bool
) -> None:
    rail = "yes" if rails else "no"
    text = f"fat_tree({size},leaf={leaf},spines={spines},oversubscription={ratio},rails={rail}) over nvlink"
    topology = parse_topology(["ring(3) over ici", text], LINKS)
    assert topology.levels[1].shared is not rails
    leaves = math.ceil(size / leaf) * (3 if rails else 1)
    alone = size <= leaf
    assert links_of(topology) == 3 * size + 3 * size + (0 if alone else leaves * spines)
    trunks = topology.trunks(1)
    assert len(trunks) == (0 if alone else leaves)
    assert sorted(chip for trunk in trunks for chip in trunk.chips) == ([] if alone else list(range(3 * size)))
    for trunk in trunks:
        assert len(trunk.up) == len(trunk.down) == spines
        for wires, ends in ((trunk.up, ("leaf", "spine")), (trunk.down, ("spine", "leaf"))):
            total = sum(topology.wires[wire].bytes_per_s for wire in wires)
            assert total == pytest.approx(450e9 * len(trunk.chips) / ratio)
            names = [re.sub(r"\d+$", "", node.rpartition(".")[2]) for node in (topology.wires[wires[0]][1:3])]
            assert tuple(names) == ends
    if rails:
        assert all(len({chip % 3 for chip in trunk.chips}) == 1 for trunk in trunks)


def test_a_passage_over_a_spine_is_a_second_hop() -> None:
    wires = parse_topology("fat_tree(4,leaf=2) over ici", LINKS).wires
    latency = {(wire.source, wire.target): wire.latency_s for wire in wires}
    assert latency["chip0", "leaf0"] == latency["spine", "leaf1"] == 0
    assert latency["leaf0", "spine"] == latency["leaf0", "chip0"] == 1e-6
    assert all(wire.hop == (wire.latency_s > 0) for wire in wires)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_a_dragonfly_joins_routers_and_groups(groups: int, routers: int, places: int) -> None:
    topology = parse_topology(f"dragonfly({groups},{routers},{places})", LINKS)
    assert topology.size == groups * routers * places
    assert links_of(topology) == topology.size + groups * math.comb(routers, 2) + math.comb(groups, 2)
    glob = [wire for wire in topology.wires if wire.source.partition(".")[0] != wire.target.partition(".")[0]]
    between = [wire for wire in glob if "chip" not in wire.source and "chip" not in wire.target]
    pairs = {(wire.source.partition(".")[0], wire.target.partition(".")[0]) for wire in between}
    assert len(pairs) == len(between) == groups * (groups - 1)
    per_router = [sum(1 for wire in between if wire.source == node) for node in topology.graph if "router" in node]
    assert max(per_router) - min(per_router) <= 1
    assert topology.trunks(0) == ()


@given(st.sampled_from(["switch(3,nics={})", "fat_tree(4,leaf=2,nics={})"]), st.integers(1, 8), st.integers(1, 8))
def test_shared_nics(form: str, inner: int, nics: int) -> None:
    links = {**LINKS, "pcie": Link(bandwidth=64e9), "ib": Link(bandwidth=50e9, latency=2e-6)}
    text = [f"ring({inner}) over ici", f"{form.format(nics)} over ib"]
    if nics > inner:
        with pytest.raises(ValueError, match=f"nics={nics} will not do: a node of {inner} chips has 1 to {inner} NICs"):
            parse_topology(text, links)
        return
    topology = parse_topology(text, links)
    nodes = topology.levels[1].children
    shared = [trunk for trunk in topology.trunks(1) if "nic" in topology.wires[trunk.up[0]].source]
    assert len(shared) == nics * nodes
    assert sorted(chip for trunk in shared for chip in trunk.chips) == list(range(topology.size))
    sizes = [len(trunk.chips) for trunk in shared]
    assert max(sizes) - min(sizes) <= 1
    for trunk in shared:
        assert len({chip // inner for chip in trunk.chips}) == 1
        assert [topology.wires[wire].bytes_per_s for wire in (*trunk.up, *trunk.down)] == [50e9, 50e9]
        for chip in trunk.chips:
            wires = [topology.wires[topology.port_out(chip, 1)], topology.wires[topology.port_in(chip, 1)]]
            assert [wire.bytes_per_s for wire in wires] == [64e9, 64e9]
            assert [wire.latency_s for wire in wires] == [0, 2e-6]
    without = {name: link for name, link in links.items() if name != "pcie"}
    assert parse_topology(text, without).wires[topology.port_out(0, 1)].bytes_per_s == 50e9


def test_unlike_chips_have_their_own_ports_and_the_slower_end_sets_the_pace() -> None:
    fast, slow = {"l": Link(bandwidth=2.0, count=4)}, {"l": Link(bandwidth=1.0, count=3, latency=1.0)}
    switch = parse_topology("switch(2)", fast, lambda chip: (fast, slow)[chip])
    assert [wire.bytes_per_s for wire in switch.wires] == [8.0, 8.0, 3.0, 3.0]
    line = parse_topology("line(3)", fast, lambda chip: (fast, fast, slow)[chip])
    assert [(wire.bytes_per_s, wire.latency_s) for wire in line.wires] == [(2.0, 0.0)] * 2 + [(1.0, 1.0)] * 2
    with pytest.raises(ValueError, match=r"chip 1: torus\(2,2\) needs 4 ports a chip, l has 3"):
        parse_topology("torus(2,2)", fast, lambda chip: slow if chip == 1 else fast)
    with pytest.raises(ValueError, match=r"chip 3: unknown link 'l'. Allowed: k"):
        parse_topology("ring(4)", fast, lambda chip: {"k": fast["l"]} if chip == 3 else fast)


@pytest.mark.parametrize("slow_one", [0, 1])
def test_unlike_chips_that_share_a_nic_have_the_pace_and_the_latency_of_the_slowest(slow_one: int) -> None:
    """As far as the NIC goes: what a chip's own way to it has is the chip's own."""
    fast = {**LINKS, "ib": Link(bandwidth=50e9, latency=1e-6)}
    slow = {**LINKS, "ib": Link(bandwidth=25e9, latency=3e-6)}
    text = ["ring(2) over ici", "fat_tree(4,leaf=2,nics=1) over ib"]
    topology = parse_topology(text, fast, lambda chip: slow if chip % 2 == slow_one else fast)
    ways = {(topology.word_of(wire.source), topology.word_of(wire.target)): wire for wire in topology.wires}
    assert ways["nic", "leaf"].bytes_per_s == ways["leaf", "nic"].bytes_per_s == 25e9
    assert ways["leaf", "spine"].latency_s == 3e-6
    down = {wire.latency_s for wire in topology.wires if topology.word_of(wire.source) == "nic" and wire.hop}
    assert down == {1e-6, 3e-6}


# Text


def test_the_first_link_is_the_default_and_the_text_reads_back() -> None:
    for kind in ONE_SIZE:
        for link in LINKS:
            topology = parse_topology(f" {kind} ( 4 )  over {link} ", LINKS)
            assert str(topology) == f"{kind}(4) over {link}"
            assert parse_topology(str(topology), LINKS) == topology
    assert parse_topology("ring(4)", LINKS).levels[0].link == "ici"
    text = "fat_tree(4,leaf=2,oversubscription=1.5,rails=yes) over nvlink"
    assert str(parse_topology(["torus(2,2,wrap=[no,yes]) over ici", text], LINKS)).endswith(f", {text}]")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ring", "'ring' is not a topology; write one of line(n), ring(n), torus(a,b,c)"),
        ("ring(4) nvlink", "is not a topology"),
        ("ring(-4)", "is not a topology"),
        ("ring(4.5)", "is not a topology"),
        ("ring(4,4)", "ring takes 1 sizes, as in ring(n)"),
        ("torus(2,2,2,2)", "torus takes 1 to 3 sizes"),
        ("dragonfly(4)", "dragonfly takes 3 sizes, as in dragonfly(groups,routers,chips)"),
        ("", "is not a topology"),
        ("x" * 999, "is not a topology"),
        ("rign(4)", "unknown topology 'rign', did you mean 'ring'?"),
        ("ring(0)", "ring(0) is out of range: 1 to 65536 chips"),
        ("switch(999999999)", "out of range"),
        ("full(20000)", "full(20000) has 199990000 links, 1048576 are the most"),
        ("dragonfly(2,9000,3)", "dragonfly(2,9000,3) has 80991001 links, 1048576 are the most"),
        ("ring(4) over nvlik", "unknown link 'nvlik', did you mean 'nvlink'? Allowed: ici, nvlink"),
        ("ring(4,wrap=no)", "unknown option of ring 'wrap'. Allowed: none"),
        ("torus(4,4,wrap=no)", "wrap=no will not do: it wants a yes or no for each axis, as wrap=[yes,yes]"),
        ("torus(4,4,wrap=[no,maybe])", "wrap=[no,maybe] will not do"),
        ("fat_tree(4,leaf=0)", "leaf=0 will not do: it wants a whole number of at least 1"),
        ("fat_tree(4,leaf=2,spines=two)", "spines=two will not do: it wants a whole number"),
        ("fat_tree(4,leaf=2,oversubscription=0)", "oversubscription=0 will not do: it wants a number above 0"),
        ("fat_tree(4,leaf=2,oversubscription=nan)", "oversubscription=nan will not do"),
        ("fat_tree(4,rails=2)", "rails=2 will not do: it wants yes or no, as rails=yes"),
        ("fat_tree(4,leafs=2)", "unknown option of fat_tree 'leafs', did you mean 'leaf'?"),
        ("nowhere.json", "there is no graph file 'nowhere.json'"),
    ],
)
def test_a_wrong_text_says_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_topology(text, LINKS)
    assert len(str(caught.value)) < 320


def test_wrong_lists() -> None:
    for texts, words in (
        ([], "a list of 1 to 6 levels"),
        (["ring(2) over ici"] * 7, "a list of 1 to 6 levels"),
        (
            ["ring(2)", "switch(2) over nvlink"],
            "'ring(2)': in a list of levels each says its link, as in 'ring(...) over ici'",
        ),
        (
            ["ring(512) over ici", "switch(512) over nvlink"],
            "ring(512) x switch(512) is out of range: 1 to 65536 chips",
        ),
        (["torus(2,2) over ici", "torus(2,2) over ici"], "torus(2,2) and torus(2,2) needs 8 ports a chip, ici has 6"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            parse_topology(texts, LINKS)


@pytest.mark.parametrize(("text", "needs"), [("ring(2)", 2), ("ring(3)", 2), ("line(3)", 2)])
def test_too_few_ports(text: str, needs: int) -> None:
    one_port = {"pcie": Link(bandwidth=1e9)}
    with pytest.raises(ValueError, match=f"needs {needs} ports a chip, pcie has 1"):
        parse_topology(text, one_port)
    for fitting in ("line(2)", "line(1)", "ring(1)", "switch(8)"):
        assert parse_topology(fitting, one_port).size == int(fitting[-2])


def test_a_chip_without_links_stands_alone() -> None:
    alone = parse_topology("ring(1)", {})
    assert (alone.size, alone.wires, str(alone)) == (1, (), "ring(1)")
    with pytest.raises(ValueError, match="Allowed: none"):
        parse_topology("ring(2)", {})


def test_the_largest_topology_is_built() -> None:
    assert len(parse_topology(f"ring({MAX_CHIPS})", LINKS).wires) == 2 * MAX_CHIPS


@given(
    st.text(max_size=20) | st.from_regex(r"(torus|fat_tree|switch|dragonfly)\([0-9a-z=,\[\].]{0,12}\)", fullmatch=True)
)
def test_any_text_is_a_topology_or_a_value_error(text: str) -> None:
    got = outcome(lambda: parse_topology(text, LINKS))
    assert str(got) if isinstance(got, ValueError) else got.levels[0].kind in written_wirings()
