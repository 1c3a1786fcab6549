"""Broadcasts from one chip and reductions to one, streamed along trees.

Model: outer axes first, then inside each, along the tree of each kind of axis (`simulator.collectives.axes`), or in a chain
through all chips in order, over routes. A reduction is the broadcast backwards; where links lead one way, a chain on round
the ring to the root.
Source: DESIGN section 3; Sanders, Speck, Traff 2009 (two trees).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from simulator.collectives.axis_forms import Stream, Streams, forms_of
from simulator.collectives.group import AxisGroup, Group
from simulator.collectives.registry import CANONICAL
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.streams import backwards, streaming
from simulator.collectives.transfer import Message


def _broadcast(group: Group, request: CollectiveRequest) -> list[Streams]:
    """How a broadcast from the root flows."""
    root = request.root
    found = []
    for at in reversed(range(len(group.pieces))):
        piece, inner = group.pieces[at], group.pieces[:at]
        leading = [
            along
            for along in group.along(piece)
            if all(each.place(group.place_of[along.chips[0]]) == each.place(root) for each in inner)
        ]
        found.append(_side_by_side([_along_axis(along, piece.place(root)) for along in leading]))
    return found


def _reduce(group: Group, request: CollectiveRequest) -> list[Streams]:
    """How partial sums flow to the root."""
    if group.two_way:
        return [backwards(group, stage) for stage in _broadcast(group, request)][::-1]
    after = request.root + 1
    return [_chain([*group.chips[after:], *group.chips[:after]])]


def _along_axis(along: AxisGroup, root: int) -> Streams:
    broadcast = forms_of(along.axis.kind).broadcast
    return broadcast(along, root) if broadcast else _chain([*along.chips[root:], *along.chips[:root]])


def _chain(order: Sequence[int]) -> Streams:
    return [Stream(1.0, tuple((Message(here, there, 1.0),) for here, there in pairwise(order)))]


def _side_by_side(groups: Sequence[Streams]) -> Streams:
    """The streams of alike axis groups as one: their edges level by level."""
    merged = []
    for alike in zip(*groups, strict=True):
        depth = max(len(stream.levels) for stream in alike)
        levels = tuple(
            tuple(edge for stream in alike if at < len(stream.levels) for edge in stream.levels[at])
            for at in range(depth)
        )
        merged.append(Stream(alike[0].share, levels))
    return merged


CANONICAL["broadcast"] = streaming(_broadcast)
CANONICAL["reduce_to"] = streaming(_reduce)
