"""Longest paths through rows: when what they make is there, at the earliest, and the queues free again.

Model: kernels start when their inputs are there and their queue, which runs one at a time in program order, is free; each
takes at least what it takes alone. So every path over dependencies and queues is a lower bound of when its end is reached,
exact where nothing contends. Times are counted from `sources`; what none of them reaches stays at minus infinity.
What a queue itself has made before is there whenever the queue is free: kernels of one queue that wait for nothing else, and
for which no other queue waits, are one segment, as long as all of them. Which those are is a matter of the structure
(`Course`); how long they are, of the configuration (`Walk`).
A block whose state moves by the same time in every slot from one round to the next moves so in all rounds that follow: time
is max-plus linear. Those rounds are not walked through.
Of two that come in as many pieces (`collective_matmul`) each piece of the one waits for that of the other.
A host that issues kernels one by one (`run.dispatch`) is a queue as well, which begins with the rows; what it waits for
(`awaited=true`) ends before it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from simulator.models.estimates.rows import Stretch

NEVER = -math.inf

_SAME = 1e-12
"""Relative difference of times that are the same: rounding of sums."""


@dataclass(slots=True)
class _Segment:
    """Kernels, up to before number `end` of their stretch, that run one after the other in a queue: the slots that the first
    of them waits for, also of other rounds, and those that the last one makes for others."""

    queue: str
    end: int
    reads: tuple[int, ...] = ()
    asks: tuple[tuple[int, int], ...] = ()
    makes: tuple[int, ...] = ()
    pieces: int = 1
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class _Leg:
    """A stretch as segments; `kept`: slots of which it keeps the history; `explicit`: every round has to be gone through,
    since what it waits for moves as it likes."""

    segments: Sequence[_Segment]
    slots: Sequence[int]
    queues: Sequence[str]
    kept: Sequence[int]
    explicit: bool


class Course:
    """Stretches one after the other, as segments: the same for all configurations of a structure. `wanted`: slots that
    somebody asks for behind them."""

    def __init__(self, stretches: Sequence[Stretch], wanted: Iterable[int]) -> None:
        asked = {slot for stretch in stretches for place in stretch.places for slot, _ in place.asks}
        needed = {*wanted, *asked}
        waits = []
        for stretch in stretches:
            waits.append(_waits(stretch))
            needed.update(slot for reads, _ in waits[-1] for slot in reads)
            needed.update(slot for pair in (*stretch.carry, *stretch.enters) for slot in pair)
        histories: set[int] = set()
        self.legs: list[_Leg] = []
        for stretch, awaited in zip(stretches, waits, strict=True):
            made = {slot for place in stretch.places for slot in place.makes}
            kept = sorted(asked & made) if stretch.block else []
            histories.update(kept)
            asks = any(slot in histories for place in stretch.places for slot, _ in place.asks)
            segments = _segments(stretch, awaited, needed)
            slots = list(dict.fromkeys(slot for each in segments for slot in each.makes))
            queues = list(dict.fromkeys(each.queue for each in segments))
            self.legs.append(_Leg(segments, slots, queues, kept, asks))

    def timed(self, stretches: Sequence[Stretch]) -> Timed:
        """Seconds of the segments of stretches, for walks that begin differently."""
        return [_timed(leg, stretch) for leg, stretch in zip(self.legs, stretches, strict=True)]


_Waits = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
"""Slots that a kernel waits for, and those of other rounds."""


def _waits(stretch: Stretch) -> list[_Waits]:
    """By kernel, what it waits for that its own queue has not made, nor waited for, before in the same round."""
    maker: dict[int, str] = {}
    awaited: dict[str, set[tuple[int, int]]] = {price.queue: set() for price in stretch.prices}
    found = []
    for place, price in zip(stretch.places, stretch.prices, strict=True):
        before = awaited[price.queue]
        reads = tuple(slot for slot in place.reads if maker.get(slot) != price.queue)
        found.append((reads, tuple(ask for ask in place.asks if ask not in before)))
        before.update(place.asks)
        maker.update(dict.fromkeys(place.makes, price.queue))
    return found


def _segments(stretch: Stretch, waits: Sequence[_Waits], needed: set[int]) -> list[_Segment]:
    found: list[_Segment] = []
    rows = zip(stretch.places, stretch.prices, waits, strict=True)
    for number, (place, price, (reads, asks)) in enumerate(rows, start=1):
        makes = tuple(slot for slot in place.makes if slot in needed)
        last = found[-1] if found else None
        goes_on = last is not None and last.queue == price.queue and last.pieces == price.pieces == 1
        if last is not None and goes_on and not (last.makes or last.awaited or reads or asks):
            last.end, last.makes, last.awaited = number, makes, price.awaited
        else:
            found.append(_Segment(price.queue, number, reads, asks, makes, price.pieces, price.awaited))
    return found


@dataclass(slots=True)
class Walk:
    """Times by slot and queue, filled segment by segment; what none of the sources reaches is there at `start`."""

    slot: list[float]
    queue: dict[str, float]
    start: float = NEVER
    host: float = 0.0
    _history: dict[int, dict[int, float]] = field(default_factory=dict)
    _pieces: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Of slots that come in pieces: how many, and when the first is there."""

    @classmethod
    def of(cls, slots: int, ready: Iterable[int] = (), queues: Iterable[str] = (), start: float = NEVER) -> Walk:
        """`ready`: slots that are there at 0; `queues`: those that are free at 0; `start`: when all else is."""
        found = cls([start] * slots, dict.fromkeys(queues, 0.0), start)
        for each in ready:
            found.slot[each] = 0.0
        return found

    @property
    def latest(self) -> float:
        """When the last kernel so far ends."""
        return max(self.queue.values(), default=self.start)

    def through(self, course: Course, stretches: Sequence[Stretch], timed: Timed | None = None) -> Walk:
        """Go through rows; what is asked for by round keeps its history. `timed`: their seconds, if they are known. Returns
        itself."""
        for leg, stretch, rows in zip(course.legs, stretches, timed or course.timed(stretches), strict=True):
            for slot in leg.kept:
                self._history[slot] = {}
            for queue in leg.queues:
                self.queue.setdefault(queue, self.start)
            rows = self._known(rows)
            if stretch.block:
                self._block(stretch, leg, rows)
            else:
                self._round(rows, 0)
        return self

    def _known(self, rows: list[_Row]) -> list[_Row]:
        """Rows without what they ask for of slots that keep no history: that is there at `start`, as everything is."""
        if self.start != NEVER:
            return rows
        known = self._history
        return [
            (*row[:5], tuple([ask for ask in row[5] if ask[0] in known]), *row[6:]) if row[5] else row for row in rows
        ]

    def _block(self, stretch: Stretch, leg: _Leg, rows: Sequence[_Row]) -> None:
        turns = range(stretch.count - 1, -1, -1) if stretch.reverse else range(stretch.count)
        before: list[float] = []
        for start, behind in stretch.enters:
            self.slot[start] = self.slot[behind]
        for done, turn in enumerate(turns, start=1):
            if done > 1:
                self._carry(stretch)
            self._round(rows, turn)
            for slot in leg.kept:
                self._history[slot][turn] = self.slot[slot]
            if leg.explicit or done == stretch.count:
                continue
            if not _is_looked_at(done):
                before = []
                continue
            now = [*(self.slot[slot] for slot in leg.slots), *(self.queue[queue] for queue in leg.queues)]
            now += [self.host] if self.host else []
            step = _moved(before, now)
            if step is not None:
                self._move(leg, step * (stretch.count - done))
                for slot in leg.kept:
                    history, last = self._history[slot], self._history[slot][turn]
                    history |= {turns[at]: last + step * (at + 1 - done) for at in range(done, stretch.count)}
                return
            before = now

    def _carry(self, stretch: Stretch) -> None:
        """What the last round has made is what the next one takes."""
        for start, end in stretch.carry:
            self.slot[start] = self.slot[end]
            if end in self._pieces:
                self._pieces[start] = self._pieces[end]

    def _move(self, leg: _Leg, by: float) -> None:
        """All times of a leg, later by so much."""
        for slot in leg.slots:
            self.slot[slot] += by
        for queue in leg.queues:
            self.queue[queue] += by
        self.host += by if self.host else 0.0
        for slot in self._pieces.keys() & set(leg.slots):
            count, there = self._pieces[slot]
            self._pieces[slot] = count, there + by

    def _round(self, rows: Sequence[_Row], turn: int) -> None:
        slots, queues = self.slot, self.queue
        for queue, least, issue, issued, reads, asks, makes, pieces, awaited in rows:
            begin, late = queues[queue], NEVER
            if pieces > 1:
                begin, late = self._piecewise(begin, reads, least / pieces, pieces)
            else:
                for number in reads:
                    if slots[number] > begin:
                        begin = slots[number]
            for number, offset in asks:
                at = self._history[number].get(turn + offset, NEVER) if number in self._history else self.start
                if at > begin:
                    begin = at
            end = begin + least
            if pieces > 1:
                self._pieces |= dict.fromkeys(makes, (pieces, begin + least / pieces))
                end = max(end, late)
            if issue:
                end = max(end, self.host + issued)
                self.host = max(self.host + issue, end) if awaited else self.host + issue
            queues[queue] = end
            for number in makes:
                slots[number] = end

    def _piecewise(self, begin: float, reads: Iterable[int], piece: float, pieces: int) -> tuple[float, float]:
        """Of what comes in pieces when its first one can begin and its last one can end at the earliest: each waits for that
        piece of what it reads, where this comes in as many. Pieces of either come evenly, or one by one behind another, so
        that the first and the last decide."""
        late = NEVER
        for number in reads:
            count, there = self._pieces.get(number, (1, NEVER))
            if count == pieces:
                begin, late = max(begin, there), max(late, self.slot[number] + piece)
            else:
                begin = max(begin, self.slot[number])
        return begin, late


