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
from hw.network import WIRINGS
from hw.rows import largest, largest_quotient, rowwise, smallest
from simulator.collectives.axes.leaves import leaves_of
from simulator.collectives.axes.ring import balanced_gather, balanced_rounds
from simulator.collectives.axis_forms import forms_of
from simulator.collectives.group import Group
from simulator.collectives.rounds import Rounds, append, merged, slices
from simulator.collectives.transfer import Transfer, added


@dataclass(frozen=True, slots=True)
class Leg:
    """A gather of `nbytes` along one axis, in all groups along it; `balanced`: both ways of a ring carry as much."""

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
    # long axes first, whichever comes first in the name: a grid(2,3,4) is a grid(4,3,2)
    pieces = tuple(sorted(pieces, key=lambda piece: (-piece.size, piece.kind)))
    orders = [[*pieces[turn:], *pieces[:turn]] for turn in range(len(pieces))]
    wrapped = all(WIRINGS[piece.kind].wraps for piece in pieces)
    size = math.prod(piece.size for piece in pieces)
    parts = (1.0 / len(pieces),) * len(pieces)
    if wrapped:
        paces = tuple(_slowest(group, piece) for piece in pieces)
        parts = rowwise(lambda each: _parts(each, pieces, orders), paces)
    whole = nbytes * size / (size - 1) if wrapped else nbytes
    branches = [_branch(order, whole * part, wrapped) for order, part in zip(orders, parts, strict=True) if part > 0]
    return Stage(tuple(branches), nbytes if wrapped and len(branches) == len(pieces) else 0.0)


def _branch(order: Sequence[Axis], nbytes: float, balanced: bool) -> Branch:
    legs: list[Leg] = []
    for piece in reversed(order):
        legs.append(Leg(piece, nbytes, balanced))
        nbytes /= piece.size
    return tuple(legs[::-1])


def _parts(paces: tuple[float, ...], pieces: Sequence[Axis], orders: Sequence[Sequence[Axis]]) -> tuple[float, ...]:
    """The part of V of each order, such that all wires are busy for as long; `paces`: of the slowest wire of each axis.

    A wire of an axis of n carries (n-1)/(2n) of what a branch gathers along it. Axes of one pace always balance; where
    much slower ones do not, what cannot be below 0 is 0, and the slowest axis decides.
    """
    count = len(pieces)
    system = np.zeros((count + 1, count + 1))
    for row, piece in enumerate(pieces):
        for column, order in enumerate(orders):
            after = math.prod(each.size for each in order[order.index(piece) + 1 :])
            system[row, column] = (piece.size - 1) / (2 * piece.size) / after
        system[row, count] = -paces[row]
    system[count, :count] = 1.0
    parts = np.linalg.solve(system, [*(0.0,) * count, 1.0])[:count]
    parts = np.where(parts > 1e-12, parts, 0.0)
    return tuple((parts / parts.sum()).tolist())


def _slowest(group: Group, piece: Axis) -> float:
    wires = (wire for along in group.along(piece) for wire in (*along.steps(True), *along.steps(False)))
    return smallest(group.bytes_per_s(wire) for wire in wires)


def leg_transfer(group: Group, leg: Leg, scatter: bool) -> Transfer:
    """What one leg asks, in all groups along its axis."""
    gather = forms_of(leg.piece.kind).gather
    return side_by_side(
        [
            balanced_gather(along, leg.nbytes) if leg.balanced else gather(along, leg.nbytes, scatter)
            for along in group.along(leg.piece)
        ]
    )


