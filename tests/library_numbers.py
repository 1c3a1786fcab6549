"""Numbers in what a shipped scenario says of itself: which there are, and what each must agree with.

A number with a unit, a percentage, or a number of times is a statement. It is one of the file's own figures (a dim, a figure
of the chip or of the system, an option), or what a claim of the file expects, or it is someone else's: in a clause that says
so (`prints`, `says`, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hw import Dimension
from hw.document import walk
from hw.units import UNITS

_NUMBER = r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_UNIT = r"%|[A-Za-z]+(?:/[A-Za-z]+)?"
_STATED = re.compile(rf"(?<![\w.^_/*+-])(?P<number>{_NUMBER})(?:\s+|-|(?=%)|(?=x\b))(?P<unit>{_UNIT})")
_LONG = {"million": 1e6, "billion": 1e9, "tokens": 1.0, "times": 1.0, "x": 1.0, "days": 86400.0, "day": 86400.0, "hops": 1.0}
_CLAUSE = re.compile(r"(?<=[^\d])[.;:](?=\s|$)|\s-\s|(?<=\d)[.;:](?=\s|$)")
QUOTES = re.compile(
    r"\b(prints?|printed|says?|said|document|documents|edition|measures|published|rounds?|table|Row|Rows|rule of thumb|"
    r"illustrates|comment|code|names)\b"
)


@dataclass(frozen=True)
class Stated:
    """A number as it is written: its value in base units, half of its last digit, and where it stands."""

    text: str
    value: float
    slack: float
    clause: str

    def agrees(self, other: float) -> bool:
        """Whether another number is this one, as far as it is written."""
        return abs(other - self.value) <= self.slack * (1 + 1e-9)


def stated(about: str) -> Iterator[Stated]:
    """Every number with a unit in a text."""
    for clause in _CLAUSE.split(about):
        for match in _STATED.finditer(clause):
            factor = _factor(match["unit"])
            if factor is None:
                continue
            digits = match["number"].replace(",", "")
            yield Stated(match[0], float(digits) * factor, _half_a_digit(digits) * factor, clause)


def _factor(unit: str) -> float | None:
    if unit in _LONG:
        return _LONG[unit]
    known = UNITS.get(unit)
    return known.factor if known is not None and (known.dimension is not Dimension.RATIO or unit == "%") else None


def _half_a_digit(digits: str) -> float:
    mantissa, _, exponent = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    if decimals:
        step = 10.0**-decimals
    else:
        step = 10.0 ** (len(mantissa) - len(mantissa.rstrip("0"))) if mantissa.strip("0") else 1.0
    return 0.5 * step * 10.0 ** int(exponent or 0)


def figures(data: Any) -> Iterator[float]:
    """Every number in plain data, quantities in base units, and those inside texts."""
    for _, leaf in walk(data):
        if isinstance(leaf, bool) or leaf is None:
            continue
        if isinstance(leaf, (int, float)):
            yield float(leaf)
            continue
        for match in re.finditer(rf"(?P<number>{_NUMBER})\s*(?P<unit>{_UNIT})?", str(leaf)):
            number = float(match["number"].replace(",", ""))
            yield number
            known = UNITS.get(match["unit"] or "")
            if known is not None:
                yield number * known.factor
