"""Other ways to carry out a collective, and the choice among them.

`canonical` is the textbook's way (`simulator.collectives`); `auto` takes the cheapest of all that fit, by their time alone
(latency, and the slowest wire of each phase). With n chips, V the bytes, alpha a hop, W a chip's egress:
- ring: whole shards both ways round the group, over routes where it is no ring: floor(n/2) hops a phase;
- ring_one_way: n-1 hops a phase, 2(n-1)(alpha + V/(n W)) for an all-reduce;
- direct: every chip sends to every other at once: one hop a phase;
- halving_doubling: log2 n rounds a phase with partners 1, 2, 4, ... places away (n a power of two);
- tree: double binary tree, pipelined: 2 (ceil(log2(n+1)) - 1) hops, half of V up and down each of two trees;
- per_axis: axis after axis, not pipelined;
- in_switch: the switch adds up and returns the sum (NVLS, SHARP): V up and V down, all-reduce only, and only where the
  link or the wiring says that its switches can (`in_switch_reduction`). A simplification: the switch reduces at line rate
  and holds any number of groups.
Source: Thakur, Rabenseifner, Gropp 2005 (halving-doubling); NCCL 2.4 (double binary trees); NVIDIA on NVLink SHARP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from hw.subwiring import ROUTES
from simulator.collectives import Ask, along, canonical, canonical_name
from simulator.collectives_axis import ROUTED, forms, routed
from simulator.collectives_uneven import by_routes, direct_gather, one_way_gather, passed_gather
from simulator.transfer import Group, Message, Transfer, added

_ROUNDS = {"all_gather": 1, "reduce_scatter": 1, "all_reduce": 2}
GATHERS = tuple(_ROUNDS)
_UNEQUAL = {"ring": passed_gather, "ring_one_way": one_way_gather, "direct": direct_gather}
"""How the algorithms that can move unequal shards do that."""

MOST_LOOKED_UP = 500_000
"""Wires on all routes of an algorithm beyond which `auto` leaves it out. What needs so many loses to whole shards passed to
neighbours, unless latency is all there is."""
_FABRICS = ("switch", "fat_tree")

Carry = Callable[[Group, Ask], Transfer]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A way to carry out some kinds of collectives; `fits` says for which groups, `routes` how many routes it looks up,
    `wants` what a group must have, in words."""

    name: str
    kinds: tuple[str, ...]
    fits: Callable[[Group], bool]
    transfer: Carry
    routes: Callable[[Group], float]
    wants: str = ""


ALGORITHMS: dict[str, Algorithm] = {}
"""All of them by name, `canonical` apart."""


def _always(_group: Group) -> bool:
    return True


def _few(_group: Group) -> float:
    return 0.0


def algorithm(
    name: str,
    kinds: tuple[str, ...],
    fits: Callable[[Group], bool] = _always,
    routes: Callable[[Group], float] = _few,
    wants: str = "",
) -> Callable[[Carry], Carry]:
    """Register a way to carry out collectives of `kinds`; a second one of that name is refused."""

    def register(transfer: Carry) -> Carry:
        if name in ALGORITHMS:
            raise ValueError(f"algorithm '{name}' is already registered; known: {', '.join(sorted(ALGORITHMS))}")
        ALGORITHMS[name] = Algorithm(name, kinds, fits, transfer, routes, wants)
        return transfer

    return register


def _phases(kind: str, once: Transfer) -> Transfer:
    return once if _ROUNDS[kind] == 1 else once.then(once)


@algorithm("ring", GATHERS)
def ring(group: Group, ask: Ask) -> Transfer:
    """Whole shards both ways round."""
    line = group.line
    own = forms(line) if line.axis.kind in ("ring", "line", "one_way_ring") else ROUTED
    return _phases(ask.kind, own.gather(line, ask.nbytes))


@algorithm("ring_one_way", GATHERS)
def ring_one_way(group: Group, ask: Ask) -> Transfer:
    """Whole shards one way round, n-1 hops."""
    loads, hop = routed(group.one_sided, one_way_round(group, ask.nbytes / group.size))
    moved = {wire: nbytes * (group.size - 1) for wire, nbytes in loads.items()}
    sent = ask.nbytes * (group.size - 1) / group.size
    return _phases(ask.kind, Transfer((moved,), hop * (group.size - 1), sent))


def one_way_round(group: Group, nbytes: float) -> list[Message]:
    """One round of a ring one way: every chip to the next."""
    chips = group.chips
    return [Message(chip, chips[(at + 1) % len(chips)], nbytes) for at, chip in enumerate(chips)]


