"""How a mesh lies over a wiring.

Model: mesh axes are laid over the axes of the topology in order, inside out: a mesh axis is one axis of the wiring, or
several whole ones together; axes that are equally far from everywhere (a switch, a tree, a full mesh) may be cut into
several, the first of them slowest: a mesh is row-major. Rings and lines cannot be cut.
Parallelism names its axes from the innermost one outwards, also within a level (`inside_out`): those that talk most are the
nearest numbers, as ranks of frameworks are, and share what neighbours share: a PCIe switch, a kind of chip.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from hw.network.axes import Axis
from hw.network.recognition.recognise import readings
from hw.network.topology import Topology
from hw.network.wirings.custom import GRAPH
from hw.network.wirings.registry import WIRINGS
from hw.systems.mesh import AXIS_NAME


def fitted(topology: Topology, axes: Mapping[str, int]) -> Topology:
    """A topology; of a graph, what it is recognised as when such a mesh is laid over it."""
    if not topology.levels[0].drawn or math.prod(axes.values()) != topology.size:
        return topology
    lined_up = (each for each in readings(topology) if not isinstance(laid_out(axes, each), str))
    return next(lined_up, topology)


def inside_out(axes: Mapping[str, int], topology: Topology) -> Mapping[str, int]:
    """The mesh in which the first of some axes is the innermost everywhere: axes into which one level is cut stand in it the
    other way round. The same axes where they do not lie on the topology."""
    layout = laid_out(axes, topology)
    if isinstance(layout, str):
        return axes
    found: dict[str, int] = {}
    for level, run in itertools.groupby(axes, key=lambda axis: _cut_of(layout[axis], topology)):
        names = list(run)
        # cuts of several levels are inside out already
        turned = level is not None and layout[names[0]][0].stride > layout[names[-1]][0].stride
        found.update((axis, axes[axis]) for axis in (reversed(names) if turned else names))
    return found


def _cut_of(pieces: Sequence[Axis], topology: Topology) -> int | None:
    """The level that an axis is a cut of; None for one that is whole axes of the wiring, or of no chips."""
    return pieces[0].level if len(pieces) == 1 and pieces[0] not in topology.axes else None


def laid_out(axes: Mapping[str, int], topology: Topology) -> Mapping[str, tuple[Axis, ...]] | str:
    """The pieces of each mesh axis, or what is wrong."""
    layout: dict[str, tuple[Axis, ...]] = dict.fromkeys(axes, ())
    mesh = [(axis, size) for axis, size in axes.items() if size > 1]
    wired = [axis for axis in topology.axes if axis.size > 1]
    while mesh and wired:
        names, pieces = [mesh.pop(0)], [wired.pop(0)]
        while (want := math.prod(size for _, size in names)) != (have := math.prod(piece.size for piece in pieces)):
            if want < have and mesh:
                names.append(mesh.pop(0))
            elif have < want and wired:
                pieces.append(wired.pop(0))
            else:
                return f"the mesh does not line up with {topology}"
        if len(names) == 1:
            layout[names[0][0]] = tuple(pieces)
        elif any(WIRINGS[piece.kind].neighbours for piece in pieces):
            return _uncuttable(names, pieces, topology)
        else:
            layout.update(_cuts(names, pieces))
    return layout


def _uncuttable(names: Sequence[tuple[str, int]], pieces: Sequence[Axis], topology: Topology) -> str:
    sizes = " x ".join(str(piece.size) for piece in topology.axes)
    kind = next(piece.kind for piece in pieces if WIRINGS[piece.kind].neighbours)
    if len(topology.axes) == 1:
        return f"a {kind} has one axis, so the mesh can have one of size above 1 (a switch can be cut)"
    return (
        f"mesh axes {', '.join(axis for axis, _ in names)} do not line up with the axes of {topology} ({sizes}, inside "
        f"out): a {kind} cannot be cut"
    )


def _cuts(names: Sequence[tuple[str, int]], pieces: Sequence[Axis]) -> Iterator[tuple[str, tuple[Axis, ...]]]:
    """A fabric cut into several mesh axes: one level row-major, several levels inside out in no wiring of their own."""
    stride = min(piece.stride for piece in pieces)
    kind, level = (pieces[0].kind, pieces[0].level) if len(pieces) == 1 else (GRAPH.name, pieces[-1].level)
    for axis, size in reversed(names) if len(pieces) == 1 else names:
        yield axis, (Axis(kind, size, stride, level, pieces[0].order),)
        stride *= size


def mesh_problems(axes: Mapping[str, int], topology: Topology | None) -> Iterator[tuple[str, str]]:
    """What is wrong with a mesh on a topology: the axis to point at ('' for the mesh) and the message."""
    wrong = False
    for axis, size in axes.items():
        if not AXIS_NAME.fullmatch(axis):
            yield axis, f"mesh axis '{axis}' must be a single capital letter"
        if size < 1:
            wrong = True
            yield axis, f"mesh axis {axis} has size {size}; it must be at least 1"
    chips = topology.size if topology else 1
    if wrong:
        return  # how many places there are is not known
    if math.prod(axes.values()) != chips:
        where = str(topology) if topology else "a single chip"
        yield "", f"the mesh has {' x '.join(map(str, axes.values())) or 1} places, {where} has {chips} chips"
    elif topology is not None:
        found = laid_out(axes, topology)
        if isinstance(found, str):
            yield "", found
