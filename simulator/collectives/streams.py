"""Data streamed along trees: broadcasts, reductions to one chip, and the double binary tree of an all-reduce.

Model: V is cut into streams, each with its share of V and a tree along which it flows in slices, level by level; a
reduction goes the other way. All wires of all trees work side by side; latency is paid once along the longest way.
- ring: half of V each way round. Line: outwards from the root. Full mesh: a shard to every chip, which passes it on to all.
- fabric: a double binary tree over the other chips, half of V along each; a chip inside one tree is a leaf of the other.
- anything else: a chain through all chips in order, over routes.
Several axes: outer ones first, then inside each line of the next.
Source: Sanders, Speck, Traff 2009 (two trees); NCCL 2.4 (double binary trees).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from simulator.collectives.flight import in_order
from simulator.collectives.transfer import Group, Line, Message, Transfer, Way, way_of

Level = tuple[Message, ...]
"""Edges at one distance from the root; their bytes are 1: the stream knows its share."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A share of V, and the edges that it flows along, from the root outwards."""

    share: float
    levels: tuple[Level, ...]


Stage = Sequence[Stream]
"""Streams side by side."""


def cast_stages(group: Group, root: int) -> list[Stage]:
    """How a broadcast from the chip at place `root` flows: outer axes first, then inside each."""
    found = []
    for at in reversed(range(len(group.pieces))):
        piece, inner = group.pieces[at], group.pieces[:at]
        leading = [
            line
            for line in group.along(piece)
            if all(each.place(group.place_of[line.chips[0]]) == each.place(root) for each in inner)
        ]
        found.append(_side_by_side([_of_line(line, piece.place(root)) for line in leading]))
    return found


def reduce_stages(group: Group, root: int) -> list[Stage]:
    """How partial sums flow to the chip at place `root`: a broadcast backwards; where links lead one way, a chain on round
    the ring to it."""
    if group.two_way:
        return [backwards(group, stage) for stage in cast_stages(group, root)][::-1]
    order = [*group.chips[root + 1 :], *group.chips[: root + 1]]
    return [[Stream(1.0, tuple((_edge(here, there),) for here, there in pairwise(order)))]]


def _side_by_side(lines: Sequence[Stage]) -> Stage:
    """The streams of alike lines as one: their edges level by level."""
    merged = []
    for alike in zip(*lines, strict=True):
        depth = max(len(stream.levels) for stream in alike)
        levels = tuple(
            tuple(edge for stream in alike if at < len(stream.levels) for edge in stream.levels[at])
            for at in range(depth)
        )
        merged.append(Stream(alike[0].share, levels))
    return merged


def _of_line(line: Line, root: int) -> Stage:
    return _BY_KIND.get(line.axis.kind, _chain)(line, root)


def _edge(source: int, target: int, way: Way | None = None) -> Message:
    return Message(source, target, 1.0, way)


def _ring(line: Line, root: int) -> Stage:
    chips, size = line.chips, line.size
    found = []
    for ahead, wires in ((1, line.steps(True)), (-1, line.steps(False))):
        places = [(root + ahead * at) % size for at in range(size)]
        levels = [(_edge(chips[a], chips[b], line.way(wires[a])),) for a, b in pairwise(places)]
        found.append(Stream(0.5, tuple(levels)))
    return found


def _line(line: Line, root: int) -> Stage:
    chips, size = line.chips, line.size
    forward, backward = line.steps(True), line.steps(False)
    levels = []
    for away in range(max(root, size - 1 - root)):
        level = []
        if root + away + 1 < size:
            here = root + away
            level.append(_edge(chips[here], chips[here + 1], line.way(forward[here])))
        if root - away > 0:
            here = root - away
            level.append(_edge(chips[here], chips[here - 1], line.way(backward[here - 1])))
        levels.append(tuple(level))
    return [Stream(1.0, tuple(levels))]


def _full(line: Line, root: int) -> Stage:
    source = line.chips[root]
    others = [chip for chip in line.chips if chip != source]
    shard = 1.0 / line.size
    own = Stream(shard, (tuple(_edge(source, chip) for chip in others),))
    dealt = [
        Stream(shard, ((_edge(source, chip),), tuple(_edge(chip, other) for other in others if other != chip)))
        for chip in others
    ]
    return [own, *dealt]


def _chain(line: Line, root: int) -> Stage:
    order = [*line.chips[root:], *line.chips[:root]]
    return [Stream(1.0, tuple((_edge(here, there),) for here, there in pairwise(order)))]


