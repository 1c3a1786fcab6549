"""All-to-all: from each chip V/N^2 to each other, over routes axis by axis, all at once.

Model: along one axis the wires carry what `simulator.collectives.one_axis` says of p bytes from each to each, where p
counts everything that differs along this axis: all chips further in where it comes from, all further out where it goes
(a level that is one shared fabric is entered straight from the sending chip, and so passes no axis further in).
How long it takes is `simulator.collectives.flight`: a wire sends the bytes of near pairs while those of far ones are on
their way. How far the messages of a wire go follows from how far pairs are apart along every axis, counted from the end
of a line. Uneven ones (`shares`, a part of what each chip has for each target) go by their routes one by one.
Source: DESIGN section 3; "How to Scale Your Model", chapter on sharding (all-to-all on a torus: V max(axis) / (4 N W_both)).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

from hw import Axis
from simulator.collectives.fabric_lines import fabric_distances
from simulator.collectives.flight import latency_beyond
from simulator.collectives.one_axis import forms
from simulator.collectives.several_axes import side_by_side
from simulator.collectives.transfer import Group, Line, Transfer, added

Distances = Mapping[float, float]
"""How many chips by seconds of latency."""


def exchange(group: Group, nbytes: float) -> Transfer:
    """The transfer of an even all-to-all of V = `nbytes` over all chips."""
    loads: dict[int, float] = {}
    sent, wires = 0.0, list[tuple[Distances, float]]()
    inner = 1
    for at, piece in enumerate(group.pieces):
        outer = math.prod(each.size for each in group.pieces[at + 1 :] if not _shared(group, each))
        lines = list(group.along(piece))
        pair = nbytes / group.size**2 * inner * outer
        here = side_by_side([forms(line).exchange(line, pair) for line in lines])
        carried = here.phases[0]
        loads = added(loads, carried)
        sent += here.sent_bytes
        apart = _beyond(group, at)
        crossings = _CROSSINGS.get(piece.kind, _through)
        for crossing, wire in crossings(lines[0], carried):
            count = sum(crossing.values()) * sum(apart.values())
            times = _both(crossing, apart)
            scaled = {latency: carried[wire] * many / count for latency, many in times.items()}
            wires.append((scaled, group.bytes_per_s(wire)))
        inner *= piece.size
    return Transfer((loads,), latency_beyond(wires), sent)


def _shared(group: Group, piece: Axis) -> bool:
    return group.topology.levels[piece.level].shared


def _beyond(group: Group, at: int) -> Distances:
    """How far the other axes make what passes axis number `at`: one entry for each place along those."""
    piece, apart = group.pieces[at], Counter({0.0: 1.0})
    for number, other in enumerate(group.pieces):
        inside = number < at and not (_shared(group, piece) and other.level != piece.level)
        outside = number > at and not _shared(group, other)
        if inside or outside:
            line = next(iter(group.along(other)))
            apart = Counter(_both(apart, _distances(line)))
    return apart


def _both(one: Distances, two: Distances) -> Distances:
    """Distances along two axes together."""
    found: dict[float, float] = {}
    for here, count in one.items():
        for there, times in two.items():
            found[here + there] = found.get(here + there, 0.0) + count * times
    return found


def _distances(line: Line) -> Distances:
    """How far the chips of a line are from its first one, itself included."""
    first = line.chips[0]
    if line.axis.kind in ("switch", "fat_tree"):
        return Counter({0.0: 1}) + Counter(fabric_distances(line))
    return Counter(line.router.route(first, chip).latency_s if chip != first else 0.0 for chip in line.chips)


Crossings = list[tuple[Distances, int]]
"""Wires, each with how far the messages that cross it go along its line."""


def _round_both_ways(line: Line, _carried: Mapping[int, float]) -> Crossings:
    """What goes d hops crosses a wire d times; the antipode comes half each way."""
    wires = [*line.steps(True), *line.steps(False)]
    hop = line.hop_s(wires)
    counts = {d * hop: float(d) for d in range(1, (line.size - 1) // 2 + 1)}
    if line.size % 2 == 0:
        counts[line.size // 2 * hop] = counts.get(line.size // 2 * hop, 0.0) + line.size / 4
    return [(counts, min(wires, key=line.group.bytes_per_s))]


def _round_one_way(line: Line, _carried: Mapping[int, float]) -> Crossings:
    wires = line.steps(True)
    hop = line.hop_s(wires)
    return [({d * hop: float(d) for d in range(1, line.size)}, min(wires, key=line.group.bytes_per_s))]


def _along(line: Line, _carried: Mapping[int, float]) -> Crossings:
    found = []
    for forward in (True, False):
        wires = line.steps(forward)
        hop = line.hop_s(wires)
        found += [(_over(at, line.size, hop), wire) for at, wire in enumerate(wires)]
    return found


def _over(at: int, size: int, hop: float) -> Distances:
    """How far the messages go that cross wire number `at` of a line."""
    found: dict[float, float] = {}
    for d in range(1, size):
        # from the chips on this side, as long as the chip d on stands on the other
        first, last = max(0, at + 1 - d), min(at, size - 1 - d)
        if first <= last:
            found[d * hop] = found.get(d * hop, 0.0) + last - first + 1
    return found


def _through(line: Line, carried: Mapping[int, float]) -> Crossings:
    """Of a fabric or a graph: a port carries near and far ones; what a trunk carries goes far."""
    far = Counter(_distances(line))
    far[0.0] -= 1  # itself
    apart = {latency: float(many) for latency, many in far.items() if many > 0}
    out = next(wire for wire in carried if line.topology.wires[wire].source == f"chip{line.chips[0]}")
    slowest = max(carried, key=lambda wire: carried[wire] / line.group.bytes_per_s(wire))
    return [(apart, out), (apart if slowest == out else {max(apart): 1.0}, slowest)]


_CROSSINGS: Mapping[str, Callable[[Line, Mapping[int, float]], Crossings]] = {
    "ring": _round_both_ways,
    "one_way_ring": _round_one_way,
    "line": _along,
}
"""The wires of one line that can be the last to end, by kind of axis; other kinds send through what they share."""
