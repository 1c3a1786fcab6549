"""Errors of some predictions, summed up."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of some rows, relative; `left_out`: rows that are not predicted."""

    name: str
    count: int
    left_out: int
    mean: float
    median: float
    p95: float
    largest: float
    bias: float


def errors_of(name: str, errors: Sequence[float], left_out: int) -> Errors:
    """Relative errors, with their signs, of so many rows beside those that are left out."""
    if not errors:
        return Errors(name, 0, left_out, 0.0, 0.0, 0.0, 0.0, 0.0)
    sizes = sorted(abs(error) for error in errors)
    p95 = sizes[min(len(sizes) - 1, int(0.95 * len(sizes)))]
    mean, median = statistics.fmean(sizes), statistics.median(sizes)
    return Errors(name, len(errors), left_out, mean, median, p95, sizes[-1], statistics.fmean(errors))