_Row = tuple[str, float, float, float, tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...], int, bool]
"""A segment in seconds: its queue, how long it is, what the host takes to issue its kernels, and from when the host begins
with that to its end, if nothing else is waited for; slots that it waits for, those of other rounds, slots that it makes, in
how many pieces it comes, and whether the host waits for its end."""


Timed = Sequence[list[_Row]]
"""Stretches as segments in seconds."""


def _timed(leg: _Leg, stretch: Stretch) -> list[_Row]:
    """The segments of a stretch with their seconds."""
    least = [price.least for price in stretch.prices]
    issue = [price.issue for price in stretch.prices]
    waits = any(issue)
    rows, begin = [], 0
    for each in leg.segments:
        mine, issues = least[begin : each.end], issue[begin : each.end]
        issued = _issued(mine, issues) if waits else 0.0
        host = sum(issues) if waits else 0.0
        waited = each.pieces, each.awaited
        rows.append((each.queue, sum(mine), host, issued, each.reads, each.asks, each.makes, *waited))
        begin = each.end
    return rows


def _issued(least: Sequence[float], issue: Sequence[float]) -> float:
    """Seconds from when a host begins to issue kernels of one queue to the end of the last of them."""
    host, end = 0.0, NEVER
    for seconds, issued in zip(least, issue, strict=True):
        host += issued
        end = (max(end, host) if issued else end) + seconds
    return end


def _is_looked_at(rounds: int) -> bool:
    """Whether to look after so many rounds if all times move alike: after 2, 3, 4, 8, 16, ..., each compared with the round
    before. Queues that do not keep step never do, and then looking would cost as much as the rounds."""
    return not rounds & (rounds - 1) or not rounds & (rounds + 1)


def _moved(before: list[float], now: list[float]) -> float | None:
    """By how much all times have moved, if it is the same of all; what nothing reaches has not moved at all."""
    if not before:
        return None
    first: float | None = None
    for one, other in zip(now, before, strict=True):
        if one == NEVER and other == NEVER:
            continue
        step = one - other
        if first is None:
            if math.isinf(step):
                return None
            first = step
        elif abs(step - first) > _SAME * one:
            return None
    return first