def _one_fabric(group: Group) -> bool:
    return len(group.pieces) == 1 and group.pieces[0].kind in (*_FABRICS, "full")


@algorithm(
    "direct", GATHERS, lambda group: group.size <= 1024, lambda group: 0 if _one_fabric(group) else group.size**2
)
def direct(group: Group, ask: Ask) -> Transfer:
    """Every chip sends its shard to every other at once."""
    if _one_fabric(group):
        return _phases(ask.kind, forms(group.line).gather(group.line, ask.nbytes))
    return _phases(ask.kind, by_routes(group.router, everyone(group, ask.nbytes / group.size)))


def everyone(group: Group, nbytes: float) -> list[Message]:
    """A message from every chip to every other."""
    return [Message(here, there, nbytes) for here in group.chips for there in group.chips if here != there]


def _power_of_two(group: Group) -> bool:
    return group.size & (group.size - 1) == 0


@algorithm("halving_doubling", GATHERS, _power_of_two, lambda group: group.size * math.log2(group.size))
def halving_doubling(group: Group, ask: Ask) -> Transfer:
    """Gather: partners 1, 2, 4, ... places away exchange all they have so far. Reduce-scatter: backwards."""
    phases, latency = [], 0.0
    for messages in doublings(group, ask.nbytes):
        loads, hop = routed(group.router, messages)
        phases.append(loads)
        latency += hop
    sent = ask.nbytes * (group.size - 1) / group.size
    once = Transfer(tuple(phases), latency, sent)
    if _ROUNDS[ask.kind] == 1:
        return once
    return Transfer((*phases[::-1], *phases), 2 * latency, 2 * sent)


def doublings(group: Group, nbytes: float) -> Iterator[list[Message]]:
    """The rounds of a recursive doubling: everyone's message to its partner."""
    for power in range(group.size.bit_length() - 1):
        held = nbytes / group.size * 2**power
        yield [Message(chip, group.chips[at ^ (1 << power)], held) for at, chip in enumerate(group.chips)]


@algorithm("tree", ("all_reduce",), routes=lambda group: 4 * group.size)
def tree(group: Group, ask: Ask) -> Transfer:
    """Sums go up two binary trees, half of V each, and come down again, streaming."""
    edges = [edge for offset in (0, 1) for edge in tree_edges(group, offset)]
    up, hop_up = routed(group.router, [Message(child, parent, ask.nbytes / 2) for child, parent in edges])
    down, hop_down = routed(group.router, [Message(parent, child, ask.nbytes / 2) for child, parent in edges])
    depth = math.ceil(math.log2(group.size + 1)) - 1
    return Transfer((added(up, down),), depth * (hop_up + hop_down), 2 * ask.nbytes)


def tree_edges(group: Group, offset: int) -> list[tuple[int, int]]:
    """(child, parent) of a binary search tree over the chips, shifted by `offset`: its leaves are at even places, so that
    a chip that is inside one of the two trees is a leaf of the other."""
    chips = [group.chips[(at + offset) % group.size] for at in range(group.size)]
    edges: list[tuple[int, int]] = []

    def hang(low: int, high: int, parent: int) -> None:
        if low <= high:
            root = _roundest(low, high)
            if parent:
                edges.append((chips[root - 1], chips[parent - 1]))
            hang(low, root - 1, root)
            hang(root + 1, high, root)

    hang(1, group.size, 0)
    return edges


def _roundest(low: int, high: int) -> int:
    """The number from `low` to `high` that ends on most binary zeros."""
    power = high.bit_length()
    while (high >> power) << power < low:
        power -= 1
    return (high >> power) << power


@algorithm("per_axis", GATHERS, lambda group: len(group.pieces) > 1)
def per_axis(group: Group, ask: Ask) -> Transfer:
    """One axis after the other, outside in; a reduce-scatter goes back the same way."""
    steps, inner = [], 1
    for piece in group.pieces:
        steps.append(along(group, piece, ask.nbytes / inner))
        inner *= piece.size
    once = Transfer()
    for step in reversed(steps):
        once = once.then(step)
    return once if _ROUNDS[ask.kind] == 1 else once.then(once)


def _switches_add(group: Group) -> bool:
    levels = group.topology.levels
    return all(piece.kind in _FABRICS and levels[piece.level].in_switch_reduction for piece in group.pieces)


