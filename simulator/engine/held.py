"""What a task holds of its chip while it is at work: whole units, which nobody else has meanwhile.

Model: a chip has so many units (cores: a GPU's SMs). A task asks for some and makes do with fewer. Of unit times T alone,
- a task of equal `blocks` makes them in waves over the units that it has: ceil(blocks / units) waves, each as long as one of
  those that it makes alone; its last wave leaves units free;
- any other goes at (1 - own) max(1, enough / units) + own `units` / units times T: of its time `own` is work of the units,
  and for the rest (streams from memory) `enough` of them are enough;
- a `whole` one (a collective) waits until it has all of its units, on all of its chips, and holds them from then on, while
  its fixed time goes by too.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.rows import largest, smallest

_SLACK = 1e-9
"""Parts of a number that are rounding."""

TICK = 1e-6
"""Parts of a wave that are rounding to the clock: of a wave of 1 us a picosecond."""


def ceiling(number: float, slack: float = 0.0) -> float:
    """The next whole number; what is above one by rounding alone is that one. At least 1."""
    whole: float = -(-(number * (1.0 - _SLACK) - slack) // 1)
    return largest([1.0, whole])


@dataclass(frozen=True, slots=True)
class Held:
    """Units that a task asks for, of so many (`of`) that its chip has."""

    units: float
    of: int
    blocks: int = 0
    own: float = 1.0
    enough: float = 1.0
    whole: bool = False

    @property
    def waves(self) -> float:
        """Waves of its blocks on all units of the chip."""
        return ceiling(self.blocks / self.of)

    @property
    def filled(self) -> float:
        """The part of the chip's units that it keeps busy in the time that it takes alone."""
        return self.blocks / (self.waves * self.of) if self.blocks else self.units / self.of

    def beside(self, others: float) -> float:
        """How many times as long it takes beside others that hold so many units all the time; it has one at least."""
        left = largest([1.0, smallest([self.units, self.of - others])])
        return ceiling(self.blocks / left) / self.waves if self.blocks else self.slowed(left) / self.slowed(self.units)

    def slowed(self, units: float) -> float:
        """How many times as long it takes with fewer units; not for blocks, whose waves say it."""
        streams: float = largest([1.0, self.enough / units])
        return (1.0 - self.own) * streams + self.own * self.units / units