def _by_leaf(line: Line, first: int) -> list[int]:
    """The chips of a fabric switch by switch, that of chip `first` first, then near ones: neighbours in a tree then share
    a switch, whatever the chips' numbers."""
    topology, level = line.topology, line.axis.level
    leaves: dict[str, list[int]] = {}
    for chip in line.chips:
        leaves.setdefault(topology.wires[topology.port_out(chip, level)].target, []).append(chip)
    own = topology.wires[topology.port_out(first, level)].target

    def near(leaf: str) -> tuple[bool, float, int]:
        chips = leaves[leaf]
        far = 0.0 if leaf == own else line.router.route(first, chips[0]).latency_s
        return leaf != own, far, -len(chips)

    return [chip for leaf in sorted(leaves, key=near) for chip in leaves[leaf]]


def _double_tree(line: Line, root: int) -> Stage:
    others = [chip for chip in _by_leaf(line, line.chips[root]) if chip != line.chips[root]]
    found = []
    for offset in (0, 1):
        top, levels = tree_levels(others, offset)
        found.append(Stream(0.5, ((_edge(line.chips[root], top),), *levels)))
    return found


_BY_KIND: Mapping[str, Callable[[Line, int], Stage]] = {
    "ring": _ring,
    "line": _line,
    "full": _full,
    "switch": _double_tree,
    "fat_tree": _double_tree,
}


def double_tree(group: Group) -> Stage:
    """The two binary trees over all chips of a group, half of V along each."""
    fabric = len(group.pieces) == 1 and group.pieces[0].kind in ("switch", "fat_tree")
    chips = _by_leaf(group.line, group.chips[0]) if fabric else group.chips
    return [Stream(0.5, tuple(tree_levels(chips, offset)[1])) for offset in (0, 1)]


def tree_levels(chips: Sequence[int], offset: int) -> tuple[int, list[Level]]:
    """The root and the edges by level of a binary search tree over the chips, shifted by `offset`: its leaves are at even
    places, so that a chip that is inside one of the two trees is a leaf of the other."""
    turned = [chips[(at + offset) % len(chips)] for at in range(len(chips))]
    top = _roundest(1, len(chips))
    levels: list[Level] = []
    hanging = [(1, top - 1, top), (top + 1, len(chips), top)]
    while hanging := [each for each in hanging if each[0] <= each[1]]:
        level, below = [], []
        for low, high, parent in hanging:
            child = _roundest(low, high)
            level.append(_edge(turned[parent - 1], turned[child - 1]))
            below += [(low, child - 1, child), (child + 1, high, child)]
        levels.append(tuple(level))
        hanging = below
    return turned[top - 1], levels


def _roundest(low: int, high: int) -> int:
    """The number from `low` to `high` that ends on most binary zeros."""
    power = high.bit_length()
    while (high >> power) << power < low:
        power -= 1
    return (high >> power) << power


def backwards(group: Group, stage: Stage) -> Stage:
    """The same trees towards the root."""
    return [Stream(each.share, tuple(_turned(group, level) for level in each.levels[::-1])) for each in stage]


def _turned(group: Group, level: Level) -> Level:
    found = []
    for source, target, nbytes, way in level:
        back = None if way is None else Way(tuple(group.reverse[wire] for wire in way.wires), way.latency_s)
        found.append(Message(target, source, nbytes, back))
    return tuple(found)


def streamed(group: Group, stages: Sequence[Stage], nbytes: float) -> Transfer:
    """Stages as one pipelined phase: the bytes of all wires side by side, and the latency of the longest way."""
    loads: dict[int, float] = {}
    sent: dict[int, float] = {}
    latency_s = 0.0
    for stage in stages:
        latency_s += max(_longest_s(group, stream) for stream in stage)
        for stream in stage:
            moved = stream.share * nbytes
            for edge in (edge for level in stream.levels for edge in level):
                sent[edge.source] = sent.get(edge.source, 0.0) + moved
                for wire, part in way_of(group.router, edge)[0].items():
                    loads[wire] = loads.get(wire, 0.0) + part * moved
    return Transfer((loads,), latency_s, max(sent.values()))


def _longest_s(group: Group, stream: Stream) -> float:
    """Seconds of latency along the longest way through a tree, in its direction."""
    if not in_order(group) and all(piece.kind not in _BY_KIND for piece in group.pieces):
        hops = (way_of(group.router, edge)[1] for level in stream.levels for edge in level)
        return len(stream.levels) * max(hops)
    reached: dict[int, float] = {}
    for level in stream.levels:
        came: dict[int, float] = {}
        for edge in level:
            after = reached.get(edge.source, 0.0) + way_of(group.router, edge)[1]
            came[edge.target] = max(came.get(edge.target, 0.0), after)
        for chip, after in came.items():
            reached[chip] = max(reached.get(chip, 0.0), after)
    return max(reached.values())
