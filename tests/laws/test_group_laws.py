"""Laws of named groups over random partitions of chips on random wirings, and what else a run makes of them.

Law: bytes that come to a chip are kept or passed on; a collective ends on all its members at once; groups side by side in
one op take what each takes in an op of its own; one task takes what its messages take, where one axis carries them; axes
that are cut out of a fabric cost what a group of the same chips costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import timeline_frame
from analysis.runs import memory_peaks
from hw import Mesh, System, parse_topology
from simulator import NETWORKS, OpGraph, Result, RunOptions, parse_graph, simulate
from tests.support.strategies import chip_with, run

H100 = chip_with("h100_sxm", {"links.nvlink.latency": "1 us", "links.infiniband.latency": "2 us"})
DIMS = {"I": 5040, "J": 1680}
V = 2 * 5040 * 1680
WIRINGS: tuple[Any, ...] = (
    "ring(12)",
    "line(12)",
    "torus(4,3)",
    "grid(3,4)",
    "torus(6,2,wrap=[yes,no])",
    "full(12)",
    "switch(12)",
    "fat_tree(12,leaf=4,oversubscription=2)",
    ["switch(4) over nvlink", "fat_tree(3) over infiniband"],
    ["ring(4) over nvlink", "switch(3) over infiniband"],
    ["full(3) over nvlink", "fat_tree(4,rails=yes) over infiniband"],
    "dragonfly(3,2,2)",
)
REDUCE = "y{0}:bf16[I,J] = all_reduce(x{0}:bf16[I,J]{{U_{0}}}, over={0})"
GATHER = "y{0}:bf16[I,J] = all_gather(x{0}:bf16[I_{0},J], over={0})"
SCATTER = "y{0}:bf16[I_{0},J] = reduce_scatter(x{0}:bf16[I,J]{{U_{0}}}, over={0})"
SWAP = "y{0}:bf16[I,J_{0}] = all_to_all(x{0}:bf16[I_{0},J], over={0})"
LINES = (REDUCE, GATHER, SCATTER, SWAP)


def grouped(topology: Any, parts: Sequence[Sequence[int]]) -> System:
    wired = parse_topology(topology, H100.links)
    return System(H100, wired, Mesh({"X": wired.size}, dict(zip("ABCD", parts, strict=False))))


def taken(system: System, *lines: str, **options: Any) -> Result:
    return run(lines, DIMS, system, RunOptions(**{"overlap": "full", "network": NETWORKS[-2], **options}))


@st.composite
def partitions(draw: st.DrawFn) -> list[list[int]]:
    """Some of twelve chips in up to three groups of at most seven."""
    chips = draw(st.permutations(range(12)))
    sizes = draw(st.lists(st.integers(2, 7), min_size=1, max_size=3).filter(lambda sizes: sum(sizes) <= 12))
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    return [list(chips[start : start + size]) for start, size in zip(starts, sizes, strict=True)]


@settings(max_examples=40)
@given(partitions(), st.sampled_from(WIRINGS), st.data())
def test_random_partitions_folded_are_the_same_in_full(
    parts: list[list[int]], topology: Any, data: st.DataObject
) -> None:
    system = grouped(topology, parts)
    names = "ABC"[: len(parts)]
    lines = [data.draw(st.sampled_from(LINES)).format(name) for name in names]
    lines += [f"z{name}:bf16[4] = custom(y{name}, time=3 us, queue=later)" for name in names]
    folded, full = (taken(system, *lines, fold=fold) for fold in (True, False))
    assert folded.time_s == full.time_s
    ends = timeline_frame(full).groupby("op", observed=True)["end"].nunique()
    assert (ends == 1).all()  # on all members at once


@settings(max_examples=40)
@given(partitions(), st.sampled_from(WIRINGS), st.sampled_from((SWAP, SCATTER, GATHER)))
def test_what_comes_to_a_chip_is_kept_or_passed_on(parts: list[list[int]], topology: Any, line: str) -> None:
    """Of an all-to-all each member keeps as much as it gives: all that comes in goes out, at members and on the way."""
    system = grouped(topology, parts[:1])
    (planned,) = taken(system, line.format("A")).plan.kernels
    (group,) = planned.traffic.groups
    assert system.topology is not None
    into, out = dict.fromkeys(range(12), 0.0), dict.fromkeys(range(12), 0.0)
    for wire, nbytes in group.transfer.wires.items():
        ends = system.topology.wires[wire]
        if ends.target in system.topology.chip_numbers:
            into[system.topology.chip_numbers[ends.target]] += nbytes
        if ends.source in system.topology.chip_numbers:
            out[system.topology.chip_numbers[ends.source]] += nbytes
    size = len(parts[0])
    for chip in range(12):
        if chip not in parts[0]:
            assert into[chip] == pytest.approx(out[chip], abs=1e-6)  # only on the way
        elif line == SWAP:
            assert into[chip] == pytest.approx(out[chip], rel=1e-9)
            assert into[chip] >= V * (size - 1) / size**2 * (1 - 1e-9)
        else:
            assert max(into[chip], out[chip]) >= V * (size - 1) / size * (1 - 1e-9)


@settings(max_examples=40)
@given(partitions().filter(lambda parts: len(parts) > 1), st.sampled_from(WIRINGS), st.sampled_from((REDUCE,)))
def test_side_by_side_in_one_op_is_one_op_each(parts: list[list[int]], topology: Any, line: str) -> None:
    system = grouped(topology, parts)
    names = "ABC"[: len(parts)]
    together = taken(system, line.format(names))
    apart = taken(system, *(line.format(name) for name in names))
    assert together.time_s == pytest.approx(apart.time_s, rel=1e-9, abs=4e-12)


@pytest.mark.parametrize("line", [*LINES, "y{0}:bf16[I,J] = broadcast(x{0}:bf16[I,J], over={0}, root=1)"])
@pytest.mark.parametrize(
    ("topology", "mesh"),
    [
        (["switch(4) over nvlink", "fat_tree(3) over infiniband"], {"X": 2, "Y": 6}),
        (["switch(4) over nvlink", "fat_tree(3) over infiniband"], {"X": 6, "Y": 2}),
        ("dragonfly(3,2,2)", {"X": 3, "Y": 4}),
    ],
)
def test_axes_cut_out_of_a_fabric_cost_what_their_chips_cost(topology: Any, mesh: dict[str, int], line: str) -> None:
    wired = parse_topology(topology, H100.links)
    for axis in mesh:
        plain = System(H100, wired, Mesh(mesh))
        named = dict(zip("ABCDEF", plain.groups(axis), strict=False))
        groups = System(H100, wired, Mesh(mesh, named))
        got = taken(groups, line.format("".join(named))).time_s
        assert got == taken(plain, line.format(axis)).time_s


@pytest.mark.parametrize("line", [*LINES, "y{0}:bf16[I,J] = broadcast(x{0}:bf16[I,J], over={0}, root=1)"])
@pytest.mark.parametrize(
    "topology", ["full(12)", "switch(12)", "fat_tree(12,leaf=4,oversubscription=2)", "dragonfly(2,3,2)"]
)
def test_axes_of_one_fabric_are_its_chips_whatever_axis_lies_between_them(topology: str, line: str) -> None:
    """Four chips of a full mesh send to three of them each, not to one along either of two axes; through a dragonfly a
    broadcast goes in one chain, and not along one axis and then along three chains of the other side by side."""
    wired = parse_topology(topology, H100.links)
    plain = System(H100, wired, Mesh({"X": 2, "Y": 3, "Z": 2}))
    named = dict(zip("ABC", plain.groups("XZ"), strict=True))
    groups = System(H100, wired, Mesh(plain.mesh.axes, named))
    assert taken(plain, line.format("XZ")).time_s == taken(groups, line.format("ABC")).time_s


def test_chips_in_one_switch_are_a_switch_though_the_mesh_cuts_across() -> None:
    """A mesh axis of two of the four chips of a switch: V (1/2) / W and a hop, not a ring over routes."""
    wired = parse_topology(["switch(4) over nvlink", "fat_tree(3) over infiniband"], H100.links)
    system = System(H100, wired, Mesh({"X": 2, "Y": 6}))
    assert taken(system, GATHER.format("X")).time_s == pytest.approx(1e-6 + V / 2 / 4.5e11, rel=1e-9)


# What else a run makes of them


def test_a_tensor_of_a_group_is_in_the_memory_of_its_chips_alone() -> None:
    system = grouped("switch(12)", [[0, 1, 2, 3, 4]])
    result = taken(system, "z:bf16[I_A,J] = relu(x:bf16[I_A,J])", "q:bf16[4] = copy(p:bf16[4])", fold=False)
    peaks = memory_peaks(result)
    assert [peaks[chip] for chip in (0, 4, 5, 11)] == [2 * V / 5 + 16, 2 * V / 5 + 16, 16, 16]


def test_a_group_of_one_chip_moves_nothing() -> None:
    system = grouped("ring(12)", [[5]])
    assert taken(system, GATHER.format("A")).time_s == 0.0


def test_a_chip_may_be_in_several_groups() -> None:
    """The second collective on the chip that is in both waits for the first where it needs what that made."""
    system = grouped("switch(12)", [[0, 1, 2], [2, 3, 4]])
    once = taken(system, GATHER.format("A")).time_s
    lines = [
        "y:bf16[I,J] = all_gather(x:bf16[I_A,J], over=A)",
        "z:bf16[I,J] = all_reduce(w:bf16[I,J]{U_B}, over=B, after=[y])",
    ]
    assert taken(system, *lines).time_s == pytest.approx(3 * once, rel=1e-9)


def test_weights_cut_dims_over_a_group() -> None:
    system = grouped("switch(12)", [[3, 1, 2, 0]])
    graph = parse_graph(["y:bf16[I,J_A] = all_to_all(x:bf16[I_A,J], over=A)"], DIMS)
    result = simulate(OpGraph(graph.dims, graph.items, split={"A": [2, 1, 1, 0]}), system, RunOptions(overlap="full"))
    # chip 3 has half of the rows and gets half of the columns: it sends the other half of its half away
    assert result.plan.kernels[0].network_s == pytest.approx(V / 4 / 4.5e11, rel=1e-9)


def test_what_a_group_lacks_is_inserted_for_its_chips() -> None:
    system = grouped("switch(12)", [[0, 1, 2, 3]])
    lines = ["y:bf16[I,K] = matmul(x:bf16[I,J_A], w:bf16[J_A,K])"]
    found = {
        sharding: run(lines, {**DIMS, "K": 1200}, system, RunOptions(overlap="full", sharding=sharding))
        for sharding in ("canonical", "auto")
    }
    kernels = found["canonical"].plan.kernels
    assert [planned.kernel.kind for planned in kernels] == ["matmul", "all_reduce"]
    assert kernels[0].kernel.flops == 2 * 5040 * 1680 * 1200 / 4
    assert found["auto"].time_s <= found["canonical"].time_s
    for result in found.values():
        for planned in result.plan.kernels:
            assert {each for chip in planned.chips for each in result.plan.members(chip)} == {0, 1, 2, 3}
