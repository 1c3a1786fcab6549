"""Texts that stand for many values: ranges and comma lists.

Model: a range is `from:to`, `from:to:+step`, `from:to:-step`, `from:to:xfactor` or `from:to:/factor`; the end is included
if it is met. Ends and step may be quantities of one unit (`1 TB/s:4 TB/s:x2`); the values then keep that unit. Steps are
taken in exact fractions of what was written, so that 0.1:0.3:+0.1 ends at 0.3. A comma list is cut at commas outside
brackets and quotes; each part is a range or is read as YAML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from hw import SpecError
from hw.input import UNITS, parse_document, shown, unit_meant

_NUMBER = r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,2})?"
_QUANTITY = re.compile(rf"\s*+({_NUMBER})\s*+([A-Za-z%][A-Za-z/%]*+)?+\s*+")
_RANGE = re.compile(r"([+-]?[\d.][^:]*):([^:]+)(?::([^:]+))?")
_MEANT_AS_RANGE = re.compile(r"[+-]?[\d.][^:]*:.*", re.DOTALL)
_OTHER_RANGES = ("...", "..", "…", "–", "—", " to ", "-")
"""How a range is written elsewhere: 64-512, 64..512."""

_OPEN, _SHUT, _QUOTES = "([{", ")]}", "\"'"


def read_values(written: Any, most: int) -> list[Any]:
    """The values that a list or a text stands for. Raises ValueError with a message for the user."""
    values = _of_text(written, most) if isinstance(written, str) else written
    if isinstance(values, list) and None in values:
        raise ValueError(f"value {values.index(None) + 1} is null; every row wants a value")
    if not isinstance(values, list) or not values:
        raise ValueError("wants a list of values, a range (1:4096:x2, 1:10:+1), or a comma list")
    return values


def _of_text(text: str, most: int) -> list[Any]:
    parts = list(_parts(text))
    if len(parts) == 1 and parts[0].startswith("["):
        whole = _yaml(parts[0], text)
        return whole if isinstance(whole, list) else [whole]
    values: list[Any] = []
    for part in parts:
        _refuse_other_range(part)
        values.extend(_range_values(part, most) if _MEANT_AS_RANGE.fullmatch(part) else [_yaml(part, text)])
    return values


def _refuse_other_range(part: str) -> None:
    """Say how a range is written, if something is one in another way of writing."""
    if _QUANTITY.fullmatch(part):
        return  # 1e-3 is a number
    for between in _OTHER_RANGES:
        first, found, last = (each.strip() for each in part.partition(between))
        if found and _QUANTITY.fullmatch(first) and _QUANTITY.fullmatch(last):
            raise ValueError(f"{shown(part)} is not a range; did you mean {first}:{last}:x2, or {first}:{last}:+1?")


def _yaml(part: str, text: str) -> Any:
    try:
        return parse_document(part, "values").data
    except SpecError as error:
        raise ValueError(f"{shown(text)}: {error.problems[0].message}") from None


def _parts(text: str) -> Iterator[str]:
    depth, quote, start = 0, "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        elif letter == "," and depth == 0:
            yield text[start:at].strip()
            start = at + 1
        else:
            depth += (letter in _OPEN) - (letter in _SHUT)
    yield text[start:].strip()


def read_number(written: Any) -> tuple[Fraction, str, bool]:
    """A number or a quantity as an exact fraction, its unit, and whether it was written as a whole number."""
    if isinstance(written, bool) or not isinstance(written, (int, float, str)):
        raise ValueError(f"{shown(written)} is not a number")
    match = _QUANTITY.fullmatch(str(written)) if isinstance(written, str) else None
    digits = match[1] if match else repr(written) if not isinstance(written, str) and abs(written) <= 1e30 else ""
    unit = (match[2] or "") if match else ""
    if unit and unit not in UNITS:
        close = unit_meant(unit, UNITS)
        hint = f", did you mean '{close}'?" if close else ""
        raise ValueError(f"{shown(written)} has the unknown unit '{unit[:20]}'{hint}")
    if not re.fullmatch(_NUMBER, digits):
        raise ValueError(f"{shown(written)} is not a number, or one with a unit, up to 1e30")
    return Fraction(digits), unit, not unit and digits.lstrip("+-").isdigit()


def in_base_units(written: str) -> float:
    """A text such as '3.35 TB/s' in the base unit of whatever it measures. Raises ValueError."""
    number, unit, _ = read_number(written)
    return float(number) * (UNITS[unit].factor if unit else 1.0)


def as_number(value: Any) -> Any:
    """A value as something to count with: a quantity in base units; what is no number stays."""
    if not isinstance(value, str):
        return value
    try:
        return in_base_units(value)
    except ValueError:
        return value


def as_value(number: Fraction, unit: str, whole: bool) -> int | float | str:
    """A number as a file would hold it: whole, with a point, or as text with its unit."""
    if unit:
        return f"{float(number):.15g} {unit}"
    return int(number) if whole and number.denominator == 1 else float(number)


def one_unit(units: Iterator[str] | list[str]) -> str:
    """The unit that all of some quantities have, none counting as any. Raises ValueError if they differ."""
    named = sorted({unit for unit in units if unit})
    if len(named) > 1:
        raise ValueError(f"has the units {' and '.join(named)}; write one")
    return named[0] if named else ""


_Step = Callable[[Fraction, Fraction], Fraction]
_STEPS: Mapping[str, _Step] = {
    "+": lambda value, by: value + by,
    "-": lambda value, by: value - by,
    "x": lambda value, by: value * by,
    "/": lambda value, by: value / by,
}


def _range_values(text: str, most: int) -> Iterator[int | float | str]:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is not a range, as in 1:4096:x2 or 1:10:+1")
    first, last, rule = match[1], match[2], (match[3] or "+1").strip()
    if rule[0] not in _STEPS:
        raise ValueError(f"{shown(text)}: a step is +n, -n, xn or /n, as in 1:4096:x2")
    (begin, *_), (end, *_), (by, *_) = parts = [read_number(part) for part in (first, last, rule[1:])]
    unit = one_unit([part[1] for part in parts])
    whole = all(part[2] for part in parts)
    if rule[0] in "x/" and parts[2][1]:
        raise ValueError(f"{shown(text)}: a factor has no unit")
    step, value = _STEPS[rule[0]], begin
    up = step(begin, by) > begin
    if by <= 0 or step(begin, by) == begin or (begin > end if up else begin < end):
        raise ValueError(f"{shown(text)} does not lead from {first.strip()} to {last.strip()}")
    if whole and rule[0] in "+-":  # a million of them are asked for without a thought
        found = range(int(begin), int(end) + (1 if up else -1), int(by) if up else -int(by))
        yield from found[:most]
        if len(found) > most:
            raise ValueError(f"{shown(text)} has more than {most} values")
        return
    count = 0
    while value <= end if up else value >= end:
        count += 1
        if count > most or value.denominator > 10**300:
            raise ValueError(f"{shown(text)} has more than {most} values")
        yield as_value(value, unit, whole)
        value = step(value, by)
