"""Everyone to everyone at once along an axis: the messages, how far they go, and which wires can be the last to end.

Model: of wires that all share, a chip's port carries near and far messages; what another wire carries goes far.
"""

from __future__ import annotations

from collections.abc import Mapping

from hw.rows import Tally, largest
from simulator.collectives.axis_forms import Crossings, Distances, forms_of
from simulator.collectives.group import AxisGroup
from simulator.collectives.rounds import MessageRound, Rounds
from simulator.collectives.transfer import Message


def everyone(along: AxisGroup, nbytes: float, _scatter: bool) -> Rounds:
    """Everyone to everyone in one round."""
    chips, shard = along.chips, nbytes / along.size
    return [MessageRound(tuple(Message(here, there, shard) for here in chips for there in chips if here != there))]


def route_distances(along: AxisGroup) -> Distances:
    """How far the chips along an axis are from the first one over their routes, itself included."""
    first = along.chips[0]
    away = (along.router.route(first, chip).latency_s if chip != first else 0.0 for chip in along.chips)
    return Tally((latency, 1) for latency in away)


def shared_crossings(along: AxisGroup, carried: Mapping[int, float]) -> Crossings:
    """A port carries near and far ones; what a trunk carries goes far."""
    far = Tally(forms_of(along.axis.kind).distances(along).items())
    far.add(0.0, -1)  # itself
    apart = Tally((latency, float(many)) for latency, many in far.items() if many > 0)
    out = next(wire for wire in carried if along.topology.wires[wire].source == f"chip{along.chips[0]}")
    slowest = max(carried, key=lambda wire: carried[wire] / along.group.bytes_per_s(wire))
    return [(apart, out), (apart if slowest == out else Tally([(largest(apart), 1.0)]), slowest)]
