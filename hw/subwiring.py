"""How some chips of a topology are wired among themselves: the part of each axis that they have, or none.

Model: chips that are all combinations of some places along each axis lie in a smaller wiring of the same kinds: of a ring
they have the whole, or a run of neighbours, which is a line; of a line a run of neighbours; of a switch, a tree or a full
mesh any places. Chips of which no two are in one child of a shared fabric are joined by that fabric alone. In any other
graph they lie as their own links do: in a ring, a line or a full mesh, or behind one switch. Everything else has nothing
but "routes" from chip to chip.
Law: the chips of a mesh axis lie as the axis does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hw.topology import Axis, Topology

ROUTES = "routes"
"""The kind of the axis of chips that form no wiring: routes lead from each to each, through whatever lies between."""

_ANY = ("switch", "fat_tree", "full")
"""Kinds of axes of which some places are wired as the whole is."""


@dataclass(frozen=True, slots=True)
class Lying:
    """Chips in the order of their wiring, and the axes along which they lie, inside out: strides are in places of
    `chips`. One axis of kind "routes" where they form no wiring."""

    chips: Sequence[int]
    pieces: tuple[Axis, ...]


def local(pieces: Sequence[Axis]) -> tuple[Axis, ...]:
    """Axes with their strides in places of the chips that they span, ascending, instead of in chip numbers."""
    stride, strides = 1, dict[Axis, int]()
    for piece in sorted(pieces, key=lambda piece: piece.stride):
        strides[piece] = stride
        stride *= piece.size
    return tuple(replace(piece, stride=strides[piece], order=None) for piece in pieces)


def lying(topology: Topology, chips: Sequence[int]) -> Lying:
    """How some different chips lie."""
    chips = sorted(chips)
    if len(chips) == 1:
        return Lying(chips, ())
    fabric = _one_fabric(topology, chips)
    if fabric is not None:
        return Lying(chips, (replace(fabric, size=len(chips), stride=1),))
    found = _lattice(topology, chips) or _linked(topology, chips)
    if found is None:
        return Lying(chips, (Axis(ROUTES, len(chips), 1, 0),))
    drawn = any(piece.kind == "graph" for piece in found.pieces)
    return Lying(topology.along_wires(chips), found.pieces) if drawn else found


def _one_fabric(topology: Topology, chips: Sequence[int]) -> Axis | None:
    """The axis of the shared fabric that all of these chips enter straight from where they are."""
    outermost = [level for level in topology.levels if len({chip // level.inner for chip in chips}) > 1]
    level = outermost[-1] if outermost else None
    if level is None or not level.shared or level.kind not in _ANY:
        return None
    alone = len({chip // level.inner for chip in chips}) == len(chips)
    return level.axes[0] if alone else None


def _lattice(topology: Topology, chips: Sequence[int]) -> Lying | None:
    """Their part of each axis, if they are all combinations of some places."""
    parts = [(axis, {axis.place(chip) for chip in chips}) for axis in topology.axes]
    parts = [(axis, places) for axis, places in parts if len(places) > 1]
    if math.prod(len(places) for _, places in parts) != len(chips):
        return None
    pieces: list[Axis] = []
    order: dict[Axis, Mapping[int, int]] = {}
    for axis, places in parts:
        found = _part(axis, places)
        if found is None:
            return None
        kind, run = found
        pieces.append(replace(axis, kind=kind, size=len(run)))
        order[axis] = {place: at for at, place in enumerate(run)}
    axes = sorted(order, key=lambda axis: -axis.stride)
    laid = sorted(chips, key=lambda chip: [order[axis][axis.place(chip)] for axis in axes])
    return Lying(laid, local(pieces))


def _part(axis: Axis, places: set[int]) -> tuple[str, Sequence[int]] | None:
    """What some places of an axis are, and their order along it."""
    if len(places) == axis.size or axis.kind in _ANY:
        return axis.kind, sorted(places)
    if axis.kind not in ("ring", "line"):
        return None
    ends = [place for place in places if (place - 1) % axis.size not in places]
    run = [(ends[0] + at) % axis.size for at in range(len(places))]
    if len(ends) > 1 or (axis.kind == "line" and run[-1] < run[0]):
        return None
    return "line", run


# Links of their own


def _linked(topology: Topology, chips: Sequence[int]) -> Lying | None:
    """A ring, a line or a full mesh of single links, or the ports of one switch."""
    names = {f"chip{chip}": chip for chip in chips}
    onwards: dict[int, dict[int, int]] = {chip: {} for chip in chips}
    beyond: dict[int, list[str]] = {chip: [] for chip in chips}
    levels = set()
    for wire in topology.wires:
        source, target = names.get(wire.source), names.get(wire.target)
        if source is not None and target is not None:
            onwards[source][target] = onwards[source].get(target, 0) + 1
            levels.add(wire.level)
        elif source is not None and wire.target not in topology.chip_numbers:
            beyond[source].append(wire.target)
            levels.add(wire.level)
    if len(levels) != 1:
        return None
    single = all(count == 1 and here in onwards[there] for here, to in onwards.items() for there, count in to.items())
    switches = [nodes for nodes in beyond.values() if nodes]
    if any(onwards.values()) and not switches and single:
        return _joined(chips, onwards, levels.pop())
    one = len(switches) == len(chips) and all(nodes == switches[0] and len(nodes) == 1 for nodes in switches)
    if one and not any(onwards.values()):
        return Lying(chips, (Axis("switch", len(chips), 1, levels.pop()),))
    return None


def _joined(chips: Sequence[int], onwards: Mapping[int, Mapping[int, int]], level: int) -> Lying | None:
    """The ring, line or full mesh that single links between chips form."""
    degrees = sorted(len(to) for to in onwards.values())
    size = len(chips)
    if degrees[0] == size - 1 and size != 3:
        kind = "line" if size == 2 else "full"
        return Lying(chips, (Axis(kind, size, 1, level),))
    if degrees[-1] > 2 or degrees[0] < 1:
        return None
    ends = [chip for chip in chips if len(onwards[chip]) == 1]
    if len(ends) not in (0, 2):
        return None
    walk = [min(ends or chips)]
    while more := [there for there in sorted(onwards[walk[-1]]) if there not in walk[-2:]]:
        if len(walk) == size or more[0] == walk[0]:
            break
        walk.append(more[0])
    if len(walk) < size:
        return None
    return Lying(walk, (Axis("line" if ends else "ring", size, 1, level),))
