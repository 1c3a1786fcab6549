"""Collectives step by step: the messages that a macro collective stands for, round by round.

A chip sends the messages of one lane in order, each when what it passes on has come; different lanes do not wait for each
other. Alone on its wires, the step form of a collective along one ring, line or switch takes exactly its macro time.
Along one axis: `simulator.rounds_axis`. Tree, hierarchical and several axes, and casts stream: V is cut into pieces that
follow each other through the stages. per_axis goes stage by stage.
Source: the same as `simulator.collectives` and `simulator.algorithms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from hw.topology import Axis
from simulator.algorithms import GATHERS, tree_edges
from simulator.collectives import Ask, dealt, exchanged, fetched, shifted
from simulator.collectives_uneven import to_every, to_neighbours
from simulator.rounds_axis import (
    DOUBLING,
    LINE,
    MOST_SLICES,
    ONE_WAY,
    PIPELINED,
    RING,
    SLICES,
    Build,
    Messages,
    Round,
    Rounds,
    chain,
    direct,
    fabric,
)
from simulator.transfer import Group, Line, Message


def _single(messages: Callable[[Group, Ask], Sequence[Message]]) -> Build:
    return lambda group, ask: [Round(tuple(messages(group, ask)))]


def _tree(group: Group, ask: Ask) -> Rounds:
    """Each slice goes up level by level and comes down again; the two trees side by side."""
    rounds: Rounds = []
    for offset in (0, 1):
        levels = _tree_levels(tree_edges(group, offset))
        slice_bytes = ask.nbytes / 2 / SLICES
        for _ in range(SLICES):
            after: tuple[int, ...] = ()
            for depth, edges in enumerate(reversed(levels)):
                after = chain(rounds, [tuple(Message(c, p, slice_bytes) for c, p in edges)], 4 * depth + offset, after)
            for depth, edges in enumerate(levels):
                after = chain(
                    rounds, [tuple(Message(p, c, slice_bytes) for c, p in edges)], 4 * depth + 2 + offset, after
                )
    return rounds


def _tree_levels(edges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The edges of a tree by the depth of the child, from the root down."""
    depth: dict[int, int] = {}
    levels: list[list[tuple[int, int]]] = []
    for child, parent in edges:
        depth[child] = depth.get(parent, 0) + 1
        if len(levels) < depth[child]:
            levels.append([])
        levels[depth[child] - 1].append((child, parent))
    return levels


