"""Quantities with units: text to SI numbers, numbers back to text.

Model: a quantity is a finite number and a unit from a whitelist; every unit has one dimension and one factor to the
base unit of that dimension. Decimal and binary prefixes differ (1 GB = 1e9 B, 1 GiB = 2**30 B) and so do bit and B.
Bare numbers are in base units: s, B, FLOP, B/s, FLOP/s, Hz, W, J, USD, USD/h, USD/J, FLOP/USD.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from hw.input.unit_words import unit_meant
from hw.input.wording import nearest, shown
from hw.rows import Rows, rowwise


class Dimension(Enum):
    """What a number measures: its name in messages, and its base unit."""

    TIME = ("time", "s")
    DATA = ("amount of data", "B")
    WORK = ("amount of arithmetic", "FLOP")
    BANDWIDTH = ("bandwidth", "B/s")
    FLOP_RATE = ("arithmetic rate", "FLOP/s")
    FREQUENCY = ("frequency", "Hz")
    POWER = ("power", "W")
    ENERGY = ("energy", "J")
    MONEY = ("sum of money", "USD")
    PRICE = ("price", "USD/h")
    RATIO = ("ratio", "")
    INTENSITY = ("arithmetic intensity", "FLOP/B")
    ENERGY_PRICE = ("price of energy", "USD/J")
    YIELD = ("arithmetic for money", "FLOP/USD")
    RATE = ("rate", "/s")

    @property
    def noun(self) -> str:
        """The dimension in words."""
        return self.value[0]

    @property
    def unit(self) -> str:
        """The base unit; empty for a ratio."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of the whitelist: its dimension and its size in base units."""

    dimension: Dimension
    factor: float


_DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12, "min": 60.0, "h": 3600.0, "day": 86400.0}


def _whitelist() -> dict[str, Unit]:
    units = {name: Unit(Dimension.TIME, factor) for name, factor in _TIME.items()}
    for prefix, scale in (_DECIMAL | _BINARY).items():
        for symbol, size in (("B", 1.0), ("bit", 0.125)):
            units[f"{prefix}{symbol}"] = Unit(Dimension.DATA, scale * size)
            units[f"{prefix}{symbol}/s"] = Unit(Dimension.BANDWIDTH, scale * size)
    for prefix, scale in _DECIMAL.items():
        for symbol in ("FLOP", "OP"):
            units[f"{prefix}{symbol}"] = Unit(Dimension.WORK, scale)
            units[f"{prefix}{symbol}/s"] = Unit(Dimension.FLOP_RATE, scale)
            units[f"{prefix}{symbol}/B"] = Unit(Dimension.INTENSITY, scale)
        units[f"{prefix}Hz"] = Unit(Dimension.FREQUENCY, scale)
        units[f"{prefix}W"] = Unit(Dimension.POWER, scale)
        units[f"{prefix}J"] = Unit(Dimension.ENERGY, scale)
        units[f"{prefix}Wh"] = Unit(Dimension.ENERGY, 3600 * scale)
        units[f"{prefix}FLOP/USD"] = Unit(Dimension.YIELD, scale)
        units[f"{prefix}/s"] = Unit(Dimension.RATE, scale)
    for energy in ("J", "Wh", "kWh", "MWh"):
        units[f"USD/{energy}"] = Unit(Dimension.ENERGY_PRICE, 1 / units[energy].factor)
    units["USD"] = Unit(Dimension.MONEY, 1.0)
    units["USD/h"] = Unit(Dimension.PRICE, 1.0)
    units["%"] = Unit(Dimension.RATIO, 0.01)
    return units


UNITS = _whitelist()
"""Every unit that a file may use."""

_SMALLEST, _LARGEST = 1e-30, 1e30
_LONGEST = 400
"""Characters of a quantity; whatever is longer is something else."""

# possessive: a number ends where it ends, so that no part of a text is looked at twice
_QUANTITY = re.compile(
    r"([+-]?(?:\d{1,3}(?:,\d{3})++(?:\.\d*+)?+|\d[\d_]*+(?:\.\d*+)?+|\.\d++)(?:[eE][+-]?\d++)?+)\s*+(\S*+)"
)


def _number(text: str) -> float:
    try:
        return float(text.replace(",", ""))  # 17,060 is what `show` makes of money
    except (ValueError, OverflowError):
        return math.inf


