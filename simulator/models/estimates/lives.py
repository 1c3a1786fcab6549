"""Which kernel reads last what each kernel makes: the lives of tensors in the program of one microbatch.

Model: the program is walked in its order, one kernel a step, every round of a block by itself. What a kernel makes is there
from its step to that of the last kernel that reads it; to the end, and beyond, if nobody does. What lies in the memory of
something else keeps that as long as it lives itself. What a chunk takes in is there from the begin of the pass that takes
it, what it gives on to the end of that which makes it. What nobody makes is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.models.estimates.rows import Place, Rows, Stretch

UNREAD = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section to walk through: its name and rows, the slots of what it takes in and of what it gives on."""

    name: str
    rows: Rows
    takes: tuple[int, ...] = ()
    gives: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lives:
    """Columns, a row for each tensor that is made: slot, first step, the step behind its last, the part that makes it, and
    the slots in whose memory it lies by row. `bounds`: the first step of each part, and the end. `given`: by slot how often
    something is given there, and in which part it is asked for first."""

    slot: Any
    begin: Any
    end: Any
    part: Any
    within: Mapping[int, tuple[int, ...]]
    bounds: tuple[int, ...]
    given: Mapping[int, tuple[int, str]]


def lives_of(parts: Sequence[Part]) -> Lives:
    """The lives of all that is made in some parts, one after the other."""
    walk = _Walk()
    bounds = [0]
    for number, part in enumerate(parts):
        for slot in part.takes:
            walk.make(slot, number, UNREAD)
        for stretch in part.rows:
            walk.stretch(stretch, number, part.name)
        for slot in part.gives:
            if slot in walk.now:
                walk.last[walk.now[slot]] = max(walk.step - 1, walk.last[walk.now[slot]])
        bounds.append(walk.step)
    walk.keep()
    last = np.asarray(walk.last, dtype=np.int64)
    return Lives(
        slot=np.asarray(walk.slot, dtype=np.int64),
        begin=np.asarray(walk.begin, dtype=np.int64),
        end=np.where(last == UNREAD, walk.step + 1, last + 1),
        part=np.asarray(walk.part, dtype=np.int64),
        within=walk.within,
        bounds=tuple(bounds),
        given={slot: (len(turns), name) for slot, (turns, name) in walk.given.items()},
    )


class _Walk:
    """What each slot is at the moment, by number of what was made, and what that was in each round of a block."""

    def __init__(self) -> None:
        self.now: dict[int, int] = {}
        self._by_round: dict[tuple[int, int], int] = {}
        self.slot: list[int] = []
        self.begin: list[int] = []
        self.last: list[int] = []
        self.part: list[int] = []
        self.within: dict[int, tuple[int, ...]] = {}
        self.given: dict[int, tuple[set[int | None], str]] = {}
        self.step = 0
        self._holders: list[tuple[int, int]] = []

    def make(self, slot: int, part: int, last: int) -> int:
        """Something is made in a slot."""
        number = self.now[slot] = len(self.slot)
        self.slot.append(slot)
        self.begin.append(self.step)
        self.last.append(last)
        self.part.append(part)
        return number

    def stretch(self, stretch: Stretch, part: int, name: str) -> None:
        """Go through a stretch."""
        turns = range(stretch.count - 1, -1, -1) if stretch.reverse else range(stretch.count)
        for done, turn in enumerate(turns):
            for start, end in stretch.carry:
                if done:
                    self.now[start] = self.now[end]
                if start in self.now:
                    self._by_round[start, turn] = self.now[start]
            for place in stretch.places:
                self._row(place, part, name, turn if stretch.block else None)

    def _row(self, place: Place, part: int, name: str, turn: int | None) -> None:
        read: dict[int, int | None] = {}
        for slot, offset in place.keeps:
            asked = turn if turn is None or offset is None else turn + offset
            known = (
                self._by_round.get((slot, asked)) if offset is not None and asked is not None else self.now.get(slot)
            )
            read[slot] = self._found(known, slot, asked, name)
        for number in read.values():
            if number is not None:
                self.last[number] = self.step
        for slot in place.makes[: place.written]:
            number = self.make(slot, part, UNREAD)
            if turn is not None:
                self._by_round[slot, turn] = number
        for slot, into in place.grown:
            number = self.now[slot]
            self.within[number] = (*self.within.get(number, ()), into)
            if (holder := read.get(into)) is not None:
                self._holders.append((number, holder))
        self.step += 1

    def _found(self, number: int | None, slot: int, turn: int | None, name: str) -> int | None:
        """Something that is read; what nobody has made is noted as given, once for each round that asks for its own."""
        if number is None:
            self.given.setdefault(slot, (set(), name))[0].add(turn)
        return number

    def keep(self) -> None:
        """What something lies in stays as long as that does; later ones first, since they may lie in one another."""
        read = {number for number, last in enumerate(self.last) if last != UNREAD}
        holders = {holder for _, holder in self._holders}
        for number, holder in reversed(self._holders):
            # what nobody reads stays to the end, but for what is only kept
            last = self.last[number] if number in read or number in holders else self.step
            self.last[number] = last
            self.last[holder] = max(self.last[holder], last)
