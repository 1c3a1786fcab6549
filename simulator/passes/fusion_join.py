"""Several kernels as one: what it reads, writes and computes, how it is tiled, and what it spills.

Model: what passes between members stays on chip, unless others need it: then it is written too.
- Groups of alike kernels that read, make and keep alike differ in names only: one of them is joined, and what it reads and
  makes is stamped out for the others. A group that spills is joined by itself: of tensors that are equally large, names
  say which is spilled.
- Live intermediates must fit on chip, at the smallest tile the units allow; the largest ones that do not are spilled:
  written and read back, which costs exactly what fusing them had saved.
Laws: FLOPs are kept; HBM bytes never grow.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from simulator.graph.dtypes import widest
from simulator.ops.kernel import Access, Kernel, Tile, Tiling
from simulator.passes.kernels import Kernels


@dataclass(frozen=True, slots=True)
class Room:
    """Where what passes within a group stays: the tile of the matrix unit, and the bytes of the memory."""

    unit: tuple[int, int]
    nbytes: float


@dataclass(frozen=True, slots=True)
class FusedTiling:
    """The tiling of a group: that of its heaviest member, its re-reads placed among the group's reads.

    `places`: which of the member's reads each read of the group is, or -1; `shares`: the member's bytes of it, of all.
    """

    base: Tiling
    places: tuple[int, ...]
    shares: tuple[float, ...]

    def tiles(self, on_chip_bytes: float, unit: tuple[int, int]) -> Iterator[Tile]:
        """The tiles of the member; other inputs stream through once, inputs from within the group cost nothing."""
        for tile in self.base.tiles(on_chip_bytes, unit):
            # a tensor that another member goes over twice comes along while this one re-reads it
            rereads = tuple(
                max(1.0, tile.rereads[place] * share) if place >= 0 else 1.0
                for place, share in zip(self.places, self.shares, strict=True)
            )
            yield Tile(tile.steps, rereads, tile.label)


def join(members: Sequence[Kernel], places: Sequence[int], readers: Mapping[str, set[int]], room: Room) -> Kernel:
    """One kernel that does what `members` do; `places` are theirs in the program, `readers` say who reads each tensor."""
    inside = set(places)
    made = {access.tensor: access for kernel in members for access in kernel.writes}
    kept = {name for name in made if not readers.get(name) or readers[name] - inside}
    reads = _reads_from_outside(members, made)
    within = [name for name in made if readers.get(name, set()) & inside]
    spilled = _spills(members, within, room)
    anchor = max(members, key=lambda kernel: (kernel.matrix_flops, kernel.hbm_bytes))
    first = members[0]
    back = tuple(_spill_reads(members, spilled, kept))
    everything = (*reads.values(), *back)
    return replace(
        anchor,
        name="+".join(kernel.name for kernel in members),
        ops=_distinct(kernel.ops for kernel in members),
        written=_distinct(kernel.base_ops for kernel in members),
        template="+".join(kernel.base for kernel in members),
        turn=first.turn,
        kind="fused",
        reads=everything,
        writes=(
            *(access for name, access in made.items() if name in kept),
            *(replace(made[name], tensor=f"{name}/spill") for name in spilled if name not in kept),
        ),
        matrix_flops=sum(kernel.matrix_flops for kernel in members),
        matrix_dtype=_widest(kernel.matrix_dtype for kernel in members),
        vector_flops=sum(kernel.vector_flops for kernel in members),
        vector_dtype=_widest(kernel.vector_dtype for kernel in members),
        contractions=tuple(part for kernel in members for part in kernel.contractions),
        members=tuple(work for kernel in members for work in kernel.works),
        grown=tuple(pair for kernel in members for pair in kernel.grown),
        parts=(),
        tiling=_tiling(anchor, everything),
        fixed_s=sum(kernel.fixed_s for kernel in members),
        schedule=replace(first.schedule, after=_distinct(kernel.schedule.after for kernel in members)),
        spilled_bytes=sum(made[name].nbytes for name in spilled if name not in kept)
        + sum(access.nbytes for access in back),
    )


def _distinct(names: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All names, each where it first stands."""
    return tuple(dict.fromkeys(chain.from_iterable(names)))


