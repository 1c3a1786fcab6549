"""Numbers in what a shipped scenario says of itself: which there are, and what each must agree with.

A number with a unit, a percentage, or a number of times is a statement. It is one of the file's own figures (a dim, a
size of a tensor, a figure of a chip, an option), or what a claim of the file expects; or someone else's, in a clause that
says so (`prints`, `says`, ...).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hw.input import UNITS, walk
from scenarios import Scenario
from simulator import DTYPE_BYTES

_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
_UNIT = r"%|[A-Za-z]+(?:/[A-Za-z]+)?"
_STATED = re.compile(rf"(?<![\w.^_/*+-])(?P<number>{_NUMBER})(?:\s+(?!x\b)|-|(?=%)|(?=x\b))(?P<unit>{_UNIT})")
_QUANTITY = re.compile(rf"(?P<number>{_NUMBER})\s*(?P<unit>{_UNIT})?")
_CLAUSE = re.compile(r"[.;:](?=\s|$)|\s-\s")
_WORDS = {"million": 1e6, "billion": 1e9, "tokens": 1.0, "times": 1.0, "x": 1.0, "days": 86400.0, "hops": 1.0}
_THEIRS = re.compile(
    r"\b(prints?|printed|says?|said|documents?|edition|measures|published|rounds|table|Rows?|rule of thumb|comment|code)\b"
)


@dataclass(frozen=True)
class Stated:
    """A number as it is written: its value in base units, and half of its last digit."""

    text: str
    value: float
    slack: float

    def agrees(self, other: float) -> bool:
        """Whether another number is this one, as far as it is written."""
        return abs(other - self.value) <= self.slack * (1 + 1e-9)


def stated(about: str) -> Iterator[Stated]:
    """Every number with a unit in a text that is not someone else's."""
    for clause in _CLAUSE.split(about):
        if _THEIRS.search(clause):
            continue
        for match in _STATED.finditer(clause):
            factor = _factor(match["unit"])
            if factor is not None:
                digits = match["number"].replace(",", "")
                yield Stated(match[0], float(digits) * factor, _half_a_digit(digits) * factor)


def _factor(unit: str) -> float | None:
    known = UNITS.get(unit)
    return _WORDS.get(unit, known.factor if known is not None else None)


def _half_a_digit(digits: str) -> float:
    mantissa, _, exponent = digits.partition("e")
    decimals = len(mantissa.partition(".")[2])
    zeros = 0 if decimals else len(mantissa) - len(mantissa.rstrip("0"))
    return 0.5 * 10.0 ** (zeros - decimals + int(exponent or 0))


def figures(scenario: Scenario) -> Iterator[float]:
    """Every number that the file, its claims and its chips hold, and the sizes of its tensors."""
    data = {name: part for name, part in scenario.document.data.items() if name not in ("name", "about")}
    yield from _numbers(data)
    yield from _numbers(list(data.get("expect", {})))
    system = scenario.system
    yield float(system.size)
    for chip in system.kinds:
        yield from _numbers(chip.model_dump(mode="json"))
        for link in chip.links.values():
            yield from (link.egress_bytes_per_s, 2 * link.bytes_per_s)
    for op in scenario.graph.every_op():
        for tensor in (*op.inputs, op.output):
            elements = math.prod(scenario.graph.dims.get(str(dim.size), 0) or int(dim.size) for dim in tensor.dims)
            yield from (float(elements), elements * DTYPE_BYTES[tensor.dtype])


def _numbers(data: Any) -> Iterator[float]:
    """Every number in plain data, in base units, and those inside texts."""
    for _, leaf in walk(data):
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            yield float(leaf)
        elif isinstance(leaf, str):
            for match in _QUANTITY.finditer(leaf):
                number, known = float(match["number"].replace(",", "")), UNITS.get(match["unit"] or "")
                yield number
                if known is not None:
                    yield number * known.factor
