"""Collectives step by step: the messages that a macro collective stands for, round by round.

A chip sends the messages of one lane in order, each when what it passes on has come; different lanes do not wait for each
other. Alone on its wires, the step form of a collective along one ring, line or switch takes exactly its macro time.
- ring, line: shards are passed on, one lane each way; the shard of the antipode goes forward only.
- direct: everyone to everyone, in one round. halving_doubling: a round for each partner. ring_one_way: n-1 rounds.
- tree, per_axis, hierarchical, and casts stream: V is cut into `SLICES` pieces that follow each other through the stages.
Source: the same as `simulator.collectives` and `simulator.algorithms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hw.topology import Axis
from simulator.algorithms import doublings, everyone, one_way_round, tree_edges
from simulator.collectives import Ask, dealt, exchanged, fetched, shifted
from simulator.transfer import Group, Line, Message

SLICES = 8
"""Pieces into which the step form cuts what a macro form streams."""

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """Messages of one step. `after`: the rounds whose messages to a sender must have come before it sends."""

    messages: Messages
    lane: int = 0
    after: tuple[int, ...] = ()


Rounds = list[Round]


def _chain(rounds: Rounds, messages: Sequence[Messages], lane: int, after: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Append rounds of one lane, each passing on what the one before brought; returns the last one's number."""
    for each in messages:
        rounds.append(Round(each, lane, after))
        after = (len(rounds) - 1,)
    return after


def _ring_gather(group: Group, nbytes: float) -> Rounds:
    chips, size = group.chips, group.size
    shard = nbytes / size
    ahead = tuple(one_way_round(group, shard))
    back = tuple(Message(target, source, shard) for source, target, _ in ahead)
    rounds: Rounds = []
    _chain(rounds, [ahead] * (size // 2), 0)
    _chain(rounds, [back] * ((size - 1) // 2), 1)
    return rounds if len(chips) > 1 else []


def _line_gather(group: Group, nbytes: float) -> Rounds:
    """In hop h, the shards that started h-1 places back are passed on."""
    chips, size = group.chips, group.size
    shard = nbytes / size
    rounds: Rounds = []
    for lane, order in enumerate((list(chips), list(chips)[::-1])):
        hops = list(pairwise(order))
        _chain(rounds, [tuple(Message(a, b, shard) for a, b in hops[at:]) for at in range(size - 1)], lane)
    return rounds


def _line_scatter(group: Group, nbytes: float) -> Rounds:
    """Partial sums for a chip come from the far ends; what has far to go is sent first."""
    chips, size = group.chips, group.size
    shard = nbytes / size
    rounds: Rounds = []
    for lane, order in enumerate((list(chips), list(chips)[::-1])):
        hops = list(pairwise(order))
        _chain(rounds, [tuple(Message(a, b, shard) for a, b in hops[: at + 1]) for at in range(size - 1)], lane)
    return rounds


def _both(scatter: Rounds, gather: Rounds) -> Rounds:
    """A reduce-scatter, then an all-gather: the second waits for the last rounds of the first."""
    last = tuple(_ends(scatter))
    later = [
        Round(each.messages, each.lane, tuple(before + len(scatter) for before in each.after) or last)
        for each in gather
    ]
    return [*scatter, *later]


def _ends(rounds: Rounds) -> list[int]:
    """The last round of each lane."""
    return list({each.lane: at for at, each in enumerate(rounds)}.values())


Build = Callable[[Group, Ask], Rounds]


def _gathered(scatter: Callable[[Group, float], Rounds], gather: Callable[[Group, float], Rounds]) -> Build:
    def build(group: Group, ask: Ask) -> Rounds:
        kinds: Mapping[str, Callable[[], Rounds]] = {
            "all_gather": lambda: gather(group, ask.nbytes),
            "reduce_scatter": lambda: scatter(group, ask.nbytes),
            "all_reduce": lambda: _both(scatter(group, ask.nbytes), gather(group, ask.nbytes)),
        }
        return kinds[ask.kind]()

    return build


def _one_way(group: Group, nbytes: float) -> Rounds:
    rounds: Rounds = []
    _chain(rounds, [tuple(one_way_round(group, nbytes / group.size))] * (group.size - 1), 0)
    return rounds


def _at_once(group: Group, nbytes: float) -> Rounds:
    return [Round(tuple(everyone(group, nbytes / group.size)))]


def _doubling(group: Group, nbytes: float) -> Rounds:
    rounds: Rounds = []
    _chain(rounds, [tuple(each) for each in doublings(group, nbytes)], 0)
    return rounds


def _halving(group: Group, nbytes: float) -> Rounds:
    rounds: Rounds = []
    _chain(rounds, [tuple(each) for each in doublings(group, nbytes)][::-1], 0)
    return rounds


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
                after = _chain(rounds, [tuple(Message(c, p, slice_bytes) for c, p in edges)], 4 * depth + offset, after)
            for depth, edges in enumerate(levels):
                after = _chain(
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
    return _stages(group, ask, SLICES)


def _one_by_one(group: Group, ask: Ask) -> Rounds:
    return _stages(group, ask, 1)


def _stages(group: Group, ask: Ask, slices: int) -> Rounds:
    one_level = len({piece.level for piece in group.pieces}) == 1
    turns = len(group.pieces) if one_level and slices > 1 else 1
    result: Rounds = []
    for turn in range(turns):
        pieces = [*group.pieces[turn:], *group.pieces[:turn]]
        for _ in range(slices):
            after: tuple[int, ...] = ()
            for at, (piece, step) in enumerate(_order(pieces, replace(ask, nbytes=ask.nbytes / turns / slices))):
                lines = [_along_line(line, step) for line in group.along(piece)]
                after = _append(result, merged(lines), after, 2 * (at + turn * 2 * len(pieces)))
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
    return tuple(at + start for at in _ends(more))


def _cast(group: Group, ask: Ask) -> Rounds:
    """Slices streamed along the chain of chips from the root (a reduce: to it)."""
    chips = [*group.chips[ask.root :], *group.chips[: ask.root]]
    hops = [Message(a, b, ask.nbytes / SLICES) for a, b in pairwise(chips)]
    if ask.kind == "reduce_to":
        hops = [Message(b, a, nbytes) for a, b, nbytes in reversed(hops)]
    rounds: Rounds = []
    steps = [(hop,) for hop in hops]
    for _ in range(SLICES):
        _chain(rounds, steps, 0)
    return rounds


_RING = _gathered(_ring_gather, _ring_gather)
_AXIS_NAMES = {"ring": "ring", "line": "line", "switch": "direct", "fat_tree": "direct", "full": "direct"}
_BY_NAME: Mapping[str, Build] = {
    "ring": _RING,
    "ring over routes": _RING,
    "line": _gathered(_line_scatter, _line_gather),
    "ring_one_way": _gathered(_one_way, _one_way),
    "direct": _gathered(_at_once, _at_once),
    "halving_doubling": _gathered(_halving, _doubling),
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
    build = _BY_KIND.get(ask.kind) or _BY_NAME.get(algorithm)
    return build(group, ask) if build is not None and group.size > 1 else None
