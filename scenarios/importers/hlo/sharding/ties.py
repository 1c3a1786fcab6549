"""Arrays whose dims are the same loops of an instruction: what cuts one cuts the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scenarios.importers.hlo.sharding.cells import Cell, parts_of
from scenarios.importers.hlo.sharding.layouts import Pieces


@dataclass(slots=True)
class Tie:
    """The arrays of an instruction by their loops: for each the dims that it runs over. `plain`: only shapes change."""

    loops: tuple[tuple[tuple[Cell, int], ...], ...]
    plain: bool

    def pass_on(self) -> bool:
        """Cut all alike that may be; whether anything changed. Where two loops want to be cut by one digit, that of the
        larger array is."""
        found = [(places, _longest(places)) for places in self.loops]
        cut = [(places, longest) for places, longest in found if longest]
        cut.sort(key=lambda each: -max(math.prod(cell.sizes) for cell, dim in each[0] if cell.cuts[dim]))
        changed = [_pass_on(places, longest) for places, longest in cut]
        return any(changed)


@dataclass(slots=True)
class Doorway:
    """An array outside and inside of a shard_map over some axes of its mesh: what cuts it by the others is the same.
    `manual`: the digits of the axes that it is over, which cut no array inside."""

    outside: Cell
    inside: Cell
    manual: Pieces
    plain: bool = True

    def pass_on(self) -> bool:
        """Cut both alike by what is not of the shard_map; whether anything changed."""
        changed = False
        for dim, cuts in enumerate(self.outside.cuts):
            own = tuple(piece for piece in cuts if piece in self.manual)
            here = tuple(piece for piece in cuts if piece not in self.manual)
            there = self.inside.cuts[dim]
            if here and not there and self.inside.open[dim] and not self.inside.sizes[dim] % parts_of(here):
                self.inside.cuts[dim] = here
                changed = True
            elif there and not here and self.outside.open[dim]:
                self.outside.cuts[dim] = own + there
                changed = True
        return changed


def _longest(places: Sequence[tuple[Cell, int]]) -> Pieces:
    """How a loop is cut; not at all where two arrays disagree."""
    longest = max((cell.cuts[dim] for cell, dim in places), key=len)
    agreed = all(longest[: len(cell.cuts[dim])] == cell.cuts[dim] for cell, dim in places)
    return longest if agreed else ()


def _pass_on(places: Sequence[tuple[Cell, int]], longest: Pieces) -> bool:
    changed = False
    for cell, dim in places:
        if not cell.open[dim] or cell.cuts[dim] == longest or cell.sizes[dim] % parts_of(longest):
            continue
        if not any(piece in cuts for at, cuts in enumerate(cell.cuts) if at != dim for piece in longest):
            cell.cuts[dim] = longest
            changed = True
    return changed
