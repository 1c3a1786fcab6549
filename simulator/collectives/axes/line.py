"""Lines: chips of which each has a link to the next, without a way round.

With n chips, a shard V/n, alpha a hop, p the bytes from each to each other:
- gather: n-1 hops; the i-th wire carries i+1 shards, and of a scatter n-1-i: a gather begins everywhere and ends at the far
  end, a scatter's partial sums come from the far ends.
- exchange: (i+1)(n-1-i) p on the i-th wire.
- broadcast: outwards from the root.
Source: DESIGN section 3; "How to Scale Your Model", chapter on sharding.
"""

from __future__ import annotations

from collections.abc import Mapping

from hw.rows import Tally, largest
from simulator.collectives.axes.everyone import route_distances
from simulator.collectives.axes.passing import beyond, over_wires
from simulator.collectives.axis_forms import AxisForms, Crossings, Distances, Stream, Streams, add_axis_forms
from simulator.collectives.flight import passed_on
from simulator.collectives.group import AxisGroup
from simulator.collectives.rounds import Rounds, chain
from simulator.collectives.transfer import Message, Transfer
from simulator.collectives.unequal import PASSED_ON


def gather(along: AxisGroup, nbytes: float, scatter: bool) -> Transfer:
    """Shards passed on both ways, to both ends."""
    size, shard = along.size, nbytes / along.size
    loads: dict[int, float] = {}
    ends = 0.0
    for wires in (along.steps(True), along.steps(False)[::-1]):
        carried = [size - 1 - at if scatter else at + 1 for at in range(size - 1)]
        loads.update({wire: count * shard for wire, count in zip(wires, carried, strict=True)})
        latencies = [along.way(wire).latency_s for wire in wires]
        sends = [shard / along.group.bytes_per_s(wire) for wire in wires]
        # a gather begins everywhere and ends at the far end; a scatter begins at the near end
        ends = largest([ends, passed_on(latencies, sends, size - 1, _sent_back if scatter else _sent_on)])
    # the chips inside pass i+1 shards one way and n-i the other
    sent = shard if size == 2 else (size + 1) * shard
    return Transfer((loads,), beyond(along, loads, ends, size - 1), sent)


def _sent_on(at: int) -> slice:
    return slice(at, None)


def _sent_back(at: int) -> slice:
    return slice(None, at + 1)


def gather_rounds(along: AxisGroup, nbytes: float, scatter: bool) -> Rounds:
    """In hop h of a gather the shards that started h-1 places back are passed on; a scatter's partial sums come from the
    far ends, what has far to go first."""
    size, shard = along.size, nbytes / along.size
    rounds: Rounds = []
    for lane, forward in enumerate((True, False)):
        wires = along.steps(forward)
        hops = over_wires(along, shard, wires if forward else wires[::-1])
        sent = [hops[: at + 1] if scatter else hops[at:] for at in range(size - 1)]
        chain(rounds, [tuple(each) for each in sent], lane)
    return rounds


# Exchanges and broadcasts


def _exchange(along: AxisGroup, nbytes: float) -> Transfer:
    size = along.size
    loads: dict[int, float] = {}
    for forward in (True, False):
        wires = along.steps(forward)
        loads.update({wire: (at + 1) * (size - 1 - at) * nbytes for at, wire in enumerate(wires)})
    middle = (size // 2) * (size - size // 2) * nbytes
    return Transfer((loads,), (size - 1) * along.hop_s(loads), middle if size == 2 else 2 * middle)


def _crossings(along: AxisGroup, _carried: Mapping[int, float]) -> Crossings:
    found = []
    for forward in (True, False):
        wires = along.steps(forward)
        hop = along.hop_s(wires)
        found += [(_over(at, along.size, hop), wire) for at, wire in enumerate(wires)]
    return found


def _over(at: int, size: int, hop: float) -> Distances:
    """How far the messages go that cross wire number `at` of a line."""
    found = Tally()
    for d in range(1, size):
        # from the chips on this side, as long as the chip d on stands on the other
        first, last = max(0, at + 1 - d), min(at, size - 1 - d)
        if first <= last:
            found.add(d * hop, 0.0 + last - first + 1)
    return found


def _broadcast(along: AxisGroup, root: int) -> Streams:
    chips, size = along.chips, along.size
    forward, backward = along.steps(True), along.steps(False)
    levels = []
    for away in range(max(root, size - 1 - root)):
        level = []
        if root + away + 1 < size:
            here = root + away
            level.append(Message(chips[here], chips[here + 1], 1.0, along.way(forward[here])))
        if root - away > 0:
            here = root - away
            level.append(Message(chips[here], chips[here - 1], 1.0, along.way(backward[here - 1])))
        levels.append(tuple(level))
    return [Stream(1.0, tuple(levels))]


LINE = add_axis_forms(
    AxisForms(
        kinds=("line",),
        label="line",
        gather=gather,
        gather_rounds=gather_rounds,
        exchange=_exchange,
        crossings=_crossings,
        distances=route_distances,
        unequal=PASSED_ON,
        broadcast=_broadcast,
        passes_on=True,
        lattice=True,
    )
)
