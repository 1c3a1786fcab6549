"""Rings: chips of which each has a link to the next and one to the one before, all the way round.

With n chips, a shard V/n, alpha a hop, p the bytes from each to each other:
- gather: floor(n/2) hops of whole shards both ways round, the antipode's one way; n/2 and (n-1)//2 shards a wire. Balanced,
  as one of several axes, the antipode's comes half each way: every wire carries (n-1)/2 shards. A scatter alike.
- exchange: n^2/8 p on every wire (odd n: (n^2-1)/8 p).
- broadcast: half of V each way round.
Source: DESIGN section 3; "How to Scale Your Model", chapter on sharding.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from hw.rows import Tally, largest
from simulator.collectives.axes.everyone import route_distances
from simulator.collectives.axes.passing import beyond, over_wires, passed_s
from simulator.collectives.axis_forms import AxisForms, Crossings, Stream, Streams, add_axis_forms
from simulator.collectives.group import AxisGroup
from simulator.collectives.rounds import Rounds, chain
from simulator.collectives.transfer import Message, Transfer
from simulator.collectives.unequal import PASSED_ON


def ring_wires(along: AxisGroup) -> tuple[list[int], list[int]]:
    """The wires forwards and backwards that whole shards take; on a ring of two a chip has one shard to send, over the
    first of its links."""
    if along.size > 2:
        return along.steps(True), along.steps(False)
    here, there = (f"chip{chip}" for chip in along.chips)
    return [along.topology.between(here, there)[0], along.topology.between(there, here)[0]], []


def gather(along: AxisGroup, nbytes: float, _scatter: bool) -> Transfer:
    """Whole shards both ways round."""
    size, shard = along.size, nbytes / along.size
    forward, backward = ring_wires(along)
    loads = dict.fromkeys(forward, (size // 2) * shard)
    loads.update(dict.fromkeys(backward, ((size - 1) // 2) * shard))
    ends = [passed_s(along, wires, shard, hops) for wires, hops in ((forward, size // 2), (backward, (size - 1) // 2))]
    return Transfer((loads,), beyond(along, loads, largest(ends), size // 2), (size - 1) * shard)


def gather_rounds(along: AxisGroup, nbytes: float, _scatter: bool) -> Rounds:
    """Whole shards both ways round."""
    size, shard = along.size, nbytes / along.size
    forward, backward = ring_wires(along)
    rounds: Rounds = []
    chain(rounds, [tuple(over_wires(along, shard, forward))] * (size // 2), 0)
    chain(rounds, [tuple(over_wires(along, shard, backward))] * ((size - 1) // 2), 1)
    return rounds


# As one of several axes


def balanced_gather(along: AxisGroup, nbytes: float) -> Transfer:
    """A ring as one of several axes: every wire both ways carries as much."""
    size, shard = along.size, nbytes / along.size
    wires = [*along.steps(True), *along.steps(False)]
    return Transfer(
        (dict.fromkeys(wires, (size - 1) / 2 * shard),), (size // 2) * along.hop_s(wires), (size - 1) * shard
    )


def balanced_rounds(along: AxisGroup, nbytes: float, scatter: bool) -> Rounds:
    """Both ways round, with half of the antipode's shard each way."""
    size, shard = along.size, nbytes / along.size
    rounds: Rounds = []
    for lane, forward in enumerate((True, False)):
        wires = along.steps(forward)
        steps = [tuple(over_wires(along, shard, wires))] * ((size - 1) // 2)
        if size % 2 == 0:
            steps.append(tuple(over_wires(along, shard / 2, wires)))
        chain(rounds, steps[::-1] if scatter else steps, lane)
    return rounds


# Exchanges and broadcasts


def _exchange(along: AxisGroup, nbytes: float) -> Transfer:
    size = along.size
    wires = [*along.steps(True), *along.steps(False)]
    carried = (size * size - size % 2) / 8 * nbytes
    return Transfer((dict.fromkeys(wires, carried),), (size // 2) * along.hop_s(wires), 2 * carried)


def _crossings(along: AxisGroup, _carried: Mapping[int, float]) -> Crossings:
    """What goes d hops crosses a wire d times; the antipode comes half each way."""
    wires = [*along.steps(True), *along.steps(False)]
    hop = along.hop_s(wires)
    counts = Tally((d * hop, float(d)) for d in range(1, (along.size - 1) // 2 + 1))
    if along.size % 2 == 0:
        counts.add(along.size // 2 * hop, along.size / 4)
    return [(counts, min(wires, key=along.group.bytes_per_s))]


def _broadcast(along: AxisGroup, root: int) -> Streams:
    chips, size = along.chips, along.size
    found = []
    for ahead, wires in ((1, along.steps(True)), (-1, along.steps(False))):
        places = [(root + ahead * at) % size for at in range(size)]
        levels = [(Message(chips[a], chips[b], 1.0, along.way(wires[a])),) for a, b in pairwise(places)]
        found.append(Stream(0.5, tuple(levels)))
    return found


RING = add_axis_forms(
    AxisForms(
        kinds=("ring",),
        label="ring",
        gather=gather,
        gather_rounds=gather_rounds,
        exchange=_exchange,
        crossings=_crossings,
        distances=route_distances,
        unequal=PASSED_ON,
        broadcast=_broadcast,
        symmetric=True,
        passes_on=True,
        lattice=True,
    )
)
