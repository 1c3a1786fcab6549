"""How a sharded dim is shared out over unlike chips: evenly, in proportion to their speed, or by given weights.

Model: along each mesh axis every place has a weight; the parts of a dim over the axis are in proportion to the weights,
rounded down, and what is left goes to the largest remainders: whole numbers that add up to the dim, whichever place has
which weight. In proportion: the weight of a place is the speed of its slowest chip, and a chip's speed is one over what the
whole graph's kernels take it alone, each at its roofline (matrix peak where compute binds, HBM bandwidth where memory
does); collectives, whose bytes are not shared out, do not count. An axis along which all places are alike stays even.
Chips of one kind whose parts have the same sizes are one variant: their kernels are the same. A weight of 0 is a place
that has nothing. What single ops cut (`shares=`) is in `simulator.passes.parts`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from hw import Chip, System
from hw.input import shown
from hw.rows import Memo, rowwise
from hw.systems import mesh_problems
from simulator.graph.op_graph import OpGraph
from simulator.graph.shares import filled

SPLITS = ("equal", "proportional")

Weights = Mapping[str, Sequence[Fraction]]
"""By mesh axis, the weight of each place along it; axes that are cut evenly are not in it."""

Own = Mapping[str | int, Mapping[str, Sequence[Fraction]]]
"""By dim, the weights of the places along some axes together by which that dim alone is cut."""


@dataclass(frozen=True)
class Cut:
    """The part of one chip: its place along each axis, or several together, over which something is cut unevenly."""

    weights: Weights
    place: Mapping[str, int]
    extent: Callable[[str], int]
    own: Own = field(default_factory=dict)
    _sizes: Memo[tuple[int, str, str | int], int] = field(default_factory=Memo, init=False, compare=False, repr=False)

    def parts(self, dim: str | int, axes: str) -> Weights:
        """The weights by which a dim over `axes` is cut unevenly, by the axes that they are along."""
        if not axes or not (self.weights or self.own):
            return {}
        own = {over: parts for over, parts in self.own.get(dim, {}).items() if set(over) <= set(axes)}
        taken = "".join(own)
        return {axis: self.weights[axis] for axis in axes if axis in self.weights and axis not in taken} | own

    def size(self, size: int, axes: str, dim: str | int = "") -> int:
        """How much of a dim over `axes` the chip has; what is cut evenly is rounded up."""
        if not axes:
            return size
        key = (size, axes, dim)
        known = self._sizes.get(key)
        return self._sizes.put(key, self._size(size, axes, dim)) if known is None else known

    def _size(self, size: int, axes: str, dim: str | int) -> int:
        uneven = self.parts(dim, axes)
        even = "".join(axis for axis in axes if axis not in "".join(uneven))
        if not uneven:
            return -(-size // self.extent(even))
        here = 0
        for over, weights in uneven.items():
            here = here * len(weights) + self.place[over]
        ends = _ends(size, uneven)
        return -(-(ends[here + 1] - ends[here]) // self.extent(even))

    def begins(self, size: int, axes: str, dim: str | int = "") -> Sequence[int]:
        """Where along a dim over `axes` the parts begin that are as large as the chip's; those of parts that are cut evenly
        are a range."""
        if not axes and size:
            return range(1)  # the whole dim is one part, however large it is
        part, uneven = self.size(size, axes, dim), self.parts(dim, axes)
        if not uneven:
            return range(0, size, part or 1)
        pieces = self.extent("".join(axis for axis in axes if axis not in "".join(uneven)))
        alike = [(begin, end) for begin, end in pairwise(_ends(size, uneven)) if -(-(end - begin) // pieces) == part]
        return [at for begin, end in alike for at in range(begin, end, part or 1)]


def _ends(size: int, uneven: Weights) -> Sequence[int]:
    """Where along a dim the part of each place begins, and where the last one ends.

    Places along several axes are numbered with the last of them running fastest."""
    shares = tuple(
        _product(weights[at] for weights, at in zip(uneven.values(), places, strict=True))
        for places in itertools.product(*(range(len(weights)) for weights in uneven.values()))
    )
    return rowwise(_cut, size, shares)


def _cut(size: int, shares: Sequence[Fraction]) -> tuple[int, ...]:
    """Where whole parts in proportion to some shares begin, and where the last one ends. Units that are left go to the
    largest remainders, of equal ones to the largest shares: by place among alike ones alone."""
    total = sum(shares)
    exact = [size * share / total for share in shares]
    parts = [math.floor(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda at: (exact[at] - parts[at], shares[at]), reverse=True)
    for at in order[: size - sum(parts)]:
        parts[at] += 1
    return tuple(itertools.accumulate(parts, initial=0))


def _product(factors: Iterator[Fraction]) -> Fraction:
    result = Fraction(1)
    for factor in factors:
        result *= factor
    return result


@dataclass(frozen=True)
class Split:
    """The variants of a graph's kernels: the kind of chip and the cut of each, and the variant of every chip."""

    chips: Sequence[Chip]
    cuts: Sequence[Cut | None]
    variant_of: Sequence[int]
    full: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """The chips that get less than their speed would have, for their memory is full, by axis."""


def uneven_axes(graph: OpGraph, system: System) -> frozenset[str]:
    """The mesh axes along which dims may be cut unevenly."""
    if graph.split == "equal":
        return frozenset()
    if graph.split == "proportional":
        return frozenset(axis for axis in system.mesh.axes if _differs(system, axis))
    return frozenset(graph.split)


