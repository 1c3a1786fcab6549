"""Longest paths through rows: when what they make is there, at the earliest, and the queues free again.

Model: kernels start when their inputs are there and their queue, which runs one at a time in program order, is free; each
takes at least what it takes alone. So every path over dependencies and queues is a lower bound of when its end is reached,
exact where nothing contends. Times are counted from `sources`; what none of them reaches stays at minus infinity.
Walked through are segments of kernels (`course`). Time is max-plus linear: a block whose segments all move by the same time
from one round to the next moves so in all rounds that follow, and so does one in which no segment comes behind another that
moves faster: queues that are behind fall back further. Those rounds are not walked through. What is asked of rounds that a
block went through the other way round comes ever earlier, and holds up none of them.
Of two that come in as many pieces (`collective_matmul`) each piece of the one waits for that of the other.
A host that issues kernels one by one (`run.dispatch`) is a queue as well, which begins with the rows; what it waits for
(`awaited=true`) ends before it goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from simulator.models.estimates.course import NEVER, Course, Leg, Row, Timed
from simulator.models.estimates.rows import Stretch

_SAME = 1e-12
"""Relative difference of times that are the same: rounding of sums."""


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
            for queue in leg.ends:
                self.queue.setdefault(queue, self.start)
            rows = self._known(leg, rows)
            if stretch.block:
                self._block(stretch, leg, rows)
            else:
                self._round(rows, 0)
        return self

    def _known(self, leg: Leg, rows: list[Row]) -> list[Row]:
        """Rows without what they ask for of slots that keep no history: that is there at `start`, as everything is."""
        known = self._history
        if self.start != NEVER or all(slot in known for slot in leg.asks):
            return rows
        return [
            (*row[:5], tuple([ask for ask in row[5] if ask[0] in known]), *row[6:]) if row[5] else row for row in rows
        ]

    def _block(self, stretch: Stretch, leg: Leg, rows: Sequence[Row]) -> None:
        turns = range(stretch.count - 1, -1, -1) if stretch.reverse else range(stretch.count)
        ends: list[list[float]] = []
        for start, behind in stretch.enters:
            self.slot[start] = self.slot[behind]
        # where a block had fewer rounds, what is asked of it is suddenly there
        told = [self._history[slot] for slot in leg.asked if slot in self._history]
        explicit = leg.explicit or any(len(each) < stretch.count for each in told)
        for done, turn in enumerate(turns, start=1):
            if done > 1:
                self._carry(stretch)
            now = self._round(rows, turn)
            for slot in leg.kept:
                self._history[slot][turn] = self.slot[slot]
            if explicit or done == stretch.count:
                continue
            if not _is_looked_at(done) or done <= leg.reach:
                ends = []
                continue
            ends.append([*now, self.host] if self.host else now)
            steps = _steps(leg, ends[-3:])
            if steps is not None:
                self._move(leg, steps, stretch.count - done)
                for slot in leg.kept:
                    history, last, step = self._history[slot], self._history[slot][turn], steps[leg.last[slot]]
                    history |= {turns[at]: last + step * (at + 1 - done) for at in range(done, stretch.count)}
                return

    def _carry(self, stretch: Stretch) -> None:
        """What the last round has made is what the next one takes."""
        for start, end in stretch.carry:
            self.slot[start] = self.slot[end]
            if end in self._pieces:
                self._pieces[start] = self._pieces[end]

    def _move(self, leg: Leg, steps: Sequence[float], rounds: int) -> None:
        """All times of a leg, so many rounds later, each of which moves its segments so, and the host as the last."""
        for slot, at in leg.last.items():
            self.slot[slot] += steps[at] * rounds
            if slot in self._pieces:
                count, there = self._pieces[slot]
                self._pieces[slot] = count, there + steps[at] * rounds
        for queue, at in leg.ends.items():
            self.queue[queue] += steps[at] * rounds
        self.host += steps[-1] * rounds if self.host else 0.0

    def _round(self, rows: Sequence[Row], turn: int) -> list[float]:
        """Go through segments once. Returns when each is over."""
        slots, queues = self.slot, self.queue
        ends = []
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
            ends.append(end)
            queues[queue] = end
            for number in makes:
                slots[number] = end
        return ends

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


def _is_looked_at(rounds: int) -> bool:
    """Whether to look after so many rounds how times move: after 1 to 5, 7 to 9, 15 to 17, 31 to 33, ... Times that do not
    settle would else cost as much as the rounds."""
    below, above = rounds - 1, rounds + 1
    # a power of two has no bit in common with the number before it
    return not (rounds & below and rounds & above and below & (below - 1))


def _steps(leg: Leg, ends: Sequence[Sequence[float]]) -> list[float] | None:
    """By how much each segment of a leg moves with each of the rounds that follow, given when it was over in the last ones;
    None where that is not known. It is where all have moved alike, and where all have moved twice by the same and none
    comes behind one that moves faster: what decides when it is over then moves as it does, and goes on to decide."""
    if len(ends) < 2 or len(ends[-1]) != len(ends[-2]):
        return None
    now, steps = ends[-1], _moved(ends[-2], ends[-1])
    if math.inf in steps:
        return None
    alike = next((steps[at] for at in leg.told if steps[at] != NEVER), NEVER)
    for step, one in zip(steps, now, strict=True):
        # as `_is_same`, for which a call each would be felt
        if step != alike and step != NEVER and not abs(step - alike) <= _SAME * one:
            break
    else:
        return [alike] * len(steps)
    if leg.behind is None or len(steps) > len(leg.segments) or len(ends) < 3:
        return None
    before = _moved(ends[-3], ends[-2])
    if not all(map(_is_same, steps, before, now)):
        return None
    for at, behind in enumerate(leg.behind):
        most = steps[at] + _SAME * now[at] if steps[at] != NEVER else NEVER
        if max([steps[each] for each in behind]) > most:
            return None
    return steps


def _moved(before: Sequence[float], now: Sequence[float]) -> list[float]:
    """By how much times have moved; what nothing reaches never has."""
    return [NEVER if one == other == NEVER else one - other for one, other in zip(now, before, strict=True)]


def _is_same(step: float, other: float, time: float) -> bool:
    """Whether two differences of times so late are the same."""
    return step == other or abs(step - other) <= _SAME * time
