"""Data streamed along trees, in both forms: broadcasts, reductions to one chip, and the double binary tree of an all-reduce.

Model: V is cut into streams, each with its share of V and a tree along which it flows in slices, level by level; a
reduction goes the other way. All wires of all trees work side by side; latency is paid once along the longest way. Stages
follow each other, outer axes first. Which tree there is along an axis stands in `simulator.collectives.axes`.
Source: Sanders, Speck, Traff 2009 (two trees); NCCL 2.4 (double binary trees).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hw.rows import largest
from simulator.collectives.axis_forms import Level, Stream, Streams, forms_of
from simulator.collectives.flight import in_order
from simulator.collectives.form import Form
from simulator.collectives.group import Group
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Rounds, chain, slices
from simulator.collectives.transfer import Message, Transfer, Way, way_of

Stages = Callable[[Group, CollectiveRequest], Sequence[Streams]]


def streaming(stages: Stages) -> Form:
    """Both forms of what flows along the trees of some stages."""

    def transfer(group: Group, request: CollectiveRequest) -> Transfer:
        return streamed(group, stages(group, request), request.nbytes)

    def rounds(group: Group, request: CollectiveRequest) -> Rounds:
        return flowing(stages(group, request), request.nbytes)

    return Form(transfer, rounds)


def streamed(group: Group, stages: Sequence[Streams], nbytes: float) -> Transfer:
    """Stages as one pipelined phase: the bytes of all wires side by side, and the latency of the longest way."""
    loads: dict[int, float] = {}
    sent: dict[int, float] = {}
    latency_s = 0.0
    for stage in stages:
        latency_s += largest(_longest_s(group, stream) for stream in stage)
        for stream in stage:
            moved = stream.share * nbytes
            for edge in (edge for level in stream.levels for edge in level):
                sent[edge.source] = sent.get(edge.source, 0.0) + moved
                for wire, part in way_of(group.router, edge)[0].items():
                    loads[wire] = loads.get(wire, 0.0) + part * moved
    return Transfer((loads,), latency_s, largest(sent.values()))


def _longest_s(group: Group, stream: Stream) -> float:
    """Seconds of latency along the longest way through a tree, in its direction."""
    if not in_order(group) and all(forms_of(piece.kind).broadcast is None for piece in group.pieces):
        hops = (way_of(group.router, edge)[1] for level in stream.levels for edge in level)
        return len(stream.levels) * largest(hops)
    reached: dict[int, float] = {}
    for level in stream.levels:
        came: dict[int, float] = {}
        for edge in level:
            after = reached.get(edge.source, 0.0) + way_of(group.router, edge)[1]
            came[edge.target] = largest([came.get(edge.target, 0.0), after])
        for chip, after in came.items():
            reached[chip] = largest([reached.get(chip, 0.0), after])
    return largest(reached.values())


def flowing(stages: Sequence[Streams], nbytes: float) -> Rounds:
    """Slices along the trees of stages, level by level."""
    count = slices(sum(len(level) for stage in stages for stream in stage for level in stream.levels))
    sized = [[_sized(stream, nbytes, count) for stream in stage] for stage in stages]
    rounds: Rounds = []
    for _ in range(count):
        after: tuple[int, ...] = ()
        lane = 0
        for stage in sized:
            start = len(rounds)
            for levels in stage:
                chain(rounds, levels, lane, after)
                lane += 1
            after = tuple(range(start, len(rounds)))
    return rounds


def _sized(stream: Stream, nbytes: float, count: int) -> list[Level]:
    """The edges of a stream as messages of one of so many slices."""
    return [tuple(edge._replace(nbytes=nbytes * stream.share / count) for edge in level) for level in stream.levels]


# Trees


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
            level.append(Message(turned[parent - 1], turned[child - 1], 1.0))
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


def backwards(group: Group, streams: Streams) -> Streams:
    """The same trees towards the root."""
    return [Stream(each.share, tuple(_turned(group, level) for level in each.levels[::-1])) for each in streams]


def _turned(group: Group, level: Level) -> Level:
    found = []
    for source, target, nbytes, way in level:
        back = None if way is None else Way(tuple(group.reverse[wire] for wire in way.wires), way.latency_s)
        found.append(Message(target, source, nbytes, back))
    return tuple(found)
