"""Random values of a study: choices from a list, or numbers from a range.

Model: every path has its own stream, `random.Random("SEED:PATH")`, and takes one number u in [0, 1) per sample. So the same
seed gives the same samples everywhere, another path changes nothing, and more samples begin with the fewer.
Whole numbers from..to and grids from + i x step are drawn evenly, both ends included; `log` draws evenly in the logarithm.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from scenarios.language.study_spec import MAX_POINTS, SampleSpec
from scenarios.language.value_text import as_value, one_unit, read_number, read_values

Sampler = Callable[[float], Any]
"""From u in [0, 1) to a value."""

_LOG = "log"


def stream(seed: int, path: str, sampler: Sampler, samples: int) -> list[Any]:
    """The samples of one path."""
    numbers = random.Random(f"{seed}:{path}")
    return [sampler(numbers.random()) for _ in range(samples)]


def read_sampler(written: Any) -> Sampler:
    """What draws from a list, a text (`1:4096`, `1:4096:log`, `a, b`) or a range. Raises ValueError for the user."""
    if isinstance(written, SampleSpec):
        return _from_range(written)
    if isinstance(written, str):
        ends = [part.strip() for part in written.split(":")]
        if "," not in written and (len(ends) == 2 or (len(ends) == 3 and ends[2] == _LOG)):
            return _from_range(SampleSpec.model_validate({"from": ends[0], "to": ends[1], "log": len(ends) == 3}))
    values = read_values(written, MAX_POINTS)
    return lambda u: values[int(u * len(values))]


def _from_range(spec: SampleSpec) -> Sampler:
    written = [spec.from_, spec.to, *([spec.step] if spec.step is not None else [])]
    parts = [read_number(each) for each in written]
    unit = one_unit([part[1] for part in parts])
    whole = all(part[2] for part in parts)
    first, last = parts[0][0], parts[1][0]
    step = parts[2][0] if len(parts) > 2 else Fraction(1) if whole else None
    if first > last:
        raise ValueError(f"from ({spec.from_}) is above to ({spec.to})")
    if spec.log and first <= 0:
        raise ValueError(f"from ({spec.from_}) must be more than 0 where log is true")
    if step is None:
        return lambda u: as_value(_between(u, first, last, spec.log), unit, False)
    if step <= 0:
        raise ValueError(f"step ({spec.step}) must be more than 0")
    most = (last - first) // step

    def on_grid(u: float) -> Any:
        """Each grid point stands for the step behind it, so both ends have their share."""
        at = (_between(u, first, first + (most + 1) * step, spec.log) - first) // step
        return as_value(first + min(at, most) * step, unit, whole)

    return on_grid


def _between(u: float, first: Fraction, last: Fraction, log: bool) -> Fraction:
    if log:
        return Fraction(float(first) * float(last / first) ** u)
    return first + Fraction(u) * (last - first)
