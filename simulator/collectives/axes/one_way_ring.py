"""Rings whose links lead one way: each chip reaches the next, and the one before only by going all the way round.

With n chips, V/n a shard, alpha a hop, W a wire, p the bytes from each to each other:
- gather: n-1 hops of alpha + V/(n W); a scatter alike.
- exchange: n(n-1)/2 p on every wire.
- broadcast: a chain over routes.
Source: DESIGN section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

from hw.rows import Tally
from simulator.collectives.axes.everyone import route_distances
from simulator.collectives.axes.passing import beyond, over_wires, passed_s
from simulator.collectives.axis_forms import AxisForms, Crossings, add_axis_forms
from simulator.collectives.group import AxisGroup
from simulator.collectives.rounds import Rounds, chain
from simulator.collectives.transfer import Transfer
from simulator.collectives.unequal import PASSED_ON


def _gather(along: AxisGroup, nbytes: float, _scatter: bool) -> Transfer:
    """Whole shards from each chip to the next, n-1 hops: there is no other way round."""
    wires, hops = along.steps(True), along.size - 1
    loads = dict.fromkeys(wires, nbytes * hops / along.size)
    ends = passed_s(along, wires, nbytes / along.size, hops)
    return Transfer((loads,), beyond(along, loads, ends, hops), loads[wires[0]])


def _gather_rounds(along: AxisGroup, nbytes: float, _scatter: bool) -> Rounds:
    """Whole shards from each chip to the next."""
    rounds: Rounds = []
    hop = tuple(over_wires(along, nbytes / along.size, along.steps(True)))
    chain(rounds, [hop] * (along.size - 1), 0)
    return rounds


def _exchange(along: AxisGroup, nbytes: float) -> Transfer:
    """What has d hops to go passes d wires: 1 + 2 + ... + (n-1) of them for each chip."""
    wires, hops = along.steps(True), along.size - 1
    carried = along.size * hops / 2 * nbytes
    return Transfer((dict.fromkeys(wires, carried),), hops * along.hop_s(wires), carried)


def _crossings(along: AxisGroup, _carried: Mapping[int, float]) -> Crossings:
    wires = along.steps(True)
    hop = along.hop_s(wires)
    return [(Tally((d * hop, float(d)) for d in range(1, along.size)), min(wires, key=along.group.bytes_per_s))]


ONE_WAY_RING = add_axis_forms(
    AxisForms(
        kinds=("one_way_ring",),
        label="ring_one_way",
        gather=_gather,
        gather_rounds=_gather_rounds,
        exchange=_exchange,
        crossings=_crossings,
        distances=route_distances,
        unequal=PASSED_ON,
        passes_on=True,
    )
)
