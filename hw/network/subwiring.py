"""How some chips of a topology are wired among themselves: the part of each axis that they have, or none.

Model: chips that are all combinations of some places along each axis lie in a smaller wiring of the same kinds: of a ring
they have the whole, or a run of neighbours, which is a line; of a line a run of neighbours; of a switch, a tree or a full
mesh any places. Chips of which no two are in one child of a shared fabric are joined by that fabric alone. In any other
graph they lie as their own links are recognised, or behind one switch. Everything else has nothing
but "routes" from chip to chip.
Chips of a named group stand as they are listed where the wiring leaves that open.
Law: the chips of a mesh axis lie as the axis does; renaming chips, and with them the lists of groups, changes no place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hw.network.axes import Axis
from hw.network.recognition.recognise import recognised
from hw.network.topology import Level, Topology, Wire
from hw.network.wirings.custom import GRAPH, ROUTED
from hw.network.wirings.lattices import LINE, RING
from hw.network.wirings.registry import WIRINGS
from hw.network.wirings.switch import SWITCH


@dataclass(frozen=True, slots=True)
class Lying:
    """Chips in the order of their wiring, and the axes along which they lie, inside out: strides are in places of
    `chips`. One axis of kind "routes" where they form no wiring."""

    chips: Sequence[int]
    pieces: tuple[Axis, ...]

    def in_twos(self) -> Lying:
        """The same, a ring of four beside an axis that does not wrap as two lines of two.

        Four chips in a ring and a 2x2 grid are the same wires, so a grid(2,2,3) and a torus(4,3,wrap=[yes,no]) are one
        machine. Where all axes wrap, and along one alone, a ring stays a ring: those have textbook forms of their own.
        """
        open_levels = {each.level for each in self.pieces if each.kind == LINE.name}
        rings = [each for each in self.pieces if (each.kind, each.size) == (RING.name, 4) and each.level in open_levels]
        if not rings:
            return self
        places = list(range(len(self.chips)))
        pieces: list[Axis] = []
        for piece in self.pieces:
            if piece not in rings:
                pieces.append(piece)
                continue
            # the third chip round the ring is across from the first: the grid's places are 0, 1, 3, 2 of the ring
            places = [at + (0, 0, 1, -1)[at // piece.stride % 4] * piece.stride for at in places]
            pieces += [replace(piece, kind=LINE.name, size=2, stride=step * piece.stride) for step in (1, 2)]
        return Lying([self.chips[place] for place in places], tuple(pieces))


def local(pieces: Sequence[Axis]) -> tuple[Axis, ...]:
    """Axes with their strides in places of the chips that they span, ascending, instead of in chip numbers.

    Of a switch, a tree or a full mesh any chips are wired as the whole is, so that cuts of one are one axis here, also where
    a mesh axis lies between them.
    """
    stride, strides = 1, dict[Axis, int]()
    for piece in sorted(pieces, key=lambda piece: piece.stride):
        strides[piece] = stride
        stride *= piece.size
    found: list[Axis] = []
    for piece in pieces:
        last = found[-1] if found else None
        here = replace(piece, stride=strides[piece], order=None)
        if last and last.level == piece.level and last.kind == piece.kind and WIRINGS[piece.kind].any_places:
            found[-1] = replace(last, size=last.size * piece.size, stride=min(last.stride, here.stride))
        else:
            found.append(here)
    return tuple(found)


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
        return Lying(chips, (Axis(ROUTED.name, len(chips), 1, 0),))
    drawn = any(piece.kind == GRAPH.name for piece in found.pieces)
    return Lying(topology.along_wires(chips), found.pieces) if drawn else found


def _one_fabric(topology: Topology, chips: Sequence[int]) -> Axis | None:
    """The axis of the shared fabric that all of these chips enter straight from where they are."""
    number = _outermost(topology, chips)
    level = None if number is None else topology.levels[number]
    if level is None or not level.shared or not WIRINGS[level.kind].any_places:
        return None
    alone = len({chip // level.inner for chip in chips}) == len(chips)
    return level.axes[0] if alone else None


def _outermost(topology: Topology, chips: Sequence[int]) -> int | None:
    """The number of the outermost level in which chips are apart: where routes between them lead, at most."""
    apart = [number for number, level in enumerate(topology.levels) if len({chip // level.inner for chip in chips}) > 1]
    return apart[-1] if apart else None


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
    wiring = WIRINGS[axis.kind]
    if len(places) == axis.size or wiring.any_places:
        return axis.kind, sorted(places)
    if not wiring.neighbours:
        return None
    ends = [place for place in places if (place - 1) % axis.size not in places]
    run = [(ends[0] + at) % axis.size for at in range(len(places))]
    if len(ends) > 1 or (not wiring.wraps and run[-1] < run[0]):
        return None
    return LINE.name, run


# Of places that are alike


def as_listed(topology: Topology, members: Sequence[int], lies: Lying) -> Lying:
    """The same, in which a list decides between places that are alike: a ring begins at the chip that is listed first and
    goes towards the one of its neighbours that comes first, a line begins at the end that does, and behind a switch or in a
    tree, node by node, chips stand as they are listed. So chips that are exchanged in the list and in the wiring, as by
    renaming them, have each other's places; numbers, which are names, decide nothing."""
    firsts = _firsts(topology, {chip: at for at, chip in enumerate(members)})
    chips = lies.chips
    for piece in lies.pieces:
        layers = [list[list[int]]() for _ in range(piece.size)]
        for at, chip in enumerate(chips):
            layers[at // piece.stride % piece.size].append(firsts[chip])
        turned = _turned(piece, layers)
        places = [at // piece.stride % piece.size for at in range(len(chips))]
        chips = [chips[at + (turned[place] - place) * piece.stride] for at, place in enumerate(places)]
    return Lying(chips, lies.pieces)


def _turned(piece: Axis, layers: Sequence[Sequence[list[int]]]) -> Sequence[int]:
    """By place along an axis, which of its places stands there instead; `layers`: by place, `_firsts` of its chips."""
    size, wiring = piece.size, WIRINGS[piece.kind]
    own = [min(first[-1] for first in layer) for layer in layers]
    if wiring.wraps:
        begin = own.index(min(own))
        onwards = wiring.one_way or own[(begin + 1) % size] <= own[begin - 1]
        return [(begin + (at if onwards else -at)) % size for at in range(size)]
    if wiring.neighbours:
        return range(size) if own[0] <= own[-1] else range(size)[::-1]
    if wiring.any_places or piece.kind == ROUTED.name:
        return sorted(range(size), key=lambda at: min(layers[at]))
    return range(size)


def _firsts(topology: Topology, rank: Mapping[int, int]) -> Mapping[int, list[int]]:
    """By chip, of the nodes and leaves that it is in, the largest first, where the first of their chips stands in a list;
    then where it stands itself."""
    parts: list[Iterable[int]] = [rank.keys() & trunk.chips for level in topology.level_trunks for trunk in level]
    for level in topology.levels:
        nodes: dict[int, list[int]] = {}
        for chip in rank:
            nodes.setdefault(chip // level.inner, []).append(chip)
        parts += nodes.values()
    found: dict[int, list[tuple[int, int]]] = {chip: [] for chip in rank}
    for part in parts:
        chips = list(part)
        first = min((rank[chip] for chip in chips), default=0)
        for chip in chips:
            found[chip].append((-len(chips), first))
    return {chip: [*(first for _, first in sorted(own)), rank[chip]] for chip, own in found.items()}


# Links of their own


def _linked(topology: Topology, chips: Sequence[int]) -> Lying | None:
    """What the links among them are recognised as, if they lie on one level and nothing else joins them there."""
    places = {f"chip{chip}": at for at, chip in enumerate(chips)}
    inside = [wire for wire in topology.wires if wire.source in places and wire.target in places]
    out = [wire for wire in topology.wires if wire.source in places and wire.target not in topology.chip_numbers]
    levels = {wire.level for wire in (*inside, *out)}
    if len(levels) != 1:
        return None
    if inside and not out:
        return _recognised(chips, inside, levels.pop())
    switches, level = {wire.target for wire in out}, levels.pop()
    # chips of one node may have a switch above it: their routes do not go there
    if not inside and len(switches) == 1 and len(out) == len(chips) and level == _outermost(topology, chips):
        return Lying(chips, (Axis(SWITCH.name, len(chips), 1, level),))
    return None


def _recognised(chips: Sequence[int], wires: Sequence[Wire], level: int) -> Lying | None:
    """The wiring that single links between chips form."""
    size, ends = len(chips), [(wire.source, wire.target) for wire in wires]
    if len(set(ends)) < len(ends) or not _joined(chips, ends):
        return None
    numbers = {f"chip{chip}": f"chip{at}" for at, chip in enumerate(chips)}
    renamed = [wire._replace(source=numbers[wire.source], target=numbers[wire.target], level=0) for wire in wires]
    kind = GRAPH.name
    drawn = Level(kind, kind, wires[0].link, (Axis(kind, size, 1, 0),), size, 1, False, drawn=kind)
    axes = recognised(Topology((drawn,), size, tuple(renamed))).axes
    if axes[0].kind == GRAPH.name:
        return None
    along = [chips[axes[0].chip_at(position)] for position in range(size)]
    return Lying(along, tuple(replace(axis, level=level, order=None) for axis in axes))


def _joined(chips: Sequence[int], ends: Sequence[tuple[str, str]]) -> bool:
    """Whether links lead from the first chip to all others."""
    onwards: dict[str, list[str]] = {}
    for here, there in ends:
        onwards.setdefault(here, []).append(there)
    reached, front = set[str](), [f"chip{chips[0]}"]
    while front:
        reached.update(front)
        front = list({there for here in front for there in onwards.get(here, ())} - reached)
    return len(reached) == len(chips)
