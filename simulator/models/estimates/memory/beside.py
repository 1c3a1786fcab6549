"""What goes on beside the compute queue, in seconds, and so in steps of that queue: how late gradients are reduced and added
up, how early weights are gathered, when what is copied to the host and back is gone, and there.

Model: each kernel takes what it takes alone. It begins when what it waits for is there, its pass has begun, and what stands
before it in its queue is over; so does one of the compute queue, which waits for others. What a kernel reads is there until
it is over, what it makes since it begins. What is not over with its pass is left to the next one (`Left`): its tensors are
there for so many seconds of that.
Assumes: kernels that need the same memory are slowed alike, as they are in a run, so that seconds of the compute queue are
seconds of what reads and writes HBM beside it; wires are each queue's own; a host that issues kernels is never late.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COMPUTES = -1
"""The number of the compute queue."""
_NEVER = -1

Event = tuple[int, int, int, tuple[int, ...]]
"""A kernel in program order: its step (what is fetched for the next pass: its place among that, from behind), the number of
its queue, the step from which on it may begin, and the kernels beside compute that it waits for, by number. Of the compute
queue are only those that wait for one."""


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """The kernels beside the compute queue: `events` in program order; rows of lives that they read, and by which of them
    (`read`, `reader`), and that they make (`made`, `maker`); of each row the step behind the last one in which the compute
    queue needs it; of which others what each lies in (`holder`); of each step whether it is of the compute queue
    (`computes`), and how many rounds of each stretch stand one behind another (`laid`: on either side of a gap, if it has
    one); `held_up`: by part, the first step that waits for what passes before have left to be reduced.
    `fetched`: kernels that the pass before has carried out as another one, by their numbers; `over_again`: the same of the
    first pass, which comes behind the last. `queues`: by number; `parts`: by part, how many events stand before it, and
    `releases`, the step from which on it lets the next one fetch; `reduces`: kernels that later passes wait for, `early`:
    those that wait for what their part takes in, and for nothing else."""

    events: Sequence[Event]
    read: Any
    reader: Any
    made: Any
    maker: Any
    needed: Any
    holder: Sequence[tuple[int, int]]
    computes: Any
    laid: Sequence[tuple[int, ...]]
    held_up: Sequence[int | None]
    fetched: Mapping[int, int]
    over_again: Mapping[int, int]
    queues: Sequence[str]
    parts: tuple[int, ...]
    releases: tuple[int, ...]
    reduces: frozenset[int]
    early: frozenset[int]


@dataclass(slots=True)
class Seen:
    """What a walk has seen of them so far; nothing of much, unless it is to be `clocked`."""

    clocked: bool
    events: list[Event] = field(default_factory=list)
    _computes: list[bool] = field(default_factory=list)
    _laid: list[tuple[int, ...]] = field(default_factory=list)
    _queues: dict[str, int] = field(default_factory=dict)
    _kept: list[tuple[int, int]] = field(default_factory=list)
    _makes: list[tuple[int, int]] = field(default_factory=list)
    _maker: dict[int, int] = field(default_factory=dict)
    _needed: dict[int, int] = field(default_factory=dict)
    _held_up: list[int | None] = field(default_factory=list)
    _ahead: dict[int, list[int]] = field(default_factory=dict)
    _behind: list[tuple[int, int, int]] = field(default_factory=list)
    _left: int = -1
    _leaves: frozenset[int] = frozenset()
    _parts: list[int] = field(default_factory=list)
    _releases: list[int] = field(default_factory=list)
    _reduces: set[int] = field(default_factory=set)
    _early: set[int] = field(default_factory=set)
    _taken: set[int] = field(default_factory=set)
    _count: int = 0
    _fetched: int = 0

    def laid(self, rounds: tuple[int, ...], queues: Sequence[bool]) -> None:
        """A stretch is walked through, so many rounds of it in a row, with a gap between two; of each kernel of a round,
        whether it computes."""
        self._laid.append(rounds)
        for at, count in enumerate(rounds):
            self._computes += [False] * (at > 0) + list(queues) * count

    def read(self, number: int, step: int) -> None:
        """The compute queue needs something in a step."""
        self._needed[number] = max(self._needed.get(number, 0), step + 1)

    def enters(self, left: int, leaves: frozenset[int]) -> None:
        """A part begins; the slot of what passes before have left to others to wait for, and those of what it leaves so."""
        self._left, self._leaves = left, leaves
        self._held_up.append(None)
        self._parts.append(len(self.events))
        self._taken.clear()

    def takes(self, number: int) -> None:
        """The part takes something in."""
        self._taken.add(number)

    def releases(self, step: int) -> None:
        """The part lets the next one fetch from a step on."""
        self._releases.append(step)

    def waits(self, step: int, slots: Collection[int], numbers: Iterable[int]) -> None:
        """A kernel of the compute queue waits for some things in some slots."""
        if self._left in slots and self._held_up[-1] is None:
            self._held_up[-1] = step
        makers = {self._maker[number] for number in numbers if number in self._maker}
        if makers:
            self.events.append((step, COMPUTES, step, tuple(makers)))

    def goes_on(self, at: int, queue: str, awaited: Sequence[tuple[int, int]], since: int) -> None:
        """A kernel beside it waits for some things, and for what computes until the step in which each of them is there, but
        not before one."""
        makers = {self._maker[number] for number, _ in awaited if number in self._maker}
        ready = max([since, *(there for number, there in awaited if number not in self._maker)])
        self.events.append((at, self._queues.setdefault(queue, len(self._queues)), ready, tuple(makers)))
        if awaited and self._taken.issuperset(number for number, _ in awaited):
            self._early.add(self._count)
        self._count += 1

    def keeps(self, numbers: Iterable[int | None]) -> None:
        """The last one of them reads some things."""
        self._kept += [(number, self._count - 1) for number in numbers if number is not None]

    def makes(self, number: int, slot: int) -> None:
        """The last one of them makes something in a slot."""
        self._maker[number] = self._count - 1
        if slot in self._leaves:
            self._reduces.add(self._count - 1)
        self._makes.append((number, self._count - 1))

    def fetched(self, slot: int) -> int:
        """The place of one more of what is fetched for the next pass, from behind; the slot of that."""
        self._fetched += 1
        self._ahead.setdefault(slot, []).append(self._count)
        return -self._fetched

    def was_fetched(self, slot: int) -> None:
        """The pass before the last one of them has fetched what that makes in a slot."""
        self._behind.append((self._count - 1, self._ahead[slot].pop(0) if self._ahead.get(slot) else _NEVER, slot))

    def beside(self, holders: Sequence[tuple[int, int]], count: int) -> Beside:
        """All of it, of so many tensors, and what each of those lies in that lies in another one."""
        read, made = (np.asarray(each, dtype=np.int64).reshape(-1, 2) for each in (self._kept, self._makes))
        needed = np.zeros(count, dtype=np.int64)
        needed[list(self._needed)] = list(self._needed.values())
        touched = {number for number, _ in (*self._kept, *self._makes)}
        holder = [(number, into) for number, into in reversed(holders) if number in touched or into in touched]
        again = {
            number: self._ahead[slot].pop(0)
            for number, before, slot in self._behind
            if before == _NEVER and self._ahead.get(slot)
        }
        return Beside(
            events=tuple(self.events),
            read=read[:, 0],
            reader=read[:, 1],
            made=made[:, 0],
            maker=made[:, 1],
            needed=needed,
            holder=holder,
            computes=np.asarray(self._computes, dtype=bool),
            laid=tuple(self._laid),
            held_up=tuple(self._held_up),
            fetched={number: before for number, before, _ in self._behind},
            over_again=again,
            queues=tuple(self._queues),
            parts=tuple(self._parts),
            releases=tuple(self._releases),
            reduces=frozenset(self._reduces),
            early=frozenset(self._early),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """When each step of the compute queue begins and ends, and when kernels beside it do, in seconds."""

    begin: Any
    end: Any
    begins: Any
    ends: Any


def seconds_of(beside: Beside, stretches: Iterable[Sequence[float]], fetched: Sequence[float]) -> Any:
    """Seconds of each step, given those of a round of each stretch; behind them those of what is fetched."""
    found: list[Any] = []
    for rounds, each in zip(beside.laid, stretches, strict=True):
        mine = np.asarray(each)
        for at, count in enumerate(rounds):
            found += [np.zeros(1)] * (at > 0) + [np.tile(mine, count)]
    return np.concatenate([*found, np.asarray(fetched[::-1], dtype=float)])


Late = Mapping[int, tuple[float, float]]
"""From when to when kernels go on that the pass before has begun, in seconds behind that; None where there is time for them
in between."""


def clock_of(beside: Beside, seconds: Any, late: Late | None) -> Clock:
    """The clock of a program, given what its steps take, and behind them what is fetched for the next pass; how late that
    is in the first pass, and whether it may be in others."""
    steps = len(beside.computes)
    mine = np.where(beside.computes, seconds[:steps], 0.0)
    plain = np.concatenate([[0.0], np.cumsum(mine)])
    base, least = plain.tolist(), seconds.tolist()
    delay, delays, delayed = 0.0, [0.0], list[int]()
    begins: list[float] = []
    ends: list[float] = []
    free: dict[int, float] = {}
    fetched = beside.fetched
    for at, queue, ready, makers in beside.events:
        there = max([ends[each] for each in makers]) if makers else 0.0
        if queue == COMPUTES:
            if there > base[at] + delay:
                delay = there - base[at]
                delays.append(delay)
                delayed.append(at)
            continue
        # by as much as the compute queue was late when it had made what is read
        begin = base[ready] + (delay if not delayed or delayed[-1] < ready else delays[bisect_left(delayed, ready)])
        if there > begin:
            begin = there
        number = len(ends)
        if number not in fetched:
            if free.get(queue, 0.0) > begin:
                begin = free[queue]
            end = free[queue] = begin + least[at]
        elif late is None:
            end = begin
        elif (other := fetched[number]) != _NEVER:
            begin, end = begins[other], ends[other]
            if there > begin:
                # what is fetched back has to be gone first
                begin = max(there, free.get(queue, 0.0))
                end = free[queue] = begin + ends[other] - begins[other]
        else:
            of, until = late.get(number, (0.0, 0.0))
            begin, end = begin + of, begin + until
            free[queue] = max(end, free.get(queue, 0.0))
        begins.append(begin)
        ends.append(end)
    if delayed:
        # a step that waits begins when it has waited
        shift = np.repeat(delays, np.diff([0, *delayed, steps + 1]))
        plain = plain + shift
        return Clock(plain[:-1], plain[:-1] + mine, np.asarray(begins), np.asarray(ends))
    return Clock(plain[:-1], plain[1:], np.asarray(begins), np.asarray(ends))


def late_of(beside: Beside, clock: Clock) -> Late:
    """How late what the last pass fetches for the first one is, of those that are over behind it."""
    over = float(clock.end[-1]) if len(clock.end) else 0.0
    times = {number: (clock.begins[of] - over, clock.ends[of] - over) for number, of in beside.over_again.items()}
    return {number: (max(0.0, float(begin)), float(end)) for number, (begin, end) in times.items() if end > 0.0}


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """What a part leaves to other queues: rows of lives, and from when to when each is there still, in seconds behind it."""

    rows: Any
    begin: Any
    end: Any


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """First steps of all rows, and the steps behind their last ones, those with their part, but for what each part leaves
    (`left`); and the clock."""

    begin: Any
    end: Any
    left: Sequence[Left]
    clock: Clock
    held_up: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Parts:
    """The first step of each part, and the end; the first row of each; and how many of them a next one follows that is not
    in the program: what is left of others goes on in what stands behind them."""

    bounds: tuple[int, ...]
    since: tuple[int, ...]
    apart: int


def timed(beside: Beside, clock: Clock, begin: Any, end: Any, parts: Parts) -> Timed:
    """Lives from begin to end in program order, as they are by a clock."""
    steps = len(beside.computes)
    bounds = np.asarray(parts.bounds)
    stays = end > steps
    first, behind = begin.copy(), end.copy()
    first[beside.made] = np.searchsorted(clock.end, clock.begins[beside.maker], side="right")
    from_s, until_s = np.full((2, len(begin)), -np.inf)
    from_s[beside.made] = clock.begins[beside.maker]
    behind[beside.read] = beside.needed[beside.read]
    np.maximum.at(behind, beside.read, np.searchsorted(clock.begin, clock.ends[beside.reader], side="left"))
    np.maximum.at(until_s, beside.read, clock.ends[beside.reader])
    for number, into in beside.holder:
        behind[into] = max(behind[into], behind[number])
        until_s[into] = max(until_s[into], until_s[number])
    behind[stays] = end[stays]
    # how far a part goes that has what is made, and that in which it is needed last
    ends = np.append(bounds[1:], steps)
    ends[parts.apart :] = steps
    made_in = np.searchsorted(np.asarray(parts.since), np.arange(len(begin)), side="right") - 1
    used_in = np.minimum(np.searchsorted(bounds, end - 1, side="right") - 1, len(bounds) - 2)
    most, limit = ends[made_in], ends[used_in]
    over = np.append(clock.begin, clock.end[-1:] if steps else 0.0)
    late = (until_s > over[limit]) & ~stays
    rows = np.flatnonzero(late)
    left = []
    for number in range(len(bounds) - 1):
        mine = rows[used_in[rows] == number]
        there = over[bounds[number + 1]]
        left.append(Left(mine, from_s[mine] - there, until_s[mine] - there))
    behind[late] = limit[late]
    # what a later part needs is there when its own is over
    first = np.minimum(np.maximum(first, bounds[made_in]), np.where(behind > most, most - 1, most))
    return Timed(np.minimum(first, behind), behind, left, clock, beside.held_up)
