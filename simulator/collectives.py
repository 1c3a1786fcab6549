"""Collectives in macro form, in the textbook's closed forms ("canonical"), over any axes of any wiring.

With V the bytes of the gathered (or to-be-scattered, or exchanged: over all chips) array:
- along one axis as `simulator.collectives_axis` has it; an all-reduce is a reduce-scatter, then an all-gather;
- several wrapped axes of one torus: V / sum(W_both), all directions at once; several axes of which some do not wrap: V is
  cut into one part per axis, each part going through the axes in its own order;
- several levels: hierarchical, V shrinking by the sizes of the inner levels, phases pipelined: the slowest level decides;
- all-to-all: routes axis by axis, all at once; a level that is one fabric is entered straight from the sending chip;
  uneven: each chip sends share i of what it has to chip i over its own route, all at once;
- unequal shards: `simulator.collectives_uneven`;
- broadcast and reduce: level by level, outside in; gather and scatter: the root's routes to and from everyone.
Source: DESIGN section 3; "How to Scale Your Model", chapters on sharding and GPUs. Other algorithms, and the choice among
them, are in `simulator.algorithms`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from hw.topology import Axis
from simulator.collectives_axis import forms, routed
from simulator.collectives_uneven import by_routes, direct_gather, passed_gather, round_gather
from simulator.transfer import Group, Line, Message, Transfer, added


@dataclass(frozen=True, slots=True)
class Ask:
    """What a collective is asked to do: its kind, V, the place of its root, a shift; of an uneven one, the parts of V
    that go to each place and those that each place holds before."""

    kind: str
    nbytes: float
    root: int = 0
    shift: int = 1
    shares: tuple[float, ...] = ()
    held: tuple[float, ...] = ()


def canonical(group: Group, ask: Ask) -> Transfer:
    """The textbook's transfer of a collective in one group."""
    if group.size == 1:
        return Transfer()
    return CANONICAL[ask.kind](group, ask)


def canonical_name(group: Group) -> str:
    """What the textbook's way is called on a group's wiring."""
    if len({piece.level for piece in group.pieces}) > 1:
        return "hierarchical"
    kinds = {piece.kind for piece in group.pieces}
    if len(group.pieces) > 1:
        return "all axes at once" if kinds == {"ring"} else "split over the axes"
    return {
        "ring": "ring",
        "line": "line",
        "switch": "direct",
        "full": "direct",
        "fat_tree": "direct",
        "one_way_ring": "ring_one_way",
    }.get(next(iter(kinds), ""), "ring over routes")


# Gathering


_UNEQUAL = {"ring": passed_gather, "line": passed_gather, "one_way_ring": round_gather}
"""How unequal shards are gathered, by kind of wiring; elsewhere everyone sends to everyone."""


def gather(group: Group, ask: Ask) -> Transfer:
    """All-gather; a reduce-scatter is the same, backwards."""
    if parts := ask.held or ask.shares:
        form = _UNEQUAL.get(group.line.axis.kind, direct_gather)
        return form(group, parts, ask.nbytes, ask.kind == "reduce_scatter")
    whole, inner = Transfer(), 1
    for _, pieces in groupby(group.pieces, key=lambda piece: piece.level):
        here = tuple(pieces)
        whole = whole.beside(_level_gather(group, here, ask.nbytes / inner))
        inner *= math.prod(piece.size for piece in here)
    return whole


def _level_gather(group: Group, pieces: tuple[Axis, ...], nbytes: float) -> Transfer:
    if len(pieces) == 1:
        return along(group, pieces[0], nbytes)
    if all(piece.kind == "ring" for piece in pieces):
        return _all_axes_gather(group, pieces, nbytes)
    parts = []
    for turn in range(len(pieces)):
        order = [*pieces[turn:], *pieces[:turn]]
        beyond = [math.prod(piece.size for piece in order[at + 1 :]) for at in range(len(order))]
        steps = [along(group, piece, nbytes / len(pieces) / rest) for piece, rest in zip(order, beyond, strict=True)]
        parts.extend(steps)
    # every part passes the same hops, side by side
    latency = sum(part.latency_s for part in parts) / len(pieces)
    return Transfer((added(*(phase for part in parts for phase in part.phases)),), latency, _sent(parts))


def _sent(parts: Sequence[Transfer]) -> float:
    return sum(part.sent_bytes for part in parts)


def along(group: Group, piece: Axis, nbytes: float) -> Transfer:
    """A gather of `nbytes` along one piece, on all of its lines side by side."""
    lines = [forms(line).gather(line, nbytes) for line in group.along(piece)]
    return side_by_side(lines)


def side_by_side(lines: Sequence[Transfer]) -> Transfer:
    """Transfers of different chips at the same time, phase by phase."""
    phases = [[line.phases[at] for line in lines if at < len(line.phases)] for at in range(_longest(lines))]
    return Transfer(
        tuple(added(*loads) for loads in phases),
        max((line.latency_s for line in lines), default=0.0),
        max((line.sent_bytes for line in lines), default=0.0),
    )


def _longest(lines: Sequence[Transfer]) -> int:
    return max((len(line.phases) for line in lines), default=0)


