"""The first of many values for which something holds, and every place where it flips, in few tries.

Model: a condition has one of three states at each of the values 0 .. n-1: it holds, it does not, or the value cannot be run.
The answer is the first value at which it does not simply fail: where it holds, or where the run breaks.
1. Some values are tried: the ends, the powers of two from the first, and a golden-ratio sequence, about log n of each (the
   last does not beat in time with conditions that repeat, such as padding to a tile). Up to 64 values are all tried.
2. Between neighbours of unlike states the flip is bisected down to two values next to each other, and up to eight values
   on either side of it are tried: a condition that wobbles there shows more flips.
3. If more than one flip is seen, the condition is not monotonic: every value before the first that is known to hold is
   tried, so the answer stands. If none holds so far, up to 4096 values are tried.
Guarantee: the answer is right if the condition flips once, if it was seen to flip more often, or if all values before it
were tried (`exact`). What can be missed is a spell, not seen by any try, in which the condition holds below a lone flip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

FEW = 64
"""Up to so many values, all are tried."""

SCANNED = 4096
"""Up to so many values are tried where none has been found to hold."""

_NEAR = 8
_WOBBLES = 8
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0

State = bool | None
"""Whether a condition holds; None where the value cannot be run."""


@dataclass(frozen=True, slots=True)
class Located:
    """What was found over `count` values. `first` is the answer, None if none holds; `states` are those tried."""

    count: int
    first: int | None
    states: dict[int, State]
    exact: bool


def flips(states: Mapping[int, State]) -> list[int]:
    """The places at which the state is another than at the known place before, ascending."""
    return [after for before, after in pairwise(sorted(states)) if states[before] != states[after]]


def locate(count: int, holds: Callable[[int], State], every: bool = False) -> Located:
    """The first of `count` values at which `holds` is not False. `every`: try one after the other up to the answer."""
    search = _Search(count, holds)
    if every:
        search.scan(count)
        search.try_all(_spread(count))  # beyond the answer, only to see whether it flips again
        search.refine()
    elif count <= FEW:
        search.try_all(range(count))
    elif search.state(0) is not None:  # else the search is over: the run breaks at once
        search.try_all(_spread(count))
        search.refine()
        for flip in flips(search.states)[:_WOBBLES]:
            search.try_all(range(max(0, flip - _NEAR), min(count, flip + _NEAR)))
        search.refine()
        if search.first() is None:
            search.try_all(range(count) if count <= SCANNED else _golden(count, SCANNED))
            search.refine()
        if len(flips(search.states)) > 1:
            search.scan(search.first() or 0)
            search.refine()
    first = search.first()
    tried = sum(1 for at in search.states if first is None or at < first)
    return Located(count, first, search.states, tried == (count if first is None else first))


class _Search:
    """The states known so far."""

    def __init__(self, count: int, holds: Callable[[int], State]) -> None:
        self.count, self.holds = count, holds
        self.states: dict[int, State] = {}

    def state(self, at: int) -> State:
        """The state at a value, tried once."""
        if at not in self.states:
            self.states[at] = self.holds(at)
        return self.states[at]

    def try_all(self, places: Iterable[int]) -> None:
        """Try some values."""
        for at in places:
            self.state(at)

    def scan(self, upto: int) -> None:
        """Try one value after the other below `upto`, as far as the condition fails."""
        for at in range(upto):
            if self.state(at) is not False:
                return

    def refine(self) -> None:
        """Bisect between neighbours of unlike states until each flip lies between two values next to each other."""
        open_ = [pair for pair in pairwise(sorted(self.states)) if self._flips(*pair)]
        while open_:
            low, high = open_.pop()
            middle = (low + high) // 2
            self.state(middle)
            open_ += [pair for pair in ((low, middle), (middle, high)) if self._flips(*pair)]

    def _flips(self, low: int, high: int) -> bool:
        return high - low > 1 and self.states[low] != self.states[high]

    def first(self) -> int | None:
        """The first value known not to fail."""
        return min((at for at, state in self.states.items() if state is not False), default=None)


def _spread(count: int) -> list[int]:
    """Places among 0 .. count-1, ascending: the ends, powers of two, and multiples of the golden ratio."""
    last = count - 1
    doublings = last.bit_length()
    powers = {2**power for power in range(doublings) if 2**power < last}
    return sorted({0, last, *powers, *_golden(count, 2 * doublings)})


def _golden(count: int, samples: int) -> list[int]:
    """So many places among 0 .. count-1, spread evenly and in no rhythm."""
    return [int(at * _GOLDEN % 1.0 * count) for at in range(1, samples + 1)]
