"""What interruptions and checkpoints cost, to a higher order than Young's, and what is paid at prices that change.

Model: interruptions come by chance at a mean of `mtbf_s` and strike work, writing and restarts alike; what is not
saved is done again. Prices hold from one time to the next, and repeat after a period.
Assumes: as `analysis.economics.formulas`, to which this adds what first order leaves out.
Source: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3), 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.economics.formulas import SECONDS_PER_HOUR, checkpoint_interval_s
from hw import Dimension
from hw.input import show


def daly_interval_s(checkpoint_s: float, mtbf_s: float) -> float:
    """How much to work between checkpoints for the least time: Young's interval with the next terms, or the MTBF
    where a checkpoint takes two of them. Source: Daly 2006."""
    young_s = checkpoint_interval_s(checkpoint_s, mtbf_s)
    ratio = checkpoint_s / (2 * mtbf_s)
    if ratio >= 1:
        return mtbf_s
    return young_s * (1 + math.sqrt(ratio) / 3 + ratio / 9) - checkpoint_s


def renewal_factor(interval_s: float, checkpoint_s: float, mtbf_s: float, restart_s: float = 0.0) -> float:
    """How many times as long work takes if it is saved every `interval_s`: exact for interruptions by chance.

    M exp(R/M) (exp((t + d)/M) - 1) / t. Source: Daly 2006.
    """
    return mtbf_s * math.exp(restart_s / mtbf_s) * math.expm1((interval_s + checkpoint_s) / mtbf_s) / interval_s


@dataclass(frozen=True, slots=True)
class PricePath:
    """Prices over time: each (time in s, USD/h) holds until the next one; from the begin again after `period_s`
    (None: the last holds for ever). The first is of time 0. Nothing is paid, and nothing had, while the price is
    above the `bid`."""

    prices: Sequence[tuple[float, float]]
    period_s: float | None = None
    bid_usd_per_h: float = math.inf

    def __repr__(self) -> str:
        again = "" if self.period_s is None else f" every {show(self.period_s, Dimension.TIME)}"
        return f"PricePath({len(self.prices)} prices{again}, bid {self.bid_usd_per_h:g} USD/h)"

    def above_the_bid(self) -> tuple[tuple[float, float], ...]:
        """The stretches of time of a period in which the price is above the bid; those that touch are one."""
        found: list[tuple[float, float]] = []
        for begin, end, price in self._pieces():
            if price <= self.bid_usd_per_h:
                continue
            if found and found[-1][1] == begin:
                begin = found.pop()[0]
            found.append((begin, end))
        return tuple(found)

    def paid_usd(self, time_s: float) -> float:
        """What one chip costs from time 0 to `time_s`."""
        if self.period_s is None:
            return self._within(time_s)
        turns, rest_s = divmod(time_s, self.period_s)
        return turns * self._within(self.period_s) + self._within(rest_s)

    def _within(self, time_s: float) -> float:
        hours = 0.0
        for begin, end, price in self._pieces():
            if price <= self.bid_usd_per_h and begin < time_s:
                hours += price * (min(end, time_s) - begin) / SECONDS_PER_HOUR
        return hours

    def _pieces(self) -> list[tuple[float, float, float]]:
        ends = [begin for begin, _ in self.prices[1:]]
        ends.append(math.inf if self.period_s is None else self.period_s)
        return [(begin, end, price) for (begin, price), end in zip(self.prices, ends, strict=True)]
