"""Hops, bisections and the table of links, against brute force on small sizes, and the pictures.

Laws: the diameter is the longest of the routes; a bisection is the least that any balanced cut leaves, by max flow.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hw import Link, Router, Topology, Wire, load_system, parse_topology
from hw.network import (
    PICTURE_WIDTH,
    best_cut,
    diameter,
    drawn_level,
    level_facts,
    link_rows,
    overall_cut,
    topology_record,
    tree_cut,
    written_wirings,
)
from scenarios.cli import app

LINKS = {"a": Link(bandwidth=1.0, latency=1.0, count=6), "b": Link(bandwidth=2.0, count=4), "pcie": Link(bandwidth=3.0)}


def least_cut(topology: Topology, unit: int = 1) -> float:
    """Over every balanced cut of the chips, the most that can flow from one half to the other."""
    graph = nx.DiGraph()
    for wire in topology.wires:
        known = graph.get_edge_data(wire.source, wire.target, {"capacity": 0.0})["capacity"]
        graph.add_edge(wire.source, wire.target, capacity=known + wire.bytes_per_s)
    units = range(topology.size // unit)
    return min(_flow(graph, topology.size, part, unit) for part in itertools.combinations(units, len(units) // 2))


def _flow(graph: nx.DiGraph, size: int, part: Sequence[int], unit: int) -> float:
    flow = graph.copy()
    for chip in range(size):
        ends = ("from", f"chip{chip}") if chip // unit in part else (f"chip{chip}", "to")
        flow.add_edge(*ends)
    return float(nx.maximum_flow_value(flow, "from", "to"))


SMALL = [
    "ring(2)", "ring(3)", "ring(6)", "line(2)", "line(5)", "line(6)", "grid(2,3)", "grid(3,3)", "grid(2,2,2)", "torus(2,3)",
    "torus(3,3)", "torus(2,2,2)", "torus(2,4)", "full(2)", "full(5)", "full(6)", "switch(2)", "switch(5)", "switch(6)",
    "fat_tree(6,leaf=2)", "fat_tree(6,leaf=2,oversubscription=2)", "fat_tree(7,leaf=3,oversubscription=4)",
    "fat_tree(8,leaf=3,oversubscription=3)", "fat_tree(6,leaf=3,oversubscription=2,spines=2)", "fat_tree(5,leaf=1)",
    "fat_tree(8,leaf=5,oversubscription=2)", "dragonfly(3,2,1)", "dragonfly(2,2,2)",
]  # fmt: skip


@pytest.mark.parametrize("text", SMALL)
def test_a_bisection_is_the_least_of_all_cuts(text: str) -> None:
    topology = parse_topology(f"{text} over a", LINKS)
    cut = level_facts(topology)[0].bisection
    assert cut.bound == "exact"
    assert cut.bytes_per_s == pytest.approx(least_cut(topology))


MIXED = ["torus(2,4,wrap=[yes,no])", "torus(4,2,wrap=[no,yes])", "torus(2,2,wrap=[no,yes])", "torus(2,3,wrap=[no,yes])",
         "torus(3,2,wrap=[yes,no])", "torus(3,3,wrap=[yes,no])", "torus(2,5,wrap=[no,yes])", "torus(2,2,2,wrap=[no,no,yes])",
         "torus(3,4,wrap=[no,yes])"]  # fmt: skip


@pytest.mark.parametrize("text", MIXED)
def test_a_mixed_torus_is_cut_straight_or_has_an_upper_bound(text: str) -> None:
    topology = parse_topology(f"{text} over a", LINKS)
    cut = level_facts(topology)[0].bisection
    least = least_cut(topology)
    assert cut.bytes_per_s == pytest.approx(least) if cut.bound == "exact" else cut.bytes_per_s >= least - 1e-9


def test_the_slices_of_a_pod_are_cut_exactly() -> None:
    """Slices of a v5e pod as it wraps: straight across the long axis, a row of links, or two where it wraps."""
    for sizes, wires in (("4x16", 2 * 4), ("8x16", 2 * 8), ("4x8", 4), ("16x16", 2 * 16), ("8x8", 8)):
        topology = load_system("tpu_v5e", slice=sizes).topology
        assert topology is not None
        cut = level_facts(topology)[0].bisection
        assert (cut.bytes_per_s, cut.bound) == (wires * 45e9, "exact")


OUTER = [
    "switch(4)",
    "ring(4)",
    "fat_tree(4,leaf=2,oversubscription=2)",
    "fat_tree(4,leaf=2,rails=yes)",
    "switch(3,nics=1)",
]


@pytest.mark.parametrize(
    "outer", [*OUTER, "fat_tree(4,leaf=2,nics=1)", "fat_tree(4,leaf=1,rails=yes,nics=1)", "full(3)"]
)
def test_a_bisection_between_whole_nodes(outer: str) -> None:
    topology = parse_topology(["switch(2) over a", f"{outer} over b"], LINKS)
    cut = overall_cut(level_facts(topology))
    assert cut is not None
    assert cut.bytes_per_s == pytest.approx(least_cut(topology, unit=2))


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(2, 10), st.integers(1, 9))
def test_the_cut_of_a_tree_is_the_least_over_all_shares(wide: int, size: int, uplink: int) -> None:
    widths = [min(wide, size - start) for start in range(0, size, wide)]
    ups = [uplink * width / wide for width in widths]
    shares = itertools.product(*(range(width + 1) for width in widths))
    every = (
        sum(min(s, up + (width - s)) for s, up, width in zip(part, ups, widths, strict=True))
        for part in shares
        if sum(part) == size // 2
    )
    assert tree_cut(widths, ups, 1.0) == pytest.approx(min(every))


TEXTS = [
    *(f"{text} over a" for text in (*SMALL, "dragonfly(5,3,2)", "torus(4,3,2)", "ring(9)")),
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_diameter_is_the_longest_route(text: str) -> None:
    topology = parse_topology(text, LINKS)
    router = Router(topology)
    longest = max(router.route(a, b).latency_s for a, b in itertools.permutations(range(topology.size), 2))
    assert diameter(level_facts(topology)) == longest  # a hop takes a second here


@pytest.mark.parametrize(
    "levels",
    [
        ["switch(2) over a", "ring(4) over a"],
        ["ring(4) over a", "switch(2) over a"],
        ["ring(8) over a", "fat_tree(4,leaf=2) over a"],
        ["ring(3) over a", "fat_tree(4,leaf=2,rails=yes) over a", "switch(2) over a"],
        ["line(1) over a", "switch(1) over a"],
    ],
)
def test_the_diameter_through_levels(levels: list[str]) -> None:
    topology = parse_topology(levels, LINKS)
    router = Router(topology)
    pairs = itertools.permutations(range(topology.size), 2)
    longest = max((router.route(a, b).latency_s for a, b in pairs), default=0)
    assert diameter(level_facts(topology)) == longest


BY_HAND = [
    ("dgx_v100", 1, "", 2, 6 * 25e9),  # six links between the two quads; the white paper of 2017 draws them
    ("dgx_v100", 4, "", 2, 2 * 4 * 12.5e9),
    ("dgx_a100", 1, "", 1, 4 * 300e9),  # NVIDIA's tables for DGX A100 and H100 count both ways: 2.4 and 3.6 TB/s
    ("dgx_h100", 1, "", 1, 4 * 450e9),
    ("dgx_h100", 128, "", 3, 64 * 8 * 50e9),  # to its rail's place, up to the leaf and over the spine
    ("dgx_h200", 32, "", 2, 16 * 8 * 50e9),  # one leaf a rail
    ("dgx_b200", 1, "", 1, 4 * 900e9),
    ("gb200_nvl72", 1, "", 1, 36 * 900e9),
    ("gb200_nvl72", 2, "", 2, 72 * 50e9),
    ("mi300x_node", 1, "", 1, 4 * 4 * 64e9),
    ("tpu_v4", 1, "16x16x16", 8 + 8 + 8, 2 * 16 * 16 * 45e9),
    ("tpu_v4", 1, "2x2x4", 1 + 1 + 3, 2 * 2 * 45e9),  # no cube: does not wrap
    ("tpu_v5p", 1, "16x20x28", 8 + 10 + 14, 2 * 16 * 20 * 90e9),
    ("tpu_v5e", 1, "16x16", 8 + 8, 2 * 16 * 45e9),
    ("tpu_v5e", 1, "4x8", 3 + 7, 4 * 45e9),
    ("tpu_v6e", 1, "8x16", 7 + 8, 16 * 90e9),
]


@pytest.mark.parametrize(("name", "nodes", "shape", "hops", "bytes_per_s"), BY_HAND)
def test_shipped_systems_by_hand(name: str, nodes: int, shape: str, hops: int, bytes_per_s: float) -> None:
    topology = load_system(name, nodes if nodes > 1 else None, shape or None).topology
    assert topology is not None
    facts = level_facts(topology)
    cut = overall_cut(facts)
    assert cut is not None
    assert (diameter(facts), cut.bound) == (hops, "exact")
    assert cut.bytes_per_s == pytest.approx(bytes_per_s)


# Unlike chips


def unlike(levels: str | list[str], widths: Sequence[int]) -> Topology:
    """A topology whose chips have so many ports of each link, the last of them repeated."""
    links = [{name: Link(bandwidth=1.0, count=count) for name in ("a", "b")} for count in widths]
    return parse_topology(levels, links[0], lambda chip: links[min(chip, len(links) - 1)])


@pytest.mark.parametrize("widths", [(1, 2, 3, 4), (4, 1), (2, 5, 1, 1, 3), (6, 6, 1)])
@pytest.mark.parametrize("size", [2, 5, 6])
def test_a_switch_is_cut_at_its_narrowest_chips(size: int, widths: tuple[int, ...]) -> None:
    topology = unlike(f"switch({size}) over a", widths)
    cut = level_facts(topology)[0].bisection
    assert (cut.bytes_per_s, cut.bound) == (least_cut(topology), "exact")


@pytest.mark.parametrize("widths", [(1, 2, 3, 4), (4, 1), (2, 5, 1, 1, 3), (6, 1, 1, 6)])
@pytest.mark.parametrize("outer", ["fat_tree(4,leaf=2)", "fat_tree(4,leaf=2,rails=yes)", "fat_tree(3,rails=yes)",
                                   "fat_tree(3,leaf=2,oversubscription=2)", "fat_tree(3,nics=1)"])  # fmt: skip
def test_a_tree_of_unlike_chips_has_a_lower_bound(outer: str, widths: tuple[int, ...]) -> None:
    topology = unlike(["switch(2) over a", f"{outer} over b"], widths)
    cut = level_facts(topology)[1].bisection
    least = least_cut(
        Topology(topology.levels, topology.size, tuple(w for w in topology.wires if w.level == 1)), unit=2
    )
    assert cut.bytes_per_s <= least + 1e-9
    assert cut.bytes_per_s == pytest.approx(least) or cut.bound == "at least"


@pytest.mark.parametrize("first", [1, 4])
def test_the_narrowest_of_unlike_nodes_counts(first: int) -> None:
    """Two nodes of four chips, one with one port a chip, one with four, whichever comes first."""
    topology = unlike(["switch(4) over a", "switch(2) over b"], [first] * 4 + [5 - first])
    inside, across = (each.bisection for each in level_facts(topology))
    assert (inside.bytes_per_s, inside.bound) == (2 * 1.0, "exact")
    assert (across.bytes_per_s, across.bound) == (4 * 1.0, "exact")


def test_a_search_finds_the_neck_of_a_dumbbell() -> None:
    """Two full meshes of 20 chips, interleaved by number, joined by two links."""
    halves = [range(0, 40, 2), range(1, 40, 2)]
    pairs = [pair for half in halves for pair in itertools.combinations(half, 2)] + [(0, 1), (10, 13)]
    links = parse_topology("line(2) over a", LINKS).wires[0]
    wires = [
        links._replace(name=f"{a}-{b}", source=f"chip{a}", target=f"chip{b}")
        for pair in pairs
        for a, b in (pair, pair[::-1])
    ]
    cut = best_cut(wires, [f"chip{chip}" for chip in range(40)])
    assert (cut.bytes_per_s, cut.bound) == (2.0, "at most")


TANGLED = [
    (
        "0-4x5 0-12x1 0-14x1 1-6x5 1-9x5 1-12x1 1-13x5 2-9x1 2-10x1 2-13x2 3-6x1 4-6x1 4-8x2 4-10x1 5-9x1 "
        "6-11x1 6-15x2 7-8x1 7-10x5 7-12x1 7-14x1 7-15x1 8-14x1 8-15x1 9-13x1 10-12x1 10-15x5 11-12x1 11-15x5 "
        "12-15x1 13-15x1 "
    ),
    (
        "0-3x1 0-5x2 0-6x1 0-9x5 1-10x1 1-11x1 1-12x1 1-13x2 2-3x5 2-12x5 4-5x2 6-7x1 6-9x1 6-10x1 6-14x2 "
        "6-15x1 7-9x1 7-10x2 7-11x1 7-12x1 7-13x1 7-15x1 8-11x1 8-13x1 8-14x1 8-15x5 9-10x5 9-13x2 10-13x2 "
        "10-15x1 12-15x5 "
    ),
]
"""Graphs of 16 chips: pairs and the width of their link. No order of the chips has a good half; swaps find one."""


@pytest.mark.parametrize("text", TANGLED)
def test_a_search_finds_the_narrowest_halves_of_a_tangle(text: str) -> None:
    pairs = [tuple(map(int, re.split("[-x]", pair))) for pair in text.split()]
    wires = [
        Wire(f"{a}>{b}", f"chip{a}", f"chip{b}", float(width), 0.0)
        for here, there, width in pairs
        for a, b in ((here, there), (there, here))
    ]
    halves = ({0, *rest} for rest in itertools.combinations(range(1, 16), 7))
    least = min(sum(width for a, b, width in pairs if (a in half) != (b in half)) for half in halves)
    cut = best_cut(wires, [f"chip{chip}" for chip in range(16)])
    assert (cut.bytes_per_s, cut.bound) == (least, "at most")


@given(st.sampled_from([*SMALL, "dragonfly(4,3,2)", "fat_tree(9,leaf=2,spines=3)"]), st.sampled_from([1, 2, 3]))
def test_the_table_has_every_link_once(text: str, inner: int) -> None:
    topology = parse_topology([f"ring({inner}) over b", f"{text} over a"], LINKS)
    rows = link_rows(topology)
    assert sum(row.count * (2 if row.both else 1) for row in rows) == len(topology.wires)
    assert all(row.both for row in rows)
    total = sum(row.count * row.bytes_per_s * 2 for row in rows)
    assert total == pytest.approx(sum(wire.bytes_per_s for wire in topology.wires))


def test_the_record_is_plain_data() -> None:
    import json

    record = topology_record(parse_topology(["switch(4) over a", "fat_tree(4,leaf=2,nics=2) over b"], LINKS))
    assert json.loads(json.dumps(record)) == record
    assert [row["from"] for row in record["links"]] == ["chip", "chip", "nic", "leaf"]  # type: ignore[attr-defined]
    assert (record["chips"], record["diameter_hops"]) == (16, 2)


# What is printed


def printed(target: str) -> str:
    result = CliRunner().invoke(app, ["topology", target])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_unlike_chips_are_told_apart() -> None:
    shown = printed("library:mixed_v100_a100_ethernet")
    assert "16: 0-7 v100_sxm2_32gb, 8-15 a100_80gb_sxm" in shown
    assert "12.5 GB/s one way between halves of the 2 nodes" in shown
    assert "600 GB/s inside the narrowest switch(8) over nvlink" in shown  # the V100s, 4 x 150 GB/s


def test_widths_of_a_graph_are_said(tmp_path: Path) -> None:
    path = tmp_path / "two.edges"
    path.write_text("chip0 a 25GB/s 1us\nchip1 a 25GB/s 1us\na b 10GB/s 1us\nb chip2 25GB/s\nb chip3 25GB/s\n")
    shown = printed(str(path))
    assert "a ── chip0 x2.5  chip1 x2.5  b" in shown
    assert "x2.5: so many times the bandwidth of the narrowest link" in shown
    assert "bisection   10 GB/s one way" in shown


# Pictures

PICTURES = [*SMALL, "ring(64)", "line(1000)", "torus(16,16)", "torus(8,16,8)", "torus(1,1,5)", "full(60)", "switch(4000)",
            "fat_tree(64,leaf=8)", "fat_tree(4000,leaf=30,spines=4)", "dragonfly(32,16,8)", "fat_tree(40,leaf=32)",
            "ring(1)", "torus(4,4,wrap=[no,yes])", "grid(30,3)"]  # fmt: skip


@pytest.mark.parametrize("text", PICTURES)
@pytest.mark.parametrize("inner", [1, 8])
def test_a_picture_fits_a_screen(text: str, inner: int) -> None:
    if text.startswith("dragonfly(32") and inner > 1:
        return
    topology = parse_topology([f"switch({inner}) over b", f"{text} over a"], LINKS)
    picture = drawn_level(topology, 1)
    assert 1 <= len(picture.lines) <= 20
    assert all(len(line) <= PICTURE_WIDTH for line in (*picture.lines, *picture.remarks)), picture.lines
    drawn = "\n".join(picture.lines)
    last = topology.size - 1
    if "torus(8,16,8)" not in text and "2,2,2" not in text:
        assert str(last) in drawn  # both ends are there, whatever is left out between


def test_every_wiring_is_drawn() -> None:
    assert {text.partition("(")[0] for text in PICTURES} == set(written_wirings())


def test_pictures_of_small_ones() -> None:
    def lines(text: str) -> list[str]:
        return drawn_level(parse_topology(f"{text} over a", LINKS), 0).lines

    assert lines("ring(4)") == ["╭─ 0 ── 1 ── 2 ── 3 ─╮", "╰────────────────────╯"]
    assert lines("line(3)") == ["  0 ── 1 ── 2"]
    assert lines("grid(2,2)") == ["   0 ── 1", "   │    │", "   2 ── 3"]
    assert lines("switch(4)") == [
        "┌────────────┐",
        "│   switch   │",
        "└─┬──┬──┬──┬─┘",
        "   0  1  2  3".replace("   ", "  ", 1),
    ]


def test_a_graph_is_drawn_as_what_it_was_recognised_as() -> None:
    """Chips stand where their wires put them: in the picture of a 3 x 4 grid, neighbours are joined."""
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4))
    called = dict(zip(grid, [f"chip{chip}" for chip in (7, 2, 9, 0, 4, 11, 3, 8, 1, 10, 5, 6)], strict=True))
    drawn = nx.relabel_nodes(grid, called)
    picture = drawn_level(parse_topology(drawn, LINKS), 0)
    rows = [re.findall(r"\d+", line) for line in picture.lines if "──" in line]
    joined = {frozenset((f"chip{a}", f"chip{b}")) for row in rows for a, b in itertools.pairwise(row)}
    joined |= {
        frozenset((f"chip{a}", f"chip{b}"))
        for up, low in itertools.pairwise(rows)
        for a, b in zip(up, low, strict=True)
    }
    assert joined == {frozenset(edge) for edge in drawn.edges}
    assert picture.remarks == ["recognised as grid(4,3)"]
