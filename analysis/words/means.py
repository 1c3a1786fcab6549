"""The mean of some draws, and how sure it is.

Model: draws are independent and alike; the interval is Student's, in which the mean that many more would have lies in
95 of 100 cases. From fewer than five draws none is made: their spread says too little.
Source: the quantile of Student's distribution by its expansion in that of the normal one, Abramowitz and Stegun,
26.7.5; within half a percent from four degrees of freedom on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 5
_NORMAL = 1.959963984540054
"""Of the normal distribution, 97.5 %."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and half the width of its interval of 95 %; None where it is not known."""

    value: float
    error: float | None = None

    def __repr__(self) -> str:
        return f"Mean({self.value:g}{'' if self.error is None else f' +- {self.error:g}'})"


def mean_of(draws: Sequence[float]) -> Mean:
    """The mean of at least one draw."""
    count = len(draws)
    value = math.fsum(draws) / count
    if count < FEWEST:
        return Mean(value)
    variance = math.fsum((each - value) ** 2 for each in draws) / (count - 1)
    return Mean(value, student(count - 1) * math.sqrt(variance / count))


def student(freedom: int) -> float:
    """The quantile of 97.5 % of Student's distribution."""
    z = _NORMAL
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
