"""Any other axis: chips that reach each other over routes.

With n chips in some order: a gather goes both ways round them, each shard over the route from a chip to the next, as on a
ring; an exchange goes pair by pair; a broadcast is a chain. The order is looked for in `simulator.collectives.tour`.
Source: DESIGN section 3.
"""

from __future__ import annotations

from dataclasses import replace

from hw.network import GRAPH, ROUTES
from simulator.collectives.axes.everyone import route_distances, shared_crossings
from simulator.collectives.axis_forms import AxisForms, add_axis_forms
from simulator.collectives.flight import Lane, at_once, in_order, passed_round
from simulator.collectives.group import AxisGroup
from simulator.collectives.rounds import Rounds, chain
from simulator.collectives.transfer import Message, Transfer
from simulator.collectives.unequal import DIRECT


def to_next(along: AxisGroup, nbytes: float, forward: bool = True) -> list[Message]:
    """Every chip to the next, or to the one before."""
    chips = along.chips
    pairs = [(chip, chips[(at + 1) % len(chips)]) for at, chip in enumerate(chips)]
    return [Message(here, there, nbytes) if forward else Message(there, here, nbytes) for here, there in pairs]


def _gather(along: AxisGroup, nbytes: float, _scatter: bool) -> Transfer:
    size, shard, group = along.size, nbytes / along.size, along.group
    ahead, back = to_next(along, shard), to_next(along, shard, forward=False)
    # backwards a message is passed on from the last chip to the first
    whole = passed_round(group, (Lane(ahead, size // 2), Lane(back[::-1], (size - 1) // 2)))
    return replace(whole, sent_bytes=(size - 1) * shard)


def _gather_rounds(along: AxisGroup, nbytes: float, _scatter: bool) -> Rounds:
    """Whole shards both ways round the chips, each over the route to the next. Where routes share wires unequally the two
    ways round end together, though of an even number of chips one has a hop more; else they keep step, hop by hop."""
    size, shard = along.size, nbytes / along.size
    hops = (size // 2, (size - 1) // 2)
    paces = (1, 1) if in_order(along.group) else hops
    rounds: Rounds = []
    for lane, forward in enumerate((True, False)):
        messages = tuple(to_next(along, shard, forward))
        chain(rounds, [messages] * hops[lane], lane, pace=paces[lane])
    return rounds


def _exchange(along: AxisGroup, nbytes: float) -> Transfer:
    pairs = (Message(here, there, nbytes) for here in along.chips for there in along.chips if here != there)
    loads, latency = at_once(along.group, pairs)
    return Transfer((loads,), latency, (along.size - 1) * nbytes)


ROUTED = add_axis_forms(
    AxisForms(
        kinds=(GRAPH, ROUTES),
        label="ring over routes",
        gather=_gather,
        gather_rounds=_gather_rounds,
        exchange=_exchange,
        crossings=shared_crossings,
        distances=route_distances,
        unequal=DIRECT,
        ordered=False,
    )
)