def parse(value: object, dimension: Dimension) -> float:
    """`value` (a number in base units, or text such as '3.35 TB/s') in base units of `dimension`.

    Raises ValueError with a message for the user: no number, an unknown unit (with the nearest one), another
    dimension, or not finite. The message holds `{key}` where the name of the setting belongs.
    """
    if type(value) is Rows:
        return rowwise(lambda each: parse(each, dimension), value)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{shown(value)} is not a quantity; {{key}} wants {_wanted(dimension)}")
    if not isinstance(value, str):
        return _finite(value, value)
    match = _QUANTITY.fullmatch(value.strip()) if len(value) <= _LONGEST else None
    if match is None:
        raise ValueError(f"'{_shown(value)}' is not a number with a unit; {{key}} wants {_wanted(dimension)}")
    number, name = _finite(_number(match[1]), value), match[2]
    if not name:
        return number
    unit = UNITS.get(name)
    if unit is None:
        raise ValueError(_unknown_unit(value, name, dimension))
    if unit.dimension is not dimension:
        raise ValueError(f"'{value}' is {_article(unit.dimension.noun)}, {{key}} wants {_wanted(dimension)}")
    return _finite(number * unit.factor, value)


def _finite(number: float, value: object) -> float:
    try:
        result = float(number)
    except OverflowError:
        result = math.inf
    if math.isfinite(result) and not (result == 0 or _SMALLEST <= abs(result) <= _LARGEST):
        raise ValueError(
            f"'{_shown(value)}' is beyond all reason; {{key}} wants a number from {_SMALLEST:g} to {_LARGEST:g}"
        )
    if not math.isfinite(result):
        raise ValueError(f"'{_shown(value)}' is not a finite number; {{key}} wants a finite one")
    return result


def _shown(value: object) -> str:
    return shown(value).strip("'")


def _wanted(dimension: Dimension) -> str:
    plain = {Dimension.DATA: "bytes, e.g. '80 GB'", Dimension.RATIO: "a plain number or %"}
    return plain.get(dimension, f"{_article(dimension.noun)}, e.g. '1 {dimension.unit}'")


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _unknown_unit(value: str, name: str, dimension: Dimension) -> str:
    fitting = [unit for unit, known in UNITS.items() if known.dimension is dimension]
    alike = [unit for unit in fitting if ("bit" in unit, "B" in unit) == ("b" in name, "B" in name)]
    unit = unit_meant(name, fitting) or nearest(name, [unit for unit in alike if unit[0] == name[0]])
    hint = f", did you mean '{unit}'?" if unit else ";"
    if unit and unit.replace("bit", "B") in fitting and "bit" in unit:
        hint = f"; a bit is written 'bit', a byte 'B': did you mean '{unit}', or '{unit.replace('bit', 'B')}'?"
    listed = ", ".join(unit for unit in fitting if not _BINARY_PREFIX.match(unit))
    return (
        f"'{_shown(value)}' has the unknown unit '{_shown(name)}'{hint} {{key}} wants {_wanted(dimension)} ({listed})"
    )


_BINARY_PREFIX = re.compile("[KMGT]i")

_LONG_TIME = (("day", 86400.0), ("h", 3600.0), ("min", 60.0))


_COUNTED = (Dimension.MONEY, Dimension.PRICE, Dimension.RATE)
_MOST_COUNTED = 1e13
"""What is counted rather than measured has no prefixes: thousands are told apart instead, up to here."""


def show(value: float, dimension: Dimension, digits: int = 4) -> str:
    """`value` (base units) as a person reads it: '217.9 us', '3.35 TB/s', '35.4 %'."""
    if dimension is Dimension.TIME and abs(value) >= 300.0:
        name, size = next((n, s) for n, s in _LONG_TIME if abs(value) >= s)
        return f"{value / size:.{digits}g} {name}"
    if dimension is Dimension.RATIO:
        return f"{100 * value:.{digits}g} %"
    if dimension is Dimension.ENERGY_PRICE:
        return f"{3.6e6 * value:.{digits}g} USD/kWh"
    if dimension in _COUNTED and 10**digits <= abs(value) < _MOST_COUNTED:
        return f"{float(f'{value:.{digits}g}'):,.0f} {dimension.unit}"  # nobody reads dollars with exponents
    if dimension in (*_COUNTED, Dimension.INTENSITY, Dimension.YIELD):
        return f"{value:.{digits}g} {dimension.unit}"
    return str(_quantity_class()(value, dimension.unit).render(prec=digits - 1))


_LEAST_CHANGE, _FINE_CHANGE = 5e-5, 1e-3


def show_change(share: float) -> str:
    """What changes by a share of itself: '-31.8 %', finer where it is small, '0 %' where there is nothing to show."""
    if abs(share) < _LEAST_CHANGE:
        return "0 %"
    return f"{100 * share:+.{1 if abs(share) >= _FINE_CHANGE else 2}f} %"


@cache
def _quantity_class() -> Any:
    """quantiphy's Quantity with prefixes up to exa; imported late, since the command's --help does not need it."""
    from quantiphy import Quantity

    class Shown(Quantity):
        """A quantity with preferences of its own, so that those of the user's program are left alone."""

    Shown.set_prefs(output_sf="EPTGMkmunpfa")
    return Shown
