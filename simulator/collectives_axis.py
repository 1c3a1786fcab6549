"""Collectives along one axis, in closed form: what each wire carries and how many hops follow each other.

With n chips, V the bytes of the gathered array on one chip, a shard V/n, alpha a hop, p the bytes from each to each other:
- ring: gather = floor(n/2) hops, whole shards both ways round, the antipode one way; exchange = n^2/8 p on every wire
  (odd n: (n^2-1)/8 p), the antipode split over both directions; cast = half of V each way round.
- one-way ring: gather = n-1 hops of alpha + V/(n W); exchange = n(n-1)/2 p on every wire; cast = a chain from the root.
- line: gather = n-1 hops, wires charged as long as the phase lasts; exchange = (i+1)(n-1-i) p on the i-th wire.
- fabric (switch, trees): a chip's port carries V (n-1)/n, or (n-1) p; one hop. What chips behind a trunk share carries,
  hierarchically, V (D-1)/D with D trunks, or m (n-m) p with m chips behind it. Cast: a pipelined double binary tree.
- full: every wire carries a shard, or p.
- anything else: a ring over the routes from each chip to the next, pairs over their own routes.
Source: DESIGN section 3; "How to Scale Your Model", chapters on sharding and GPUs; NCCL's double binary trees for the cast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hw.routing import Router
from simulator.transfer import Line, Loads, Message, Transfer, added


@dataclass(frozen=True, slots=True)
class AxisForms:
    """The closed forms of one kind of axis: gather(line, V), exchange(line, p), cast(line, root's place, V)."""

    gather: Callable[[Line, float], Transfer]
    exchange: Callable[[Line, float], Transfer]
    cast: Callable[[Line, int, float], Transfer]


def routed(router: Router, messages: Iterable[Message]) -> tuple[Loads, float]:
    """Bytes by wire of some messages along their routes, and the longest latency among them."""
    loads: dict[int, float] = {}
    latency = 0.0
    for source, target, nbytes in messages:
        route = router.route(source, target)
        latency = max(latency, route.latency_s)
        for wire, share in route.shares.items():
            loads[wire] = loads.get(wire, 0.0) + share * nbytes
    return loads, latency


# Rings


def _ring_gather(line: Line, nbytes: float) -> Transfer:
    size, shard = line.size, nbytes / line.size
    # on a ring of two each chip has one shard to send, over the first link
    forward, backward = line.steps(True), line.steps(False) if size > 2 else []
    if size == 2:
        wires = line.topology.between(*(f"chip{chip}" for chip in line.chips))
        back = line.topology.between(*(f"chip{chip}" for chip in reversed(line.chips)))
        forward = [wires[0], back[0]]
    loads = dict.fromkeys(forward, (size // 2) * shard)
    loads.update(dict.fromkeys(backward, ((size - 1) // 2) * shard))
    return Transfer((loads,), (size // 2) * line.hop_s(forward), (size - 1) * shard)


def _ring_exchange(line: Line, nbytes: float) -> Transfer:
    size = line.size
    wires = [*line.steps(True), *line.steps(False)]
    carried = (size * size - size % 2) / 8 * nbytes
    sent = 2 * carried
    return Transfer((dict.fromkeys(wires, carried),), (size // 2) * line.hop_s(wires), sent)


def _ring_cast(line: Line, root: int, nbytes: float) -> Transfer:
    size = line.size
    order = [(root + at) % size for at in range(size)]
    forward, backward = line.steps(True), line.steps(False)
    loads = {forward[place]: nbytes / 2 for place in order[:-1]}
    loads.update({backward[place]: nbytes / 2 for place in [order[0], *order[:1:-1]]})
    return Transfer((loads,), (size - 1) * line.hop_s(list(loads)), nbytes)


# One-way rings


def _one_way_gather(line: Line, nbytes: float) -> Transfer:
    """Whole shards from each chip to the next, n-1 hops: there is no other way round."""
    wires, hops = line.steps(True), line.size - 1
    moved = nbytes * hops / line.size
    return Transfer((dict.fromkeys(wires, moved),), hops * line.hop_s(wires), moved)


def _one_way_exchange(line: Line, nbytes: float) -> Transfer:
    """What has d hops to go passes d wires: 1 + 2 + ... + (n-1) of them for each chip."""
    wires, hops = line.steps(True), line.size - 1
    carried = line.size * hops / 2 * nbytes
    return Transfer((dict.fromkeys(wires, carried),), hops * line.hop_s(wires), carried)


# Lines


def _line_gather(line: Line, nbytes: float) -> Transfer:
    size, shard = line.size, nbytes / line.size
    wires = [*line.steps(True), *line.steps(False)]
    # the chips inside pass i+1 shards one way and n-i the other
    sent = shard if size == 2 else (size + 1) * shard
    return Transfer((dict.fromkeys(wires, (size - 1) * shard),), (size - 1) * line.hop_s(wires), sent)


def _line_exchange(line: Line, nbytes: float) -> Transfer:
    size = line.size
    loads: dict[int, float] = {}
    for forward in (True, False):
        wires = line.steps(forward)
        loads.update({wire: (at + 1) * (size - 1 - at) * nbytes for at, wire in enumerate(wires)})
    middle = (size // 2) * (size - size // 2) * nbytes
    return Transfer((loads,), (size - 1) * line.hop_s(list(loads)), middle if size == 2 else 2 * middle)


def _line_cast(line: Line, root: int, nbytes: float) -> Transfer:
    size = line.size
    forward, backward = line.steps(True), line.steps(False)
    wires = [*forward[root:], *backward[:root]]
    reach = max(root, size - 1 - root)
    return Transfer(
        (dict.fromkeys(wires, nbytes),), reach * line.hop_s(wires), nbytes * (2 if 0 < root < size - 1 else 1)
    )


# Fabrics


def _ports(line: Line) -> list[int]:
    level, topology = line.axis.level, line.topology
    return [port(chip, level) for chip in line.chips for port in (topology.port_out, topology.port_in)]


def _trunks(line: Line) -> list[tuple[tuple[int, ...], int]]:
    """The wires of each trunk that some chips of the line, but not all, are behind, and how many are."""
    here = set(line.chips)
    found = []
    for trunk in line.topology.trunks(line.axis.level):
        behind = len(here.intersection(trunk.chips))
        if 0 < behind < len(here):
            found.append(((*trunk.up, *trunk.down), behind))
    return found


def _fabric_latency(line: Line) -> float:
    """A hop through the fabric: between the two chips that are farthest apart in it."""
    if line.topology.levels[line.axis.level].drawn:
        # in a tree the chip that is farthest from any is one of the two that are farthest apart
        there, chip = _farthest(line, line.chips[0], line.chips)
        return max(there, _farthest(line, chip, line.chips)[0])
    trunks = line.topology.trunks(line.axis.level)
    if not trunks:
        return _through_switch(line)
    first = line.chips[0]
    behind = [set(trunk.chips) for trunk in trunks]
    # chips behind the same trunk are equally far: one for each is enough
    far = {tuple(chip in each for each in behind): chip for chip in line.chips if chip != first}
    return _farthest(line, first, list(far.values()))[0]


def _farthest(line: Line, chip: int, others: Sequence[int]) -> tuple[float, int]:
    """The longest latency from a chip to one of some others, and which that is."""
    return max(
        ((line.router.route(chip, other).latency_s, other) for other in others if other != chip), default=(0.0, chip)
    )


def _through_switch(line: Line) -> float:
    """Up by one chip's port and down by another's: a switch of a graph file takes its time both ways."""
    topology, level = line.topology, line.axis.level
    ports = [
        [topology.wires[port(chip, level)] for chip in line.chips] for port in (topology.port_out, topology.port_in)
    ]
    up, down = ([wire.latency_s for wire in wires] for wires in ports)
    # the slowest way up and the slowest down may belong to one chip: two of each are enough
    ways = [up[here] + down[there] for here in _slowest(up) for there in _slowest(down) if here != there]
    return max(ways, default=0.0) + max(wire.message_s for wires in ports for wire in wires)


def _slowest(latencies: Sequence[float]) -> list[int]:
    return sorted(range(len(latencies)), key=lambda at: -latencies[at])[:2]


def _fabric_gather(line: Line, nbytes: float) -> Transfer:
    size = line.size
    moved = nbytes * (size - 1) / size
    loads = dict.fromkeys(_ports(line), moved)
    trunks = _trunks(line)
    # V (D-1)/D into each of D trunks; unequal ones by what they lack
    for wires, behind in trunks:
        share = nbytes * (size - behind) / size / len(wires) * 2
        loads.update(dict.fromkeys(wires, share))
    return Transfer((loads,), _fabric_latency(line), moved)


def _fabric_exchange(line: Line, nbytes: float) -> Transfer:
    size = line.size
    loads = dict.fromkeys(_ports(line), (size - 1) * nbytes)
    for wires, behind in _trunks(line):
        loads.update(dict.fromkeys(wires, behind * (size - behind) * nbytes / len(wires) * 2))
    return Transfer((loads,), _fabric_latency(line), (size - 1) * nbytes)


def _fabric_cast(line: Line, root: int, nbytes: float) -> Transfer:
    loads = dict.fromkeys(_ports(line), nbytes)
    del loads[line.topology.port_in(line.chips[root], line.axis.level)]
    for wires, _ in _trunks(line):
        loads.update(dict.fromkeys(wires, nbytes / len(wires) * 2))
    return Transfer((loads,), math.ceil(math.log2(line.size)) * _fabric_latency(line), nbytes)


# Full meshes


def _direct_wires(line: Line) -> list[int]:
    names = [f"chip{chip}" for chip in line.chips]
    return [line.topology.between(here, there)[0] for here in names for there in names if here != there]


def _full_gather(line: Line, nbytes: float) -> Transfer:
    shard = nbytes / line.size
    wires = _direct_wires(line)
    return Transfer((dict.fromkeys(wires, shard),), line.hop_s(wires), (line.size - 1) * shard)


def _full_exchange(line: Line, nbytes: float) -> Transfer:
    wires = _direct_wires(line)
    return Transfer((dict.fromkeys(wires, nbytes),), line.hop_s(wires), (line.size - 1) * nbytes)


def _full_cast(line: Line, root: int, nbytes: float) -> Transfer:
    """The root deals out shards, then all gather them."""
    shard, source = nbytes / line.size, f"chip{line.chips[root]}"
    out = [line.topology.between(source, f"chip{chip}")[0] for chip in line.chips if chip != line.chips[root]]
    deal = Transfer((dict.fromkeys(out, shard),), line.hop_s(out), (line.size - 1) * shard)
    return deal.then(_full_gather(line, nbytes))


# Anything else


def _routed_gather(line: Line, nbytes: float) -> Transfer:
    size, shard = line.size, nbytes / line.size
    after = {chip: line.chips[(at + 1) % size] for at, chip in enumerate(line.chips)}
    ahead, hop = routed(line.router, [Message(here, there, (size // 2) * shard) for here, there in after.items()])
    back, _ = routed(line.router, [Message(there, here, ((size - 1) // 2) * shard) for here, there in after.items()])
    return Transfer((added(ahead, back),), (size // 2) * hop, (size - 1) * shard)


def _routed_exchange(line: Line, nbytes: float) -> Transfer:
    pairs = (Message(here, there, nbytes) for here in line.chips for there in line.chips if here != there)
    loads, latency = routed(line.router, pairs)
    return Transfer((loads,), latency, (line.size - 1) * nbytes)


def _routed_cast(line: Line, root: int, nbytes: float) -> Transfer:
    """A chain through all chips in order, streaming."""
    order = [*line.chips[root:], *line.chips[:root]]
    hops = [Message(here, there, nbytes) for here, there in pairwise(order)]
    loads, latency = routed(line.router, hops)
    return Transfer((loads,), latency * (line.size - 1), nbytes)


_FABRIC = AxisForms(_fabric_gather, _fabric_exchange, _fabric_cast)
ROUTED = AxisForms(_routed_gather, _routed_exchange, _routed_cast)
"""The forms of any wiring."""

FORMS: Mapping[str, AxisForms] = {
    "ring": AxisForms(_ring_gather, _ring_exchange, _ring_cast),
    "line": AxisForms(_line_gather, _line_exchange, _line_cast),
    "one_way_ring": AxisForms(_one_way_gather, _one_way_exchange, _routed_cast),
    "switch": _FABRIC,
    "fat_tree": _FABRIC,
    "full": AxisForms(_full_gather, _full_exchange, _full_cast),
}
"""The closed forms by kind of axis; other kinds use routes."""


def forms(line: Line) -> AxisForms:
    """The closed forms for a line."""
    return FORMS.get(line.axis.kind, ROUTED)
