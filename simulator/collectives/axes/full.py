"""Full meshes: a link from every chip to every other.

With n chips, V the bytes of the gathered array, p the bytes from each to each other: of a gather every wire carries a shard,
of an exchange p. A broadcast deals a shard to every chip, which passes it on to all; three chips are a ring of three, and
half of V goes each way round.
Source: DESIGN section 3.
"""

from __future__ import annotations

from simulator.collectives.axes.everyone import everyone, route_distances, shared_crossings
from simulator.collectives.axis_forms import AxisForms, Stream, Streams, add_axis_forms
from simulator.collectives.group import AxisGroup
from simulator.collectives.transfer import Message, Transfer
from simulator.collectives.unequal import DIRECT


def _direct_wires(along: AxisGroup) -> list[int]:
    names = [f"chip{chip}" for chip in along.chips]
    return [along.topology.between(here, there)[0] for here in names for there in names if here != there]


def _gather(along: AxisGroup, nbytes: float, _scatter: bool) -> Transfer:
    return _exchange(along, nbytes / along.size)


def _exchange(along: AxisGroup, nbytes: float) -> Transfer:
    wires = _direct_wires(along)
    return Transfer((dict.fromkeys(wires, nbytes),), along.hop_s(wires), (along.size - 1) * nbytes)


def _broadcast(along: AxisGroup, root: int) -> Streams:
    source = along.chips[root]
    others = [chip for chip in along.chips if chip != source]
    if along.size == 3:
        ways = (others, others[::-1])
        return [Stream(0.5, ((Message(source, a, 1.0),), (Message(a, b, 1.0),))) for a, b in ways]
    shard = 1.0 / along.size
    own = Stream(shard, (tuple(Message(source, chip, 1.0) for chip in others),))
    dealt = [
        Stream(
            shard,
            ((Message(source, chip, 1.0),), tuple(Message(chip, other, 1.0) for other in others if other != chip)),
        )
        for chip in others
    ]
    return [own, *dealt]


FULL = add_axis_forms(
    AxisForms(
        kinds=("full",),
        label="direct",
        gather=_gather,
        gather_rounds=everyone,
        exchange=_exchange,
        crossings=shared_crossings,
        distances=route_distances,
        unequal=DIRECT,
        broadcast=_broadcast,
        symmetric=True,
        one_hop=True,
    )
)
