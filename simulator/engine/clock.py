"""The environment of a run: SimPy's, with a clock of whole picoseconds.

Integers decide ties exactly: two tasks that end at the same instant do so on every machine, whatever order their delays
were added in. As float64 the clock is exact up to 9007 s; as an integer it has no limit.
"""

from __future__ import annotations

from heapq import heappop, heappush
from operator import attrgetter
from typing import Any

from simpy.core import Environment, SimTime
from simpy.events import NORMAL, Event


class Clock(Environment):
    """A SimPy environment that starts at 0 and whose delays are whole picoseconds."""

    _now: int

    def __init__(self) -> None:
        super().__init__(0)
        # what is due, as SimPy keeps it, for those to whom a call a time is too much: (time, NORMAL, number, event)
        self.due = self._queue
        self.numbers = self._eid

    # a property that runs no Python: it is asked several times an event
    now: int = property(attrgetter("_now"), doc="The time in picoseconds.")  # type: ignore[assignment]

    def quiet(self) -> bool:
        """Whether nothing else is due at this instant."""
        return not self._queue or self._queue[0][0] > self._now

    def after(self, delay: int, event: Event) -> None:
        """Let an event happen so many picoseconds from now: `schedule`, as short as it can be."""
        heappush(self._queue, (self._now + delay, NORMAL, next(self._eid), event))

    def run(self, until: SimTime | Event | None = None) -> Any:
        """SimPy's; up to the end of everything `step` by `step` in one loop, since the engine's events are small."""
        if until is not None:
            return super().run(until)
        queue = self._queue
        while queue:
            self._now, _, _, event = heappop(queue)  # type: ignore[assignment]
            callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value
        return None
