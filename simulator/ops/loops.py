"""Which loop of an op runs over each dim of each tensor: dims of one loop are sharded alike.

Model: a dim is known by its name, or by its size where it has none; a name that stands twice in a tensor is two loops.
`line_up` says which dims of an output the dims of an input are: as they stand if there are as many, else in their order
from the right, as in broadcasting. A size of 1 stands for any dim, and a size may stand for a name (whether they are equal
only a call can tell).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from simulator.graph.items import Dim, Op, Tensor

Loops = Sequence[Sequence[str]]
"""A loop's name for each dim of each tensor of an op, the inputs first."""


class Names:
    """Loop names that do not stand twice: the dim's own, with strokes for each further loop of that name."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def fresh(self, size: str | int) -> str:
        """The name or size of a dim, with as many strokes as it takes."""
        label = str(size)
        while label in self._taken:
            label += "'"
        self._taken.add(label)
        return label

    def each(self, dims: Iterable[Dim]) -> list[str]:
        """A loop for each dim."""
        return [self.fresh(dim.size) for dim in dims]


def may_meet(one: Dim, other: Dim) -> bool:
    """Whether two dims may be the same loop: alike, or a name and a size."""
    return one.size == other.size or isinstance(one.size, int) != isinstance(other.size, int)


def line_up(dims: Sequence[Dim], onto: Sequence[Dim]) -> list[int | None] | None:
    """The place in `onto` of each dim, None for a size of 1 that stands for any; None if they do not line up."""
    by_place = _by_place(dims, onto)
    return by_place if by_place and len(dims) == len(onto) else _from_the_right(dims, onto) or by_place


def _by_place(dims: Sequence[Dim], onto: Sequence[Dim]) -> list[int | None] | None:
    """Each dim at its place from the right."""
    shift = len(onto) - len(dims)
    if shift < 0:
        return None
    pairs = list(zip(dims, onto[shift:], strict=True))
    if not all(dim.size == 1 or may_meet(dim, other) for dim, other in pairs):
        return None
    return [None if dim.size == 1 != other.size else at for at, (dim, other) in enumerate(pairs, start=shift)]


def _from_the_right(dims: Sequence[Dim], onto: Sequence[Dim]) -> list[int | None] | None:
    """Each dim at the last one of its name that is free, in their order."""
    places: list[int | None] = []
    at = len(onto)
    for dim in reversed(dims):
        there = next((place for place in range(at - 1, -1, -1) if onto[place].size == dim.size), None)
        if there is None and dim.size != 1:
            return None
        places.insert(0, there)
        at = at if there is None else there
    return places


def from_the_left(dims: Sequence[Dim], onto: Sequence[Dim]) -> list[int | None] | None:
    """The places in `onto` of dims that are left of it, the first ones of those called alike, None for a size of 1 that
    stands for what was summed; None if they are not."""
    places: list[int | None] = []
    at = 0
    for dim in dims:
        there = next((place for place in range(at, len(onto)) if onto[place].size == dim.size), None)
        if there is None and dim.size != 1:
            return None
        places.append(there)
        at = at if there is None else there + 1
    return places


def named_loops(op: Op) -> Loops:
    """Every input lined up with the output; one that does not, its dims by their names, sizes by their place from the
    right."""
    names = Names()
    out = names.each(reversed(op.output.dims))[::-1]
    return [*(_lined_up(tensor, op.output, out) for tensor in op.inputs), out]


def _lined_up(tensor: Tensor, output: Tensor, out: Sequence[str]) -> list[str]:
    places = line_up(tensor.dims, output.dims)
    names = Names()
    own = names.each(reversed(tensor.dims))[::-1]
    if places is None:
        return [
            name if isinstance(dim.size, str) else f"{name}@{len(own) - at}"
            for at, (dim, name) in enumerate(zip(tensor.dims, own, strict=True))
        ]
    return [
        f"{name} of {tensor.name}" if place is None else out[place] for name, place in zip(own, places, strict=True)
    ]


def reduced_loops(op: Op) -> Loops:
    """The loops of an op whose output lacks dims of its input: of dims called alike the last are summed."""
    if len(op.inputs) != 1:
        return named_loops(op)
    places = from_the_left(op.output.dims, op.inputs[0].dims)
    if places is None:
        return named_loops(op)
    names = Names()
    loops = names.each(op.inputs[0].dims)
    return [loops, [names.fresh(1) if place is None else loops[place] for place in places]]


def picked_loops(op: Op) -> Loops:
    """The loops of an op that picks rows: table[V,D...] and index[T...] make [T...,D...]; any other shape by names."""
    if len(op.inputs) != 2:
        return named_loops(op)
    table, index = op.inputs
    made = (*index.dims, *table.dims[1:])
    if len(made) != len(op.output.dims) or not all(map(may_meet, made, op.output.dims)):
        return named_loops(op)
    names = Names()
    picked, rest = names.each(index.dims), names.each(table.dims[1:])
    return [[*names.each(table.dims[:1]), *rest], picked, [*picked, *rest]]
