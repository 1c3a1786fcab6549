"""Law 9 for named groups beside strangers: chips that a wiring does not tell apart can change places, lists included.

A list of chips says whose place is whose where the wiring leaves that open: the root of a tree, where a one-way chain
begins, who is whose partner. So renaming chips by a symmetry of the wiring, in all lists alike, changes no time, also where
several collectives meet on a wire.
Rings have oddly many chips: of evenly many the way to the opposite chip is by number (`test_names`). Groups form a wiring:
the rest of a lattice, or of nodes, is cut off along an axis. Those that form none are passed through over routes, which a
stranger may meet on one wire or on another. Source: DESIGN sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, RunError, SpecError, System, parse_topology
from simulator import ALGORITHMS, RunOptions
from tests.support.strategies import chip_with, run

H100 = chip_with("h100_sxm", {"links.nvlink.latency": "1 us", "links.infiniband.latency": "2 us"})
DIMS = {"I": 5040, "J": 1680}
LINES = (
    "y{0}:bf16[I,J] = all_reduce(x{0}:bf16[I,J]{{U_{0}}}, over={0}{1})",
    "y{0}:bf16[I,J] = all_gather(x{0}:bf16[I_{0},J], over={0}{1})",
    "y{0}:bf16[I_{0},J] = reduce_scatter(x{0}:bf16[I,J]{{U_{0}}}, over={0}{1})",
    "y{0}:bf16[I,J] = broadcast(x{0}:bf16[I,J], over={0}{1})",
)
Draw = Callable[[st.DrawFn], list[int]]
Cuts = tuple[tuple[int, int], ...]
"""Sizes and strides of axes."""


def turned(size: int, wraps: bool) -> Draw:
    """Round a ring, or back; a line back only."""

    def draw(one: st.DrawFn) -> list[int]:
        begin, back = (one(st.integers(0, size - 1)) if wraps else 0), one(st.booleans())
        if not wraps:
            return list(range(size))[:: -1 if back else 1]
        return [(begin + (-at if back else at)) % size for at in range(size)]

    return draw


def exchanged(size: int) -> Draw:
    """Any for any."""
    return lambda one: list(one(st.permutations(range(size))))


def of_nodes(nodes: int, size: int, inside: Draw) -> Draw:
    """Nodes for nodes, and the chips of each among themselves."""

    def draw(one: st.DrawFn) -> list[int]:
        order = one(st.permutations(range(nodes)))
        return [order[node] * size + place for node in range(nodes) for place in inside(one)]

    return draw


def of_axes(*sizes: int, wraps: bool) -> Draw:
    """Along each axis by itself; the last is counted first."""

    def draw(one: st.DrawFn) -> list[int]:
        found = [0]
        for size in sizes:
            along = turned(size, wraps)(one)
            found = [place * size + along[at] for place in found for at in range(size)]
        return found

    return draw


SYMMETRIES: dict[str, tuple[Any, Draw, Cuts]] = {
    "ring": ("ring(7)", turned(7, True), ((7, 1),)),
    "line": ("line(5)", turned(5, False), ((5, 1),)),
    "switch": ("switch(6)", exchanged(6), ()),
    "full": ("full(5)", exchanged(5), ()),
    "torus": ("torus(5,3)", of_axes(5, 3, wraps=True), ((5, 3), (3, 1))),
    "grid": ("grid(4,3)", of_axes(4, 3, wraps=False), ((4, 3), (3, 1))),
    "tree": ("fat_tree(8,leaf=2)", of_nodes(4, 2, exchanged(2)), ()),
    "thin tree": ("fat_tree(9,leaf=3,oversubscription=3)", of_nodes(3, 3, exchanged(3)), ()),
    "nodes": (["switch(4) over nvlink", "fat_tree(3) over infiniband"], of_nodes(3, 4, exchanged(4)), ((3, 4),)),
}
"""A wiring, its symmetries, and the axes along which it can be cut; none where any chips lie as all do."""


def in_two(one: st.DrawFn, count: int, cuts: Cuts) -> list[list[int]]:
    """All chips in two lists."""
    chips = one(st.permutations(range(count)))
    if not cuts:
        first = one(st.integers(2, count - 2))
        return [list(chips[:first]), list(chips[first:])]
    size, stride = one(st.sampled_from(cuts))
    cut = one(st.integers(1, size - 1))
    near = [chip for chip in chips if chip // stride % size < cut]
    return [near, [chip for chip in chips if chip not in near]]


def seconds(topology: Any, lists: Sequence[Sequence[int]], lines: Sequence[str], ends: Sequence[int]) -> float:
    """How long collectives of named groups take beside a send; 0 where an algorithm cannot do it."""
    wired = parse_topology(topology, H100.links)
    system = System(H100, wired, Mesh({"X": wired.size}, dict(zip("AB", lists, strict=False))))
    send = f"s:bf16[I,J] = send(p:bf16[I,J], from={ends[0]}, to={ends[1]})"
    got = "r:bf16[I,J] = recv(from={}, to={})".format(*ends)
    try:
        return run([*lines, send, got], DIMS, system, RunOptions(overlap="full")).time_s
    except (RunError, SpecError):
        return 0.0


@pytest.mark.parametrize("name", SYMMETRIES)
@settings(max_examples=20)
@given(data=st.data())
def test_chips_that_are_alike_change_places_with_their_lists(name: str, data: st.DataObject) -> None:
    topology, symmetry, cuts = SYMMETRIES[name]
    image = data.draw(st.composite(lambda draw: symmetry(draw))())
    lists = data.draw(st.composite(lambda draw: in_two(draw, len(image), cuts))())
    algorithms = ["", *(f", algorithm={each}" for each in sorted(ALGORITHMS))]
    lines = [
        data.draw(st.sampled_from(LINES)).format(group, data.draw(st.sampled_from(algorithms)))
        for group, chips in zip("AB", lists, strict=True)
        if len(chips) > 1
    ]
    ends = [lists[0][0], lists[1][0]]
    renamed = [[image[chip] for chip in each] for each in lists]
    one, other = seconds(topology, lists, lines, ends), seconds(topology, renamed, lines, [image[at] for at in ends])
    assert other == pytest.approx(one, rel=1e-9)
