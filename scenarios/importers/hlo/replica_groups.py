"""Replica groups, in the ways in which XLA writes them: lists, iota tiles `[2,4]<=[8]`, `[4,2]<=[2,4]T(1,0)`, and axes of
a mesh, `mesh['a'=4,'b'=2], device_ids=([2,4]T(1,0)) {'a'}`: chips that differ along the axes named last are a group."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import product

from scenarios.importers.groups import Groups

_GROUP = re.compile(r"[\[{]([\d,\s]+)[\]}]")
_IOTA = re.compile(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MESH = re.compile(r"mesh\[([^\]]*)\](?:[^{]*\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))?\s*\{([^}]*)\}")
_AXIS = re.compile(r"'([^']*)'\s*=\s*(\d{1,7})")
_USED = re.compile(r"'([^']*)'(?::\((\d{1,7})\)(\d{1,7}))?")
_MOST = 1 << 20

Piece = tuple[int, int]
"""A digit of a chip's place: its stride, and how many values it takes."""


def groups_of(attributes: Mapping[str, str], world: int) -> Groups:
    """The groups of a collective, by its attributes. Raises ValueError."""
    devices = f" device_ids={attributes['device_ids']}" if "device_ids" in attributes else ""
    return read_groups(attributes.get("replica_groups", "") + devices, world)


def read_groups(text: str, world: int) -> Groups:
    """The groups that a text lists; everyone where it lists none. Raises ValueError."""
    mesh = _MESH.search(text)
    if mesh is not None:
        return _from_mesh(*mesh.groups())
    iota = _IOTA.search(text)
    if iota is not None:
        return _from_iota(*(_wholes(part or "") for part in iota.groups()))
    found = tuple(tuple(int(rank) for rank in group[1].split(",") if rank.strip()) for group in _GROUP.finditer(text))
    return tuple(group for group in found if group) or (tuple(range(world)),)


def _from_mesh(axes: str, dims: str | None, turned: str | None, used: str) -> Groups:
    """Groups along axes of a mesh, or along parts of them (`'a':(2)4`: of size 4, inside of one of size 2)."""
    sizes = {str(name): int(size) for name, size in _AXIS.findall(axes)}
    total = math.prod(sizes.values())
    devices = turned_iota(_wholes(dims or str(total)), _wholes(turned or ""))
    if not sizes or len(devices) != total:
        raise ValueError("the mesh of these replica groups has another size than its devices")
    pieces: list[Piece] = []
    for name, before, part in _USED.findall(used):
        if name not in sizes:
            raise ValueError(f"the mesh of these replica groups has no axis {name}")
        behind = math.prod(list(sizes.values())[list(sizes).index(name) + 1 :])
        length = int(part or sizes[name])
        pieces.append((behind * (sizes[name] // max(1, int(before or 1) * length)), length))
    if any(stride < 1 for stride, _ in pieces):
        raise ValueError("a part of an axis of these replica groups is larger than the axis")
    return groups_along(pieces, devices)


def groups_along(pieces: Sequence[Piece], devices: Sequence[int]) -> Groups:
    """Groups of chips that differ in some digits of their places alone."""
    steps = [0]
    for stride, size in pieces:
        steps = [place + turn * stride for place in steps for turn in range(size)]
    firsts = [at for at in range(len(devices)) if not any(at // stride % size for stride, size in pieces)]
    return tuple(tuple(devices[at + step] for step in steps) for at in firsts)


def _from_iota(tile: tuple[int, ...], dims: tuple[int, ...], turned: tuple[int, ...]) -> Groups:
    ranks = turned_iota(dims, turned)
    if tile[-1] < 1 or len(ranks) % tile[-1]:
        raise ValueError("the tile of these replica groups does not fit")
    return tuple(tuple(ranks[at : at + tile[-1]]) for at in range(0, len(ranks), tile[-1]))


def turned_iota(dims: tuple[int, ...], turned: tuple[int, ...]) -> list[int]:
    """The numbers from 0 on, laid out over dims and read with these turned. Raises ValueError."""
    if not 0 < math.prod(dims) <= _MOST:
        raise ValueError("these chips are none, or more than there can be")
    order = turned or tuple(range(len(dims)))
    if sorted(order) != list(range(len(dims))):
        raise ValueError("chips are turned over dims that they do not have")
    strides = [math.prod(dims[at + 1 :]) for at in range(len(dims))]
    places = product(*(range(dims[at]) for at in order))
    return [sum(place * strides[at] for place, at in zip(each, order, strict=True)) for each in places]


def _wholes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part.strip())


def read_pairs(text: str) -> list[tuple[int, int]]:
    """Pairs of who sends to whom."""
    groups = (tuple(map(int, group[1].split(","))) for group in _GROUP.finditer(text))
    return [(pair[0], pair[1]) for pair in groups if len(pair) == 2]


def ring_of(pairs: list[tuple[int, int]], world: int) -> Groups:
    """The rings along which pairs send: chains, each from its first rank on."""
    target = dict(pairs)
    left = dict.fromkeys(sorted({rank for pair in pairs for rank in pair}))
    rings: list[tuple[int, ...]] = []
    while left:
        rank = next(iter(left))
        ring = []
        while rank in left:
            ring.append(rank)
            del left[rank]
            rank = target.get(rank, -1)
        rings.append(tuple(sorted(ring)))
    return tuple(sorted(rings)) or (tuple(range(world)),)