def _widest(dtypes: Iterable[str]) -> str:
    """The widest dtype of those that compute; '' if none does."""
    used = [dtype for dtype in dtypes if dtype]
    return widest(used) if used else ""


def _tiling(anchor: Kernel, reads: Sequence[Access]) -> Tiling | None:
    if anchor.tiling is None:
        return None
    at = {access.tensor: place for place, access in enumerate(anchor.reads)}
    places = tuple(at.get(access.tensor, -1) for access in reads)
    shares = (
        anchor.reads[place].nbytes / access.nbytes if place >= 0 and access.nbytes else 1.0
        for place, access in zip(places, reads, strict=True)
    )
    return FusedTiling(anchor.tiling, places, tuple(shares))


def _reads_from_outside(members: Sequence[Kernel], made: Collection[str]) -> dict[str, Access]:
    """What the group takes in: each tensor once, as often as the member does that reads it most."""
    reads: dict[str, Access] = {}
    for kernel in members:
        for access in kernel.reads:
            known = reads.get(access.tensor)
            if access.tensor not in made and (known is None or access.nbytes > known.nbytes):
                reads[access.tensor] = access
    return reads


def _spill_reads(members: Sequence[Kernel], spilled: Sequence[str], kept: Collection[str]) -> Iterator[Access]:
    for kernel in members:
        for access in kernel.reads:
            if access.tensor in spilled:
                word = "back" if access.tensor in kept else "spill"
                yield replace(access, tensor=f"{access.tensor}/{word}")


def _spills(members: Sequence[Kernel], internal: Sequence[str], room: Room) -> list[str]:
    """The intermediates that do not fit on chip beside each other, largest first. One that is written anyway, because
    others need it, is then only read back."""
    sizes = {name: _tile_bytes(name, members, room) for name in internal}
    spilled: list[str] = []
    for at in range(len(members)):
        live = {name: sizes[name] for name in internal if name not in spilled and _alive(name, members, at)}
        while sum(live.values()) > room.nbytes:
            largest = max(live, key=lambda name: (live[name], name))
            del live[largest]
            spilled.append(largest)
    return [name for name in internal if name in spilled]


def _alive(name: str, members: Sequence[Kernel], at: int) -> bool:
    made = next(i for i, kernel in enumerate(members) if any(access.tensor == name for access in kernel.writes))
    used = max(i for i, kernel in enumerate(members) if any(access.tensor == name for access in kernel.reads))
    return made <= at <= used


def _tile_bytes(name: str, members: Sequence[Kernel], room: Room) -> float:
    """The least of an intermediate that must be on chip at once, twice over: a unit tile, a whole row for who reduces
    rows, a unit's width of whole rows for who contracts them."""
    rows, columns = room.unit
    tile = rows * columns
    for kernel in members:
        if any(access.tensor == name for access in kernel.reads):
            tile = max(tile, kernel.row_elements * (columns if kernel.contractions else 1))
    access = next(access for kernel in members for access in kernel.writes if access.tensor == name)
    return min(2.0 * tile * access.item_bytes, access.nbytes)


@dataclass(frozen=True, slots=True)
class _Sort:
    """Groups that differ in names only: their template, and which of the values of their members, in the order in which
    these first stand, they read and make."""

    template: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]


