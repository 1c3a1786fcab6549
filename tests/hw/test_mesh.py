"""Meshes: which chips form a group, and which meshes lie on a topology."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Mesh, System, Topology, load_chip, parse_topology
from hw.systems import mesh_problems
from tests.hw.test_topology import LINKS

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


CHIP = load_chip("h100_sxm").model_copy(update={"links": LINKS})


def laid(topology: str | list[str], mesh: Mapping[str, int]) -> System:
    return System(CHIP, parse_topology(topology, LINKS), Mesh(mesh))


LAYOUTS: list[tuple[str | list[str], dict[str, int]]] = [
    ("switch(24)", {"X": 2, "Y": 3, "Z": 4}),
    ("full(6)", {"X": 3, "Y": 2}),
    ("torus(2,3,4)", {"X": 2, "Y": 3, "Z": 4}),
    ("torus(2,3,4)", {"X": 6, "Y": 4}),
    ("torus(2,3,4)", {"A": 1, "X": 24, "B": 1}),
    (["switch(8) over nvlink", "fat_tree(3,leaf=2) over ici"], {"T": 8, "D": 3}),
    (["switch(8) over nvlink", "fat_tree(3,leaf=2) over ici"], {"T": 2, "U": 4, "D": 3}),
    (["switch(8) over nvlink", "fat_tree(4,leaf=2) over ici"], {"T": 4, "D": 8}),
    (["switch(4) over nvlink", "fat_tree(6,leaf=2) over ici"], {"T": 2, "D": 2, "E": 6}),
    (["torus(2,2) over ici", "switch(6) over nvlink"], {"X": 2, "Y": 2, "D": 2, "E": 3}),
    ("dragonfly(3,2,2)", {"X": 3, "Y": 4}),
]


@pytest.mark.parametrize(("topology", "mesh"), LAYOUTS, ids=str)
def test_groups_on_a_topology_cut_it_into_equal_parts(topology: str | list[str], mesh: dict[str, int]) -> None:
    system = laid(topology, mesh)
    assert list(mesh_problems(mesh, system.topology)) == []
    names = list(mesh)
    subsets = ["".join(name for at, name in enumerate(names) if bits >> at & 1) for bits in range(2 ** len(names))]
    for axes in subsets:
        groups = system.groups(axes)
        assert sorted(chip for group in groups for chip in group) == list(range(system.size))
        assert {len(group) for group in groups} == {math.prod(mesh[axis] for axis in axes)}
        pieces = system.pieces(axes)
        assert math.prod(piece.size for piece in pieces) == len(groups[0])
        # what the pieces say is what the groups are: the place along each piece tells the chips of a group apart
        for group in groups:
            assert len({tuple(piece.place(chip) for piece in pieces) for chip in group}) == len(group)
        # two axes never meet twice: a group over one crosses a group over the others in one chip
        others = "".join(name for name in names if name not in axes)
        of = {chip: at for at, group in enumerate(system.groups(others)) for chip in group}
        assert all(len({of[chip] for chip in group}) == len(group) for group in groups)
    assert system.groups("".join(names)) == (tuple(range(system.size)),)


FABRICS: list[tuple[str | list[str], dict[str, int]]] = [
    ("switch(24)", {"T": 2, "C": 3, "D": 4}),
    ("full(6)", {"T": 3, "D": 2}),
    (["switch(8) over nvlink", "fat_tree(3,leaf=2) over ici"], {"T": 2, "C": 4, "D": 3}),
    (["switch(8) over nvlink", "fat_tree(4,leaf=2) over ici"], {"T": 4, "D": 8}),
    (["switch(4) over nvlink", "fat_tree(6,leaf=2) over ici"], {"T": 2, "C": 2, "D": 2, "P": 3}),
]


@pytest.mark.parametrize(("topology", "axes"), FABRICS, ids=str)
def test_the_first_axis_of_parallelism_is_the_innermost_everywhere(
    topology: str | list[str], axes: dict[str, int]
) -> None:
    """Ranks next to each other are of one group of the first axis, as frameworks number them, on one switch as over
    several levels; each further axis steps over all those before it."""
    system = laid(topology, axes)
    under = system.under(axes)
    step = 1
    for axis, size in axes.items():
        assert under.groups(axis)[0] == tuple(range(0, step * size, step))
        step *= size
    assert set(under.mesh.axes) == set(axes)


@pytest.mark.parametrize("topology", ["torus(2,3,4)", "ring(24)"])
def test_whole_axes_of_a_wiring_stay_where_they_are(topology: str) -> None:
    axes = {"X": 2, "Y": 3, "Z": 4} if topology.startswith("torus") else {"X": 24}
    system = laid(topology, axes)
    assert system.under(axes).layout == system.layout


def test_a_cut_that_is_put_together_again_is_the_whole() -> None:
    system = laid("switch(24)", {"X": 2, "Y": 3, "Z": 4})
    assert system.topology is not None
    assert system.pieces("XYZ") == system.topology.axes
    assert [piece.stride for piece in (*system.pieces("X"), *system.pieces("Y"), *system.pieces("Z"))] == [12, 4, 1]
    assert [(piece.size, piece.stride) for piece in system.pieces("XZ")] == [(4, 1), (2, 12)]
    levels = laid(["switch(8) over nvlink", "switch(3) over ici"], {"T": 8, "D": 3})
    assert levels.topology is not None
    assert levels.pieces("TD") == levels.pieces("DT") == levels.topology.axes
    assert levels.groups("T")[1] == tuple(range(8, 16))
    assert levels.groups("D")[1] == (1, 9, 17)


RING, SWITCH = parse_topology("ring(4)", LINKS), parse_topology("switch(8)", LINKS)


@pytest.mark.parametrize(
    ("axes", "topology"),
    [({"X": 4}, RING), ({"X": 1, "Y": 4}, RING), ({"X": 2, "Y": 4}, SWITCH), ({}, None), ({"X": 1}, None)],
)
def test_a_mesh_that_fits(axes: dict[str, int], topology: Topology | None) -> None:
    assert list(mesh_problems(axes, topology)) == []


TORUS = parse_topology("torus(4,4)", LINKS)


@pytest.mark.parametrize(
    ("axes", "topology", "place", "words"),
    [
        ({"X": 3}, RING, "", "the mesh has 3 places, ring(4) over ici has 4 chips"),
        ({}, RING, "", "the mesh has 1 places, ring(4) over ici has 4 chips"),
        ({"X": 2}, None, "", "the mesh has 2 places, a single chip has 1 chips"),
        ({"X": 2, "Y": 2}, RING, "", "a ring has one axis"),
        ({"X": 2, "Y": 8}, TORUS, "", "do not line up with the axes of torus(4,4) over ici (4 x 4, inside out)"),
        ({"x": 4}, RING, "x", "must be a single capital letter"),
        ({"XY": 4}, RING, "XY", "must be a single capital letter"),
        ({"X": 0}, RING, "X", "must be at least 1"),
    ],
)
def test_a_mesh_that_does_not_fit(axes: dict[str, int], topology: Topology | None, place: str, words: str) -> None:
    problems = list(mesh_problems(axes, topology))
    assert any(at == place and words in message for at, message in problems), problems


def test_a_system_in_words() -> None:
    chip, other = load_chip("h100_sxm"), load_chip("h200")
    assert System(chip).name == "h100_sxm"
    assert System(chip).size == 1
    topology = parse_topology("switch(8)", chip.links)
    eight = System(chip, topology, Mesh({"X": 8}))
    assert (eight.name, eight.size) == ("8 x h100_sxm, switch(8) over nvlink", 8)
    mixed = System(chip, topology, Mesh({"X": 8}), (chip,) * 5 + (other,) * 3)
    assert mixed.name == "5 x h100_sxm + 3 x h200, switch(8) over nvlink"
    assert list(mixed.kind_of) == [0] * 5 + [1] * 3
    assert (mixed.chip_at(4), mixed.chip_at(5), eight.chip_at(7)) == (chip, other, chip)