def split_problems(graph: OpGraph, system: System) -> Iterator[tuple[str, str]]:
    """What is wrong with given weights: the axis ('' for the whole) and the message."""
    if isinstance(graph.split, str):
        if graph.split not in SPLITS:
            yield "", f"split {shown(graph.split)} is unknown; it is equal, proportional, or weights by mesh axis"
        return
    for axis, weights in graph.split.items():
        if axis not in system.mesh.names:
            yield (
                axis,
                f"there is no mesh axis {shown(axis)} to split; the mesh has {', '.join(system.mesh.names) or 'none'}",
            )
        elif len(weights) != system.mesh.extent(axis):
            yield axis, f"axis {axis} has {system.mesh.extent(axis)} places, split gives {len(weights)} weights"
        elif not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
            yield axis, f"the weights of axis {axis} must be 0 or more, and one of them more than 0"


@dataclass(frozen=True, slots=True)
class Able:
    """What chips of a kind can do with a graph: seconds alone, and the largest part of an axis that fits (None: any)."""

    seconds: Callable[[Chip], float]
    most: Callable[[str, Chip], Fraction | None]


def split_of(graph: OpGraph, system: System, able: Able, own: Own) -> Split:
    """How the graph's dims are cut on the system; `own` is how its ops cut some dims."""
    weights, full = _weights(graph, system, able)
    if not weights and not own:
        return Split(system.kinds, [None] * len(system.kinds), system.kind_of)
    along = dict.fromkeys((*weights, *(axes for cut in own.values() for axes in cut)))
    places = {axes: places_along(system, axes) for axes in along}
    uses = sorted(
        {
            (graph.dims[dim.size] if isinstance(dim.size, str) else dim.size, dim.axes, str(dim.size), dim.size)
            for op in graph.every_op()
            for tensor in (*op.inputs, op.output)
            for dim in tensor.dims
            if not weights.keys().isdisjoint(dim.axes) or dim.size in own
        },
        key=lambda use: use[:3],
    )
    chips: list[Chip] = []
    cuts: list[Cut | None] = []
    variant_of: list[int] = []
    known: dict[tuple[int, tuple[int, ...]], int] = {}
    sizes: dict[tuple[int, ...], tuple[int, ...]] = {}
    for chip, kind in enumerate(system.kind_of):
        here = tuple(places[axes][chip] for axes in along)
        cut = Cut(weights, dict(zip(along, here, strict=True)), system.mesh.extent, own)
        if here not in sizes:
            sizes[here] = tuple(cut.size(size, axes, dim) for size, axes, _, dim in uses)
        key = (kind, sizes[here])
        if key not in known:
            known[key] = len(chips)
            chips.append(system.kinds[kind])
            cuts.append(cut)
        variant_of.append(known[key])
    return Split(chips, cuts, variant_of, full)


def _weights(graph: OpGraph, system: System, able: Able) -> tuple[Weights, Mapping[str, Sequence[int]]]:
    """The weights along each axis, and the chips whose memory does not hold what their speed would give them."""
    axes = uneven_axes(graph, system)
    if not isinstance(graph.split, str):
        return {axis: [Fraction(weight) for weight in graph.split[axis]] for axis in sorted(axes)}, {}
    if not axes:
        return {}, {}
    alone = [able.seconds(chip) for chip in system.kinds]
    if not all(alone):
        return {}, {}  # nothing to do is shared evenly
    found: dict[str, list[Fraction]] = {}
    full: dict[str, Sequence[int]] = {}
    for axis in sorted(axes):
        places = places_along(system, axis)
        slowest = [Fraction(0)] * system.mesh.axes[axis]
        tops: list[Fraction | None] = [None] * len(slowest)
        most = [able.most(axis, chip) for chip in system.kinds]
        for chip, place in enumerate(places):
            slowest[place] = max(slowest[place], Fraction(alone[system.kind_of[chip]]))
            if (top := most[system.kind_of[chip]]) is not None:
                tops[place] = min(top, tops[place] or top)
        parts, capped = filled([1 / each for each in slowest], tops)
        if capped:
            full[axis] = [chip for chip, place in enumerate(places) if place in capped]
        if len(set(parts)) > 1:
            found[axis] = parts
    return found, full


def _differs(system: System, axis: str) -> bool:
    """Whether the chips at two places along an axis are of different kinds."""
    at_place: dict[int, set[int]] = {}
    for chip, place in enumerate(places_along(system, axis)):
        at_place.setdefault(place, set()).add(system.kind_of[chip])
    return len({frozenset(kinds) for kinds in at_place.values()}) > 1


def places_along(system: System, axis: str) -> list[int]:
    """The place of every chip along a mesh axis, several together, or a named group (0 for those that are in none, and for
    all where the mesh does not fit its wiring: that is told, and who stands where is not known)."""
    places = [0] * system.size
    if any(mesh_problems(system.mesh.axes, system.topology)):
        return places
    for group in system.groups(axis):
        for at, chip in enumerate(group):
            places[chip] = at
    return places


def with_weight(axes: str, weights: Mapping[str, Sequence[float]], system: System) -> int:
    """How many places along some axes are to get a part."""
    return math.prod(sum(map(bool, weights[axis])) if axis in weights else system.mesh.extent(axis) for axis in axes)
