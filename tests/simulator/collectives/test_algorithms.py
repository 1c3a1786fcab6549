"""Ways to carry out collectives: what they must at least move, their closed forms, the choice among them, and routes.

Law: whatever the way, each of N chips lacks (N-1)/N of V and must receive it. Halving-doubling on a switch takes log2 N
hops and V (N-1)/(N W) a phase; reduction in the switch one hop and V/W; two binary trees ceil(log2(N+1)) - 1 levels.
Source: Thakur, Rabenseifner, Gropp 2005; NCCL 2.4 (double binary trees); NVIDIA on NVLink SHARP.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import product

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Chip, Link, Router, System, Topology, parse_topology
from simulator import ALGORITHMS, CANONICAL, CollectiveRequest, Group, Network, RunOptions, canonical, choose
from simulator.collectives.algorithms.tree import double_tree
from tests.support.strategies import chip_with, many, run, show_error

ALPHA, W_RING, W_SWITCH = 1e-6, 4.5e10, 18 * 25e9
LINKS = {"ici": Link(bandwidth=W_RING, latency=ALPHA, count=6)}
WIRINGS = [
    "ring(2)", "ring(5)", "ring(8)", "line(2)", "line(5)", "switch(2)", "switch(6)", "switch(8)", "full(4)",
    "torus(4,4)", "torus(2,3,4)", "grid(2,2)", "grid(3,4)",
]  # fmt: skip
GATHERS = ("all_gather", "reduce_scatter", "all_reduce")
LINES = {
    "all_gather": "y:bf16[E,F] = all_gather(x:bf16[E_X,F], over=X)",
    "reduce_scatter": "y:bf16[E_X,F] = reduce_scatter(x:bf16[E,F]{U_X}, over=X)",
    "all_reduce": "y:bf16[E,F] = all_reduce(x:bf16[E,F]{U_X}, over=X)",
    "broadcast": "y:bf16[E,F] = broadcast(x:bf16[E,F], over=X, root=1)",
    "reduce_to": "y:bf16[E,F] = reduce_to(x:bf16[E,F]{U_X}, over=X, root=1)",
    "scatter": "y:bf16[E_X,F] = scatter(x:bf16[E,F], over=X, root=1)",
    "gather_to": "y:bf16[E,F] = gather_to(x:bf16[E_X,F], over=X, root=1)",
    "permute": "y:bf16[E,F] = permute(x:bf16[E,F], over=X, shift=2)",
}
DIMS = {"E": 3840, "F": 1024}
BYTES = 3840 * 1024 * 2


def everyone(topology: Topology) -> Group:
    pieces = tuple(axis for axis in topology.axes if axis.size > 1)
    return Group(topology, Router(topology), range(topology.size), pieces)


def wired(text: str) -> System:
    """H100 on a switch or full mesh, TPU v5e with six links on all else; a hop takes ALPHA."""
    fabric = text.startswith(("switch", "full"))
    name, link = ("h100_sxm", "nvlink") if fabric else ("tpu_v5e", "ici")
    values: dict[str, object] = {f"links.{link}.latency": ALPHA, "hbm.bandwidth": 5e12}
    chip: Chip = chip_with(name, values if fabric else {**values, "links.ici.count": 6})
    return many(text, {"X": parse_topology(text, chip.links).size}, chip)


def check(what: str, got: float, want: float) -> None:
    print(show_error(f"{what}, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=2e-12)


def seconds(kind: str, text: str, collectives: str = "canonical") -> float:
    return run([LINES[kind]], DIMS, wired(text), RunOptions(overlap="full", collectives=collectives)).time_s


# What must be moved


@pytest.mark.parametrize("text", WIRINGS)
@pytest.mark.parametrize("name", ["canonical", *sorted(ALGORITHMS)])
def test_every_chip_receives_at_least_what_it_lacks(name: str, text: str) -> None:
    topology = parse_topology(text, LINKS)
    group = everyone(topology)
    for kind in GATHERS if name == "canonical" else ALGORITHMS[name].kinds:
        if name != "canonical" and not ALGORITHMS[name].fits(group):
            continue
        carry = canonical if name == "canonical" else ALGORITHMS[name].form.transfer
        transfer = carry(group, CollectiveRequest(kind, 1e6))
        into, out = defaultdict[str, float](float), defaultdict[str, float](float)
        for phase in transfer.phases:
            for number, nbytes in phase.items():
                into[topology.wires[number].target] += nbytes
                out[topology.wires[number].source] += nbytes
        # a gather brings each chip what it lacks; a scatter takes from it all sums but its own
        ways = {"all_gather": [into], "reduce_scatter": [out], "all_reduce": [into, out]}[kind]
        for way, chip in product(ways, range(topology.size)):
            assert way[f"chip{chip}"] >= 1e6 * (group.size - 1) / group.size * (1 - 1e-12)
        assert transfer.latency_s >= ALPHA


@pytest.mark.parametrize("text", ["switch(2)", "switch(8)", "switch(64)", "switch(256)"])
@pytest.mark.parametrize("kind", GATHERS)
def test_halving_doubling_on_a_switch_takes_a_hop_a_round(kind: str, text: str) -> None:
    n = wired(text).size
    phases = 2 if kind == "all_reduce" else 1
    want = phases * (math.log2(n) * ALPHA + BYTES * (n - 1) / (n * W_SWITCH))
    check(f"halving-doubling {kind} on {text}", seconds(kind, text, "halving_doubling"), want)


@pytest.mark.parametrize("text", ["switch(2)", "switch(3)", "switch(8)", "switch(100)"])
def test_a_switch_that_adds_takes_one_hop(text: str) -> None:
    check(f"all-reduce in {text}", seconds("all_reduce", text, "in_switch"), ALPHA + BYTES / W_SWITCH)


ADDING = [
    ("v100_sxm2_32gb", "switch(8) over pcie", False),  # a PCIe switch passes on, it does not add
    ("a100_80gb_sxm", "switch(8) over nvlink", False),  # second-generation NVSwitch
    ("h100_sxm", "switch(8) over nvlink", True),  # third generation: SHARP
    ("h100_sxm", "switch(8) over pcie", False),
    ("h100_sxm", "switch(8) over infiniband", False),  # a Quantum switch may, if somebody says so
    ("h100_sxm", "switch(8,in_switch_reduction=yes) over infiniband", True),
    ("h100_sxm", "fat_tree(8,leaf=4,in_switch_reduction=yes) over infiniband", True),
    ("h100_sxm", "switch(8,in_switch_reduction=no) over nvlink", False),
    ("b200", "switch(8) over nvlink", True),
    ("h100_nvl", "switch(8) over nvlink", False),  # bridges
]


@pytest.mark.parametrize("algorithm", ["auto", "in_switch"])
@pytest.mark.parametrize(("name", "text", "adds"), ADDING)
def test_only_a_switch_that_is_said_to_add_adds(name: str, text: str, adds: bool, algorithm: str) -> None:
    chip = chip_with(name, {f"links.{text.rpartition(' ')[2]}.latency": 0})
    link = chip.links[text.rpartition(" ")[2]]
    found = run(
        [LINES["all_reduce"]], DIMS, many(text, {"X": 8}, chip), RunOptions(overlap="full", collectives=algorithm)
    )
    # V up and V down at once; else V (7/8) up and down for the reduce-scatter and again for the all-gather
    want = BYTES / link.egress_bytes_per_s * (1 if adds else 2 * 7 / 8)
    hbm_s = 2 * BYTES / chip.hbm.bytes_per_s
    check(f"{name} {text} {algorithm}", found.time_s, max(want, hbm_s))
    assert (found.plan.kernels[0].traffic.algorithm == "in_switch") is adds


def test_chips_of_which_one_is_plugged_into_what_cannot_add_do_not_reduce_in_the_switch() -> None:
    links = {number: {"l": Link(bandwidth=1e9, in_switch_reduction=number != 3)} for number in range(4)}
    assert not parse_topology("switch(4)", links[0], links.__getitem__).levels[0].in_switch_reduction
    assert parse_topology("switch(4)", links[0]).levels[0].in_switch_reduction
    graph = nx.star_graph(["switch", *(f"chip{chip}" for chip in range(4))])
    assert parse_topology(graph, links[0]).levels[0].in_switch_reduction
    with pytest.raises(ValueError, match="in_switch_reduction=maybe will not do: it wants yes or no"):
        parse_topology("switch(4,in_switch_reduction=maybe)", links[0])


# Two trees


@given(st.integers(2, 300))
def test_two_trees_span_all_chips_and_a_chip_is_inside_one_of_them_at_most(n: int) -> None:
    group = everyone(parse_topology(f"switch({n})", LINKS))
    inside: list[set[int]] = []
    for stream in double_tree(group):
        edges = [(edge.target, edge.source) for level in stream.levels for edge in level]
        parent = dict(edges)
        assert stream.share == 0.5
        assert len(edges) == len(parent) == n - 1  # one parent for all but the root
        (root,) = set(range(n)) - set(parent)
        assert max(Counter(parent.values()).values()) <= 2
        depths = [depth(chip, parent, root, n) for chip in range(n)]
        assert max(depths) <= math.ceil(math.log2(n + 1)) - 1
        inside.append(set(parent.values()))
    if n % 2 == 0:
        assert inside[0].isdisjoint(inside[1])


def depth(chip: int, parent: dict[int, int], root: int, most: int) -> int:
    hops = 0
    while chip != root:
        chip, hops = parent[chip], hops + 1
        assert hops <= most, "a circle"
    return hops


# The choice


@pytest.mark.parametrize("text", WIRINGS)
@pytest.mark.parametrize("kind", sorted(GATHERS))
def test_the_cheapest_is_never_slower_than_the_textbooks_or_any_other(kind: str, text: str) -> None:
    system = wired(text)
    network = Network(system, RunOptions())
    group = everyone(parse_topology(text, system.chip.links))
    for nbytes in (1e3, 1e6, 1e9):
        ask = CollectiveRequest(kind, nbytes)
        best = choose(group, ask, "auto", network.seconds)
        assert best.reason
        assert best.algorithm
        for name in ("canonical", *ALGORITHMS):
            other = choose(group, ask, name, network.seconds)
            assert other.reason, name
            assert network.seconds(best.transfer) <= network.seconds(other.transfer) * (1 + 1e-9), name


@pytest.mark.parametrize("text", ["ring(5)", "torus(4,4)", "grid(2,2)", "switch(8)"])
@pytest.mark.parametrize("kind", sorted(GATHERS))
def test_a_run_with_the_cheapest_is_not_slower(kind: str, text: str) -> None:
    assert seconds(kind, text, "auto") <= seconds(kind, text) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("all_gather", "ring(5)", "halving_doubling"), ("all_reduce", "ring(4)", "in_switch"),
        ("all_gather", "switch(8)", "in_switch"), ("reduce_scatter", "switch(8)", "tree"),
        ("all_reduce", "ring(8)", "per_axis"), ("all_reduce", "switch(6)", "halving_doubling"),
    ],
)  # fmt: skip
def test_a_named_way_that_does_not_fit_gives_way_to_the_textbooks_and_says_so(kind: str, text: str, name: str) -> None:
    asked, textbook = (
        run([LINES[kind]], DIMS, wired(text), RunOptions(overlap="full", collectives=each))
        for each in (name, "canonical")
    )
    assert asked.time_s == textbook.time_s
    traffic = asked.plan.kernels[0].traffic
    assert traffic.algorithm == textbook.plan.kernels[0].traffic.algorithm != name
    assert f"{name} does not fit" in traffic.reason


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_a_named_way_that_fits_is_taken(name: str) -> None:
    text = "torus(4,4)" if name == "per_axis" else "switch(8)"
    options = RunOptions(overlap="full", collectives=name)
    traffic = run([LINES["all_reduce"]], DIMS, wired(text), options).plan.kernels[0].traffic
    assert (traffic.algorithm, traffic.reason) == (name, "as asked")


# Roots and shifts: V = BYTES on a chip; `hops` and bytes on the busiest wire, added up by hand


@pytest.mark.parametrize(
    ("kind", "text", "hops", "busiest"),
    [
        # half of V each way round, to the last chip but the root
        ("broadcast", "ring(5)", 4, 1 / 2), ("reduce_to", "ring(5)", 4, 1 / 2),
        ("broadcast", "line(5)", 3, 1), ("reduce_to", "line(5)", 3, 1),
        ("broadcast", "switch(8)", 3, 1), ("reduce_to", "switch(8)", 3, 1), ("broadcast", "switch(5)", 3, 1),
        # the root deals out a third of its ports' rate to each, then all gather
        ("broadcast", "full(4)", 2, 2 * 3 / 4),
        # from place 1: 2 and 3 one way, 0 and 4 the other; what goes far is on its way while the next chip's part is sent
        ("scatter", "ring(5)", 1, 2 / 5), ("gather_to", "ring(5)", 1, 2 / 5),
        # the antipode half each way
        ("scatter", "ring(4)", 1, 1.5 / 4), ("gather_to", "ring(4)", 1, 1.5 / 4),
        ("scatter", "line(5)", 1, 3 / 5), ("gather_to", "line(5)", 1, 3 / 5),
        ("scatter", "switch(8)", 1, 7 / 8), ("gather_to", "switch(8)", 1, 7 / 8),
        ("scatter", "full(4)", 1, 3 / 4), ("gather_to", "full(4)", 1, 3 / 4),
        # two places on: each wire carries its own and its neighbour's; on the ring of four half each way
        ("permute", "ring(5)", 2, 2), ("permute", "ring(4)", 2, 1), ("permute", "switch(8)", 1, 1),
        # the last two go back all the way
        ("permute", "line(5)", 3, 2), ("permute", "full(4)", 1, 3),
    ],
)  # fmt: skip
def test_roots_and_shifts_against_sums_by_hand(kind: str, text: str, hops: int, busiest: float) -> None:
    rate = W_SWITCH if text.startswith(("switch", "full")) else W_RING
    check(f"{kind} on {text}", seconds(kind, text), hops * ALPHA + busiest * BYTES / rate)


@pytest.mark.parametrize("kind", ["scatter", "gather_to", "permute"])
@pytest.mark.parametrize("text", ["torus(3,5)", "torus(4,4)", "torus(2,3,4)", "grid(3,4)", "ring(2)"])
def test_messages_go_axis_by_axis_the_short_way_round(kind: str, text: str) -> None:
    """Loads by pair of neighbours, each message walked place by place; an antipode is halved over both ways."""
    topology = parse_topology(text, LINKS)
    group, n = everyone(topology), topology.size
    if kind == "permute":
        messages = [(chip, (chip + 3) % n, 1e6) for chip in range(n)]
    else:
        messages = [(1, chip, 1e6 / n) for chip in range(n)]
    if kind == "gather_to":
        messages = [(there, here, nbytes) for here, there, nbytes in messages]
    want: dict[tuple[str, str], float] = defaultdict(float)
    for source, target, nbytes in messages:
        here = source
        for axis in topology.axes:
            ahead = axis.place(target) - axis.place(here)
            ways = {1: ahead, -1: -ahead}
            if axis.kind == "ring":
                ways = {way: steps % axis.size for way, steps in ways.items()}
            shortest = min(steps for steps in ways.values() if steps >= 0)
            taken = [way for way, steps in ways.items() if steps == shortest] if shortest else []
            for way in taken:
                at = here
                for _ in range(shortest):
                    place = axis.place(at)
                    after = at + ((place + way) % axis.size - place) * axis.stride
                    want[f"chip{at}", f"chip{after}"] += nbytes / len(taken)
                    at = after
            here += ahead * axis.stride
    got: dict[tuple[str, str], float] = defaultdict(float)
    for number, nbytes in canonical(group, CollectiveRequest(kind, 1e6, root=1, shift=3)).wires.items():
        wire = topology.wires[number]
        got[wire.source, wire.target] += nbytes
    assert {ends: nbytes for ends, nbytes in got.items() if nbytes} == pytest.approx(dict(want))


@pytest.mark.parametrize("kind", sorted(CANONICAL))
@pytest.mark.parametrize("text", WIRINGS)
def test_bytes_scale_and_a_reduce_to_is_a_broadcast_backwards(kind: str, text: str) -> None:
    topology = parse_topology(text, LINKS)
    group = everyone(topology)
    one, more = (canonical(group, CollectiveRequest(kind, nbytes, root=1)) for nbytes in (1e6, 3e6))
    # more bytes of near chips hide more of the latency of far ones
    assert 0 < more.latency_s <= one.latency_s * (1 + 1e-9)
    assert more.wires == pytest.approx({wire: 3 * nbytes for wire, nbytes in one.wires.items()})
    if kind == "reduce_to" or (kind == "gather_to" and len(group.pieces) == 1):  # more axes are taken in another order
        there = canonical(
            group, CollectiveRequest({"reduce_to": "broadcast", "gather_to": "scatter"}[kind], 1e6, root=1)
        )
        assert ends(topology, one.wires, 1) == pytest.approx(ends(topology, there.wires, -1))


def ends(topology: Topology, wires: dict[int, float], way: int) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for number, nbytes in wires.items():
        wire = topology.wires[number]
        found[(wire.source, wire.target)[::way]] += nbytes
    return dict(found)
