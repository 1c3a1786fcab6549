"""Figures as their authors print them: `8,030,261,248`, `1542M`, `37B`; how far a count may lie from one of them.

Model: a printed number stands for all that round to it, so half a unit of its last digit is what it leaves open. Where
authors round or count otherwise, the file says so: `{value: 175.0B, tolerance: 0.3 %}`; of parameters in use, whether the
tables of tokens are counted whole: `{value: 12.9B, tables: true}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from hw.input import Dimension, QuantityOf, Sign, Spec

_PRINTED = re.compile(r"(?P<digits>\d{1,3}(,\d{3})+|\d{1,15})(\.(?P<decimals>\d{1,9}))? ?(?P<unit>[KMBT]?)")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as printed. `open_by`: half a unit of its last digit; 0 where every digit is printed."""

    text: str
    value: float
    open_by: float

    def __str__(self) -> str:
        return self.text


def printed(value: object) -> Printed:
    """A printed number. Raises ValueError with a message that has `{key}` for the name of the setting."""
    text = str(value).strip()
    match = _PRINTED.fullmatch(text)
    if match is None or isinstance(value, bool):
        raise ValueError(f"'{text[:40]}' is no printed number: {{key}} wants one as in 8,030,261,248 or 37B")
    unit = _UNITS[match["unit"]]
    decimals = match["decimals"] or ""
    whole = match["digits"].replace(",", "")
    number = int(whole + decimals) * unit / 10 ** len(decimals)
    last = unit / 10 ** len(decimals)
    return Printed(text, number, last / 2 if last > 1 else 0.0)


PrintedNumber = Annotated[
    Printed, BeforeValidator(printed), WithJsonSchema({"type": ["string", "integer"], "description": "as printed: 37B"})
]


class Figure(Spec):
    """A printed number, and how far a count may lie from it; None: as far as its last digit leaves open."""

    value: PrintedNumber
    tolerance: Annotated[float, QuantityOf(Dimension.RATIO, Sign.NOT_NEGATIVE)] | None = None
    tables: bool = Field(default=False, description="tables that tokens look up are counted whole")

    @property
    def open_by(self) -> float:
        """How far a count may lie from it."""
        return self.value.open_by if self.tolerance is None else self.tolerance * self.value.value

    def agrees(self, count: int) -> bool:
        """Whether a count may be what is printed."""
        return abs(count - self.value.value) <= self.open_by


def _figure(value: object) -> object:
    return value if isinstance(value, dict) else {"value": value}


PublishedFigure = Annotated[Figure, BeforeValidator(_figure)]


class Published(Spec):
    """What the authors of a model print of it."""

    parameters: PublishedFigure = Field(description="all parameters")
    active: PublishedFigure | None = Field(default=None, description="parameters that one token uses")
