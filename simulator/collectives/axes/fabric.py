"""Fabrics: chips on a switch or a tree of switches, where everyone reaches everyone in one hop.

With n chips, V the bytes of the gathered array, p the bytes from each to each other:
- gather: a chip's port carries V (n-1)/n. Where everyone to everyone would crowd the trunks that chips share, shards cross
  them once (`simulator.collectives.axes.leaves`).
- exchange: (n-1) p on a port, and on a trunk what goes from those behind it to those that are not.
- broadcast: two binary trees over the other chips, half of V along each; a chip inside one is a leaf of the other.
Source: DESIGN section 3; "How to Scale Your Model", chapter on GPUs; Sanders, Speck, Traff 2009 (two trees).
"""

from __future__ import annotations

from collections.abc import Mapping

from hw.rows import Tally, largest
from simulator.collectives.axes.everyone import everyone, shared_crossings
from simulator.collectives.axes.fabric_lines import by_leaf, fabric_distances, ports, shared_trunks
from simulator.collectives.axes.leaves import crossing, leaves_of, stages
from simulator.collectives.axis_forms import AxisForms, Distances, Stream, Streams, add_axis_forms
from simulator.collectives.flight import latency_beyond
from simulator.collectives.group import AxisGroup
from simulator.collectives.rounds import Rounds, chain
from simulator.collectives.streams import tree_levels
from simulator.collectives.transfer import Message, Transfer
from simulator.collectives.unequal import DIRECT


def _gather(along: AxisGroup, nbytes: float, scatter: bool) -> Transfer:
    size, shard = along.size, nbytes / along.size
    leaves = leaves_of(along)
    if leaves is not None:
        return crossing(along, leaves, nbytes, scatter)
    loads = dict.fromkeys(ports(along), (size - 1) * shard)
    for wires, behind in shared_trunks(along):
        loads.update(dict.fromkeys(wires, behind * (size - behind) * shard / len(wires)))
    return Transfer((loads,), _fabric_beyond(along, loads), (size - 1) * shard)


def _gather_rounds(along: AxisGroup, nbytes: float, scatter: bool) -> Rounds:
    """Everyone to everyone; where that would crowd trunks, across leaves and inside them."""
    leaves = leaves_of(along)
    if leaves is None:
        return everyone(along, nbytes, scatter)
    rounds: Rounds = []
    after: tuple[int, ...] = ()
    for lane, messages in enumerate(stages(leaves, nbytes / along.size, scatter)):
        after = chain(rounds, [tuple(messages)], lane, after)
    return rounds


def _exchange(along: AxisGroup, nbytes: float) -> Transfer:
    size = along.size
    loads = dict.fromkeys(ports(along), (size - 1) * nbytes)
    for wires, behind in shared_trunks(along):
        loads.update(dict.fromkeys(wires, behind * (size - behind) * nbytes / len(wires)))
    return Transfer((loads,), _fabric_beyond(along, loads), (size - 1) * nbytes)


def _fabric_beyond(along: AxisGroup, loads: Mapping[int, float]) -> float:
    """Latency beyond the bytes of the busiest wire, if every chip sends as much to every other."""
    apart = fabric_distances(along)
    if len(apart) == 1:
        return largest(apart)
    port = along.topology.port_out(along.chips[0], along.axis.level)
    each = loads[port] / (along.size - 1)
    out = [(latency, count * each) for latency, count in apart.items()]
    slowest = max(loads, key=lambda wire: loads[wire] / along.group.bytes_per_s(wire))
    # a port carries near and far ones; what a trunk carries goes far
    trunk = out if slowest == port else [(largest(apart), loads[slowest])]
    return latency_beyond([(out, along.group.bytes_per_s(port)), (trunk, along.group.bytes_per_s(slowest))])


def _broadcast(along: AxisGroup, root: int) -> Streams:
    others = [chip for chip in by_leaf(along, along.chips[root]) if chip != along.chips[root]]
    found = []
    for offset in (0, 1):
        top, levels = tree_levels(others, offset)
        found.append(Stream(0.5, ((Message(along.chips[root], top, 1.0),), *levels)))
    return found


def _distances(along: AxisGroup) -> Distances:
    """From one that is far from others, itself included."""
    return Tally([(0.0, 1), *fabric_distances(along).items()])


FABRIC = add_axis_forms(
    AxisForms(
        kinds=("switch", "fat_tree"),
        label="direct",
        gather=_gather,
        gather_rounds=_gather_rounds,
        exchange=_exchange,
        crossings=shared_crossings,
        distances=_distances,
        unequal=DIRECT,
        broadcast=_broadcast,
        one_hop=True,
    )
)
