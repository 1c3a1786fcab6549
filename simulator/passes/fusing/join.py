"""Several kernels as one: what it reads, writes and computes, how it is tiled, and what it spills.

Model: what passes between members stays on chip, unless others need it: then it is written too.
- Live intermediates must fit on chip, at the smallest tile the units allow; the largest ones that do not are spilled:
  written and read back, which costs exactly what fusing them had saved. Of equally large ones it is that which costs least,
  of these the one that is needed longest, then the one that is made first: names decide nothing.
Laws: FLOPs are kept; HBM bytes never grow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from simulator.graph.dtypes import widest
from simulator.ops.kernel import Access, Kernel, Tile, Tiling

SPILL, BACK = "spill", "back"
"""What is spilled is written under a name of its own, unless it is written anyway, and read back."""


def spilled_name(name: str, word: str) -> str:
    """What is read back of a tensor, and what is written for that."""
    return f"{name}/{word}"


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


def join(
    members: Sequence[Kernel], places: Sequence[int], readers: Mapping[str, set[int]], rooms: Sequence[Room]
) -> Kernel:
    """One kernel that does what `members` do; `places` are theirs in the program, `readers` say who reads each tensor."""
    inside = set(places)
    made = {access.tensor: access for kernel in members for access in kernel.writes}
    kept = {name for name in made if not readers.get(name) or readers[name] - inside}
    reads = _reads_from_outside(members, made)
    within = [name for name in made if readers.get(name, set()) & inside]
    traffic = {name: 0.0 if name in kept else made[name].nbytes for name in within}
    too_large = {name for room in rooms for name in _spills(members, traffic, room)}
    spilled = [name for name in within if name in too_large]
    anchor = max(members, key=lambda kernel: (kernel.matrix_flops, kernel.hbm_bytes))
    first = members[0]
    back = tuple(_spill_reads(members, spilled, kept))
    everything = (*reads, *back)
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
            *(replace(made[name], tensor=spilled_name(name, SPILL)) for name in spilled if name not in kept),
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
    at = {(access.tensor, access.view): place for place, access in enumerate(anchor.reads)}
    places = tuple(at.get((access.tensor, access.view), -1) for access in reads)
    shares = (
        anchor.reads[place].nbytes / access.nbytes if place >= 0 and access.nbytes else 1.0
        for place, access in zip(places, reads, strict=True)
    )
    return FusedTiling(anchor.tiling, places, tuple(shares))


def _reads_from_outside(members: Sequence[Kernel], made: Collection[str]) -> list[Access]:
    """What the group takes in: each tensor once, as often as the member does that reads it most. Of a tensor that is read
    through several views each part is taken in, but no more than there is of it."""
    parts: dict[str, dict[str, Access]] = {}
    for kernel in members:
        for access in kernel.reads:
            if access.tensor in made:
                continue
            views = parts.setdefault(access.tensor, {})
            known = views.get(access.view)
            if known is None or access.nbytes > known.nbytes:
                views[access.view] = access
    return [access for views in parts.values() for access in _within(list(views.values()))]


def _within(parts: Sequence[Access]) -> Iterator[Access]:
    """Parts of one tensor, the later ones cut where all that there is of it has been read."""
    whole = max((access.nbytes for access in parts if not access.view), default=parts[0].whole)
    left = max(whole, *(access.nbytes for access in parts)) if len(parts) > 1 else parts[0].nbytes
    for access in parts:
        yield access if access.nbytes <= left else replace(access, nbytes=left)
        left -= min(left, access.nbytes)


def _spill_reads(members: Sequence[Kernel], spilled: Sequence[str], kept: Collection[str]) -> Iterator[Access]:
    for kernel in members:
        for access in kernel.reads:
            if access.tensor in spilled:
                yield replace(access, tensor=spilled_name(access.tensor, BACK if access.tensor in kept else SPILL))


def _spills(members: Sequence[Kernel], internal: Mapping[str, float], room: Room) -> set[str]:
    """The intermediates that do not fit on chip beside each other. One that is written anyway, because others need it, is
    then only read back. `internal`: in the order in which they are made, the bytes that writing each would add."""
    sizes = _tile_bytes(members, internal, room)
    if sum(sizes.values()) <= room.nbytes:
        return set()
    used, traffic = _uses(members, internal)
    live: dict[str, float] = {}
    spilled: set[str] = set()
    for at, kernel in enumerate(members):
        live = {name: size for name, size in live.items() if used[name] >= at}
        live |= {access.tensor: sizes[access.tensor] for access in kernel.writes if access.tensor in sizes}
        while sum(live.values()) > room.nbytes:
            # of equals the first that is made: `max` takes the first
            largest = max(live, key=lambda name: (live[name], -traffic[name], used[name]))
            del live[largest]
            spilled.add(largest)
    return spilled


def _uses(members: Sequence[Kernel], internal: Mapping[str, float]) -> tuple[dict[str, int], dict[str, float]]:
    """By intermediate the last member that reads it, and the bytes that spilling it would cost."""
    used: dict[str, int] = {}
    traffic = dict(internal)
    for at, kernel in enumerate(members):
        for access in kernel.reads:
            if access.tensor in traffic:
                used[access.tensor] = at
                traffic[access.tensor] += access.nbytes
    return used, traffic


def _tile_bytes(members: Sequence[Kernel], internal: Collection[str], room: Room) -> dict[str, float]:
    """By intermediate the least of it that must be on chip at once, twice over: a unit tile, a whole row for who reduces
    rows, a unit's width of whole rows for who contracts them."""
    rows, columns = room.unit
    tiles = dict.fromkeys(internal, rows * columns)
    for kernel in members:
        row = kernel.row_elements * (columns if kernel.contractions else 1)
        for access in kernel.reads:
            if access.tensor in tiles:
                tiles[access.tensor] = max(tiles[access.tensor], row)
    made = (access for kernel in members for access in kernel.writes if access.tensor in tiles)
    return {access.tensor: min(2.0 * tiles[access.tensor] * access.item_bytes, access.nbytes) for access in made}
