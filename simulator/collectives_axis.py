"""Collectives along one axis, in closed form: what each wire carries, and the latency that the whole takes.

With n chips, V the bytes of the gathered array on one chip, a shard V/n, alpha a hop, p the bytes from each to each other:
- ring: gather = floor(n/2) hops, whole shards both ways round, the antipode one way; balanced, as one of several axes, the
  antipode comes half each way: every wire carries (n-1)/2 shards. Exchange = n^2/8 p on every wire (odd n: (n^2-1)/8 p).
- one-way ring: gather = n-1 hops of alpha + V/(n W); exchange = n(n-1)/2 p on every wire.
- line: gather = n-1 hops, the i-th wire carries i+1 shards, and of a scatter n-1-i; exchange = (i+1)(n-1-i) p.
- fabric (switch, trees): a chip's port carries V (n-1)/n, or (n-1) p; one hop. Where everyone to everyone would crowd the
  trunks that chips share, shards cross them once: `simulator.leaves`.
- full: every wire carries a shard, or p.
- anything else: a ring over the routes from each chip to the next, pairs over their own routes.
A scatter (the first half of an all-reduce) is a gather backwards. Casts are in `simulator.streams`.
Source: DESIGN section 3; "How to Scale Your Model", chapters on sharding and GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.flight import at_once, latency_beyond, passed_on, passed_round
from simulator.leaves import crossing, leaves_of
from simulator.transfer import Line, Message, Transfer


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
    if latencies == {0.0} or (len(latencies) == 1 and len({line.group.bytes_per_s(wire) for wire in loads}) == 1):
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


def ports(line: Line) -> list[int]:
    """The wires from the chips of a line into its fabric, and from there to them."""
    level, topology = line.axis.level, line.topology
    return [port(chip, level) for chip in line.chips for port in (topology.port_out, topology.port_in)]


def _trunks(line: Line) -> list[tuple[tuple[int, ...], int]]:
    """The wires of each trunk, one way, that some chips of the line, but not all, are behind, and how many are."""
    here = set(line.chips)
    found = []
    for trunk in line.topology.trunks(line.axis.level):
        behind = len(here.intersection(trunk.chips))
        if 0 < behind < len(here):
            found += [(trunk.up, behind), (trunk.down, behind)]
    return found


def fabric_latency(line: Line) -> float:
    """A hop through the fabric: between the two chips that are farthest apart in it."""
    return max(fabric_distances(line), default=0.0)


def fabric_distances(line: Line) -> Mapping[float, int]:
    """How many chips are how far from one of them through a fabric, in seconds; from one that is far from others."""
    trunks = line.topology.trunks(line.axis.level)
    first, others = line.chips[0], line.chips[1:]
    if line.topology.levels[line.axis.level].drawn:
        return _drawn_distances(line)
    if not trunks:
        return {_through_switch(line): len(others)}
    # chips behind the same trunks are equally far: one for each is enough
    behind = [frozenset(trunk.chips) for trunk in trunks]
    alike: dict[tuple[bool, ...], list[int]] = {}
    for chip in others:
        alike.setdefault(tuple(chip in each for each in behind), []).append(chip)
    found: dict[float, int] = {}
    for chips in alike.values():
        latency = line.router.route(first, chips[0]).latency_s
        found[latency] = found.get(latency, 0) + len(chips)
    return found


def _drawn_distances(line: Line) -> Mapping[float, int]:
    """The same in a tree of any form: the chip that is farthest from any is one of the two that are farthest apart."""

    def away(chip: int) -> list[tuple[float, int]]:
        return [(line.router.route(chip, other).latency_s, other) for other in line.chips if other != chip]

    found: dict[float, int] = {}
    for latency, _ in away(max(away(line.chips[0]))[1]):
        found[latency] = found.get(latency, 0) + 1
    return found


def _through_switch(line: Line) -> float:
    """Up by one chip's port and down by another's: a switch of a graph file takes its time both ways."""
    topology, level = line.topology, line.axis.level
    up, down = (
        [topology.wires[port(chip, level)] for chip in line.chips] for port in (topology.port_out, topology.port_in)
    )
    if len({wire.latency_s for wire in up}) == len({wire.latency_s for wire in down}) == 1:
        return up[0].latency_s + down[0].latency_s + max(wire.message_s for wire in (*up, *down))
    # the slowest way up and the slowest down may belong to one chip: two of each are enough
    ways = [
        up[here].latency_s + down[there].latency_s
        for here in _slowest([wire.latency_s for wire in up])
        for there in _slowest([wire.latency_s for wire in down])
        if here != there
    ]
    return max(ways, default=0.0) + max(wire.message_s for wire in (*up, *down))


def _slowest(latencies: Sequence[float]) -> list[int]:
    return sorted(range(len(latencies)), key=lambda at: -latencies[at])[:2]


def _fabric_gather(line: Line, nbytes: float, scatter: bool) -> Transfer:
    size, shard = line.size, nbytes / line.size
    leaves = leaves_of(line)
    if leaves is not None:
        return crossing(line, leaves, nbytes, scatter)
    loads = dict.fromkeys(ports(line), (size - 1) * shard)
    for wires, behind in _trunks(line):
        loads.update(dict.fromkeys(wires, behind * (size - behind) * shard / len(wires)))
    return Transfer((loads,), _fabric_beyond(line, loads), (size - 1) * shard)


def _fabric_beyond(line: Line, loads: Mapping[int, float]) -> float:
    """Latency beyond the bytes of the busiest wire, if every chip sends as much to every other."""
    apart = fabric_distances(line)
    if len(apart) == 1:
        return max(apart)
    each = loads[line.topology.port_out(line.chips[0], line.axis.level)] / (line.size - 1)
    out = {latency: count * each for latency, count in apart.items()}
    slowest = max(loads, key=lambda wire: loads[wire] / line.group.bytes_per_s(wire))
    port = line.topology.port_out(line.chips[0], line.axis.level)
    # a port carries near and far ones; what a trunk carries goes far
    trunk = out if slowest == port else {max(apart): loads[slowest]}
    return latency_beyond([(out, line.group.bytes_per_s(port)), (trunk, line.group.bytes_per_s(slowest))])


def _fabric_exchange(line: Line, nbytes: float) -> Transfer:
    size = line.size
    loads = dict.fromkeys(ports(line), (size - 1) * nbytes)
    for wires, behind in _trunks(line):
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


def one_way_round(line: Line, nbytes: float, forward: bool = True) -> list[Message]:
    """Every chip to the next, or to the one before."""
    chips = line.chips
    pairs = [(chip, chips[(at + 1) % len(chips)]) for at, chip in enumerate(chips)]
    return [Message(here, there, nbytes) if forward else Message(there, here, nbytes) for here, there in pairs]


def _routed_gather(line: Line, nbytes: float, _scatter: bool) -> Transfer:
    size, shard, group = line.size, nbytes / line.size, line.group
    ahead, back = one_way_round(line, shard), one_way_round(line, shard, forward=False)
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
