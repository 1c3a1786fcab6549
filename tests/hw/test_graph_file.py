"""Custom wirings from files: what they mean, and what is said of wrong ones, always with file, line and column."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw import Link, Router, SpecError, Topology, load_chip, parse_topology
from tests.support.strategies import outcome

LINKS = {"l": Link(bandwidth=10e9, latency=1e-6, count=4)}
STAR = {
    "directed": False,
    "nodes": [{"id": "chip0"}, {"id": "chip1"}, {"id": "sw", "kind": "anything"}],
    "links": [
        {"source": "chip0", "target": "sw", "bandwidth": "25 GB/s", "latency": "2 us"},
        {"source": "sw", "target": "chip1", "bandwidth": 5e9, "count": 3},
    ],
}


def built(folder: Path, text: str, name: str = "g.json") -> Topology:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return parse_topology(name, LINKS, base=folder)


def test_a_star(tmp_path: Path) -> None:
    topology = built(tmp_path, json.dumps(STAR))
    assert (topology.size, str(topology), topology.axes[0].kind) == (2, "g.json over l", "switch")
    figures = {(wire.source, wire.target): (wire.bytes_per_s, wire.latency_s) for wire in topology.wires}
    assert figures == {
        ("chip0", "sw"): (25e9, 2e-6),
        ("sw", "chip0"): (25e9, 2e-6),
        ("sw", "chip1"): (15e9, 0.0),
        ("chip1", "sw"): (15e9, 0.0),
    }


def test_links_without_a_bandwidth_take_the_chips_ports(tmp_path: Path) -> None:
    graph = {**STAR, "links": [{"source": "chip0", "target": "sw", "count": 2}, {"source": "sw", "target": "chip1"}]}
    topology = built(tmp_path, json.dumps(graph))
    figures = {(wire.source, wire.target): (wire.bytes_per_s, wire.latency_s) for wire in topology.wires}
    assert figures["chip0", "sw"] == (20e9, 0.0)  # the way up is part of the hop down
    assert figures["sw", "chip0"] == (20e9, 1e-6)
    assert figures["sw", "chip1"] == (10e9, 1e-6)
    assert Router(topology).route(0, 1).latency_s == pytest.approx(1e-6)
    graph["links"] = [{"source": "chip0", "target": "chip1", "count": 5}]
    graph["nodes"] = graph["nodes"][:2]  # type: ignore[index]
    with pytest.raises(ValueError, match="chip0 needs 5 ports, l has 4"):
        built(tmp_path, json.dumps(graph))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2, 9), st.integers(0, 10**6), st.sampled_from(["links", "edges"]))
def test_what_networkx_writes_is_read(tmp_path: Path, size: int, seed: int, edges: str) -> None:
    graph = nx.MultiGraph(nx.connected_watts_strogatz_graph(size, 2, 0.5, seed=seed))
    nx.set_edge_attributes(graph, "1 GB/s", "bandwidth")
    named = nx.relabel_nodes(graph, {node: f"chip{node}" for node in graph})
    topology = built(tmp_path, json.dumps(nx.node_link_data(named, edges=edges)))
    assert len(topology.wires) == 2 * named.number_of_edges()
    assert topology.size == size


def test_a_directed_graph(tmp_path: Path) -> None:
    ring = nx.relabel_nodes(nx.cycle_graph(4, create_using=nx.DiGraph), {n: f"chip{n}" for n in range(4)})
    nx.set_edge_attributes(ring, "1 GB/s", "bandwidth")
    topology = built(tmp_path, json.dumps(nx.node_link_data(ring, edges="links")))
    assert len(topology.wires) == 4
    assert sum(Router(topology).route(1, 0).shares.values()) == 3


def test_an_edge_list(tmp_path: Path) -> None:
    text = """\