class _Joined:
    """Columns of kernels some of which are groups of others, and their names."""

    def __init__(self, kernels: Kernels, readers: Mapping[int, set[int]], room: Room) -> None:
        self.made = Kernels(self)
        self._of, self._names, self._readers, self._room = kernels, kernels.names, readers, room
        self._members: list[tuple[int, ...]] = []
        self._templates: dict[int, int] = {}
        self._sorts: dict[Hashable, _Sort] = {}
        # groups that somebody has asked for
        self._groups: dict[tuple[int, ...], Kernel] = {}
        self._beside = kernels.values
        self._spilled: list[str] = []

    def add_alone(self, these: range) -> None:
        """Append kernels as they were."""
        for code in dict.fromkeys(self._of.code[these.start : these.stop]):
            if code not in self._templates:
                self._templates[code] = self.made.template(self._of.templates[code])
        self.made.add_all(self._of, these, self._templates)
        self._members.extend(zip(these, strict=False))

    def add_group(self, group: tuple[int, ...]) -> None:
        """Append several as one."""
        # the places of values, in the order in which these first stand
        place: dict[int, int] = {}
        for at in group:
            for value in (*self._of.read_by(at), *self._of.made_by(at)):
                place.setdefault(value, len(place))
        stood = tuple(place[value] for at in group for value in (*self._of.read_by(at), *self._of.made_by(at)))
        written = [value for at in group for value in self._of.written_by(at)]
        inside = set(group)
        kept = tuple(not readers or bool(readers - inside) for readers in map(self._readers.__getitem__, written))
        key = tuple(self._of.code[at] for at in group), stood, kept
        values, sort = list(place), self._sorts.get(key)
        if sort is not None:
            reads, makes = ([values[each] for each in places] for places in (sort.reads, sort.makes))
            self._add(group, sort.template, reads, makes)
            return
        kernel = self._join(group)
        named = {self.value_name(value): value for value in values}
        reads = [self._value(access.tensor, named) for access in kernel.reads]
        makes = [self._value(name, named) for name in (*(access.tensor for access in kernel.writes), *kernel.ops)]
        template = self.made.template(kernel)
        if place.keys() >= {*reads, *makes}:  # nothing is spilled
            self._sorts[key] = _Sort(
                template, tuple(place[each] for each in reads), tuple(place[each] for each in makes)
            )
        self._add(group, template, reads, makes)

    def _add(self, members: tuple[int, ...], template: int, reads: Iterable[int], makes: Iterable[int]) -> None:
        self._members.append(members)
        self.made.add(template, reads, makes)

    def _value(self, name: str, named: dict[str, int]) -> int:
        """The value of a name; of what is spilled, one of its own."""
        if name not in named:
            named[name] = self._beside + len(self._spilled)
            self._spilled.append(name)
        return named[name]

    def _join(self, group: tuple[int, ...]) -> Kernel:
        written = {value for at in group for value in self._of.written_by(at)}
        readers = {self.value_name(value): self._readers[value] for value in written}
        return join([self._of[at] for at in group], group, readers, self._room)

    def kernel(self, number: int) -> Kernel:
        """A kernel as an object, under its own names."""
        members = self._members[number]
        if len(members) == 1:
            return self._of[members[0]]
        if members not in self._groups:
            self._groups[members] = self._join(members)
        return self._groups[members]

    def kernel_name(self, number: int) -> str:
        """The name of a kernel."""
        return "+".join(map(self._names.kernel_name, self._members[number]))

    def base(self, number: int) -> str:
        """The name of a kernel without the numbers of rounds."""
        return "+".join(map(self._names.base, self._members[number]))

    def op(self, number: int) -> tuple[str, str, tuple[int, ...]]:
        """The first op of a kernel: its name, the one with which it is written, and the numbers of its rounds."""
        return self._names.op(self._members[number][0])

    def written(self, number: int) -> tuple[str, str]:
        """The name of that op without the numbers of its rounds, and the one with which it is written."""
        return self._names.written(self._members[number][0])

    def value_name(self, value: int) -> str:
        """The name of a value."""
        beside = value - self._beside
        return self._spilled[beside] if 0 <= beside < len(self._spilled) else self._names.value_name(value)


def joined(kernels: Kernels, groups: Iterable[tuple[int, ...]], room: Room) -> Kernels:
    """Kernels with groups of them (by their places in the program) as one each, where the last of a group stood."""
    group_of = {at: group for group in groups for at in group}
    readers: dict[int, set[int]] = {value: set() for at in group_of for value in kernels.written_by(at)}
    for at in range(len(kernels)):
        for value in kernels.read_by(at):
            if value in readers:
                readers[value].add(at)
    made = _Joined(kernels, readers, room)
    since = 0
    for at in sorted(group_of):
        made.add_alone(range(since, at))
        since = at + 1
        if at == group_of[at][-1]:
            made.add_group(group_of[at])
    made.add_alone(range(since, len(kernels)))
    return made.made
