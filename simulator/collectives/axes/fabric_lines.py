"""A line of chips on a fabric (a switch or a tree): its ports, the trunks that its chips share, and how far they are apart.

Model: everyone reaches everyone through the fabric in one hop, whose latency is that of the route; chips behind the same
trunks are equally far. Bytes and times over these wires are in `simulator.collectives.axes.fabric`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hw.rows import Tally, distinct, largest
from simulator.collectives.group import AxisGroup, once


@once
def ports(along: AxisGroup) -> list[int]:
    """The wires from the chips of a line into its fabric, and from there to them."""
    level, topology = along.axis.level, along.topology
    return [port(chip, level) for chip in along.chips for port in (topology.port_out, topology.port_in)]


@once
def shared_trunks(along: AxisGroup) -> list[tuple[tuple[int, ...], int]]:
    """The wires of each trunk, one way, that some chips of the line, but not all, are behind, and how many are."""
    here = set(along.chips)
    found = []
    for trunk in along.topology.trunks(along.axis.level):
        behind = len(here.intersection(trunk.chips))
        if 0 < behind < len(here):
            found += [(trunk.up, behind), (trunk.down, behind)]
    return found


def fabric_latency(along: AxisGroup) -> float:
    """A hop through the fabric: between the two chips that are farthest apart in it."""
    return largest(fabric_distances(along), default=0.0)


@once
def fabric_distances(along: AxisGroup) -> Mapping[float, int]:
    """How many chips are how far from one of them through a fabric, in seconds; from one that is far from others."""
    trunks = along.topology.trunks(along.axis.level)
    if along.topology.levels[along.axis.level].drawn:
        return _drawn_distances(along)
    if not trunks:
        return Tally([(_through_switch(along), along.size - 1)])
    # chips behind the same trunks are equally far: one for each is enough
    behind: dict[int, list[int]] = {}
    for at, trunk in enumerate(trunks):
        for chip in trunk.chips:
            behind.setdefault(chip, []).append(at)
    first = _loneliest(along.chips, behind)
    others = [chip for chip in along.chips if chip != first]
    alike: dict[tuple[int, ...], list[int]] = {}
    for chip in others:
        alike.setdefault(tuple(behind.get(chip, ())), []).append(chip)
    return Tally((along.router.route(first, chips[0]).latency_s, len(chips)) for chips in alike.values())


def _loneliest(chips: Sequence[int], behind: Mapping[int, Sequence[int]]) -> int:
    """A chip with the fewest near ones, the first of equals: all that it sends goes far. `behind`: the trunks that a chip
    is behind."""
    near = Counter(trunk for chip in chips for trunk in behind.get(chip, ()))
    return min(chips, key=lambda chip: max((near[trunk] for trunk in behind.get(chip, ())), default=0))


def _drawn_distances(along: AxisGroup) -> Mapping[float, int]:
    """The same in a tree of any form: the chip that is farthest from any is one of the two that are farthest apart."""

    def away(chip: int) -> list[tuple[float, int]]:
        return [(along.router.route(chip, other).latency_s, other) for other in along.chips if other != chip]

    return Tally((latency, 1) for latency, _ in away(max(away(along.chips[0]))[1]))


def _through_switch(along: AxisGroup) -> float:
    """Up by one chip's port and down by another's: a switch of a graph file takes its time both ways."""
    topology, level = along.topology, along.axis.level
    up, down = (
        [topology.wires[port(chip, level)] for chip in along.chips] for port in (topology.port_out, topology.port_in)
    )
    if len(distinct(wire.latency_s for wire in up)) == len(distinct(wire.latency_s for wire in down)) == 1:
        return up[0].latency_s + down[0].latency_s + largest(wire.message_s for wire in (*up, *down))
    # the slowest way up and the slowest down may belong to one chip: two of each are enough
    ways = [
        up[here].latency_s + down[there].latency_s
        for here in _slowest([wire.latency_s for wire in up])
        for there in _slowest([wire.latency_s for wire in down])
        if here != there
    ]
    return largest(ways, default=0.0) + largest(wire.message_s for wire in (*up, *down))


def _slowest(latencies: Sequence[float]) -> list[int]:
    return sorted(range(len(latencies)), key=lambda at: -latencies[at])[:2]


def by_leaf(along: AxisGroup, first: int) -> list[int]:
    """The chips of a fabric switch by switch, that of chip `first` first, then near ones: neighbours in a tree then share
    a switch, whatever the chips' numbers."""
    topology, level = along.topology, along.axis.level
    leaves: dict[str, list[int]] = {}
    for chip in along.chips:
        leaves.setdefault(topology.wires[topology.port_out(chip, level)].target, []).append(chip)
    own = topology.wires[topology.port_out(first, level)].target

    def near(leaf: str) -> tuple[bool, float, int]:
        chips = leaves[leaf]
        far = 0.0 if leaf == own else along.router.route(first, chips[0]).latency_s
        return leaf != own, far, -len(chips)

    return [chip for leaf in sorted(leaves, key=near) for chip in leaves[leaf]]