source target bandwidth latency
# two chips and a switch
chip0 sw 25GB/s 1us
chip1, sw, "12.5 GB/s", 2 us   # friendly
chip2\tsw\t25 GB/s
chip0 chip1 200 Gbit/s
chip1 chip2 1e9 1.5e-6
"""
    for name in ("g.edges", "g.txt", "g.csv"):
        topology = built(tmp_path, text, name)
        wires = topology.wires[::2]
        assert [(wire.source, wire.target) for wire in wires] == [
            ("chip0", "sw"),
            ("chip1", "sw"),
            ("chip2", "sw"),
            ("chip0", "chip1"),
            ("chip1", "chip2"),
        ]
        assert [wire.bytes_per_s for wire in wires] == [25e9, 12.5e9, 25e9, 25e9, 1e9]
        assert [wire.latency_s for wire in wires] == pytest.approx([1e-6, 2e-6, 0, 0, 1.5e-6])


def test_a_graph_is_the_inside_of_a_larger_system(tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(json.dumps(STAR))
    topology = parse_topology(["g.json over l", "ring(3) over l"], LINKS, base=tmp_path)
    assert topology.size == 6
    assert {"level0.0.sw", "level0.1.sw", "level0.2.sw"} < set(topology.graph)
    assert {wire.target for _, wire in topology.of_level(0) if wire.source == "chip3"} == {"level0.1.sw"}
    with pytest.raises(ValueError, match="can only be the first level of a list"):
        parse_topology(["ring(3) over l", "g.json over l"], LINKS, base=tmp_path)


JSON_MISTAKES = [
    ('{"nodes": [', "g.json:1:12: not JSON: "),
    ("", "g.json:1:1: not JSON: "),
    ("[1]", "g.json:1:1: the file wants a mapping"),
    ('{"nodes": [{"id": "chip0"}]}', "g.json:1:1: a graph has its links under 'links'"),
    ('{"links": []}', "g.json:1:1: 'nodes' is missing"),
    ('{"nodes": [], "links": []}', "g.json:1:11: there is no chip"),
    ('{"nodes": [{"id": "chip0"}, {}], "links": []}', "g.json:1:29: 'nodes.1.id' is missing"),
    ('{"nodes": [{"id": "chip0"},\n{"id": "chip0"}], "links": []}', "g.json:2:9: node 'chip0' stands twice"),
    ('{"nodes": [{"id": "chip0"}, {"id": "chip2"}], "links": []}', "without a gap; missing: chip1"),
    ('{"nodes": [{"id": "chip0"}, {"id": "Chip-01"}], "links": []}', "did you mean 'chip1'?"),
    ('{"nodes": [{"id": "chip0"}, {"id": true}], "links": []}', "true will not do for nodes.1.id"),
    ('{"nodes": [{"id": "chip0"}], "links": [], "nods": []}', "g.json:1:43: unknown key 'nods', did you mean 'nodes'?"),
    ('{"nodes": [{"id": "chip0"}, {"id": "chip1"}, {"id": "chip2"}], "links": [LINK]}', "chip2 cannot be reached from"),
    ('{"nodes": [{"id": "chip0"}, {"id": "chip1"}], "links": [\n{"source": "chip0", "target": "chip9"}]}', "g.json:2:32: "),
    ('{"nodes": [{"id": "chip0"}, {"id": "chip1"}], "links": [\n{"source": "chip0"}]}', "'links.0.target' is missing"),
    ('{"nodes": [{"id": "chip0"}], "links": [{"source": "chip0", "target": "chip0"}]}', "a link from 'chip0' to itself"),
    ('{"nodes": [{"id": "chip0"}, {"id": "s"}, {"id": "t"}], "links": [{"source": "s", "target": "t"}]}', "a bandwidth"),
    ('{"nodes": [{"id": "chip0"}], "nodes": [{"id": "chip0"}], "links": []}', "g.json:1:30: duplicate key 'nodes'"),
    ('{"nodes": [{"id": "chip0"}], "links": [], "directed": "yes"}', "g.json:1:56: 'yes' will not do for directed"),
]  # fmt: skip
FIGURE_MISTAKES = [
    ('"bandwidth": "25 GB"', "'25 GB' is an amount of data, links.0.bandwidth wants a bandwidth"),
    ('"bandwidth": "fast"', "'fast' is not a number with a unit"),
    ('"bandwidth": 0', "links.0.bandwidth must be more than 0"),
    ('"bandwidth": NaN', "NaN"),
    ('"bandwidth": 1e999', "finite"),
    ('"bandwith": 1', "unknown key 'links.0.bandwith', did you mean 'links.0.bandwidth'?"),
    ('"latency": "-1 us"', "links.0.latency must be 0 or more"),
    ('"count": 0', "links.0.count"),
    ('"count": 1.5', "links.0.count"),
]
LINK = '{"source": "chip0", "target": "chip1"}'


@pytest.mark.parametrize(("text", "words"), JSON_MISTAKES)
def test_wrong_json_is_refused_at_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        built(tmp_path, text.replace("LINK", LINK))
    said = str(caught.value)
    assert re.search(r"g\.json:\d+:\d+: ", said)
    assert words in said.replace(str(tmp_path) + "/", ""), said


@pytest.mark.parametrize(("figure", "words"), FIGURE_MISTAKES)
def test_a_wrong_figure_is_refused_at_its_place(tmp_path: Path, figure: str, words: str) -> None:
    text = '{"nodes": [{"id": "chip0"}, {"id": "chip1"}],\n "links": [\n  ' + LINK[:-1] + ", " + figure + "}\n]}"
    with pytest.raises(SpecError) as caught:
        built(tmp_path, text)
    assert "g.json:3:" in str(caught.value)
    assert words in str(caught.value)


def test_every_mistake_at_once(tmp_path: Path) -> None:
    text = """\
{"nodes": [{"id": "chip0"}, {"id": "chip1"}],
 "links": [
  {"source": "chip0", "target": "chip1", "bandwidth": "1 GB"},
  {"source": "chip0", "target": "chip1", "latency": "1 GB"},
  {"source": "chip0", "taget": "chip1"}
 ]}"""
    with pytest.raises(SpecError) as caught:
        built(tmp_path, text)
    assert [problem.mark.line for problem in caught.value.problems] == [
        3,
        4,
        5,
    ]  # 'target' is misspelt, and so not missing


EDGE_MISTAKES = [
    ("chip0 chip1", "g.edges:1:1: a line is: source target bandwidth [latency]"),
    ("chip0 chip1 fast", "g.edges:1:13: 'fast' is not a number with a unit; bandwidth wants a bandwidth"),
    ("# c\nchip0 chip1 25GB", "g.edges:2:13: '25GB' is an amount of data, bandwidth wants a bandwidth"),
    ("chip0 chip1 25GB/s 1GB", "g.edges:1:20: '1GB' is an amount of data, latency wants a time"),
    ("chip0 chip1 25GB/s 1us 7", "g.edges:1:24: '7' is too much"),
    ("chip0 chip1 0", "g.edges:1:13: '0' is out of range: bandwidth must be more than 0"),
    ("chip0 chip1 1 -1", "g.edges:1:15: '-1' is out of range: latency must be 0 or more"),
    ("chip0 chip0 1", "g.edges:1:7: a link from 'chip0' to itself"),
    ("a b 1", "g.edges:1:1: there is no chip"),
    ("", "g.edges:1:1: there is no chip"),
    ("chip0 a 1\nchip1 b 1", "g.edges:1:1: chip1 cannot be reached from chip0"),
    ("chip0 chip2 1", "missing: chip1"),
]


@pytest.mark.parametrize(("text", "words"), EDGE_MISTAKES)
def test_wrong_lines_are_refused_at_their_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        built(tmp_path, text, "g.edges")
    assert words in str(caught.value).replace(str(tmp_path) + "/", ""), str(caught.value)


def test_many_unreachable_chips_are_named_in_part(tmp_path: Path) -> None:
    text = "\n".join(f"chip{at} chip{at + 1} 1" for at in (0, *range(2, 20, 2)))
    with pytest.raises(SpecError, match=r"chip2, chip3, chip4, chip5, chip6 and 13 more cannot be reached from chip0"):
        built(tmp_path, text, "g.edges")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from(["g.json", "g.edges", "g.csv", "g.txt"]))
def test_any_bytes_are_a_graph_or_located_problems(tmp_path: Path, raw: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(raw)
    got = outcome(lambda: parse_topology(name, LINKS, base=tmp_path))
    assert isinstance(got, (Topology, SpecError)), got


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_garbled_graph_never_crashes(tmp_path: Path, data: st.DataObject) -> None:
    text = json.dumps(STAR, indent=1)
    at = data.draw(st.integers(0, len(text)))
    piece = data.draw(st.text(alphabet='{}[]",:0123chipsw \n', max_size=4))
    garbled = text[:at] + piece + text[at + data.draw(st.integers(0, 12)) :]
    (tmp_path / "g.json").write_text(garbled)
    got = outcome(lambda: parse_topology("g.json", LINKS, base=tmp_path))
    assert isinstance(got, (Topology, SpecError)), got


@pytest.mark.long
def test_a_thousand_chips_are_read_and_routed(tmp_path: Path) -> None:
    graph = nx.relabel_nodes(nx.random_regular_graph(6, 1024, seed=1), {n: f"chip{n}" for n in range(1024)})
    nx.set_edge_attributes(graph, "50 GB/s", "bandwidth")
    text = json.dumps(nx.node_link_data(graph, edges="links"))
    start = time.process_time()
    topology = built(tmp_path, text)
    router = Router(topology)
    for target in range(1, 1024):
        router.route(0, target)
    print(f"read, wired and 1023 routes: {time.process_time() - start:.2f} s")
    assert len(topology.wires) == 6 * 1024


def test_figures_of_a_shipped_graph_follow_the_chip() -> None:
    chip = load_chip("v100_sxm2_32gb")
    slow = {**chip.links, "nvlink": Link(bandwidth=1e9, count=6)}
    path = Path(__file__).parents[2] / "hw" / "systems"
    topology = parse_topology("hybrid_cube_mesh.json over nvlink", slow, base=path)
    assert {wire.bytes_per_s for wire in topology.wires} == {1e9, 2e9}
    out = [wire.bytes_per_s for wire in topology.wires if wire.source == "chip0"]
    assert sum(out) == 6e9


# What others add


def test_attributes_that_others_add_are_passed_over(tmp_path: Path) -> None:
    bare = {"source": "chip0", "target": "chip1", "bandwidth": 25e9, "latency": 5e-6}
    added = {
        "weight": 1.0,
        "capacity": 25e9,
        "color": "red",
        "label": "a link",
        "key": 0,
        "distance": None,
        "tags": [1, 2],
    }
    nodes = [{"id": "chip0", "pos": [0, 1], "weight": 2}, {"id": "chip1", "rank": "x"}]
    plain = built(tmp_path, json.dumps({"nodes": [{"id": "chip0"}, {"id": "chip1"}], "edges": [bare]}))
    found = built(tmp_path, json.dumps({"nodes": nodes, "edges": [{**bare, **added}]}))
    assert found.wires == plain.wires


@pytest.mark.parametrize(
    "slip", ["bandwith", "Bandwidth", "bandwidth_gbps", "latency_us", "latencyy", "counts", "bandwidths"]
)
def test_a_slip_of_the_pen_is_no_attribute_of_others(tmp_path: Path, slip: str) -> None:
    text = json.dumps(
        {"nodes": [{"id": "chip0"}, {"id": "chip1"}], "edges": [{"source": "chip0", "target": "chip1", slip: 1}]}
    )
    with pytest.raises(SpecError, match=f"unknown key 'edges.0.{slip}', did you mean"):
        built(tmp_path, text)
    # beside the figure itself it is somebody else's
    whole = {"source": "chip0", "target": "chip1", slip: 1, "bandwidth": 1e9, "latency": 0, "count": 1}
    assert len(built(tmp_path, json.dumps({"nodes": [{"id": "chip0"}, {"id": "chip1"}], "edges": [whole]})).wires) == 2


def cube() -> nx.Graph:
    graph = nx.relabel_nodes(
        nx.hypercube_graph(3), {node: f"chip{node[0] * 4 + node[1] * 2 + node[2]}" for node in nx.hypercube_graph(3)}
    )
    for at, (here, there) in enumerate(graph.edges):
        graph.edges[here, there].update(bandwidth=25e9, latency=1e-6 * (at % 3), weight=at)
    return graph


def figures(topology: Topology) -> set[tuple[str, str, float, float]]:
    return {(wire.source, wire.target, wire.bytes_per_s, wire.latency_s) for wire in topology.wires}


def test_all_that_networkx_writes_is_the_same_graph(tmp_path: Path) -> None:
    graph = cube()
    want = figures(Topology.from_networkx(graph))
    nx.write_edgelist(graph, tmp_path / "g.edges")  # chip0 chip1 {'bandwidth': ..., ...}
    nx.write_graphml(graph, tmp_path / "g.graphml")
    (tmp_path / "g.json").write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    for name in ("g.edges", "g.graphml", "g.json"):
        assert figures(parse_topology(name, LINKS, base=tmp_path)) == want, name
    directed = nx.relabel_nodes(nx.cycle_graph(4, create_using=nx.DiGraph), {n: f"chip{n}" for n in range(4)})
    nx.set_edge_attributes(directed, "1 GB/s", "bandwidth")
    nx.write_graphml(directed, tmp_path / "d.graphml")
    assert len(parse_topology("d.graphml", LINKS, base=tmp_path).wires) == 4


EMPTY_GRAPHML = """\
<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="undirected"/></graphml>"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("g.edges", "chip0 chip1 {'bandwidth': '25 GB'}", "g.edges:1:13: '25 GB' is an amount of data, bandwidth wants"),
        ("g.edges", "chip0 chip1 {'bandwith': 1}", "g.edges:1:13: unknown key 'bandwith', did you mean 'bandwidth'?"),
        ("g.edges", "chip0 chip1 {'bandwidth': open('x')}", "g.edges:1:13: the attributes of a link are written"),
        ("g.edges", "chip0 chip1 {", "g.edges:1:13: the attributes of a link are written"),
        ("g.graphml", "<graphml", "g.graphml:1:"),
        ("g.graphml", "", "not GraphML"),
        ("g.graphml", "<a/>", "not GraphML"),
        ("g.graphml", EMPTY_GRAPHML, "there is no chip"),
    ],
)  # fmt: skip
def test_mistakes_in_what_networkx_writes_are_told(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        built(tmp_path, text, name)
    assert words in str(caught.value)


def test_a_graph_in_memory_is_checked_as_a_file_is() -> None:
    graph = nx.Graph([("chip0", "chip1", {"bandwidth": "25 GB"}), ("chip1", "chip3", {"bandwidth": 1, "latancy": 0})])
    with pytest.raises(SpecError) as caught:
        Topology.from_networkx(graph)
    told = str(caught.value)
    assert "networkx graph" in told
    assert "'25 GB' is an amount of data" in told
    assert "did you mean 'links.1.latency'?" in told
    with pytest.raises(SpecError, match="missing: chip2"):
        Topology.from_networkx(nx.Graph([("chip0", "chip1"), ("chip1", "chip3")]), LINKS)
    numbers = nx.Graph()
    numbers.add_edge(0, 1, bandwidth=np.float32(1e9), latency=np.float64(1e-6), count=np.int64(2))
    assert Topology.from_networkx(numbers).wires[0].bytes_per_s == 2e9