def _all_axes_gather(group: Group, pieces: tuple[Axis, ...], nbytes: float) -> Transfer:
    """V / sum(W_both): every wire of every axis busy for as long."""
    wires: dict[int, float] = {}
    hops, both = 0.0, 0.0
    for piece in pieces:
        slowest = math.inf
        for line in group.along(piece):
            here = [*line.steps(True), *line.steps(False)]
            rates = [group.topology.wires[wire].bytes_per_s for wire in here]
            slowest = min(slowest, *rates)
            wires.update(dict.fromkeys(here, min(rates)))
        hops += (piece.size // 2) * line.hop_s(here)
        both += 2 * slowest
    loads = {wire: nbytes * rate / both for wire, rate in wires.items()}
    return Transfer((loads,), hops, nbytes * (group.size - 1) / group.size)


def _twice(group: Group, ask: Ask) -> Transfer:
    once = gather(group, ask)
    return once.then(once)


# Exchanging


def exchange(group: Group, ask: Ask) -> Transfer:
    """All-to-all of V bytes over all chips: V/N^2 from each to each."""
    if ask.shares or ask.held:
        return by_routes(group.router, exchanged(group, ask))
    levels, whole, inner = group.topology.levels, Transfer(), 1
    for at, piece in enumerate(group.pieces):
        # what passes here: all that differs along this piece and was not put on a fabric further out
        outer = math.prod(each.size for each in group.pieces[at + 1 :] if not levels[each.level].shared)
        pair = ask.nbytes / group.size**2 * inner * outer
        whole = whole.beside(side_by_side([forms(line).exchange(line, pair) for line in group.along(piece)]))
        inner *= piece.size
    return whole


def exchanged(group: Group, ask: Ask) -> list[Message]:
    """The messages of an all-to-all: each chip sends share i of what it has to chip i; without shares, equal parts."""
    even = (1.0 / group.size,) * group.size
    has, shares = ask.held or even, ask.shares or even
    return [
        Message(source, target, ask.nbytes * part * share)
        for source, part in zip(group.chips, has, strict=True)
        for target, share in zip(group.chips, shares, strict=True)
        if source != target and part and share
    ]


def permute(group: Group, ask: Ask) -> Transfer:
    """Each chip sends what it has to the one `shift` places on."""
    return by_routes(group.router, shifted(group, ask))


def shifted(group: Group, ask: Ask) -> list[Message]:
    """The messages of a permute."""
    chips, size = group.chips, group.size
    moves = ((chip, chips[(at + ask.shift) % size]) for at, chip in enumerate(chips))
    return [Message(source, target, ask.nbytes) for source, target in moves if source != target]


# With a root


def cast(group: Group, ask: Ask) -> Transfer:
    """A broadcast of V from the root: outer pieces first, then inside each."""
    whole = Transfer()
    for at in reversed(range(len(group.pieces))):
        piece, inner = group.pieces[at], group.pieces[:at]
        lines = [line for line in group.along(piece) if _leads(group, line, inner, ask.root)]
        reached = [forms(line).cast(line, piece.place(ask.root), ask.nbytes) for line in lines]
        whole = whole.beside(side_by_side(reached))
    return whole


def _leads(group: Group, line: Line, inner: Sequence[Axis], root: int) -> bool:
    first = group.place_of[line.chips[0]]
    return all(piece.place(first) == piece.place(root) for piece in inner)


def collect(group: Group, ask: Ask) -> Transfer:
    """A reduce to the root: the broadcast, backwards; where links lead one way, a chain on round the ring to the root."""
    if not group.two_way:
        order = [*group.chips[ask.root + 1 :], *group.chips[: ask.root + 1]]
        loads, hop = routed(group.router, [Message(here, there, ask.nbytes) for here, there in pairwise(order)])
        return Transfer((loads,), hop * (group.size - 1), ask.nbytes)
    forward = cast(group, ask)
    back = group.reverse
    phases = tuple({back[wire]: nbytes for wire, nbytes in phase.items()} for phase in forward.phases)
    return Transfer(phases[::-1], forward.latency_s, ask.nbytes)


def deal(group: Group, ask: Ask) -> Transfer:
    """A scatter: the root sends each chip its shard."""
    return by_routes(group.router, dealt(group, ask))


def dealt(group: Group, ask: Ask) -> list[Message]:
    """The messages of a scatter."""
    root = group.chips[ask.root]
    parts = ask.shares or ask.held or (1.0 / group.size,) * group.size
    shards = [(chip, ask.nbytes * part) for chip, part in zip(group.chips, parts, strict=True)]
    return [Message(root, chip, shard) for chip, shard in shards if chip != root and shard]


def fetch(group: Group, ask: Ask) -> Transfer:
    """A gather to one: each chip sends the root its shard."""
    return by_routes(group.router, fetched(group, ask))


def fetched(group: Group, ask: Ask) -> list[Message]:
    """The messages of a gather to one."""
    return [Message(chip, root, nbytes) for root, chip, nbytes in dealt(group, ask)]


CANONICAL: Mapping[str, Callable[[Group, Ask], Transfer]] = {
    "all_gather": gather,
    "reduce_scatter": gather,
    "all_reduce": _twice,
    "all_to_all": exchange,
    "broadcast": cast,
    "reduce_to": collect,
    "gather_to": fetch,
    "scatter": deal,
    "permute": permute,
}
"""The textbook's forms by kind of collective."""
