"""A system: chips, how they are wired, and the logical mesh (`hw.systems.mesh`) that is laid over the wiring.

How a mesh lies over a wiring is in `hw.systems.laying`; without a topology, chips are numbered row-major over the mesh.
How the chips of a named group are wired among themselves is in `hw.network.subwiring`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hw.chips.chip import Chip
from hw.chips.host import Host
from hw.input.wording import unknown
from hw.network.axes import Axis
from hw.network.columns import WireColumns, columns_of
from hw.network.subwiring import Lying, as_listed, local, lying
from hw.network.text import parse_topology
from hw.network.topology import Topology
from hw.network.wirings.custom import GRAPH
from hw.network.wirings.registry import WIRINGS
from hw.systems.laying import fitted, inside_out, laid_out
from hw.systems.mesh import NO_MESH, Mesh


@dataclass(frozen=True)
class System:
    """`chip` as often as the topology has places, under a mesh; `chips` names each one where they are not all alike.

    One chip alone has no topology and an empty mesh. A networkx graph will do for a topology (see `Topology.from_networkx`);
    what it is recognised as depends on the mesh that is laid over it. `host`: the hosts that the chips share, where that is
    known.
    """

    chip: Chip
    topology: Topology | None = None
    mesh: Mesh = NO_MESH
    chips: tuple[Chip, ...] = ()
    host: Host | None = None

    def __post_init__(self) -> None:
        if self.topology is None:
            return
        topology = self.topology
        if not isinstance(topology, Topology):
            kinds = self.chips
            links_of = (lambda number: kinds[number].links) if kinds else None
            topology = parse_topology(topology, self.chip.links, links_of)
        object.__setattr__(self, "topology", fitted(topology, self.mesh.axes))

    def __repr__(self) -> str:
        over = f", {self.mesh!r}" if self.mesh.axes or self.mesh.named else ""
        return f"System({self.name}{over})"

    @property
    def size(self) -> int:
        """How many chips there are."""
        return self.topology.size if self.topology else 1

    @cached_property
    def kinds(self) -> tuple[Chip, ...]:
        """The different chips, in the order in which they first stand."""
        found: list[Chip] = []
        for chip in self.chips or (self.chip,):
            if not any(chip is each for each in found) and chip not in found:
                found.append(chip)
        return tuple(found)

    @cached_property
    def kind_of(self) -> Sequence[int]:
        """The number of each chip's kind."""
        if len(self.kinds) == 1:
            return bytes(self.size)
        known = {id(chip): self.kinds.index(chip) for chip in self.chips}
        return [known[id(chip)] for chip in self.chips]

    def chip_at(self, number: int) -> Chip:
        """The chip of a number. Raises ValueError for one that is not there."""
        if not 0 <= number < self.size:
            raise ValueError(f"there is no chip {number}: {self.name} has chips 0 to {self.size - 1}")
        return self.chips[number] if self.chips else self.chip

    @cached_property
    def name(self) -> str:
        """The system in a few words: '8 x h100_sxm, switch(8) over nvlink'."""
        if self.topology is None:
            return self.chip.name
        counts = [sum(1 for each in self.kind_of if each == at) for at in range(len(self.kinds))]
        parts = [f"{count} x {chip.name}" for count, chip in zip(counts, self.kinds, strict=True)]
        return f"{' + '.join(parts)}, {self.topology}"

    @cached_property
    def host_memories(self) -> frozenset[str]:
        """The memories that the chips of one host share, where the system says what they are: 'host', 'disk'."""
        if self.host is None:
            return frozenset()
        named = (("host", self.host.memory), ("disk", self.host.disk))
        return frozenset(name for name, memory in named if memory is not None)

    @cached_property
    def layout(self) -> Mapping[str, tuple[Axis, ...]]:
        """What each mesh axis is made of: axes of the wiring or cuts of one, inside out."""
        if self.topology is None:
            return dict.fromkeys(self.mesh.axes, ())
        found = laid_out(self.mesh.axes, self.topology)
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def under(self, axes: Mapping[str, int]) -> System:
        """The same chips under a mesh of such axes, the first of which is the innermost wherever they lie; the named groups
        stay. (A mesh by itself is row-major within a level that it cuts, so that the first axis is the outermost there.)"""
        laid = inside_out(axes, self.topology) if self.topology is not None else axes
        return replace(self, mesh=Mesh(laid, self.mesh.named))

    def pieces(self, axes: str) -> tuple[Axis, ...]:
        """What some mesh axes together are made of, inside out. Raises ValueError for one that is not there."""
        self._check(axes)
        found = [piece for axis in axes for piece in self.layout[axis]]
        order = {axis: at for at, axis in enumerate(self.topology.axes)} if self.topology else {}
        whole = sorted(found, key=lambda piece: (piece.level, order.get(piece, 0)))
        return _joined(whole, self.topology)

    def groups(self, axes: str) -> tuple[tuple[int, ...], ...]:
        """The chips that talk to each other in a collective over `axes`: one tuple a group, by chip number (of a named
        group in the order in which it lists them). Raises ValueError for an axis or a group that is not there."""
        self._check(axes)
        if axes not in self._groups:
            self._groups[axes] = self._grouped(axes)
        return self._groups[axes]

    def _grouped(self, axes: str) -> tuple[tuple[int, ...], ...]:
        if self.topology is None or self.mesh.members(axes) is not None:
            return self.mesh.groups(axes)
        inside = _places(piece for axis in axes for piece in self.layout[axis])
        others = (axis for axis in self.mesh.axes if axis not in axes)
        bases = _places(piece for axis in others for piece in self.layout[axis])
        order = self.topology.order
        if order is None:
            return tuple(tuple([base + place for place in inside]) for base in bases)
        return tuple(tuple([order.chip_at(base + place) for place in inside]) for base in bases)

    def at(self, axes: str, place: int) -> tuple[int, ...]:
        """The chips at one place of the groups over `axes`, in the order of the groups that have such a place: with mesh
        axes, all chips at that place along them. One object each time. Raises ValueError for a place that is not there."""
        if axes not in self._along:
            by_place = itertools.zip_longest(*self.groups(axes))
            self._along[axes] = [tuple(chip for chip in chips if chip is not None) for chips in by_place]
        along = self._along[axes]
        if not 0 <= place < len(along):
            raise ValueError(f"there is no place {place} along {axes}: places are 0 to {len(along) - 1}")
        return along[place]

    def _check(self, axes: str) -> None:
        """Raise ValueError for an axis, or a group, that the mesh does not have."""
        if not all(axis in self.mesh.axes or axis in self.mesh.named for axis in axes):
            raise ValueError(unknown("mesh axis or group", axes, (*self.mesh.axes, *self.mesh.named)))

    def lying(self, axes: str, members: Sequence[int]) -> Lying:
        """How the chips of one of the groups over `axes` lie in the wiring."""
        topology = self.topology
        if topology is not None and self.mesh.members(axes) is not None:
            return as_listed(topology, members, lying(topology, members))
        if axes not in self._pieces:
            self._pieces[axes] = self.pieces(axes)
        pieces = self._pieces[axes]
        drawn = topology is not None and any(piece.kind == GRAPH.name for piece in pieces)
        if topology is None or not drawn:
            if topology is not None and _of_no_wiring(pieces, topology):
                return as_listed(topology, members, lying(topology, members))
            return Lying(members, local(pieces))
        if any(piece not in topology.axes for piece in pieces):
            # a part of a graph, or of several levels: their own links say how it is wired
            return lying(topology, members)
        # through a graph that is no known wiring a ring takes its own way
        return Lying(topology.along_wires(members), local(pieces))

    @cached_property
    def wires(self) -> WireColumns | None:
        """Its wires as columns, if there are any."""
        return columns_of(self.topology) if self.topology is not None else None

    @cached_property
    def _groups(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Groups by the axes that were asked for so far."""
        return {}

    @cached_property
    def _along(self) -> dict[str, list[tuple[int, ...]]]:
        """The chips at each place along axes, by what was asked for so far."""
        return {}

    @cached_property
    def _pieces(self) -> dict[str, tuple[Axis, ...]]:
        """The pieces of mesh axes by what was asked for so far."""
        return {}


def _places(pieces: Iterator[Axis] | Sequence[Axis]) -> list[int]:
    """The positions, from 0, that some pieces span, ascending; positions are chip numbers but in some graphs."""
    places = [0]
    for piece in sorted(pieces, key=lambda piece: -piece.stride):
        places = [place + at * piece.stride for place in places for at in range(piece.size)]
    return sorted(places)


def _joined(pieces: Sequence[Axis], topology: Topology | None) -> tuple[Axis, ...]:
    """Cuts of one axis that are taken together again are one piece."""
    result: list[Axis] = []
    for piece in sorted(pieces, key=lambda piece: (piece.level, piece.stride)) if _cut(pieces, topology) else pieces:
        last = result[-1] if result else None
        if last and _goes_on(last, piece):
            result[-1] = replace(last, size=last.size * piece.size)
        else:
            result.append(piece)
    return tuple(result)


def _goes_on(last: Axis, piece: Axis) -> bool:
    alike = last.level == piece.level and last.kind == piece.kind and not WIRINGS[piece.kind].neighbours
    return alike and piece.stride == last.stride * last.size


def _cut(pieces: Sequence[Axis], topology: Topology | None) -> bool:
    return topology is not None and any(piece not in topology.axes for piece in pieces)


def _of_no_wiring(pieces: Sequence[Axis], topology: Topology) -> bool:
    """Whether these cuts of one level are no smaller wiring of its kind, as those of a dragonfly: then only routes lead from
    chip to chip, however many mesh axes the cuts are."""
    one_level = len({piece.level for piece in pieces}) == 1
    alike = any(WIRINGS[piece.kind].any_places or WIRINGS[piece.kind].neighbours for piece in pieces)
    return one_level and not alike and _cut(pieces, topology)