def _staged(group: Group, ask: Ask) -> Rounds:
    """Levels in the order of the macro form, each slice on its own; the axes of one level in every rotation."""
    one_level = len({piece.level for piece in group.pieces}) == 1
    turns = len(group.pieces) if one_level else 1
    kinds = 2 if ask.kind == "all_reduce" else 1
    a_slice = group.size * sum(piece.size - 1 for piece in group.pieces) * kinds * turns
    return _stages(group, ask, turns, min(MOST_SLICES, max(SLICES, PIPELINED // a_slice)))


def _one_by_one(group: Group, ask: Ask) -> Rounds:
    return _stages(group, ask, 1, 1)


def _stages(group: Group, ask: Ask, turns: int, slices: int) -> Rounds:
    result: Rounds = []
    for turn in range(turns):
        pieces = [*group.pieces[turn:], *group.pieces[:turn]]
        # slices have the same messages, so that what is alike is found once
        stages = [
            merged([_along_line(line, step) for line in group.along(piece)])
            for piece, step in _order(pieces, replace(ask, nbytes=ask.nbytes / turns / slices))
        ]
        for _ in range(slices):
            after: tuple[int, ...] = ()
            for at, stage in enumerate(stages):
                after = _append(result, stage, after, 2 * (at + turn * 2 * len(pieces)))
    return result


def _order(pieces: Sequence[Axis], ask: Ask) -> list[tuple[Axis, Ask]]:
    """What is done along each piece, one after the other: reduce-scatters inside out, all-gathers outside in."""
    inside_out, inner = [], 1
    for piece in pieces:
        inside_out.append((piece, ask.nbytes / inner))
        inner *= piece.size
    halves = {"reduce_scatter": inside_out, "all_gather": inside_out[::-1]}
    kinds = halves if ask.kind == "all_reduce" else {ask.kind: halves[ask.kind]}
    return [(piece, replace(ask, kind=kind, nbytes=nbytes)) for kind in kinds for piece, nbytes in halves[kind]]


def _along_line(line: Line, ask: Ask) -> Rounds:
    part = Group(line.topology, line.router, tuple(line.chips), (line.axis,))
    return by_name(_AXIS_NAMES.get(line.axis.kind, "ring over routes"))(part, ask)


def merged(parts: Sequence[Rounds]) -> Rounds:
    """The rounds of several lines side by side; all have the same steps."""
    seen: dict[tuple[int, ...], Messages] = {}
    result: Rounds = []
    for steps in zip(*parts, strict=True):
        key = tuple(id(step.messages) for step in steps)
        if key not in seen:
            seen[key] = tuple(message for step in steps for message in step.messages)
        result.append(Round(seen[key], steps[0].lane, steps[0].after))
    return result


def _append(rounds: Rounds, more: Rounds, after: tuple[int, ...], lanes: int) -> tuple[int, ...]:
    start = len(rounds)
    for each in more:
        rounds.append(Round(each.messages, lanes + each.lane, tuple(at + start for at in each.after) or after))
    return tuple(range(start, len(rounds)))  # all: what is for a chip in the middle of a line has come before the last


def _cast(group: Group, ask: Ask) -> Rounds:
    """Slices streamed along the chain of chips from the root (a reduce: to it)."""
    chips = [*group.chips[ask.root :], *group.chips[: ask.root]]
    hops = [Message(a, b, ask.nbytes / SLICES) for a, b in pairwise(chips)]
    if ask.kind == "reduce_to":
        hops = [Message(b, a, nbytes) for a, b, nbytes in reversed(hops)]
    rounds: Rounds = []
    steps = [(hop,) for hop in hops]
    for _ in range(SLICES):
        chain(rounds, steps, 0)
    return rounds


_AXIS_NAMES = {
    "ring": "ring",
    "one_way_ring": "ring_one_way",
    "line": "line",
    "switch": "direct",
    "fat_tree": "fabric",
    "full": "direct",
}
_BY_NAME: Mapping[str, Build] = {
    "ring": RING,
    "ring over routes": RING,
    "line": LINE,
    "ring_one_way": ONE_WAY,
    "direct": direct,
    "fabric": fabric,
    "halving_doubling": DOUBLING,
    "tree": _tree,
    "per_axis": _one_by_one,
    "hierarchical": _staged,
    "all axes at once": _staged,
    "split over the axes": _staged,
}
_BY_KIND: Mapping[str, Build] = {
    "all_to_all": _single(exchanged),
    "permute": _single(shifted),
    "gather_to": _single(fetched),
    "scatter": _single(dealt),
    "broadcast": _cast,
    "reduce_to": _cast,
}


def by_name(algorithm: str) -> Build:
    """How an algorithm goes step by step."""
    return _BY_NAME[algorithm]


def rounds(group: Group, ask: Ask, algorithm: str) -> Rounds | None:
    """The rounds of a collective; None where an algorithm has no step form (a switch that adds up)."""
    if ask.kind in GATHERS and (ask.held or ask.shares):
        return _unequal(group, ask, algorithm)
    build = _BY_KIND.get(ask.kind) or _BY_NAME.get(algorithm)
    return build(group, ask) if build is not None and group.size > 1 else None


def _unequal(group: Group, ask: Ask, algorithm: str) -> Rounds:
    """Unequal shards: all at once, or passed on from neighbour to neighbour."""
    parts, back = ask.held or ask.shares, ask.kind == "reduce_scatter"
    if algorithm == "direct":
        return [Round(tuple(to_every(group, parts, ask.nbytes, back)))]
    result: Rounds = []
    for lane, hops in enumerate(to_neighbours(group.line, parts, ask.nbytes, back, algorithm == "ring_one_way")):
        chain(result, [tuple(messages) for messages in hops if messages], lane)
    return result
