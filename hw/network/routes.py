"""Routes through fabrics: up and down a tree, and over the fewest wires of any graph.

Model: in a tree every way up from a chip leads over its leaf to one of the spines; the ways of two chips meet as low as they
can. In any other graph a way is shortest when it has the fewest wires; there may be very many (a mesh of 32 x 32 has more
than 10^17 between its corners), so they are counted, never listed: with n(v) the shortest ways from v to the target, the
share of a wire u>v is (ways from the source to u) x n(v) / n(source), and the k-th way is found by counting down.
Source: counting as in Brandes, "A Faster Algorithm for Betweenness Centrality", 2001.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hw.network.topology import Topology
from hw.rows import largest

Pick = Callable[[int], int | None]
"""Which of so many ways: a number, or None for all alike."""

Path = tuple[int, ...]
"""Numbers of wires, one after the other."""

_Layer = Mapping[int, Sequence[tuple[int, int]]]
"""Nodes equally far from the target, and their wires onwards: the next node and the number of the wire."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Shares of a message by wire, and the latency of the longest way."""

    shares: Mapping[int, float]
    latency_s: float


def spread_over(topology: Topology, ways: Sequence[Path], pick: Pick) -> Spread:
    """A message over all of some ways alike, or over the one picked."""
    only = pick(len(ways))
    chosen = ways if only is None else [ways[only]]
    shares: dict[int, float] = {}
    for way in chosen:
        for wire in way:
            shares[wire] = shares.get(wire, 0.0) + 1.0 / len(chosen)
    wires = topology.wires
    return Spread(shares, largest(sum(wires[wire].latency_s for wire in way) for way in chosen))


class TreeRoutes:
    """Routes up and down the switches of one level; every wire leads one tier up or one tier down."""

    def __init__(self, topology: Topology, level: int) -> None:
        self._topology = topology
        self._ups: dict[str, list[tuple[str, int]]] = {}
        self._downs: dict[str, list[tuple[str, int]]] = {}
        wires = list(topology.of_level(level))
        known, front = set[str](), [wire.source for _, wire in wires if wire.source in topology.chip_numbers]
        onwards: dict[str, list[tuple[str, int]]] = {}
        backwards: dict[tuple[str, str], list[int]] = {}
        for number, wire in wires:
            onwards.setdefault(wire.source, []).append((wire.target, number))
            backwards.setdefault((wire.source, wire.target), []).append(number)
        while front := list(dict.fromkeys(front)):
            known.update(front)
            for node in front:
                self._ups[node] = [(above, number) for above, number in onwards[node] if above not in known]
                above = dict.fromkeys(name for name, _ in self._ups[node])
                self._downs[node] = [(name, number) for name in above for number in backwards[name, node]]
            front = [above for node in front for above, _ in self._ups[node]]

    def spread(self, ends: tuple[int, int], pick: Pick) -> Spread:
        """The shares of a message between two chips: up to the lowest nodes that both reach, and down."""
        left: dict[str, list[Path]] = {f"chip{ends[0]}": [()]}
        right: dict[str, list[Path]] = {f"chip{ends[1]}": [()]}
        while not (meeting := [node for node in left if node in right]):
            left, right = _higher(self._ups, left), _higher(self._downs, right)
            if not left or not right:
                raise ValueError(f"chip {ends[1]} cannot be reached from chip {ends[0]}")
        ways = [(*up, *reversed(down)) for node in meeting for up in left[node] for down in right[node]]
        return spread_over(self._topology, ways, pick)


