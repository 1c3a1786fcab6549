"""Axes and names that can be read: few ticks of a logarithmic axis, and names only where they do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

MOST_TICKS = 9
_STEPS = ((1, 2, 5), (1,))
_DECADES = 1.3
MOST_NAMES = 14
"""Names beside the points of a picture."""

_APART = (0.07, 0.06)
"""How far apart two named points are at least, as a share of the picture's width and height; less is one on the other."""


def log_ticks(low: float, high: float, text: Callable[[float], str] = lambda value: f"{value:g}") -> dict[str, Any]:
    """Ticks of a logarithmic axis: 1, 2 and 5 of a decade where it spans few, powers of ten, or every n-th of them."""
    if not 0 < low <= high < math.inf:
        return {}
    values = _values(low, high)
    return {"tickvals": values, "ticktext": [text(value) for value in values]}


def _values(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in _STEPS:
        found = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
        shown = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if 2 <= len(shown) <= MOST_TICKS:
            return shown
    every = max(1, math.ceil((last - first) / MOST_TICKS))
    return [10.0**power for power in range(first, last + 1, every)]


def gathered(points: Iterable[tuple[float, float]], span: tuple[float, float]) -> list[int]:
    """For each of some points (decades across and up, in order of weight) the number of the point that carries its name:
    its own, or that of a heavier one so close by that two names would cover each other; -1 where there are too many.
    `span`: decades that the picture spans across and up."""
    carriers: list[tuple[int, float, float]] = []
    found = []
    for at, (x, y) in enumerate(points):
        close = (
            number
            for number, there, above in carriers
            if abs(x - there) < _APART[0] * span[0] and abs(y - above) < _APART[1] * span[1]
        )
        carrier = next(close, None)
        if carrier is None and len(carriers) < MOST_NAMES:
            carriers.append((at, x, y))
            carrier = at
        found.append(-1 if carrier is None else carrier)
    return found


def joined_names(names: Sequence[str], most: int = 3) -> str:
    """Names that share a place: 'gate, up, down', or the first of many and how many more."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} +{len(names) - most + 1}"


def log_or_linear(
    values: Sequence[float], text: Callable[[float], str] = lambda value: f"{value:g}"
) -> Mapping[str, Any]:
    """An axis for some numbers: logarithmic, with few ticks, where they span more than `_DECADES`."""
    least, most = min(values, default=1.0), max(values, default=1.0)
    if least > 0 and most >= 10**_DECADES * least:
        return {"type": "log", **log_ticks(least, most, text)}
    return {"type": "linear"}
