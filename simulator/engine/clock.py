"""The environment of a run: SimPy's, with a clock of whole picoseconds.

Integers decide ties exactly: two tasks that end at the same instant do so on every machine, whatever order their delays
were added in. As float64 the clock is exact up to 9007 s; as an integer it has no limit.
"""

from __future__ import annotations

from simpy.core import Environment


class Clock(Environment):
    """A SimPy environment that starts at 0 and whose delays are whole picoseconds."""

    _now: int

    def __init__(self) -> None:
        super().__init__(0)

    @property
    def now(self) -> int:
        """The time in picoseconds."""
        return self._now

    def quiet(self) -> bool:
        """Whether nothing else is due at this instant."""
        return not self._queue or self._queue[0][0] > self._now