def _higher(wires: Mapping[str, list[tuple[str, int]]], reached: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """One tier up: the wires to the nodes above."""
    result: dict[str, list[Path]] = {}
    for node, ways in reached.items():
        for above, number in wires[node]:
            result.setdefault(above, []).extend((*way, number) for way in ways)
    return result


class GraphRoutes:
    """Shortest routes over the wires of one level, in any graph. Distances to a node are searched once."""

    def __init__(self, topology: Topology, level: int) -> None:
        self._topology = topology
        self._nodes: dict[str, int] = {}
        self._out: list[list[tuple[int, int]]] = []
        self._into: list[list[int]] = []
        for number, wire in topology.of_level(level):
            source, target = self._node(wire.source), self._node(wire.target)
            self._out[source].append((target, number))
            self._into[target].append(source)
        self._distances: dict[int, list[int]] = {}

    def _node(self, name: str) -> int:
        if name not in self._nodes:
            self._nodes[name] = len(self._nodes)
            self._out.append([])
            self._into.append([])
        return self._nodes[name]

    def _distance(self, target: int) -> list[int]:
        """Wires from each node to the target; -1 where there is no way."""
        if target not in self._distances:
            found = [-1] * len(self._out)
            found[target] = 0
            front = [target]
            while front:
                behind = []
                for node in front:
                    for before in self._into[node]:
                        if found[before] < 0:
                            found[before] = found[node] + 1
                            behind.append(before)
                front = behind
            self._distances[target] = found
        return self._distances[target]

    def spread(self, ends: tuple[int, int], pick: Pick) -> Spread:
        """The shares of a message between two chips."""
        source, target = (self._nodes.get(f"chip{chip}", -1) for chip in ends)
        # a chip behind one switch is reached through it: the switch's distances serve all its chips
        alone = target >= 0 and len(set(self._into[target])) == 1
        door = self._into[target][0] if alone else target
        if min(source, target) < 0 or self._distance(door)[source] < 0:
            raise ValueError(f"chip {ends[1]} cannot be reached from chip {ends[0]}")
        layers = self._layers(source, door)
        if alone:
            layers.append({door: [onward for onward in self._out[door] if onward[0] == target]})
        ways = _ways_to(layers, target)
        only = pick(ways[source])
        if only is not None:
            return spread_over(self._topology, [_way(layers, source, ways, only)], lambda _count: None)
        return self._all(layers, source, ways)

    def _layers(self, source: int, door: int) -> list[_Layer]:
        """From the source to the door, wire by wire: the nodes that lie on shortest ways, and their wires onwards."""
        layers: list[_Layer] = []
        front: Iterable[int] = [source]
        distance = self._distance(door)
        for left in range(distance[source], 0, -1):
            layer = {node: [onward for onward in self._out[node] if distance[onward[0]] == left - 1] for node in front}
            layers.append(layer)
            front = dict.fromkeys(after for onwards in layer.values() for after, _ in onwards)
        return layers

    def _all(self, layers: Sequence[_Layer], source: int, ways: Mapping[int, int]) -> Spread:
        """All shortest ways alike."""
        wires, total = self._topology.wires, ways[source]
        shares: dict[int, float] = {}
        come, late, latency = {source: 1}, {source: 0.0}, 0.0
        for layer in layers:
            for node, onwards in layer.items():
                for after, number in onwards:
                    shares[number] = come[node] * ways[after] / total
                    come[after] = come.get(after, 0) + come[node]
                    late[after] = largest([late.get(after, 0.0), late[node] + wires[number].latency_s])
                    latency = largest([latency, late[after]])
        return Spread(shares, latency)


def _ways_to(layers: Sequence[_Layer], target: int) -> dict[int, int]:
    """How many shortest ways lead from each node to the target."""
    ways = {target: 1}
    for layer in reversed(layers):
        for node, onwards in layer.items():
            ways[node] = sum(ways[after] for after, _ in onwards)
    return ways


def _way(layers: Sequence[_Layer], source: int, ways: Mapping[int, int], number: int) -> Path:
    """One of the shortest ways, by its number."""
    here, path = source, list[int]()
    for layer in layers:
        for after, wire in layer[here]:
            if number < ways[after]:
                here = after
                path.append(wire)
                break
            number -= ways[after]
    return tuple(path)
