"""The choice of an algorithm for a collective.

Model: `canonical` is the textbook's way (`simulator.collectives.canonical`); `auto` takes the cheapest of all of
`simulator.collectives.algorithms` that fit, by their time alone (latency, and the slowest wire of each phase); a name
takes that one wherever it fits. Unequal shards are moved by few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hw.network import ROUTES
from simulator.collectives.algorithms import ALGORITHMS, GATHERS, direct
from simulator.collectives.canonical import Ask, canonical, canonical_name
from simulator.collectives.transfer import Group, Transfer
from simulator.collectives.uneven import direct_gather, one_way_gather, passed_gather

_PASSED = {"ring": "ring", "line": "line", "one_way_ring": "ring_one_way"}
"""What passes unequal shards on, by kind of wiring."""

_UNEQUAL = {"ring": passed_gather, "ring_one_way": one_way_gather, "direct": direct_gather}
"""How the algorithms that can move unequal shards do that."""

MOST_LOOKED_UP = 500_000
"""Wires on all routes of an algorithm beyond which `auto` leaves it out. What needs so many loses to whole shards
passed to neighbours, unless latency is all there is."""


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
    """The algorithm `wanted` ('canonical', 'auto', or a name) for a collective; canonical where the named does not
    fit."""
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
    name = _PASSED.get(group.line.axis.kind, "direct") if ask.kind in GATHERS else "direct"
    textbook = Choice(name, "the textbook's", canonical(group, ask))
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
