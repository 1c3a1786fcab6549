"""Topologies as pictures: in text a level at a time, and as places on a map.

Model: each wiring says how it is drawn (`hw.network.wirings`). On a map chips lie in rows and columns or in a circle, as
the wiring of a lone level says; every other node in the middle of what it joins, a little towards the centre.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hw.network.topology import Level, Topology
from hw.network.wirings.canvas import GAP, NEIGHBOURS, Canvas, chosen
from hw.network.wirings.custom import GRAPH
from hw.network.wirings.registry import WIRINGS
from hw.network.wirings.searched import Place, in_a_circle

_CLOSE = 0.02
"""Nodes nearer than this lie upon each other."""


@dataclass(frozen=True)
class Picture:
    """A picture in text: its lines, none wider than `WIDTH`, and remarks below it."""

    lines: list[str]
    remarks: list[str]

    def __repr__(self) -> str:
        return f"Picture({len(self.lines)} lines, {len(self.remarks)} remarks)"

    def __str__(self) -> str:
        return "\n".join([*self.lines, *self.remarks])


def drawn_level(topology: Topology, number: int) -> Picture:
    """The picture of one level."""
    level = topology.levels[number]
    lines, remarks = WIRINGS[level.kind].picture(Canvas(topology, number))
    return Picture(lines, [*remarks, *_recognised(level)])


def _recognised(level: Level) -> list[str]:
    """What a graph was recognised as, and how a ring goes through it."""
    remarks = [f"recognised as {level.drawn}"] if level.drawn not in ("", GRAPH.name) else []
    if level.round:
        way = [GAP if at is None else str(level.round[at]) for at in chosen(len(level.round), NEIGHBOURS)]
        remarks.append(f"a ring goes {'-'.join(way)}")
    return remarks


def map_places(topology: Topology) -> dict[str, Place]:
    """Where each node stands on a map."""
    alone = len(topology.levels) == 1
    places = WIRINGS[topology.levels[0].kind].places(topology) if alone else in_a_circle(topology)
    near: dict[str, set[str]] = {}
    for wire in topology.wires:
        near.setdefault(wire.source, set()).add(wire.target)
        near.setdefault(wire.target, set()).add(wire.source)
    waiting = [node for node in near if node not in places]
    while waiting:
        ready = [node for node in waiting if near[node] & places.keys()]
        if not ready:
            break  # joined to no chip
        found = {node: _middle([places[each] for each in sorted(near[node] & places.keys())]) for node in ready}
        places |= _spread(found)
        waiting = [node for node in waiting if node not in found]
    return {**places, **dict.fromkeys(waiting, (0.0, 0.0))}


def _middle(points: Sequence[Place]) -> Place:
    """The middle of some points, drawn a little towards the centre."""
    return 0.7 * sum(x for x, _ in points) / len(points), 0.7 * sum(y for _, y in points) / len(points)


def _spread(found: Mapping[str, Place]) -> dict[str, Place]:
    """Nodes that would lie upon each other, in a small circle."""
    spots: dict[Place, list[str]] = {}
    for node, (x, y) in found.items():
        spots.setdefault((round(x / _CLOSE), round(y / _CLOSE)), []).append(node)
    places = {}
    for nodes in spots.values():
        x, y = found[nodes[0]]
        radius = 0.0 if len(nodes) == 1 else 0.06 + 0.012 * len(nodes)
        for at, node in enumerate(nodes):
            turn = 2 * math.pi * at / len(nodes)
            places[node] = (x + radius * math.sin(turn), y + radius * math.cos(turn))
    return places
