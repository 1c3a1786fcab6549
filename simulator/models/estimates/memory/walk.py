"""A walk through the program of one microbatch: which kernel reads last what each kernel makes.

Model: the program is walked in its order, one kernel a step, every round of a block by itself. What a kernel makes is there
from its step to that of the last kernel that reads it; to the end, and beyond, if nobody does. What lies in the memory of
something else keeps that as long as it lives itself. What a chunk takes in is there from the begin of the pass that takes
it, what it gives on to the end of that which makes it. What nobody makes is given.
What is made beside the compute queue is there from the first step at which it may be: all that its kernel waits for is done
by then, its pass has begun, and so has what stands before it in its queue. What the next pass fetches before a pass is over
is there from when it may be fetched. Where much may wait for those queues, that is worked out in seconds (`beside`), of
what is seen here.
A run keeps that order within a queue only. So of each life the part is known, too, that it has in every run: from the first
to the last kernel of the compute queue that makes or reads the tensor. While any of those in between runs, the tensor is
there. What is made and read in other queues only has no such part.
What is copied to another memory goes in program order when the copy has been made; at the latest (`late`) when it is fetched
back, since what is fetched has been there: until then it is the one or the other that the chip holds. What lives there and
is fetched to be stepped comes one copy ahead, and goes when the next one goes: PCIe is slower than what steps it. Where it
is not, all may be there at once, which `late` has.
Of blocks with many rounds, all as many, a few are walked through, and the middle one stands for those that are left out:
what it makes and the block does not use up is there so many times more, from the end of that round to the end of the middle
round of the block that uses it up. Rounds are alike but for the first and last ones, so levels rise or fall evenly in those
that are left out, and the highest is in one that is walked through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.models.estimates.memory.beside import Seen
from simulator.models.estimates.places import Place
from simulator.models.estimates.rows import COMPUTE, Rows, Stretch

UNREAD = -1
"""The last step of what nobody has read."""

NEVER = -1
"""A step that there is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A section to walk through: its name and rows, the slots of what it takes in, of what it gives on, and of what it makes
    that stays to the end and beyond, whoever reads it. `fetched`: the slots of what the pass behind it fetches when it is
    `ahead` layers before the end of its last block, each with its queue; `ends`: the slots of what layers end in within
    rounds; `left`: that of what passes before have left to others to wait for, and `leaves`: those of what it leaves itself;
    `paced`: those of what passes fetch ahead."""

    name: str
    rows: Rows
    takes: tuple[int, ...] = ()
    gives: tuple[int, ...] = ()
    stays: tuple[int, ...] = ()
    fetched: tuple[tuple[int, str], ...] = ()
    ahead: int = 0
    ends: frozenset[int] = frozenset()
    left: int = -1
    leaves: frozenset[int] = frozenset()
    paced: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """First steps, and the steps behind the last ones, of some tensors; the same for those that have none. `rows`: those of
    which there are more than one, one for each round that is left out, from `since` to before `until`."""

    begin: Any
    end: Any
    rows: Any
    since: Any
    until: Any


class Walk:
    """What each slot is at the moment, by number of what was made, and what that was in each round of a block. Blocks of
    `long` rounds have only `few`."""

    def __init__(self, long: int, few: int, seen: Seen) -> None:
        self._long, self._few = long, few
        self.now: dict[int, int] = {}
        self._by_round: dict[tuple[int, int], int] = {}
        self.slot: list[int] = []
        self.begin: list[int] = []
        self.there: list[int] = []
        self._free: dict[str, int] = {}
        self._turn: dict[str, int] = {}
        self._leaves: list[int] = []
        self._since = 0
        self._ends: list[int] = []
        self._inner: frozenset[int] = frozenset()
        self._paced: frozenset[int] = frozenset()
        self._ahead = 0
        self.last: list[int] = []
        self.sure_first: list[int] = []
        self.sure_last: list[int] = []
        self.within: dict[int, tuple[int, ...]] = {}
        self.given: dict[int, tuple[set[int | None], str]] = {}
        self.step = 0
        self.given_more: set[int] = set()
        self.holders: list[tuple[int, int]] = []
        self.seen = seen
        # what copies in other memories are of, and the steps in which those are asked back for
        self.sent: dict[int, list[int]] = {}
        self._back: dict[int, int] = {}
        self.fetched: dict[int, int] = {}
        self._first = [0]
        self._gaps = [NEVER]
        self._middle: list[bool] = []
        self._is_short = self._is_middle = False
        self._mine: set[int] = set()
        self._shortened: set[int] = set()

    def make(self, slot: int, computes: bool, begin: int | None = None) -> int:
        """Something is made in a slot, by a kernel of the compute queue or otherwise; `begin`: earlier than now."""
        number = self.now[slot] = len(self.slot)
        sure = self.step if computes else NEVER
        self.slot.append(slot)
        self.begin.append(self.step if begin is None else begin)
        self.there.append(self.step + 1 if begin is None else begin)
        self.last.append(UNREAD)
        self.sure_first.append(sure)
        self.sure_last.append(sure)
        self._middle.append(self._is_middle)
        return number

    def span(self, begin: Any, end: Any) -> Span:
        """Lives from begin to end, with what they are for rounds that are left out."""
        firsts, gaps = column(self._first), column([*self._gaps, NEVER])
        # steps behind all others are of no stretch
        starts = np.searchsorted(firsts, begin, side="right") - 1
        stops = np.where(end > self.step, len(firsts), np.searchsorted(firsts, end - 1, side="right") - 1)
        used_up = (starts == stops) & (gaps[starts] != NEVER)
        rows = np.flatnonzero(np.asarray(self._middle, dtype=bool) & ~used_up & (end > begin))
        since, until = gaps[starts[rows]], gaps[stops[rows]]
        return Span(
            begin,
            end,
            rows,
            np.where(since == NEVER, begin[rows], since + 1),
            np.where(until == NEVER, end[rows], until + 1),
        )

    def stretch(self, stretch: Stretch, name: str) -> None:
        """Go through a stretch."""
        self._is_short = stretch.block and stretch.count == self._long
        count, middle = (self._few, self._few // 2) if self._is_short else (stretch.count, NEVER)
        self._first.append(self.step)
        self._gaps.append(NEVER)
        turns = range(count - 1, -1, -1) if stretch.reverse else range(count)
        self._mine = {slot for place in stretch.places for slot in place.makes} if self._long else set()
        self._shortened |= self._mine if self._is_short else set()
        rows = [(place, price.queue) for place, price in zip(stretch.places, stretch.prices, strict=True)]
        halves = (middle + 1, count - middle - 1) if self._is_short else (count,)
        self.seen.laid(halves, [queue == COMPUTE for _, queue in rows])
        for start, behind in stretch.enters:
            if behind in self.now:
                self.now[start] = self.now[behind]
        for done, turn in enumerate(turns):
            self._is_middle = turn == middle
            for start, end in stretch.carry:
                if done:
                    self.now[start] = self.now[end]
                if start in self.now:
                    self._by_round[start, turn] = self.now[start]
            for place, queue in rows:
                read = self._read(place, name, turn if stretch.block else None)
                self._mark(read.values(), queue == COMPUTE)
                early = self._earliest(place, turn if stretch.block else None, queue, read.values())
                if early is not None and place.fetches and all(number is None for number in read.values()):
                    self._lent(place, turn if stretch.block else None, queue, early)
                else:
                    self._written(place, turn if stretch.block else None, early)
                self._grown(place, read)
                self._moved(place, read, name)
                self.step += 1
                if self._inner and not self._inner.isdisjoint(place.makes):
                    self._ends.append(self.step)
            if stretch.block:
                self._ends.append(self.step)
            if self._is_middle:
                # here, where nothing runs, the rounds that are left out come and go
                self._gaps[-1] = self.step
                self.step += 1
        self._is_short = self._is_middle = False

    def _read(self, place: Place, name: str, turn: int | None) -> dict[int, int | None]:
        """What a kernel reads, by slot."""
        read: dict[int, int | None] = {}
        for slot, offset in place.keeps:
            asked = turn if turn is None or offset is None else turn + offset
            known = (
                self._by_round.get((slot, asked)) if offset is not None and asked is not None else self.now.get(slot)
            )
            if known is None:
                # what nobody has made is given, once for each round that asks for its own
                self.given.setdefault(slot, (set(), name))[0].add(asked)
                if self._is_short and asked is not None:
                    self.given_more.add(slot)
            read[slot] = known
        return read

    def _mark(self, read: Iterable[int | None], computes: bool) -> None:
        """Some tensors are read."""
        for number in read:
            if number is None:
                continue
            self.last[number] = self.step
            if computes:
                if self.seen.clocked:
                    self.seen.read(number, self.step)
                self.sure_last[number] = self.step
                if self.sure_first[number] == NEVER:
                    self.sure_first[number] = self.step

    def enter(self, part: Part) -> None:
        """A part begins: nothing of it is done before, but for what its first layers fetch."""
        self._inner, self._paced, self._ahead = part.ends, part.paced, part.ahead
        self._since = self.step
        self._free.clear()
        self._ends.clear()

    def fetch(self, slots: Iterable[tuple[int, str]], ahead: int) -> None:
        """The pass behind the part fetches something when that is so many layers before its end."""
        begin = self._ends[-1 - min(ahead, len(self._ends) - 1)] if self._ends else max(self._since, self.step - 1)
        self.seen.releases(begin)
        for slot, queue in slots:
            known = self.now.get(slot)
            number = self.make(slot, computes=False, begin=begin)
            self.last[number] = self.step - 1
            self.seen.goes_on(self.seen.fetched(slot), queue, (), begin)
            self.seen.makes(number, slot)
            # what it fetches belongs to that pass
            if known is None:
                del self.now[slot]
            else:
                self.now[slot] = known

    def _earliest(self, place: Place, turn: int | None, queue: str, read: Iterable[int | None]) -> int | None:
        """The step from which on a kernel beside the compute queue may run: what it waits for is there, and so has run what
        stands before it in its queue. None of one of that queue."""
        if queue == COMPUTE and not self.seen.clocked:
            return None
        awaited = [self.now.get(slot) for slot in place.reads]
        if turn is not None:
            awaited += [self._by_round.get((slot, self._round(slot, turn, offset))) for slot, offset in place.asks]
        known = [number for number in awaited if number is not None]
        if queue == COMPUTE:
            self.seen.waits(self.step, place.reads, known)
            return None
        there = [self.there[number] for number in known]
        found = self._free[queue] = min(self.step, max([self._since, self._free.get(queue, 0), *there]))
        if not self.seen.clocked:
            return found
        # what the first layers fetch the pass before has fetched
        made = place.makes[: place.written]
        is_there = len(self._ends) <= self._ahead and not self._paced.isdisjoint(made)
        self.seen.goes_on(self.step, queue, [(number, self.there[number]) for number in known], self._since)
        if is_there:
            self.seen.was_fetched(made[0])
        self.seen.keeps(read)
        return found

    def _round(self, slot: int, turn: int, offset: int) -> int:
        """The round of a block, as it is walked through, that is so many after one of the block that asks; those that are
        left out are the middle one."""
        if not self._long or slot in self._mine:
            return turn + offset
        middle, more = self._few // 2, self._long - self._few
        number = turn + offset + (more if self._is_short and turn > middle else 0)
        return max(min(number, middle), number - more) if slot in self._shortened else number

    def _written(self, place: Place, turn: int | None, begin: int | None) -> None:
        for slot in place.makes[: place.written]:
            number = self.make(slot, begin is None, begin)
            if begin is not None:
                self.seen.makes(number, slot)
            if turn is not None:
                self._by_round[slot, turn] = number

    def _lent(self, place: Place, turn: int | None, queue: str, early: int) -> None:
        """What lives in another memory comes one copy ahead, and as `early` as it may where copies are fast."""
        self._written(place, turn, max(early, self._turn.get(queue, 0)))
        self._turn[queue] = self.step
        self.fetched |= {self.now[slot]: early for slot in place.makes[: place.written]}

    def _grown(self, place: Place, read: Mapping[int, int | None]) -> None:
        for slot, into in place.grown:
            number = self.now[slot]
            self.within[number] = (*self.within.get(number, ()), into)
            if (holder := read.get(into)) is not None:
                self.holders.append((number, holder))

    def _moved(self, place: Place, read: Mapping[int, int | None], name: str) -> None:
        """Something goes to another memory, or is fetched back."""
        known = [number for number in read.values() if number is not None]
        if place.away:
            if name == "end":
                # what goes behind the step of its weights goes one copy after the other
                for number in self._leaves:
                    self.last[number] = max(self.last[number], self.step)
                self._leaves = known
            self.sent |= {self.now[slot]: known for slot in place.away}
            return
        there = [number for number in known if number in self.sent]
        if there:
            self._back |= dict.fromkeys(there, self.step)
            self.fetched |= {self.now[slot]: self.step for slot in place.makes[: place.written]}

    def late_last(self) -> list[int]:
        """The step in which each tensor is asked for last where what goes to another memory stays until it is fetched back,
        or to the end; what it lies in stays as long."""
        last = self.last.copy()
        for there, numbers in self.sent.items():
            for number in numbers:
                if last[number] != UNREAD:
                    last[number] = max(last[number], self._back.get(there, self.step))
        for number, holder in reversed(self.holders):
            if UNREAD not in (last[number], last[holder]):
                last[holder] = max(last[holder], last[number])
        return last

    def stay(self, numbers: Iterable[int]) -> None:
        """Some tensors are there to the end and beyond."""
        for number in numbers:
            self.last[number] = self.step
            if self.sure_first[number] != NEVER:
                self.sure_last[number] = self.step

    def keep(self) -> None:
        """What something lies in stays as long as that does; later ones first, since they may lie in one another."""
        read = {number for number, last in enumerate(self.last) if last != UNREAD}
        holders = {holder for _, holder in self.holders}
        for number, holder in reversed(self.holders):
            # what nobody reads stays to the end, but for what is only kept
            is_kept = number in read or number in holders
            last = self.last[number] if is_kept else self.step
            self.last[number] = last
            self.last[holder] = max(self.last[holder], last)
            if self.sure_first[number] == NEVER:
                continue
            if not is_kept:
                self.sure_last[number] = self.step
            first = self.sure_first[number], self.sure_first[holder]
            self.sure_first[holder] = min(each for each in first if each != NEVER)
            self.sure_last[holder] = max(self.sure_last[holder], self.sure_last[number])


def column(values: Sequence[int]) -> Any:
    """Whole numbers as an array."""
    return np.asarray(values, dtype=np.int64)
