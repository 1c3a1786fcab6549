"""A ring through all chips of a lattice over links between neighbours: a Hamiltonian cycle, where there is one.

Model: axes are taken one after the other; the places so far are the columns of a table, those of the next axis its rows.
- Forwards and backwards by turns through the rows but for the first column, and back along that: closes where the rows are
  even in number, or where the columns are a ring.
- The same with rows and columns exchanged.
- Else the snake: neighbours all along, which an axis further out can still close. An odd grid has no ring: of the two
  colours of a chessboard it has unequally many.
Source: Hamiltonian cycles in products of cycles and paths, e.g. Imrich and Klavzar, "Product Graphs", 2000.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.network import WIRINGS, routed_axis
from simulator.collectives.axis_forms import forms_of
from simulator.collectives.group import AxisGroup, Group

Place = tuple[int, ...]


def ring_order(sizes: Sequence[int], wraps: Sequence[bool]) -> list[Place] | None:
    """The places of a lattice in an order in which each is a neighbour of the one before, and the first of the last; None
    if there is none. `wraps`: which axes are rings."""
    order: list[Place] = [(at,) for at in range(sizes[0])]
    closed = wraps[0]
    for size, wrapped in zip(sizes[1:], wraps[1:], strict=True):
        order, closed = _product(order, closed, size, wrapped)
    return order if closed else None


def _product(order: Sequence[Place], closed: bool, size: int, wrapped: bool) -> tuple[list[Place], bool]:
    """The order of a table whose columns are `order` (a ring if `closed`) and whose rows are an axis of `size`."""
    width = len(order)
    if closed or size % 2 == 0:
        return [(*order[column], row) for row, column in _there_and_back(size, width)], True
    if wrapped or width % 2 == 0:
        return [(*order[column], row) for column, row in _there_and_back(width, size)], True
    snake = [(row, column if row % 2 == 0 else width - 1 - column) for row in range(size) for column in range(width)]
    return [(*order[column], row) for row, column in snake], False


def _there_and_back(rows: int, columns: int) -> list[tuple[int, int]]:
    """(row, column): through all columns but the first, row by row, and back along the first."""
    there = [(row, column if row % 2 == 0 else columns - column) for row in range(rows) for column in range(1, columns)]
    return [*there, *((row, 0) for row in reversed(range(rows)))]


def goes_round(group: Group) -> bool:
    """Whether a ring goes through a group: over links between neighbours if it is a lattice, else over routes."""
    return not _one_lattice(group) or _around(group) is not None


def ring_through(group: Group) -> AxisGroup:
    """All chips along one axis: their own, around a lattice over links between neighbours, or in their order over routes."""
    order = _around(group) if _one_lattice(group) else None
    if order is None:
        return group.as_one
    strides = [piece.stride for piece in group.pieces]
    places = [sum(at * stride for at, stride in zip(place, strides, strict=True)) for place in order]
    return AxisGroup(group, [group.chips[place] for place in places], routed_axis(group.size))


def _one_lattice(group: Group) -> bool:
    """Whether a group lies along several axes of one torus or grid."""
    lattice = all(forms_of(piece.kind).lattice for piece in group.pieces)
    return lattice and len(group.pieces) > 1 and len({piece.level for piece in group.pieces}) == 1


def _around(group: Group) -> list[Place] | None:
    return ring_order([piece.size for piece in group.pieces], [WIRINGS[piece.kind].wraps for piece in group.pieces])