def side_by_side(lines: Sequence[Transfer]) -> Transfer:
    """Transfers of different chips at the same time, phase by phase."""
    longest = max((len(line.phases) for line in lines), default=0)
    phases = [[line.phases[at] for line in lines if at < len(line.phases)] for at in range(longest)]
    return Transfer(
        tuple(added(*loads) for loads in phases),
        largest((line.latency_s for line in lines), default=0.0),
        largest((line.sent_bytes for line in lines), default=0.0),
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
        legs = [leg_transfer(group, leg, scatter) for leg in branch]
        loads = added(*(phase for leg in legs for phase in leg.phases))
        found.append(Transfer((loads,), sum(leg.latency_s for leg in legs), sum(leg.sent_bytes for leg in legs)))
    loads = added(*(each.phases[0] for each in found))
    return Transfer((loads,), largest(each.latency_s for each in found), sum(each.sent_bytes for each in found))


def _even(group: Group, stage: Stage) -> Transfer:
    """V / sum(W_both) and half of every ring's hops: the sum over the branches, to the last digit."""
    pieces = [leg.piece for leg in stage.branches[0]]
    wires = {
        piece: [wire for along in group.along(piece) for wire in (*along.steps(True), *along.steps(False))]
        for piece in pieces
    }
    paces = {piece: smallest(group.bytes_per_s(wire) for wire in here) for piece, here in wires.items()}
    both = sum(2 * pace for pace in paces.values())
    loads: dict[int, float] = {}
    for piece, here in wires.items():
        loads.update(dict.fromkeys(here, stage.even_bytes * paces[piece] / both))
    hops = sum(piece.size // 2 * group.as_one.hop_s(wires[piece]) for piece in pieces)
    size = math.prod(piece.size for piece in pieces)
    return Transfer((loads,), hops, stage.even_bytes * (size - 1) / size)


# By messages


def pipelined(group: Group, stages: Sequence[Stage], scatter: bool) -> Rounds:
    """Slices through stages; the branches of a stage side by side, each leg after leg. A scatter goes backwards."""
    order = [stage.backwards() for stage in stages[::-1]] if scatter else stages
    legs = [leg for stage in order for branch in stage.branches for leg in branch]
    count = 1
    if len(legs) > 1 or _has_two_stages(group, legs[0]):
        count = slices(sum(len(each.messages) for leg in legs for each in _leg(group, leg, scatter, 1)))
    # slices have the same messages, so that what is alike is found once
    found = {id(leg): _leg(group, leg, scatter, count) for leg in legs}
    ahead = _ahead(group, stages, scatter, count)
    rounds: Rounds = []
    ended: list[tuple[int, ...]] = []
    for at in range(count):
        after = ended[at - ahead] if at >= ahead else ()
        lane = 0
        for stage in order:
            brought: tuple[int, ...] = ()
            for branch in stage.branches:
                before = after
                for leg in branch:
                    before = append(rounds, found[id(leg)], before, lane)
                    lane += 2
                brought += before
            after = brought
        ended.append(after)
    return rounds


def _ahead(group: Group, stages: Sequence[Stage], scatter: bool, count: int) -> int:
    """How many slices may be on their way at once: as many as keep the wires busy, so that no branch runs ahead and takes
    from wires what the others need for the whole to end together."""
    if all(len(stage.branches) == 1 for stage in stages):
        return count
    whole = gathered(group, stages, scatter)
    slice_s = largest_quotient((moved, group.bytes_per_s(wire)) for wire, moved in whole.phases[0].items()) / count
    deep = sum(max(len(branch) for branch in stage.branches) for stage in stages)
    return 2 * deep + math.ceil(whole.latency_s / slice_s)


def _leg(group: Group, leg: Leg, scatter: bool, count: int) -> Rounds:
    build = forms_of(leg.piece.kind).gather_rounds
    nbytes = leg.nbytes / count
    return merged(
        [
            balanced_rounds(along, nbytes, scatter) if leg.balanced else build(along, nbytes, scatter)
            for along in group.along(leg.piece)
        ]
    )


def _has_two_stages(group: Group, leg: Leg) -> bool:
    """Whether a leg has two stages: across the leaves of a tree and inside them."""
    return WIRINGS[leg.piece.kind].fabric and any(leaves_of(along) for along in group.along(leg.piece))
