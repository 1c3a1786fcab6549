"""Wirings recognised in a graph: rings, lines, tori, grids, full meshes, switches and trees, whatever its chips are called.

Model: a graph file says which nodes are joined, not how that is meant. If its wires form a wiring that has a textbook form,
its chips are counted along its axes; places then follow the wires and not the numbers. Wires keep their figures; links
side by side where the wiring has one are taken together. In any other graph chips are counted by number, and a ring goes
through them by the widest way that can be found (`hw.network.recognition.tours`). Where links have several widths, and
a ring over the wide ones gathers faster than the whole wiring at its slowest links' pace, it is that ring.
Law: renaming the chips changes no time. Where all wires are alike that holds as the axes of a wiring can be told apart only
by their sizes; else whatever is chosen is chosen by an order that names do not enter (`hw.network.recognition.net`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from operator import mul

from hw.network.axes import Axis, Order
from hw.network.recognition.lattice import Lattice, laid, lattices
from hw.network.recognition.net import Net
from hw.network.recognition.tours import around, one_way_ring, wide_ring
from hw.network.recognition.trees import Branch, branches
from hw.network.topology import Topology, Trunk, Wire
from hw.network.wirings.custom import GRAPH
from hw.network.wirings.fat_tree import FAT_TREE
from hw.network.wirings.full import FULL
from hw.network.wirings.lattices import LINE, ONE_WAY_RING, RING
from hw.network.wirings.switch import SWITCH


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a graph was recognised as: kinds, sizes and strides of its axes, and the chip at each position.

    `kind` is that of the level, which decides how its facts are found; `gather_s`: seconds of a gather, a byte in all;
    `bundle`: links side by side are one.
    """

    text: str
    kinds: tuple[str, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    chips: Sequence[int]
    kind: str = GRAPH.name
    branches: Sequence[Branch] = ()
    gather_s: float = math.inf
    bundle: bool = True


def recognised(topology: Topology) -> Topology:
    """A topology whose first level is a graph, as what it is recognised as; any other is given back."""
    return next(readings(topology))


def readings(topology: Topology) -> Iterator[Topology]:
    """All that the graph of a topology can be taken for, the best first; the last one suits any mesh."""
    plain = topology.plain or topology
    if not plain.levels or not plain.levels[0].drawn or plain.levels[0].children < 2:
        yield topology
        return
    net = _net(plain)
    found = _recognised(net)
    first = next(found, None)
    # links side by side are part of a torus, if it has rings of two; in a full mesh they are a wider link
    settled = first is not None and (net.even or (net.alike and first.kind != FULL.name))
    ring = None if settled else wide_ring(net)
    wide = ring is not None and (first is None or net.chips // 2 / net.chips / ring[0] < first.gather_s * (1 - 1e-9))
    if ring is not None and wide:
        yield _with_round(plain, ring[1])
    if first is not None:
        yield _as_read(plain, net, first)
    yield from (_as_read(plain, net, each) for each in found)
    if not wide:
        yield _with_round(plain, ring[1] if ring is not None else around(net))


def walk_from(topology: Topology, start: int) -> list[int]:
    """The chips of the graph that one is in, in the order in which a chain from it goes through them."""
    size = topology.levels[0].children
    first = start - start % size
    net = _net(topology.plain or topology)
    return [first + chip for chip in around(net, net.rank_from(start % size))]


def walk_by(topology: Topology, rates: Sequence[float], looks: Sequence[int]) -> list[int]:
    """All chips in the order in which a walk along the widest links comes to them, from one that looks least on. Whatever is
    alike by its links and looks (a number a chip) can be exchanged: numbers decide nothing. `rates`: bytes/s by wire."""
    wires = [wire._replace(bytes_per_s=rate) for wire, rate in zip(topology.wires, rates, strict=True)]
    net = Net(wires, [f"chip{chip}" for chip in range(topology.size)])
    return around(net, net.rank_by(looks))


def _net(plain: Topology) -> Net:
    """The first of the graph's instances: all are the same graph, one after the other."""
    level = plain.levels[0]
    wires = [wire for _, wire in plain.of_level(0)]
    return Net(wires[: len(wires) * level.children // plain.size], [f"chip{chip}" for chip in range(level.children)])


def _recognised(net: Net) -> Iterator[_Reading]:
    """The wirings that it is, the likeliest first."""
    if net.chips == net.size and net.two_way:
        yield from _lattices(net)
        yield from _full(net)
    elif net.chips == net.size:
        yield from _one_way(net)
    elif net.two_way:
        yield from _tree(net)


def _lattices(net: Net) -> Iterator[_Reading]:
    counts = {len(wires) for others in net.out for wires in others.values()}
    links = [{there: len(wires) for there, wires in others.items()} for others in net.out]
    single = [dict.fromkeys(others, 1) for others in links]
    tried = [links] if net.pairs_alike else [single]
    if len(counts) == 1 and counts != {1} and net.pairs_alike:
        tried.append(single)  # links side by side everywhere: one wide one each, unless it is a torus of rings of two
    for adjacency in tried:
        for lattice in lattices(adjacency):
            chips = _numbered(lattice, adjacency) if net.alike else None
            if chips is None:
                first = range(net.chips) if net.alike else sorted(range(net.chips), key=net.rank.__getitem__)
                chips = laid(lattice, adjacency, first)
            if chips is not None:
                yield from _named(lattice, chips, net, adjacency is single)


def _numbered(lattice: Lattice, adjacency: Sequence[Mapping[int, int]]) -> Sequence[int] | None:
    """The chips along the axes by their numbers, if they are numbered along them in some order of the axes.

    Places go along the axes of the lattice all the same: in which order chips are numbered is a matter of names."""
    for order in permutations(range(len(lattice.sizes))):
        turned = Lattice(tuple(lattice.sizes[at] for at in order), tuple(lattice.wraps[at] for at in order))
        if turned.near() == list(adjacency):
            steps = [turned.strides[order.index(at)] for at in range(len(order))]
            places = product(*map(range, lattice.sizes))
            return [sum(map(mul, place, steps)) for place in places]
    return None


def _named(lattice: Lattice, chips: Sequence[int], net: Net, bundle: bool) -> Iterator[_Reading]:
    """The lattice with its axes in any order: a mesh may want another than the longest first."""
    gather_s = _lattice_gather_s(lattice, chips, net)
    seen = set()
    for order in permutations(range(len(lattice.sizes))):
        turned = Lattice(tuple(lattice.sizes[at] for at in order), tuple(lattice.wraps[at] for at in order))
        if turned not in seen:
            seen.add(turned)
            kinds = tuple(RING.name if wraps else LINE.name for wraps in turned.wraps)
            steps = tuple(lattice.strides[at] for at in order)
            yield _Reading(turned.text, kinds, turned.sizes, steps, chips, turned.kind, (), gather_s, bundle)


def _lattice_gather_s(lattice: Lattice, chips: Sequence[int], net: Net) -> float:
    """What a gather takes at the pace of each axis's slowest links; latency apart."""
    axes = list(zip(lattice.sizes, lattice.strides, lattice.wraps, strict=True))
    widths = [_slowest(chips, axis, net) for axis in axes]
    if all(lattice.wraps) and len(axes) > 1:
        return 1 / (2 * sum(widths))
    total = [0.0] * len(axes)
    for turn in range(len(axes)):
        # V in as many parts as there are axes, each going through them in its own order
        order = [*range(turn, len(axes)), *range(turn)]
        for at, axis in enumerate(order):
            size, _, wraps = axes[axis]
            beyond = math.prod(axes[other][0] for other in order[at + 1 :])
            moved = (size // 2 if wraps else size - 1) / size
            total[axis] += moved / beyond / len(axes) / widths[axis]
    return max(total)


def _slowest(chips: Sequence[int], axis: tuple[int, int, bool], net: Net) -> float:
    """Bytes/s of the slowest link along an axis of a size, a stride, and whether it wraps."""
    size, stride, wraps = axis
    found = math.inf
    for at in range(net.chips):
        place = at // stride % size
        if place < size - 1 or wraps:
            here, there = chips[at], chips[at + ((place + 1) % size - place) * stride]
            both = min(net.width(here, there), net.width(there, here))
            found = min(found, both / 2 if wraps and size == 2 else both)
    return found


def _full(net: Net) -> Iterator[_Reading]:
    if all(len(others) == net.chips - 1 for others in net.out):
        chips = range(net.chips) if net.even else sorted(range(net.chips), key=net.rank.__getitem__)
        slowest = min(net.width(here, there) for here in range(net.chips) for there in net.out[here])
        gather_s = 1 / net.chips / slowest
        yield _Reading(f"full({net.chips})", (FULL.name,), (net.chips,), (1,), chips, FULL.name, gather_s=gather_s)


def _one_way(net: Net) -> Iterator[_Reading]:
    way = one_way_ring(net)
    if way is not None:
        chips = range(net.chips) if net.alike and way == list(range(net.chips)) else way
        yield _Reading(f"one-way ring({net.chips})", (ONE_WAY_RING.name,), (net.chips,), (1,), chips)


def _tree(net: Net) -> Iterator[_Reading]:
    found = branches(net)
    if found is None:
        return
    # chips of one class can be exchanged; if they are numbered branch by branch too, they stay as they are
    alike = len(set(net.classes[: net.chips])) == 1
    together = all(max(each.chips) - min(each.chips) == len(each.chips) - 1 for each in found)
    chips = range(net.chips) if alike and together else around(net)
    kind = FAT_TREE.name if found else SWITCH.name
    name = f"{'tree' if found else SWITCH.name}({net.chips})"
    # a tree is never given up for a ring over links from chip to chip: it has none
    yield _Reading(name, (kind,), (net.chips,), (1,), chips, branches=found, gather_s=0.0, bundle=False)


def _with_round(plain: Topology, way: Sequence[int]) -> Topology:
    """Chips counted by number, and the way that a ring takes through them."""
    level = replace(plain.levels[0], round=() if list(way) == list(range(len(way))) else tuple(way))
    return replace(plain, levels=(level, *plain.levels[1:]), plain=plain)


def _as_read(plain: Topology, net: Net, reading: _Reading) -> Topology:
    """The same wires, with axes along them; links side by side taken together where the wiring has one."""
    order = None if list(reading.chips) == list(range(net.chips)) else Order(tuple(reading.chips))
    axes = tuple(
        Axis(kind, size, stride, 0, order)
        for kind, size, stride in zip(reading.kinds, reading.sizes, reading.strides, strict=True)
    )
    level = replace(plain.levels[0], kind=reading.kind, axes=axes, drawn=reading.text)
    instances = plain.size // net.chips
    trunks = tuple(
        Trunk(
            tuple(wire + at * len(net.wires) for wire in branch.up),
            tuple(wire + at * len(net.wires) for wire in branch.down),
            tuple(chip + at * net.chips for chip in branch.chips),
        )
        for at in range(instances)
        for branch in reading.branches
    )
    found = replace(
        plain, levels=(level, *plain.levels[1:]), level_trunks=(trunks, *plain.level_trunks[1:]), plain=plain
    )
    return bundled(found) if reading.bundle else found


def bundled(topology: Topology) -> Topology:
    """Links of the first level that lie side by side as one each, as wide as they are together."""
    first: dict[tuple[str, str], int] = {}
    place: list[int] = []
    wires: list[Wire] = []
    for wire in topology.wires:
        ends = (wire.source, wire.target)
        if wire.level == 0 and ends in first:
            at = first[ends]
            one = wires[at]
            latency, message = max(one.latency_s, wire.latency_s), max(one.message_s, wire.message_s)
            rate = one.bytes_per_s + wire.bytes_per_s
            wires[at] = one._replace(bytes_per_s=rate, latency_s=latency, message_s=message)
        else:
            at = first[ends] = len(wires)
            wires.append(wire)
        place.append(at)
    if len(wires) == len(place):
        return topology

    def moved(numbers: Sequence[int]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(place[number] for number in numbers))

    trunks = tuple(
        tuple(Trunk(moved(each.up), moved(each.down), each.chips) for each in level) for level in topology.level_trunks
    )
    return replace(topology, wires=tuple(wires), level_trunks=trunks)
