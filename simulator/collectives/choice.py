"""The choice of an algorithm for a collective.

Model: `canonical` is the textbook's way; `auto` takes the cheapest of all that are registered and fit
(`simulator.collectives.registry`), by their time alone (latency, and the slowest wire of each phase); a name takes that one
wherever it fits. Unequal shards are moved by few of them. What is chosen brings both of its forms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import simulator.collectives.algorithms
import simulator.collectives.axes  # noqa: F401  (both are registered so)
from hw.input import Dimension, show
from hw.network import ROUTES
from simulator.collectives.algorithms.gathers import textbook_label
from simulator.collectives.axis_forms import forms_of
from simulator.collectives.form import GATHERS, Form, check_rounds, check_transfer
from simulator.collectives.group import Group
from simulator.collectives.registry import ALGORITHMS, CANONICAL, Algorithm
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Rounds
from simulator.collectives.transfer import Transfer

MOST_LOOKED_UP = 500_000
"""Wires on all routes of an algorithm beyond which `auto` leaves it out. What needs so many loses to whole shards
passed to neighbours, unless latency is all there is."""

Seconds = Callable[[Transfer], float]


@dataclass(frozen=True, slots=True)
class Choice:
    """How a collective is carried out, and `why` so. `spared`: by how many seconds it is cheaper than what."""

    algorithm: str
    why: str
    transfer: Transfer
    form: Form | None = None
    spared: tuple[float, str] = (0.0, "")
    left_out: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it is carried out so, in words: they are made when somebody asks for them, since seconds may be those of many
        rows."""
        seconds, than = self.spared
        said = [f"{self.why}, {show(seconds, Dimension.TIME)} less than {than}" if seconds else self.why]
        if self.left_out:
            said.append(f"{', '.join(self.left_out)} not tried on so many chips")
        return "; ".join(said)

    def rounds(self, group: Group, request: CollectiveRequest) -> Rounds:
        """Its messages. Raises ValueError if they are not known."""
        if self.form is None or self.form.rounds is None:
            raise ValueError(
                f"algorithm '{self.algorithm}' does not say its messages: give its form rounds, or run it as a task"
            )
        found = self.form.rounds(group, request)
        check_rounds(self.algorithm, group, found)
        return found


def choices() -> tuple[str, ...]:
    """What may be asked for: the textbook's forms, the cheapest, or one algorithm wherever it fits."""
    return ("canonical", "auto", *ALGORITHMS)


def choose(group: Group, request: CollectiveRequest, wanted: str, seconds: Seconds) -> Choice:
    """The algorithm `wanted` ('canonical', 'auto', or a name) for a collective; canonical where the named does not
    fit."""
    if group.size == 1:
        return Choice("none", "one chip", Transfer())
    if request.parts:
        return _choose_unequal(group, request, wanted, seconds)
    textbook = _textbook(group, request, seconds)
    if wanted == "canonical":
        return textbook
    if wanted == "auto":
        return _cheapest(group, request, textbook, seconds)
    named = ALGORITHMS[wanted]
    if request.kind in named.kinds and named.fits(group):
        return _carried(named.form, wanted, "as asked", group, request)
    wants = f" (it wants {named.wants})" if named.wants else ""
    return replace(textbook, why=f"{wanted} does not fit here{wants}; the textbook's")


def _carried(form: Form, name: str, reason: str, group: Group, request: CollectiveRequest) -> Choice:
    transfer = form.transfer(group, request)
    check_transfer(name, group, transfer)
    return Choice(name, reason, transfer, form)


def _cheapest(group: Group, request: CollectiveRequest, textbook: Choice, seconds: Seconds) -> Choice:
    best, least = textbook, seconds(textbook.transfer)
    left_out = []
    for each in ALGORITHMS.values():
        if request.kind not in each.kinds or not each.fits(group):
            continue
        if not _affordable(each, group):
            left_out.append(each.name)
            continue
        tried = _carried(each.form, each.name, "", group, request)
        took = seconds(tried.transfer)
        if took < least * (1 - 1e-9):
            best, least = tried, took
    spared = seconds(textbook.transfer) - least, textbook.algorithm
    return replace(best, why="the cheapest", spared=spared, left_out=tuple(left_out))


def _textbook(group: Group, request: CollectiveRequest, seconds: Seconds) -> Choice:
    """The textbook's way; the textbook has none for chips without a wiring of their own: the cheaper of two that route."""
    textbook = _carried(CANONICAL[request.kind], textbook_label(group), "the textbook's", group, request)
    if [piece.kind for piece in group.pieces] != [ROUTES] or request.kind not in GATHERS:
        return textbook
    ways = [replace(textbook, why="no wiring of its own; the cheaper of ring and direct")]
    direct = ALGORITHMS["direct"]
    if _affordable(direct, group):
        ways.append(_carried(direct.form, direct.name, ways[0].why, group, request))
    return min(ways, key=lambda choice: seconds(choice.transfer))


def _choose_unequal(group: Group, request: CollectiveRequest, wanted: str, seconds: Seconds) -> Choice:
    """The same where shards are unequal: only some algorithms can move those."""
    gathers = request.kind in GATHERS
    along = forms_of(group.as_one.axis.kind)
    name = along.label if gathers and along.passes_on else "direct"
    textbook = _carried(CANONICAL[request.kind], name, "the textbook's", group, request)
    ways = {each.name: each.unequal for each in ALGORITHMS.values() if each.unequal and request.kind in each.kinds}
    if wanted in ways:
        return _carried(ways[wanted], wanted, "as asked", group, request)
    if wanted == "canonical":
        return textbook
    if wanted != "auto":
        return replace(textbook, why=f"{wanted} moves equal shards; the textbook's")
    found = [textbook, *(_carried(form, name, "the cheapest", group, request) for name, form in ways.items())]
    return min(found, key=lambda choice: seconds(choice.transfer))


def _affordable(algorithm: Algorithm, group: Group) -> bool:
    """Whether there are not too many routes to look up."""
    return algorithm.routes(group) * _route_length(group) <= MOST_LOOKED_UP


def _route_length(group: Group) -> float:
    """About how many wires a route between two chips of a group has: along rings and lines a quarter of their chips."""
    return sum(piece.size / 4 if forms_of(piece.kind).lattice else 2.0 for piece in group.pieces)
