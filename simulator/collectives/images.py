"""Groups that are images of each other: what one of them asks, wire by wire, the others ask of theirs.

Model: a collective over mesh axes has a group for each place along the other axes. Those are one group, moved; where what
it can see of the wiring moves along, its collective does, too, and is priced once. What a group sees is its wires (those
between its chips, the ports of its chips, the trunks that these are behind), their figures, and which of them meet at a
node: two groups of chips in the same order are alike where all of that is, place by place. That is looked up in columns.
Assumes: wirings of lattices, full meshes, switches and trees, whose ways depend on nothing else; a transfer that asks
anything of other wires has no images. Chips of graphs are ordered by their numbers here and there, so they have none either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.network import WIRINGS, WireColumns
from hw.rows import told_apart
from simulator.collectives.group import Group
from simulator.collectives.transfer import Transfer

WORTH = 128
"""Chips of all groups below which each group is priced by itself: finding images costs as much."""


def has_images(group: Group) -> bool:
    """Whether all that a group's collective depends on is what the group sees."""
    if any(level.drawn for level in group.topology.levels) or group.topology.order is not None:
        return False
    kinds = [WIRINGS[piece.kind] for piece in group.pieces]
    return group.router.routing != "ecmp" and all(kind.neighbours or kind.any_places for kind in kinds)


@dataclass(frozen=True, eq=False)
class Images:
    """Groups that are images of the first of them: which they are, and the wires that each sees, those of one place in one
    column."""

    groups: Any
    wires: Any

    def transfers(self, first: Transfer) -> Iterator[Transfer] | None:
        """What each group asks, given what the first does; None where that asks anything of wires that it does not see."""
        column = {wire: at for at, wire in enumerate(self.wires[0].tolist())}
        phases = []
        for loads in first.phases:
            if not column.keys() >= loads.keys():
                return None
            phases.append((self.wires[:, [column[wire] for wire in loads]].tolist(), list(loads.values())))
        return (
            Transfer(
                tuple(dict(zip(rows[at], nbytes, strict=True)) for rows, nbytes in phases),
                first.latency_s,
                first.sent_bytes,
                first.cores,
            )
            for at in range(len(self.groups))
        )


def images_of(columns: WireColumns, rates: Any, groups: Sequence[Sequence[int]]) -> Images:
    """Of some groups those that are images of the first, itself included. `rates`: bytes/s by wire of the columns."""
    size = len(groups[0])
    number = np.asarray([at for at, group in enumerate(groups) if len(group) == size])
    chips = np.asarray([groups[at] for at in number])
    moved = (chips - chips[:, :1] == chips[0] - chips[0, 0]).all(axis=1)
    sight = _Sight(columns, rates[: len(columns.source)], number[moved], chips[moved])
    for looks in (sight.inside, sight.ports, sight.trunks):
        looks()
    return Images(sight.number, np.concatenate(sight.wires, axis=1))


class _Sight:
    """What groups see, a row each; those that see something else than the first drop out, look by look."""

    def __init__(self, columns: WireColumns, rates: Any, number: Any, chips: Any) -> None:
        self._columns = columns
        self._figures = np.vstack([columns.figures, told_apart(rates)])
        self.number, self.chips = number, chips
        self.wires: list[Any] = []

    def _keep(self, alike: Any) -> None:
        if not alike.all():
            self.number, self.chips = self.number[alike], self.chips[alike]
            self.wires = [wires[alike] for wires in self.wires]

    def _see(self, wires: Any, there: Any) -> None:
        """Wires by group and place; `there`: the groups that have them all."""
        self._keep(there)
        wires = wires[there]
        figures = self._figures[:, wires]
        alike = (figures == figures[:, :1]).all(axis=(0, 2))
        alike &= _meet_alike(np.hstack([self._columns.source[wires], self._columns.target[wires]]))
        self._keep(alike)
        self.wires.append(wires[alike])

    def inside(self) -> None:
        """The wires between chips of a group: by their ends, and which of several."""
        columns, chips = self._columns, self.chips
        size = int(max(columns.source.max(), columns.target.max())) + 1
        ends = columns.source * size + columns.target
        order = np.argsort(ends, kind="stable")
        ends = ends[order]
        place = np.full(size, -1)
        place[chips[0]] = np.arange(chips.shape[1])
        here, there = place[columns.source[order]], place[columns.target[order]]
        seen = np.flatnonzero((here >= 0) & (there >= 0))
        which = seen - np.searchsorted(ends, ends[seen])
        wanted = chips[:, here[seen]] * size + chips[:, there[seen]]
        found = np.minimum(np.searchsorted(ends, wanted) + which, len(ends) - 1)
        self._see(order[found], (ends[found] == wanted).all(axis=1) & (self._joined() == len(seen)))

    def _joined(self) -> Any:
        """How many wires there are between the chips of each group."""
        group = np.full(int(max(self._columns.source.max(), self._columns.target.max())) + 1, -1)
        group[self.chips] = np.arange(len(self.chips))[:, None]
        here, there = group[self._columns.source], group[self._columns.target]
        return np.bincount(here[(here >= 0) & (here == there)], minlength=len(self.chips))

    def ports(self) -> None:
        """The wires between a group's chips and what is no chip."""
        ports = self._columns.ports
        self._keep((ports.lengths(self.chips) == ports.lengths(self.chips[0])).all(axis=1))
        which, place = ports.places(self.chips[0])
        self._see(ports.values[ports.starts[self.chips[:, which]] + place], np.ones(len(self.chips), bool))

    def trunks(self) -> None:
        """The wires of the trunks that its chips are behind, each trunk once."""
        trunks, wires = self._columns.trunks, self._columns.of_trunk
        self._keep((trunks.lengths(self.chips) == trunks.lengths(self.chips[0])).all(axis=1))
        which, place = trunks.places(self.chips[0])
        behind = trunks.values[trunks.starts[self.chips[:, which]] + place]
        alike = _meet_alike(behind) & (wires.lengths(behind) == wires.lengths(behind[0])).all(axis=1)
        self._keep(alike)
        once = np.sort(np.unique(behind[0], return_index=True)[1])
        behind = behind[alike][:, once]
        which, place = wires.places(behind[0])
        self._see(wires.values[wires.starts[behind[:, which]] + place], np.ones(len(behind), bool))


def _meet_alike(rows: Any) -> Any:
    """By row, whether equal numbers stand in the places where they do in the first row, and there alone."""
    _, first, meets = np.unique(rows[0], return_index=True, return_inverse=True)
    distinct = np.sort(rows[:, first], axis=1)
    apart: Any = (distinct[:, 1:] != distinct[:, :-1]).all(axis=1)
    return apart & (rows == rows[:, first][:, meets]).all(axis=1)
