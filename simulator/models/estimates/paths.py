"""Longest paths through rows: when what they make is there, at the earliest, and the queues free again.

Model: kernels start when their inputs are there and their queue, which runs one at a time in program order, is free; each
takes at least what it takes alone. So every path over dependencies and queues is a lower bound of when its end is reached,
exact where nothing contends. Times are counted from `sources`; what none of them reaches stays at minus infinity.
A block whose state moves by the same time in every slot from one round to the next moves so in all rounds that follow: time
is max-plus linear. Those rounds are not walked through.
A host that issues kernels one by one (`run.dispatch`) is a queue as well, which begins with the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from simulator.models.estimates.rows import Place, Stretch

NEVER = -math.inf

_SAME = 1e-12
"""Relative difference of times that are the same: rounding of sums."""


Row = tuple[str, float, float, Place]
"""A kernel: its queue, seconds alone, those of the host that issues it, and its place."""


class Walk:
    """Times by slot and queue, filled row by row."""

    def __init__(self, slots: int, ready: Iterable[int] = (), queues: Iterable[str] = (), start: float = NEVER) -> None:
        """`ready`: slots that are there at 0; `queues`: those that are free at 0; `start`: when all else is."""
        self.start = start
        self.slot = [start] * slots
        for each in ready:
            self.slot[each] = 0.0
        self.queue: dict[str, float] = dict.fromkeys(queues, 0.0)
        self.host = 0.0
        self._history: dict[int, dict[int, float]] = {}

    @property
    def latest(self) -> float:
        """When the last kernel so far ends."""
        return max(self.queue.values(), default=self.start)

    def through(self, stretches: Sequence[Stretch]) -> Walk:
        """Go through rows; what is asked for by round keeps its history. Returns itself."""
        asked = {slot for stretch in stretches for place in stretch.places for slot, _ in place.asks}
        for stretch in stretches:
            rows = self._rows(stretch)
            if not stretch.block:
                self._round(rows, 0)
                continue
            kept = asked.intersection(slot for place in stretch.places for slot in place.makes)
            for slot in kept:
                self._history[slot] = {}
            asks = any(slot in self._history for place in stretch.places for slot, _ in place.asks)
            self._block(stretch, rows, kept, bool(kept) or asks)
        return self

    @staticmethod
    def _rows(stretch: Stretch) -> list[Row]:
        rows = zip(stretch.prices, stretch.places, strict=True)
        return [(price.queue, price.least, price.issue, place) for price, place in rows]

    def _block(self, stretch: Stretch, rows: Sequence[Row], kept: Iterable[int], explicit: bool) -> None:
        turns = range(stretch.count - 1, -1, -1) if stretch.reverse else range(stretch.count)
        slots = [slot for place in stretch.places for slot in place.makes]
        queues = list(dict.fromkeys(queue for queue, _, _, _ in rows))
        before: list[float] = []
        for start, behind in stretch.enters:
            self.slot[start] = self.slot[behind]
        for done, turn in enumerate(turns, start=1):
            if done > 1:
                for start, end in stretch.carry:
                    self.slot[start] = self.slot[end]
            self._round(rows, turn)
            for slot in kept:
                self._history[slot][turn] = self.slot[slot]
            if explicit or done == stretch.count:
                continue
            now = [*(self.slot[slot] for slot in slots), *(self.queue[queue] for queue in queues)]
            now += [self.host] if self.host else []
            step = _moved(before, now)
            if step is not None:
                by = step * (stretch.count - done)
                for slot in set(slots):
                    self.slot[slot] += by
                for queue in queues:
                    self.queue[queue] += by
                self.host += by if self.host else 0.0
                return
            before = now

    def _round(self, rows: Sequence[Row], turn: int) -> None:
        slots, queues, start = self.slot, self.queue, self.start
        for queue, least, issue, place in rows:
            begin = queues.get(queue, start)
            if issue:
                self.host += issue
                begin = max(begin, self.host)
            for number in place.reads:
                if slots[number] > begin:
                    begin = slots[number]
            for number, offset in place.asks:
                at = self._history[number].get(turn + offset, NEVER) if number in self._history else start
                begin = max(begin, at)
            end = queues[queue] = begin + least
            for number in place.makes:
                slots[number] = end


def _moved(before: list[float], now: list[float]) -> float | None:
    """By how much all times have moved, if it is the same of all; what nothing reaches has not moved at all."""
    first: float | None = None
    for one, other in zip(now, before, strict=False):
        if one == NEVER and other == NEVER:
            continue
        if first is None:
            first = one - other
        if math.isinf(first) or abs(one - other - first) > _SAME * one:
            return None
    return first if before else None
