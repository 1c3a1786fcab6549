"""Law 9: what chips are called changes no time, on lattices, trees and switches that are given as graphs.

Their links may be of unlike widths and latencies, so that a wiring has fewer symmetries than its form: then which chip
comes first in a ring, a line, a tree or a chain must follow from the links. The chips of a named group are renamed with it;
over all chips the root is a place, and places follow the wires. A shift (`permute`) is by places too, where there are any.
Unequal shards move with their chips (`test_exchange` has named wirings); along rings and lines algorithms that are asked for
by name pass them on in the order of places.
Switches are tried with links of one latency: which chip of a leaf passes a shard on to the others is by number.
A stranger at the same time is another matter: of the two ways round a ring of evenly many chips one carries more.
Source: DESIGN section 3.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any
from unittest.mock import patch

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw import Mesh, System, Topology
from simulator import ALGORITHMS, Communication, Network, RunOptions, parse_graph, simulate
from simulator.collectives import rounds
from tests.support.wirings import KINDS, chip_of

DIMS = {"E": 5040, "F": 5040}
Figures = st.fixed_dictionaries({"bandwidth": st.sampled_from([5e10, 1e11]), "latency": st.sampled_from([1e-6, 3e-6])})


def lattice(sizes: tuple[int, ...], wraps: tuple[bool, ...]) -> list[tuple[Any, Any]]:
    """Pairs of neighbours; chips are numbered along the last axis first."""
    places = list(product(*map(range, sizes)))
    number = {place: at for at, place in enumerate(places)}
    found = []
    for place in places:
        for axis, (size, wrap) in enumerate(zip(sizes, wraps, strict=True)):
            after = (place[axis] + 1) % size
            if after or wrap:
                found.append((number[place], number[(*place[:axis], after, *place[axis + 1 :])]))
    return found


def under_switches(chips: int, switches: int) -> list[tuple[Any, Any]]:
    """A switch, or a tree of them."""
    found: list[tuple[Any, Any]] = [(chip, f"s{chip % switches}") for chip in range(chips)]
    return found + ([(f"s{at}", "top") for at in range(switches)] if switches > 1 else [])


FORMS = {
    "line": lattice((5,), (False,)),
    "ring": lattice((6,), (True,)),
    "grid(3,2)": lattice((3, 2), (False, False)),
    "grid(4,2)": lattice((4, 2), (False, False)),
    "grid(3,3)": lattice((3, 3), (False, False)),
    "half torus": lattice((4, 2), (True, False)),
    "torus": lattice((3, 3), (True, True)),
    "cube": lattice((2, 2, 2), (False, False, False)),
    "switch": under_switches(5, 1),
    "tree": under_switches(7, 2),
    "one way": list(pairwise([0, 1, 2, 3, 4, 0])),
}


def drawn(links: list[tuple[Any, Any, dict[str, float]]], names: list[int], one_way: bool) -> Topology:
    graph: Any = nx.MultiDiGraph() if one_way else nx.MultiGraph()
    graph.add_nodes_from(f"chip{name}" for name in sorted(names))
    for here, there, figures in links:
        ends = (f"chip{names[end]}" if isinstance(end, int) else end for end in (here, there))
        graph.add_edge(*ends, **figures)
    return Topology.from_networkx(graph)


WAYS = [
    *(("canonical", kind) for kind in KINDS),
    *((name, kind) for name in ("auto", *ALGORITHMS) for kind in ("all_gather", "reduce_scatter", "all_reduce")),
]
"""Ways to carry out each kind of collective."""


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(FORMS)), st.data())
def test_renaming_chips_changes_no_time(form: str, data: st.DataObject) -> None:
    pairs = FORMS[form]
    size = 1 + max(end for pair in pairs for end in pair if isinstance(end, int))
    links = [(here, there, data.draw(Figures)) for here, there in pairs]
    if form in ("switch", "tree"):
        links = [(here, there, {**figures, "latency": 1e-6}) for here, there, figures in links]
    members = data.draw(st.permutations(range(size)))[: data.draw(st.integers(3, size))]
    if len(members) == size:
        members = []  # all of them, which are an axis
    systems = []
    for called in (list(range(size)), data.draw(st.permutations(range(size)))):
        topology = drawn(data.draw(st.permutations(links)), list(called), form == "one way")
        groups = {"A": tuple(called[chip] for chip in members)} if members else {}
        by_number = not members and topology.levels[0].drawn == "graph"
        systems.append((System(chip_of(0.0), topology, Mesh({"X": size}, groups)), called[1] if by_number else 1))
    over = "A" if members else "X"
    messages = data.draw(st.sampled_from(WAYS))
    networks = [Network(system, RunOptions()) for system, _ in systems]
    for way in WAYS:
        if by_number and way[1] == "permute":
            continue  # it goes from number to number, as written
        one, other = (alone_s(way, over, root, network) for network, (_, root) in zip(networks, systems, strict=True))
        assert other == pytest.approx(one, rel=1e-9, abs=1e-14), way
        if way == messages:
            one, other = (by_messages_s(way, over, *each) for each in systems)
            assert other == pytest.approx(one, rel=1e-9, abs=1e-9), way


UNEQUAL = ("all_gather", "reduce_scatter", "all_to_all", "gather_to", "scatter")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(FORMS)), st.booleans(), st.data())
def test_chips_renamed_take_their_unequal_shards_with_them(form: str, alike: bool, data: st.DataObject) -> None:
    """Links alike, so that the form has all of its symmetries, or not: the shards tell apart what the links do not."""
    pairs = FORMS[form]
    size = 1 + max(end for pair in pairs for end in pair if isinstance(end, int))
    figures = [{"bandwidth": 5e10, "latency": 1e-6} if alike else data.draw(Figures) for _ in pairs]
    if form in ("switch", "tree"):
        figures = [{**each, "latency": 1e-6} for each in figures]
    links = [(here, there, each) for (here, there), each in zip(pairs, figures, strict=True)]
    weights = data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size).filter(any))
    found = []
    for called in (list(range(size)), data.draw(st.permutations(range(size)))):
        topology = drawn(data.draw(st.permutations(links)), list(called), form == "one way")
        system = System(chip_of(0.0), topology, Mesh({"X": size}))
        places = [called.index(chip) for chip in system.groups("X")[0]]
        held, root = tuple(weights[at] / sum(weights) for at in places), places.index(0)
        network = Network(system, RunOptions())
        found.append([alone_s(("", kind), "X", root, network, held) for kind in UNEQUAL])
    for kind, one, other in zip(UNEQUAL, *found, strict=True):
        assert other == pytest.approx(one, rel=1e-9, abs=1e-14), kind


def alone_s(way: tuple[str, str], over: str, root: int, network: Network, held: tuple[float, ...] = ()) -> float:
    """Seconds of a collective on its own, as one task."""
    name, kind = way
    asked = Communication(kind=kind, axes=over, nbytes=1e7, root=root, algorithm=name, held=held)
    (group,) = network.traffic(asked).groups
    return network.seconds(group.transfer)


def by_messages_s(way: tuple[str, str], over: str, system: System, root: int) -> float:
    """The same by messages, as a run."""
    line = KINDS[way[1]].replace("root=1", f"root={root}").format(at=0, o=over, more="")
    options = RunOptions(overlap="full", collectives=way[0], network="messages")
    with patch.multiple(rounds, SLICES=2, MOST_SLICES=2):
        return simulate(parse_graph([line], DIMS), system, options).time_s
