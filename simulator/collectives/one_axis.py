"""Collectives along one axis, in closed form: what each wire carries, and the latency that the whole takes.

With n chips, V the bytes of the gathered array on one chip, a shard V/n, alpha a hop, p the bytes from each to each other:
- ring: gather = floor(n/2) hops, whole shards both ways round, the antipode one way; balanced, as one of several axes, the
  antipode comes half each way: every wire carries (n-1)/2 shards. Exchange = n^2/8 p on every wire (odd n: (n^2-1)/8 p).
- one-way ring: gather = n-1 hops of alpha + V/(n W); exchange = n(n-1)/2 p on every wire.
- line: gather = n-1 hops, the i-th wire carries i+1 shards, and of a scatter n-1-i; exchange = (i+1)(n-1-i) p.
- fabric (switch, trees): a chip's port carries V (n-1)/n, or (n-1) p; one hop. Where everyone to everyone would crowd the
  trunks that chips share, shards cross them once: `simulator.collectives.leaves`.
- full: every wire carries a shard, or p.
- anything else: a ring over the routes from each chip to the next, pairs over their own routes.
A scatter (the first half of an all-reduce) is a gather backwards. Casts are in `simulator.collectives.streams`.
Source: DESIGN section 3; "How to Scale Your Model", chapters on sharding and GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.collectives.fabric_lines import fabric_distances, ports, shared_trunks
from simulator.collectives.flight import at_once, latency_beyond, passed_on, passed_round
from simulator.collectives.leaves import crossing, leaves_of
from simulator.collectives.transfer import Line, Message, Transfer


@dataclass(frozen=True, slots=True)
class AxisForms:
    """The closed forms of one kind of axis: gather(line, V, scatter: backwards), exchange(line, p)."""

    gather: Callable[[Line, float, bool], Transfer]
    exchange: Callable[[Line, float], Transfer]


# Rings


def ring_wires(line: Line) -> tuple[list[int], list[int]]:
    """The wires forwards and backwards that whole shards take; on a ring of two a chip has one shard to send, over the
    first of its links."""
    if line.size > 2:
        return line.steps(True), line.steps(False)
    here, there = (f"chip{chip}" for chip in line.chips)
    return [line.topology.between(here, there)[0], line.topology.between(there, here)[0]], []


def _ring_gather(line: Line, nbytes: float, _scatter: bool) -> Transfer:
    size, shard = line.size, nbytes / line.size
    forward, backward = ring_wires(line)
    loads = dict.fromkeys(forward, (size // 2) * shard)
    loads.update(dict.fromkeys(backward, ((size - 1) // 2) * shard))
    ends = [_passed_s(line, wires, shard, hops) for wires, hops in ((forward, size // 2), (backward, (size - 1) // 2))]
    return Transfer((loads,), _beyond(line, loads, max(ends), size // 2), (size - 1) * shard)


def _passed_s(line: Line, wires: Sequence[int], shard: float, hops: int) -> float:
    return passed_on(
        [line.way(wire).latency_s for wire in wires], [shard / line.group.bytes_per_s(wire) for wire in wires], hops
    )


def _beyond(line: Line, loads: Mapping[int, float], ends: float, hops: int) -> float:
    """What is latency of a time in which messages pass so many hops: all but the bytes of the busiest wire."""
    latencies = {line.way(wire).latency_s for wire in loads}
    if len(latencies) == 1 and len({line.group.bytes_per_s(wire) for wire in loads}) == 1:
        return hops * latencies.pop()  # exactly
    return max(0.0, ends - max(nbytes / line.group.bytes_per_s(wire) for wire, nbytes in loads.items()))


def balanced_gather(line: Line, nbytes: float) -> Transfer:
    """A ring as one of several axes: every wire both ways carries as much."""
    size, shard = line.size, nbytes / line.size
    wires = [*line.steps(True), *line.steps(False)]
    return Transfer(
        (dict.fromkeys(wires, (size - 1) / 2 * shard),), (size // 2) * line.hop_s(wires), (size - 1) * shard
    )


def _ring_exchange(line: Line, nbytes: float) -> Transfer:
    size = line.size
    wires = [*line.steps(True), *line.steps(False)]
    carried = (size * size - size % 2) / 8 * nbytes
    return Transfer((dict.fromkeys(wires, carried),), (size // 2) * line.hop_s(wires), 2 * carried)


# One-way rings


def _one_way_gather(line: Line, nbytes: float, _scatter: bool) -> Transfer:
    """Whole shards from each chip to the next, n-1 hops: there is no other way round."""
    wires, hops = line.steps(True), line.size - 1
    loads = dict.fromkeys(wires, nbytes * hops / line.size)
    ends = _passed_s(line, wires, nbytes / line.size, hops)
    return Transfer((loads,), _beyond(line, loads, ends, hops), loads[wires[0]])


def _one_way_exchange(line: Line, nbytes: float) -> Transfer:
    """What has d hops to go passes d wires: 1 + 2 + ... + (n-1) of them for each chip."""
    wires, hops = line.steps(True), line.size - 1
    carried = line.size * hops / 2 * nbytes
    return Transfer((dict.fromkeys(wires, carried),), hops * line.hop_s(wires), carried)


# Lines


def _line_gather(line: Line, nbytes: float, scatter: bool) -> Transfer:
    size, shard = line.size, nbytes / line.size
    loads: dict[int, float] = {}
    ends = 0.0
    for wires in (line.steps(True), line.steps(False)[::-1]):
        carried = [size - 1 - at if scatter else at + 1 for at in range(size - 1)]
        loads.update({wire: count * shard for wire, count in zip(wires, carried, strict=True)})
        latencies = [line.way(wire).latency_s for wire in wires]
        sends = [shard / line.group.bytes_per_s(wire) for wire in wires]
        # a gather begins everywhere and ends at the far end; a scatter begins at the near end
        ends = max(ends, passed_on(latencies, sends, size - 1, _sent_back if scatter else _sent_on))
    # the chips inside pass i+1 shards one way and n-i the other
    sent = shard if size == 2 else (size + 1) * shard
    return Transfer((loads,), _beyond(line, loads, ends, size - 1), sent)


def _sent_on(at: int) -> slice:
    return slice(at, None)


def _sent_back(at: int) -> slice:
    return slice(None, at + 1)


def _line_exchange(line: Line, nbytes: float) -> Transfer:
    size = line.size
    loads: dict[int, float] = {}
    for forward in (True, False):
        wires = line.steps(forward)
        loads.update({wire: (at + 1) * (size - 1 - at) * nbytes for at, wire in enumerate(wires)})
    middle = (size // 2) * (size - size // 2) * nbytes
    return Transfer((loads,), (size - 1) * line.hop_s(loads), middle if size == 2 else 2 * middle)


# Fabrics


def _fabric_gather(line: Line, nbytes: float, scatter: bool) -> Transfer:
    size, shard = line.size, nbytes / line.size
    leaves = leaves_of(line)
    if leaves is not None:
        return crossing(line, leaves, nbytes, scatter)
    loads = dict.fromkeys(ports(line), (size - 1) * shard)
    for wires, behind in shared_trunks(line):
        loads.update(dict.fromkeys(wires, behind * (size - behind) * shard / len(wires)))
    return Transfer((loads,), _fabric_beyond(line, loads), (size - 1) * shard)


def _fabric_beyond(line: Line, loads: Mapping[int, float]) -> float:
    """Latency beyond the bytes of the busiest wire, if every chip sends as much to every other."""
    apart = fabric_distances(line)
    if len(apart) == 1:
        return max(apart)
    port = line.topology.port_out(line.chips[0], line.axis.level)
    each = loads[port] / (line.size - 1)
    out = {latency: count * each for latency, count in apart.items()}
    slowest = max(loads, key=lambda wire: loads[wire] / line.group.bytes_per_s(wire))
    # a port carries near and far ones; what a trunk carries goes far
    trunk = out if slowest == port else {max(apart): loads[slowest]}
    return latency_beyond([(out, line.group.bytes_per_s(port)), (trunk, line.group.bytes_per_s(slowest))])


def _fabric_exchange(line: Line, nbytes: float) -> Transfer:
    size = line.size
    loads = dict.fromkeys(ports(line), (size - 1) * nbytes)
    for wires, behind in shared_trunks(line):
        loads.update(dict.fromkeys(wires, behind * (size - behind) * nbytes / len(wires)))
    return Transfer((loads,), _fabric_beyond(line, loads), (size - 1) * nbytes)


# Full meshes


def _direct_wires(line: Line) -> list[int]:
    names = [f"chip{chip}" for chip in line.chips]
    return [line.topology.between(here, there)[0] for here in names for there in names if here != there]


def _full_gather(line: Line, nbytes: float, _scatter: bool) -> Transfer:
    return _full_exchange(line, nbytes / line.size)


def _full_exchange(line: Line, nbytes: float) -> Transfer:
    wires = _direct_wires(line)
    return Transfer((dict.fromkeys(wires, nbytes),), line.hop_s(wires), (line.size - 1) * nbytes)


# Anything else


def to_next(line: Line, nbytes: float, forward: bool = True) -> list[Message]:
    """Every chip to the next, or to the one before."""
    chips = line.chips
    pairs = [(chip, chips[(at + 1) % len(chips)]) for at, chip in enumerate(chips)]
    return [Message(here, there, nbytes) if forward else Message(there, here, nbytes) for here, there in pairs]


def _routed_gather(line: Line, nbytes: float, _scatter: bool) -> Transfer:
    size, shard, group = line.size, nbytes / line.size, line.group
    ahead, back = to_next(line, shard), to_next(line, shard, forward=False)
    # backwards a message is passed on from the last chip to the first
    both = passed_round(group, (ahead, back[::-1]), (size - 1) // 2) if size > 2 else Transfer()
    whole = both.then(passed_round(group, (ahead,), 1)) if size % 2 == 0 else both
    return replace(whole, sent_bytes=(size - 1) * shard)


def _routed_exchange(line: Line, nbytes: float) -> Transfer:
    pairs = (Message(here, there, nbytes) for here in line.chips for there in line.chips if here != there)
    loads, latency = at_once(line.group, pairs)
    return Transfer((loads,), latency, (line.size - 1) * nbytes)


_FABRIC = AxisForms(_fabric_gather, _fabric_exchange)
ROUTED = AxisForms(_routed_gather, _routed_exchange)
"""The forms of any wiring."""

FORMS: Mapping[str, AxisForms] = {
    "ring": AxisForms(_ring_gather, _ring_exchange),
    "line": AxisForms(_line_gather, _line_exchange),
    "one_way_ring": AxisForms(_one_way_gather, _one_way_exchange),
    "switch": _FABRIC,
    "fat_tree": _FABRIC,
    "full": AxisForms(_full_gather, _full_exchange),
}
"""The closed forms by kind of axis; other kinds use routes."""


def forms(line: Line) -> AxisForms:
    """The closed forms for a line."""
    return FORMS.get(line.axis.kind, ROUTED)
