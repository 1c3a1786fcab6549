"""How much of a sharded dim each place of a mesh axis gets in proportion to speed, and no more than its memory holds.

Model: the largest part of an axis that fits a chip is the least, over all steps of the program, of (capacity - what every
part needs) / what the whole axis takes. Places that would get more than that get just that, in whole units of the finest
dim over the axis; what they lack is shared by the others in proportion to their speed. Where all together hold too little,
each place is filled in proportion to what it holds, and does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from simulator.graph.op_graph import OpGraph


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes held at one step: what every part of the axis needs, and what the whole axis takes."""

    always: float
    whole: float


def largest(held: Sequence[Held], capacity_bytes: float) -> float | None:
    """The largest part of the axis that fits; None where none does, or any."""
    parts = [(capacity_bytes - each.always) / each.whole for each in held if each.whole > 0]
    most = min(parts, default=math.inf)
    return most if 0 < most < 1 else None


def filled(speeds: Sequence[Fraction], most: Sequence[Fraction | None]) -> tuple[list[Fraction], frozenset[int]]:
    """Parts of places in proportion to their speeds, none above its most; and the places that got less for that."""
    total = sum(speeds)
    parts = [speed / total for speed in speeds]
    full: set[int] = set()
    while over := {
        at for at, part in enumerate(parts) if at not in full and (top := most[at]) is not None and part > top
    }:
        full |= over
        left = 1 - sum((most[at] or Fraction(0)) for at in full)
        slack = sum(speed for at, speed in enumerate(speeds) if at not in full)
        if left <= 0 or not slack:
            tops = [top if top is not None else Fraction(1) for top in most]
            return [top / sum(tops) for top in tops], frozenset(full)
        parts = [most[at] or Fraction(0) if at in full else left * speed / slack for at, speed in enumerate(speeds)]
    return parts, frozenset(full)


def whole_units(part: float, graph: OpGraph, axis: str) -> Fraction:
    """The most that is no more than a part, in whole units of the finest dim over an axis."""
    sizes = [
        graph.dims[dim.size] if isinstance(dim.size, str) else dim.size
        for op in graph.every_op()
        for tensor in (*op.inputs, op.output)
        for dim in tensor.dims
        if axis in dim.axes
    ]
    finest = min(sizes, default=1)
    return Fraction(math.floor(part * finest * (1 + 1e-12)), finest)
