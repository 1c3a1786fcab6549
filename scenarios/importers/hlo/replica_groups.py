"""Replica groups, in the ways in which XLA writes them: lists, and iota tiles `[2,4]<=[8]`, `[4,2]<=[2,4]T(1,0)`."""

from __future__ import annotations

import re
from itertools import product

from scenarios.importers.groups import Groups

_GROUP = re.compile(r"[\[{]([\d,\s]+)[\]}]")
_IOTA = re.compile(r"\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
_MOST = 1 << 20


def read_groups(text: str, world: int) -> Groups:
    """The groups that a text lists; everyone where it lists none. Raises ValueError."""
    iota = _IOTA.search(text)
    if iota is not None:
        return _from_iota(*(tuple(map(int, part.split(","))) if part else () for part in iota.groups()))
    found = tuple(tuple(int(rank) for rank in group[1].split(",") if rank.strip()) for group in _GROUP.finditer(text))
    return tuple(group for group in found if group) or (tuple(range(world)),)


def _from_iota(tile: tuple[int, ...], dims: tuple[int, ...], turned: tuple[int, ...]) -> Groups:
    total = 1
    for size in dims:
        total *= size
    if not 0 < total <= _MOST or tile[-1] < 1 or total % tile[-1]:
        raise ValueError("the tile of these replica groups does not fit")
    order = turned or tuple(range(len(dims)))
    if sorted(order) != list(range(len(dims))):
        raise ValueError("these replica groups are turned over dims that they do not have")
    strides = [1] * len(dims)
    for at in range(len(dims) - 2, -1, -1):
        strides[at] = strides[at + 1] * dims[at + 1]
    places = product(*(range(dims[at]) for at in order))
    ranks = [sum(place * strides[at] for place, at in zip(each, order, strict=True)) for each in places]
    return tuple(tuple(ranks[at : at + tile[-1]]) for at in range(0, total, tile[-1]))


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