@algorithm("in_switch", ("all_reduce",), _switches_add, wants="switches that are said to add up, in_switch_reduction")
def in_switch(group: Group, ask: Ask) -> Transfer:
    """V up and V down; at an outer level, what one chip of a node stands for."""
    whole, inner = Transfer(), 1
    for piece in group.pieces:
        loads: dict[int, float] = {}
        latency = 0.0
        for line in group.along(piece):
            cast = forms(line).cast(line, 0, ask.nbytes / inner)
            here, back = cast.phases[0], group.reverse
            loads.update(here)
            loads.update({back[wire]: nbytes for wire, nbytes in here.items()})
            latency = max(latency, cast.latency_s / math.ceil(math.log2(line.size)))
        whole = whole.beside(Transfer((loads,), latency, ask.nbytes / inner))
        inner *= piece.size
    return whole


@dataclass(frozen=True, slots=True)
class Choice:
    """How a collective is carried out, and why so."""

    algorithm: str
    reason: str
    transfer: Transfer


def choices() -> tuple[str, ...]:
    """What may be asked for: the textbook's forms, the cheapest, or one algorithm wherever it fits."""
    return ("canonical", "auto", *ALGORITHMS)


def choose(group: Group, ask: Ask, wanted: str, seconds: Callable[[Transfer], float]) -> Choice:
    """The algorithm `wanted` ('canonical', 'auto', or a name) for a collective; canonical where the named does not fit."""
    if group.size == 1:
        return Choice("none", "one chip", Transfer())
    if parts := ask.held or ask.shares:
        return _choose_unequal(group, ask, parts, wanted, seconds)
    textbook = _textbook(group, ask, seconds)
    if wanted == "canonical":
        return textbook
    if wanted != "auto":
        named = ALGORITHMS[wanted]
        if ask.kind not in named.kinds or not named.fits(group):
            wants = f" (it wants {named.wants})" if named.wants else ""
            return Choice(textbook.algorithm, f"{wanted} does not fit here{wants}; the textbook's", textbook.transfer)
        return Choice(wanted, "as asked", named.transfer(group, ask))
    best, least = textbook, seconds(textbook.transfer)
    fitting = [each for each in ALGORITHMS.values() if ask.kind in each.kinds and each.fits(group)]
    left_out = [each.name for each in fitting if each.routes(group) * _route_length(group) > MOST_LOOKED_UP]
    for each in fitting:
        if each.name not in left_out:
            transfer = each.transfer(group, ask)
            took = seconds(transfer)
            if took < least * (1 - 1e-9):
                best, least = Choice(each.name, "", transfer), took
    spared = seconds(textbook.transfer) - least
    why = f"the cheapest, {spared * 1e6:.4g} us less than {textbook.algorithm}" if spared else "the cheapest"
    if left_out:
        why += f"; {', '.join(left_out)} not tried on so many chips"
    return Choice(best.algorithm, why, best.transfer)


def _textbook(group: Group, ask: Ask, seconds: Callable[[Transfer], float]) -> Choice:
    """The textbook's way; the textbook has none for chips without a wiring of their own: the cheaper of two that route."""
    textbook = Choice(canonical_name(group), "the textbook's", canonical(group, ask))
    if [piece.kind for piece in group.pieces] != [ROUTES] or ask.kind not in GATHERS:
        return textbook
    ways = [replace(textbook, reason="no wiring of its own; the cheaper of ring and direct")]
    if ALGORITHMS["direct"].routes(group) * _route_length(group) <= MOST_LOOKED_UP:
        ways.append(replace(ways[0], algorithm="direct", transfer=direct(group, ask)))
    return min(ways, key=lambda choice: seconds(choice.transfer))


def _choose_unequal(
    group: Group, ask: Ask, parts: Sequence[float], wanted: str, seconds: Callable[[Transfer], float]
) -> Choice:
    """The same where shards are unequal: only some algorithms can move those."""
    line = ask.kind in GATHERS and group.line.axis.kind in ("ring", "line")
    textbook = Choice(group.line.axis.kind if line else "direct", "the textbook's", canonical(group, ask))
    ways = _UNEQUAL if ask.kind in GATHERS else {}
    back = ask.kind == "reduce_scatter"
    if wanted in ways:
        return Choice(wanted, "as asked", ways[wanted](group, parts, ask.nbytes, back))
    if wanted != "auto":
        reason = textbook.reason if wanted == "canonical" else f"{wanted} moves equal shards; the textbook's"
        return replace(textbook, reason=reason)
    found = [
        textbook,
        *(Choice(name, "the cheapest", way(group, parts, ask.nbytes, back)) for name, way in ways.items()),
    ]
    return min(found, key=lambda choice: seconds(choice.transfer))


def _route_length(group: Group) -> float:
    """About how many wires a route between two chips of a group has: along rings and lines a quarter of their chips."""
    return sum(piece.size / 4 if piece.kind in ("ring", "line") else 2.0 for piece in group.pieces)
