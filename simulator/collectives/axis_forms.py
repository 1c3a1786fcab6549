"""What collectives do along one kind of axis, in both forms: one object for each kind, in `simulator.collectives.axes`.

Model: with n chips along the axis, V the bytes of the gathered array on one chip and p the bytes from each to each other, a
kind of axis says how shards are gathered (or, backwards, scattered), what every wire carries of an exchange and how far
that goes, along which trees a broadcast flows, and how unequal shards travel. Whatever has no forms of its own goes over
routes (`simulator.collectives.axes.routed`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hw.network import ROUTES
from simulator.collectives.form import Form
from simulator.collectives.group import AxisGroup
from simulator.collectives.rounds import Rounds
from simulator.collectives.transfer import Message, Transfer

Distances = Mapping[float, float]
"""How many chips by seconds of latency."""

Crossings = list[tuple[Distances, int]]
"""Wires, each with how far the messages that cross it go along its axis."""

Level = tuple[Message, ...]
"""Edges at one distance from the root; their bytes are 1: the stream knows its share."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A share of V, and the edges that it flows along, from the root outwards."""

    share: float
    levels: tuple[Level, ...]


Streams = Sequence[Stream]
"""Streams side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisForms:
    """The forms of collectives along one kind of axis.

    - `label`: what the textbook's way is called;
    - `gather(chips, V, backwards)` and `gather_rounds`: its two forms;
    - `exchange(chips, p)`: bytes by wire; `crossings(chips, those)`: the wires that can be the last to end;
      `distances(chips)`: how far they are from one of them, itself included;
    - `broadcast(chips, place of the root)`: None where it goes in a chain;
    - `unequal`: how unequal shards are gathered, passed on or straight to everyone;
    - `symmetric`: a scatter asks of each wire what a gather asks; `ordered`: the order of the chips is not a matter of
      choice; `passes_on`: shards go from neighbour to neighbour over links of their own; `lattice`: such axes make up tori
      and grids; `one_hop`: everyone reaches everyone in one.
    """

    kinds: tuple[str, ...]
    label: str
    gather: Callable[[AxisGroup, float, bool], Transfer]
    gather_rounds: Callable[[AxisGroup, float, bool], Rounds]
    exchange: Callable[[AxisGroup, float], Transfer]
    crossings: Callable[[AxisGroup, Mapping[int, float]], Crossings]
    distances: Callable[[AxisGroup], Distances]
    unequal: Form
    broadcast: Callable[[AxisGroup, int], Streams] | None = None
    symmetric: bool = False
    ordered: bool = True
    passes_on: bool = False
    lattice: bool = False
    one_hop: bool = False


AXIS_FORMS: dict[str, AxisForms] = {}
"""By kind of axis."""


def add_axis_forms(forms: AxisForms) -> AxisForms:
    """Register the forms of some kinds of axes; a second one for a kind is refused."""
    for kind in forms.kinds:
        if kind in AXIS_FORMS:
            raise ValueError(f"axes of kind '{kind}' already have their forms; known: {', '.join(sorted(AXIS_FORMS))}")
        AXIS_FORMS[kind] = forms
    return forms


def forms_of(kind: str) -> AxisForms:
    """The forms of a kind of axis: its own, or those over routes."""
    return AXIS_FORMS.get(kind) or AXIS_FORMS[ROUTES]
