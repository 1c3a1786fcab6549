"""Collectives as one task, in the textbook's closed forms ("canonical"), over any axes of any wiring.

With V the bytes of the gathered (or to-be-scattered, or exchanged: over all chips) array:
- gathers along one axis as `simulator.collectives.one_axis` has them, over several axes and levels as
  `simulator.collectives.several_axes`: several wrapped axes of one torus V / sum(W_both), levels as a pipeline in which
  the slowest decides. A reduce-scatter is a gather backwards, an all-reduce the two in sequence;
- all-to-all: `simulator.collectives.exchange`; uneven: each chip sends share i of what it has to chip i over its own
  route, all at once;
- unequal shards: `simulator.collectives.uneven`;
- broadcast and reduce: `simulator.collectives.streams`; gather to one and scatter: the root's routes to and from
  everyone.
Source: DESIGN section 3; "How to Scale Your Model", chapters on sharding and GPUs. Other algorithms are in
`simulator.collectives.algorithms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulator.collectives.exchange import exchange
from simulator.collectives.flight import by_routes
from simulator.collectives.one_axis import FORMS
from simulator.collectives.several_axes import gather_stages, gathered
from simulator.collectives.streams import cast_stages, reduce_stages, streamed
from simulator.collectives.transfer import Group, Message, Transfer
from simulator.collectives.uneven import direct_gather, passed_gather, round_gather


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
    """All-gather."""
    return _gather(group, ask, back=False)


def scatter(group: Group, ask: Ask) -> Transfer:
    """Reduce-scatter: a gather backwards."""
    return _gather(group, ask, back=True)


def _gather(group: Group, ask: Ask, back: bool) -> Transfer:
    if parts := ask.held or ask.shares:
        return _UNEQUAL.get(group.line.axis.kind, direct_gather)(group, parts, ask.nbytes, back)
    return gathered(group, gather_stages(group, ask.nbytes), back)


def _both(group: Group, ask: Ask) -> Transfer:
    once = gather(group, ask)
    alike = not (ask.held or ask.shares) and all(piece.kind in _SYMMETRIC for piece in group.pieces)
    return (once if alike else scatter(group, ask)).then(once)


_SYMMETRIC = ("ring", "switch", "full")
"""Kinds of axes on which a scatter asks of each wire what a gather asks."""


# Exchanging


MOST_ROUTED = 512
"""Chips up to which an all-to-all goes pair by pair under a `routing` other than `split`; beyond, as under that."""


def exchange_all(group: Group, ask: Ask) -> Transfer:
    """All-to-all of V bytes over all chips: V/N^2 from each to each, or by shares."""
    if ask.shares or ask.held or (len(group.pieces) == 1 and group.pieces[0].kind not in FORMS):
        return by_routes(group, exchanged(group, ask))
    # the closed form splits what goes to an antipode over both ways, axis by axis; who routes otherwise loads other wires
    if group.router.routing != "split" and group.size <= MOST_ROUTED:
        return by_routes(group, exchanged(group, ask))
    return exchange(group, ask.nbytes)


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
    return by_routes(group, shifted(group, ask))


def shifted(group: Group, ask: Ask) -> list[Message]:
    """The messages of a permute."""
    chips, size = group.chips, group.size
    moves = ((chip, chips[(at + ask.shift) % size]) for at, chip in enumerate(chips))
    return [Message(source, target, ask.nbytes) for source, target in moves if source != target]


# With a root


def cast(group: Group, ask: Ask) -> Transfer:
    """A broadcast of V from the root."""
    return streamed(group, cast_stages(group, ask.root), ask.nbytes)


def collect(group: Group, ask: Ask) -> Transfer:
    """A reduce to the root: the broadcast, backwards; where links lead one way, a chain on round the ring to the root."""
    return streamed(group, reduce_stages(group, ask.root), ask.nbytes)


def deal(group: Group, ask: Ask) -> Transfer:
    """A scatter: the root sends each chip its shard."""
    return by_routes(group, dealt(group, ask))


def dealt(group: Group, ask: Ask) -> list[Message]:
    """The messages of a scatter."""
    root = group.chips[ask.root]
    parts = ask.shares or ask.held or (1.0 / group.size,) * group.size
    shards = [(chip, ask.nbytes * part) for chip, part in zip(group.chips, parts, strict=True)]
    return [Message(root, chip, shard) for chip, shard in shards if chip != root and shard]


def fetch(group: Group, ask: Ask) -> Transfer:
    """A gather to one: each chip sends the root its shard."""
    return by_routes(group, fetched(group, ask))


def fetched(group: Group, ask: Ask) -> list[Message]:
    """The messages of a gather to one."""
    return [Message(chip, root, nbytes) for root, chip, nbytes, _ in dealt(group, ask)]


CANONICAL: Mapping[str, Callable[[Group, Ask], Transfer]] = {
    "all_gather": gather,
    "reduce_scatter": scatter,
    "all_reduce": _both,
    "all_to_all": exchange_all,
    "broadcast": cast,
    "reduce_to": collect,
    "gather_to": fetch,
    "scatter": deal,
    "permute": permute,
}
"""The textbook's forms by kind of collective."""
