"""All-to-all: from each chip V/N^2 to each other, over routes axis by axis, all at once.

Model: along one axis the wires carry what `simulator.collectives.axes` says of p bytes from each to each, where p
counts everything that differs along this axis: all chips further in where it comes from, all further out where it goes
(a level that is one shared fabric is entered straight from the sending chip, and so passes no axis further in).
How long it takes is `simulator.collectives.flight`: a wire sends the bytes of near pairs while those of far ones are on
their way. How far the messages of a wire go follows from how far pairs are apart along every axis, counted from the end
of a line. Uneven ones (`shares`, a part of what each chip has for each target) go by their routes one by one.
A group whose routes may leave it (half of a ring or more, a ring round a block) has no closed form either.
Source: DESIGN section 3; "How to Scale Your Model", chapter on sharding (all-to-all on a torus: V max(axis) / (4 N W_both)).
"""

from __future__ import annotations

import math

from hw import Axis
from hw.rows import Tally
from simulator.collectives.algorithms.several_axes import side_by_side
from simulator.collectives.axis_forms import Distances, forms_of
from simulator.collectives.flight import Histogram, by_routes, latency_beyond
from simulator.collectives.form import Form
from simulator.collectives.group import Group
from simulator.collectives.registry import CANONICAL
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound, Rounds
from simulator.collectives.transfer import Message, Transfer, added

MOST_ROUTED = 512
"""Chips up to which an all-to-all goes pair by pair under a `routing` other than `split`; beyond, as under that."""


def _transfer(group: Group, request: CollectiveRequest) -> Transfer:
    """All-to-all of V bytes over all chips: V/N^2 from each to each, or by shares."""
    by_pairs = len(group.pieces) == 1 and not forms_of(group.pieces[0].kind).ordered
    if request.parts or by_pairs or group.strays:
        return by_routes(group, exchanged(group, request))
    # the closed form splits what goes to an antipode over both ways, axis by axis; who routes otherwise loads other wires
    if group.router.routing != "split" and group.size <= MOST_ROUTED:
        return by_routes(group, exchanged(group, request))
    return exchange(group, request.nbytes)


def _rounds(group: Group, request: CollectiveRequest) -> Rounds:
    return [MessageRound(tuple(exchanged(group, request)))]


def exchanged(group: Group, request: CollectiveRequest) -> list[Message]:
    """The messages of an all-to-all: each chip sends share i of what it has to chip i; without shares, equal parts."""
    even = (1.0 / group.size,) * group.size
    has, shares = request.held or even, request.shares or even
    return [
        Message(source, target, request.nbytes * part * share)
        for source, part in zip(group.chips, has, strict=True)
        for target, share in zip(group.chips, shares, strict=True)
        if source != target and part and share
    ]


def exchange(group: Group, nbytes: float) -> Transfer:
    """The transfer of an even all-to-all of V = `nbytes` over all chips."""
    loads: dict[int, float] = {}
    sent, wires = 0.0, list[tuple[Histogram, float]]()
    inner = 1
    for at, piece in enumerate(group.pieces):
        forms = forms_of(piece.kind)
        outer = math.prod(each.size for each in group.pieces[at + 1 :] if not _shared(group, each))
        groups = list(group.along(piece))
        pair = nbytes / group.size**2 * inner * outer
        here = side_by_side([forms.exchange(along, pair) for along in groups])
        carried = here.phases[0]
        loads = added(loads, carried)
        sent += here.sent_bytes
        apart = _beyond(group, at)
        for crossing, wire in forms.crossings(groups[0], carried):
            count = sum(crossing.values()) * sum(apart.values())
            times = _both(crossing, apart)
            scaled = [(latency, carried[wire] * many / count) for latency, many in times.items()]
            wires.append((scaled, group.bytes_per_s(wire)))
        inner *= piece.size
    return Transfer((loads,), latency_beyond(wires), sent)


def _shared(group: Group, piece: Axis) -> bool:
    return group.topology.levels[piece.level].shared


def _beyond(group: Group, at: int) -> Distances:
    """How far the other axes make what passes axis number `at`: one entry for each place along those."""
    piece, apart = group.pieces[at], Tally([(0.0, 1.0)])
    for number, other in enumerate(group.pieces):
        inside = number < at and not (_shared(group, piece) and other.level != piece.level)
        outside = number > at and not _shared(group, other)
        if inside or outside:
            along = next(iter(group.along(other)))
            apart = _both(apart, forms_of(other.kind).distances(along))
    return apart


def _both(one: Distances, two: Distances) -> Tally:
    """Distances along two axes together."""
    found = Tally()
    for here, count in one.items():
        for there, times in two.items():
            found.add(here + there, 0.0 + count * times)
    return found


CANONICAL["all_to_all"] = Form(_transfer, _rounds)
