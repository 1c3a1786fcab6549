"""The parameters that fit some rows best, and of which of them these rows say anything.

Model: errors are logarithms of predicted over measured, under soft losses: first from far away, then with next to no say for
rows that are still far off. A parameter is `weak` if it may stay as it was and the others make up for it: the rows' times
then change by less than a hundredth. Looked at are those whose own change of the times, what others can do set aside (the
part of its derivative that is orthogonal to theirs), is next to nothing: so is that of two that only go together, a start
and a rate in timings of one size.
Law: rows made from parameters that they determine give these parameters again; what they do not determine stays.
Source: scipy.optimize.least_squares, losses soft_l1 and cauchy (an extra: `pip install 'overlapse[calibrate]'`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw import Chip, RunError
from hw.chips import KernelTimes
from scenarios.calibration.timed import Timed, work_of
from simulator.measured import Device

SOFT = 0.1
"""Errors above this count as lines, not as squares."""

_STEP = 1e-3
"""Relative steps of differences: tiles and waves make times that bend."""

_SAYS = 0.01
"""Of the logarithms of times, what a parameter's own changes of them at least, else its rows say next to nothing of it."""

_NEAR = 1e-3
"""So near to the end of what can be, in logarithms, a parameter is at it."""

_SHARES, _TIMES, _FACTORS = (0.05, 1.0), (1e-9, 1e-3), (0.1, 100.0)
_SMALL = (1e-14, 1e-6)
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "hbm": _SHARES, "rate": _SHARES, "start": _TIMES, "tile": _TIMES, "split": _TIMES,
    "element": _SMALL, "row": _SMALL, "long": _SMALL, "least": _TIMES, "fixed": _TIMES,
    "feed": _FACTORS, "pair": (0.1, 1000.0), "tail": (0.01, 2.0), "passes": (1e-3, 20.0), "corner": (1.2, 30.0),
}  # fmt: skip

Data = Mapping[str, Any]
"""Kernel times as plain data."""


@dataclass(frozen=True, slots=True)
class Best:
    """Kernel times with what fits best, how far off each row is with them and was `before`, and which parameters stay as
    they were (`weak`) or are at the end of what can be."""

    data: dict[str, Any]
    errors: list[float]
    before: Sequence[float]
    weak: tuple[str, ...]
    ends: tuple[str, ...]


class Works:
    """Measured rows on a chip. Rows of the same work are predicted once."""

    def __init__(self, rows: Sequence[Timed], chip: Chip) -> None:
        self._rows, self._chip, self._device = rows, chip, Device.of(chip)
        self._work = {work_of(each.row): each for each in rows}
        self._key = [work_of(each.row) for each in rows]

    def errors(self, data: Data) -> list[float]:
        """How far off each row is under some kernel times."""
        times = KernelTimes(**data)
        seconds = {key: each.seconds(self._chip, self._device, times) for key, each in self._work.items()}
        return [math.log(seconds[key] / each.row.measured_s) for key, each in zip(self._key, self._rows, strict=True)]


def best(works: Works, data: Data, parameters: Sequence[str]) -> Best:
    """What fits some works best, beginning with `data`. Raises RunError without scipy."""
    whole, errors = _least(works, data, parameters)
    found, left, kept = whole, errors, list(parameters)
    for dotted in _quiet(works, whole, parameters):
        fewer = [each for each in kept if each != dotted]
        tried, others = _least(works, data, fewer)
        if _rms([one - other for one, other in zip(others, errors, strict=True)]) < _SAYS:
            found, left, kept = tried, others, fewer
    weak = tuple(dotted for dotted in parameters if dotted not in kept)
    return Best(found, left, works.errors(data), weak, tuple(dotted for dotted in kept if _at_end(found, dotted)))


def _least(works: Works, data: Data, parameters: Sequence[str]) -> tuple[dict[str, Any], list[float]]:
    """Kernel times with these parameters where the errors are least, and the errors."""
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise RunError("calibrate needs scipy: pip install 'overlapse[calibrate]'") from None
    if not parameters:
        return dict(data), works.errors(data)
    low, high = ([math.log(_bounds(dotted)[end]) for dotted in parameters] for end in (0, 1))
    at = [_start(data, dotted) for dotted in parameters]
    for loss in ("soft_l1", "cauchy"):
        found = least_squares(
            lambda logs: works.errors(_with(data, parameters, logs)),
            at,
            bounds=(low, high),
            loss=loss,
            f_scale=SOFT,
            diff_step=_STEP,
        )
        at = found.x
    made = _with(data, parameters, at)
    return made, works.errors(made)


def _quiet(works: Works, data: Data, parameters: Sequence[str]) -> list[str]:
    """Parameters whose own change of the times is next to nothing, the least first."""
    here = np.array(works.errors(data))
    columns = []
    for dotted in parameters:
        at = _start(data, dotted)
        step = SOFT * SOFT if at + SOFT * SOFT < math.log(_bounds(dotted)[1]) else -SOFT * SOFT
        columns.append((np.array(works.errors(_with(data, [dotted], [at + step]))) - here) / step)
    matrix = np.array(columns).T
    own = {}
    for place, dotted in enumerate(parameters):
        others = np.delete(matrix, place, axis=1)
        apart = matrix[:, place] - others @ np.linalg.lstsq(others, matrix[:, place], rcond=None)[0]
        own[dotted] = (_rms(apart.tolist()), _rms(matrix[:, place].tolist()))
    return sorted((dotted for dotted in parameters if own[dotted][0] < _SAYS), key=lambda dotted: own[dotted])


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(value * value for value in values))


def _at_end(data: Data, dotted: str) -> bool:
    at = _start(data, dotted)
    return any(abs(at - math.log(limit)) < _NEAR for limit in _bounds(dotted))


def _bounds(dotted: str) -> tuple[float, float]:
    """What a parameter may be, by its own name, or `rate` of those by dtype."""
    parts = dotted.split(".")
    return _BOUNDS["rate" if "rate" in parts else parts[-1]]


def _start(data: Data, dotted: str) -> float:
    """The logarithm of where a parameter is, inside its limits; of what was not there in their middle."""
    value: Any = data
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    low, high = _bounds(dotted)
    number = value or math.sqrt(low * high)
    return math.log(min(high * (1 - 1e-6), max(low * (1 + 1e-6), number)))


def _with(data: Data, parameters: Sequence[str], logs: Sequence[float]) -> dict[str, Any]:
    changed = dict(data)
    for dotted, value in zip(parameters, logs, strict=True):
        changed = _put(changed, dotted.split("."), math.exp(value))
    return changed


def _put(data: Data, path: Sequence[str], value: float) -> dict[str, Any]:
    first, *rest = path
    return {**data, first: _put(data.get(first) or {}, rest, value) if rest else value}
