"""How much of a run some kernels are at work on their chip: an instant counts once, however many of their tasks run then."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from analysis.words.intervals import covered
from simulator import PS_PER_S, Result


def busy_s(result: Result, groups: Sequence[tuple[Collection[int], int]]) -> list[float]:
    """For each (kernels, chip) the seconds in which any task of these kernels runs on that chip; never more than the run."""
    places = result.places
    found = []
    for kernels, chip in groups:
        wanted = np.zeros(len(result.plan.kernels), dtype=bool)
        wanted[np.asarray(kernels if isinstance(kernels, np.ndarray) else list(kernels), dtype=np.int64)] = True
        here = wanted[places.kernel] & (places.chip == chip)
        found.append(covered(places.begin[here], places.end[here]) / PS_PER_S)
    return found
