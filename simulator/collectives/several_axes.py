"""Gathers over several axes and levels: which part of V goes along which axis, and in which order.

Model: levels follow each other, outer ones first (a scatter: backwards), as a pipeline: the slowest decides. Inside a level
V is cut into branches that go side by side, each through all axes in its own order, so that every axis is busy at once:
along the j-th axis of its order a branch gathers its part of V over the sizes of those after.
- Axes that all wrap: the parts are such that every wire is busy for as long, and both ways of every ring carry as much.
  A chip lacks V (N-1)/N, which would take V (N-1)/N / sum(W_both); the textbook counts V, so each message is longer by
  N/(N-1): V / sum(W_both).
- Some axes do not wrap: one branch of V/d for each of d axes (an approximation: 3/4 V / (2 W) on a 2x2 grid).
Source: "How to Scale Your Model", chapter on sharding (several axes); DESIGN section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hw import Axis
from simulator.collectives.one_axis import balanced_gather, forms
from simulator.collectives.transfer import Group, Transfer, added


@dataclass(frozen=True, slots=True)
class Leg:
    """A gather of `nbytes` along one axis, on all of its lines; `balanced`: both ways of a ring carry as much."""

    piece: Axis
    nbytes: float
    balanced: bool = False


Branch = tuple[Leg, ...]
"""Legs one after the other, in the order of a gather."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Branches side by side. `even_bytes`: where every wire is busy for as long, the V that they gather together."""

    branches: tuple[Branch, ...]
    even_bytes: float = 0.0

    def backwards(self) -> Stage:
        """The same for a scatter."""
        return Stage(tuple(branch[::-1] for branch in self.branches), self.even_bytes)


def gather_stages(group: Group, nbytes: float) -> list[Stage]:
    """The stages of a gather of `nbytes`, in their order: outer levels first."""
    found: list[Stage] = []
    inner = 1
    for _, pieces in groupby(group.pieces, key=lambda piece: piece.level):
        here = tuple(pieces)
        found.append(_level(group, here, nbytes / inner))
        inner *= math.prod(piece.size for piece in here)
    return found[::-1]


def one_by_one(group: Group, nbytes: float) -> list[Stage]:
    """One axis after the other, outside in."""
    found: list[Stage] = []
    for piece in group.pieces:
        found.append(Stage(((Leg(piece, nbytes),),)))
        nbytes /= piece.size
    return found[::-1]


def _level(group: Group, pieces: tuple[Axis, ...], nbytes: float) -> Stage:
    if len(pieces) == 1:
        return Stage(((Leg(pieces[0], nbytes),),))
    orders = [[*pieces[turn:], *pieces[:turn]] for turn in range(len(pieces))]
    wrapped = all(piece.kind == "ring" for piece in pieces)
    size = math.prod(piece.size for piece in pieces)
    parts = _parts(group, pieces, orders) if wrapped else [1.0 / len(pieces)] * len(pieces)
    whole = nbytes * size / (size - 1) if wrapped else nbytes
    branches = [_branch(order, whole * part, wrapped) for order, part in zip(orders, parts, strict=True) if part > 0]
    return Stage(tuple(branches), nbytes if wrapped and len(branches) == len(pieces) else 0.0)


def _branch(order: Sequence[Axis], nbytes: float, balanced: bool) -> Branch:
    legs: list[Leg] = []
    for piece in reversed(order):
        legs.append(Leg(piece, nbytes, balanced))
        nbytes /= piece.size
    return tuple(legs[::-1])


def _parts(group: Group, pieces: Sequence[Axis], orders: Sequence[Sequence[Axis]]) -> list[float]:
    """The part of V of each order, such that all wires are busy for as long.

    A wire of an axis of n carries (n-1)/(2n) of what a branch gathers along it. Axes of one pace always balance; where
    much slower ones do not, what cannot be below 0 is 0, and the slowest axis decides.
    """
    count = len(pieces)
    system = np.zeros((count + 1, count + 1))
    for row, piece in enumerate(pieces):
        for column, order in enumerate(orders):
            after = math.prod(each.size for each in order[order.index(piece) + 1 :])
            system[row, column] = (piece.size - 1) / (2 * piece.size) / after
        system[row, count] = -_slowest(group, piece)
    system[count, :count] = 1.0
    parts = np.linalg.solve(system, [*(0.0,) * count, 1.0])[:count]
    parts = np.where(parts > 1e-12, parts, 0.0)
    return [float(part) for part in parts / parts.sum()]


def _slowest(group: Group, piece: Axis) -> float:
    wires = (wire for line in group.along(piece) for wire in (*line.steps(True), *line.steps(False)))
    return min(group.bytes_per_s(wire) for wire in wires)


def along(group: Group, leg: Leg, scatter: bool = False) -> Transfer:
    """One leg, on all of its lines side by side."""
    lines = [
        balanced_gather(line, leg.nbytes) if leg.balanced else forms(line).gather(line, leg.nbytes, scatter)
        for line in group.along(leg.piece)
    ]
    return side_by_side(lines)


def side_by_side(lines: Sequence[Transfer]) -> Transfer:
    """Transfers of different chips at the same time, phase by phase."""
    longest = max((len(line.phases) for line in lines), default=0)
    phases = [[line.phases[at] for line in lines if at < len(line.phases)] for at in range(longest)]
    return Transfer(
        tuple(added(*loads) for loads in phases),
        max((line.latency_s for line in lines), default=0.0),
        max((line.sent_bytes for line in lines), default=0.0),
    )


def gathered(group: Group, stages: Sequence[Stage], scatter: bool = False) -> Transfer:
    """All stages as one pipelined phase: bytes side by side, the latencies of the stages one after the other."""
    loads: dict[int, float] = {}
    latency_s = sent = 0.0
    for stage in stages:
        here = _even(group, stage) if stage.even_bytes else _side_by_side(group, stage, scatter)
        loads = added(loads, *here.phases)
        latency_s += here.latency_s
        sent += here.sent_bytes
    return Transfer((loads,), latency_s, sent)


def _side_by_side(group: Group, stage: Stage, scatter: bool) -> Transfer:
    """The branches of a stage together."""
    found = []
    for branch in stage.branches:
        legs = [along(group, leg, scatter) for leg in branch]
        loads = added(*(phase for leg in legs for phase in leg.phases))
        found.append(Transfer((loads,), sum(leg.latency_s for leg in legs), sum(leg.sent_bytes for leg in legs)))
    loads = added(*(each.phases[0] for each in found))
    return Transfer((loads,), max(each.latency_s for each in found), sum(each.sent_bytes for each in found))


def _even(group: Group, stage: Stage) -> Transfer:
    """V / sum(W_both) and half of every ring's hops: the sum over the branches, to the last digit."""
    pieces = [leg.piece for leg in stage.branches[0]]
    wires = {
        piece: [wire for line in group.along(piece) for wire in (*line.steps(True), *line.steps(False))]
        for piece in pieces
    }
    paces = {piece: min(group.bytes_per_s(wire) for wire in here) for piece, here in wires.items()}
    both = sum(2 * pace for pace in paces.values())
    loads = {wire: stage.even_bytes * paces[piece] / both for piece, here in wires.items() for wire in here}
    hops = sum(piece.size // 2 * group.line.hop_s(wires[piece]) for piece in pieces)
    size = math.prod(piece.size for piece in pieces)
    return Transfer((loads,), hops, stage.even_bytes * (size - 1) / size)
