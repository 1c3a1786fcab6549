"""Folding: chips that cannot be told apart are simulated once.

Model: chips, wires and the groups of communications are coloured, first by what they are (hardware; which ops run there;
rate and latency), then again and again by what they meet: a group by the colours of its chips in their roles and of its
wires with their bytes, a chip by the colours of the groups it is in, a wire by those of the groups that use it, until no
colour splits any more. That is the coarsest equitable partition of their incidence. Max-min rates are unique and see only
counts, program order is the same on chips of one colour, and so the members of a class do the same at the same times:
one of each is simulated, with what all members of a class of groups ask of one wire added up. Exact for any partition
that is equitable, so giving up (every chip its own class) is always right too.
A new colour is the old one with the multiset of those met: things that meet equally many are rows of a matrix, rows are
sorted, and equal ones get equal numbers. Nothing is hashed down: equal numbers mean equal.
Source: colour refinement, e.g. Berkholz, Bonsma, Grohe 2017; the incidence of groups and wires follows DESIGN section 3.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np

from hw.rows import alike_in
from hw.rows import numbered as numbered_keys
from simulator.collectives.traffic import Traffic

Colours = Any
"""A numpy column of whole numbers from 0."""

_FEW = 8
"""Columns up to which rows are told apart column by column."""


MAX_ROUNDS = 200
"""Refinements before folding is given up: long chains of unlike chips have hardly two alike."""


@dataclass(frozen=True)
class Folding:
    """For every chip and wire, and every group of each traffic, the one that stands for its class: the first of it."""

    chip: Sequence[int]
    wire: Sequence[int]
    groups: Sequence[Sequence[int]]

    @cached_property
    def chips(self) -> list[int]:
        """The chips that are simulated."""
        return sorted(set(self.chip))

    @cached_property
    def members(self) -> Mapping[int, list[int]]:
        """The chips that each simulated chip stands for."""
        found: dict[int, list[int]] = {}
        for chip, first in enumerate(self.chip):
            found.setdefault(first, []).append(chip)
        return found


def unfolded(chips: int, wires: int, traffics: Sequence[Traffic]) -> Folding:
    """Everything stands for itself."""
    return Folding(range(chips), range(wires), [range(len(traffic.groups)) for traffic in traffics])


def fold(chips: Sequence[Hashable], wires: Sequence[Hashable], traffics: Sequence[Traffic]) -> Folding:
    """The classes of chips, wires and groups, given what chips and wires are on their own."""
    colouring = _Colouring(chips, wires, traffics)
    for _ in range(MAX_ROUNDS):
        before = colouring.count
        colouring.refine()
        if colouring.count == before:
            return Folding(firsts(colouring.chips), firsts(colouring.wires), colouring.firsts_of_groups())
        if counted(colouring.chips) == len(chips):
            break  # all different: nothing to fold
    return unfolded(len(chips), len(wires), traffics)


class _Colouring:
    """Colours as small numbers; `count` is how many there are in all.

    The groups of all traffics stand one after the other. Who meets whom is a column of groups beside one of chips (with
    their roles), and one of groups beside one of wires (with their bytes); both stay, only colours change.
    """

    def __init__(self, chips: Sequence[Hashable], wires: Sequence[Hashable], traffics: Sequence[Traffic]) -> None:
        self.chips, self.wires = numbered(chips), numbered(wires)
        groups = [group for traffic in traffics for group in traffic.groups]
        self._starts = list(accumulate((len(traffic.groups) for traffic in traffics), initial=0))
        self.groups = dense(np.repeat(np.arange(len(traffics)), np.diff(self._starts)))
        self._latency = numbered([(group.transfer.latency_s, group.transfer.cores) for group in groups])
        joins = _column(len(group.members) for group in groups)
        self._chip = _column(chain.from_iterable(group.members for group in groups))
        self._role = _roles(traffics, joins)
        loads = [traffic.loads.added() if traffic.in_phases else traffic.loads for traffic in traffics]
        self._wire = _stacked([each.wire for each in loads])
        self._nbytes = alike_in(_stacked([each.nbytes for each in loads]))
        self._joining = np.repeat(np.arange(len(groups)), joins)
        self._using = _stacked([each.group + start for each, start in zip(loads, self._starts, strict=False)])
        self._of_group = Meetings(self._joining, len(groups)), Meetings(self._using, len(groups))
        self._of_chip, self._of_wire = Meetings(self._chip, len(chips)), Meetings(self._wire, len(wires))

    @property
    def count(self) -> int:
        """How many colours there are."""
        return counted(self.chips) + counted(self.wires) + counted(self.groups)

    def refine(self) -> None:
        """One round: groups by what they join, then chips and wires by the groups they are in."""
        members, loads = self._of_group
        joined = members.refined(_both(self.groups, self._latency), 2 * self.chips[self._chip] + self._role)
        self.groups = loads.refined(joined, _both(self._nbytes, self.wires[self._wire]))
        self.chips = self._of_chip.refined(self.chips, 2 * self.groups[self._joining] + self._role)
        self.wires = self._of_wire.refined(self.wires, _both(self._nbytes, self.groups[self._using]))

    def firsts_of_groups(self) -> list[list[int]]:
        """For each group of each traffic the first of its colour."""
        return [firsts(self.groups[start:end]) for start, end in pairwise(self._starts)]


def _column(numbers: Any) -> Colours:
    return np.fromiter(numbers, np.int64)


def _stacked(columns: Sequence[Any]) -> Any:
    return np.concatenate(columns) if columns else np.zeros(0, np.int64)


def _roles(traffics: Sequence[Traffic], joins: Colours) -> Colours:
    """By group and member: of a transfer the first sends (0), all others get (1); members of a collective are alike (0)."""
    in_pair = np.repeat([traffic.pair for traffic in traffics], [len(traffic.groups) for traffic in traffics])
    role = np.repeat(in_pair.astype(np.int64), joins)
    role[(np.cumsum(joins) - joins)[joins > 0]] = 0
    return role


def _both(one: Colours, other: Colours) -> Colours:
    """Two columns of colours as one."""
    return dense(one * counted(other) + other)


# Columns of colours


class Meetings:
    """Who meets what: `owner` is the thing of each meeting, of `count` things."""

    def __init__(self, owner: Colours, count: int) -> None:
        order = np.argsort(owner, kind="stable")
        many = np.bincount(owner, minlength=count)
        first = np.cumsum(many) - many
        self._blocks = []
        for width in np.flatnonzero(np.bincount(many)):
            things = np.flatnonzero(many == width)
            self._blocks.append((things, order[first[things, None] + np.arange(width)]))

    def refined(self, colours: Colours, met: Colours) -> Colours:
        """The colours of things after one look at those of what each of them meets."""
        found = np.empty_like(colours)
        used = 0
        for things, meetings in self._blocks:
            here = rows_alike(colours[things], np.sort(met[meetings], axis=1))
            found[things] = here + used
            used += counted(here)
        return found


def rows_alike(colours: Colours, rows: Any) -> Colours:
    """Equal rows that had one colour before have one number."""
    if rows.shape[1] > _FEW:
        return numbered([(colour, row.tobytes()) for colour, row in zip(colours.tolist(), rows, strict=True)])
    found = dense(colours)
    for column in rows.T:
        found = dense(found * (1 + column.max()) + column)
    return found


def numbered(keys: Sequence[Hashable]) -> Colours:
    """Equal keys get equal numbers, in the order in which they first come."""
    return np.asarray(numbered_keys(keys), dtype=np.int64)


def dense(numbers: Colours) -> Colours:
    """Numbers without gaps for numbers of any size, in their order."""
    largest = int(numbers.max()) if len(numbers) else 0
    if largest > 4 * len(numbers) + 1000:
        return np.unique(numbers, return_inverse=True)[1]
    there = np.zeros(largest + 1, np.int64)
    there[numbers] = 1
    return (np.cumsum(there) - 1)[numbers]


def counted(colours: Colours) -> int:
    """How many colours there are, of colours without gaps."""
    return int(colours.max()) + 1 if len(colours) else 0


def firsts(colours: Colours) -> list[int]:
    """For each place the first one of the same colour."""
    if not len(colours):
        return []
    first = np.empty(int(colours.max()) + 1, np.int64)
    first[colours[::-1]] = np.arange(len(colours))[::-1]
    found: list[int] = first[colours].tolist()
    return found
