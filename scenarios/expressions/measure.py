"""What an expression measures: dimensions, carried through arithmetic.

Model: a measure is a product of powers of base units (B/s is B^1 s^-1), or one of four that are none: a plain number, which
takes the unit of what it is added to or compared with and only scales what it multiplies; a count (a dim, say), whose
product with anything may be anything; a name (`compute`, a chip); a truth value. What cannot be added or compared is a
ValueError that names both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hw import Dimension

_ALIASES: Mapping[str, str] = {"Hz": "/s", "W": "J/s"}
_OPAQUE = (Dimension.PRICE,)
"""Whose base unit is no product of others here: USD/h is not USD/s."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A product of powers of base units, or one of `NUMBER`, `COUNT`, `NAME`, `TRUTH`; `noun` is for messages, `dimension`
    None where no dimension of the language has its unit."""

    noun: str
    powers: tuple[tuple[str, int], ...] | None = None
    dimension: Dimension | None = None


NUMBER = Measure("plain number")
COUNT = Measure("count")
NAME = Measure("name")
TRUTH = Measure("truth value")


def measure_of(dimension: Dimension) -> Measure:
    """The measure of a dimension of the language."""
    return Measure(dimension.noun, _powers(dimension), dimension)


def _powers(dimension: Dimension) -> tuple[tuple[str, int], ...]:
    if dimension in _OPAQUE:
        return ((dimension.unit, 1),)
    unit = _ALIASES.get(dimension.unit, dimension.unit)
    above, _, below = unit.partition("/")
    return tuple(sorted([*([(above, 1)] if above else []), *([(below, -1)] if below else [])]))


_DIMENSIONS: Mapping[tuple[tuple[str, int], ...], Dimension] = {
    _powers(dimension): dimension for dimension in Dimension
}


def together(one: Measure, other: Measure) -> Measure:
    """What a sum, or the larger of two, measures."""
    for each in (one, other):
        _numeric(each)
    if NUMBER in (one, other):
        return other if one is NUMBER else one
    if COUNT in (one, other):
        return other if one is COUNT else one
    if one.powers != other.powers:
        raise ValueError(f"adds or compares different things: {one.noun} and {other.noun}")
    return one


def compared(one: Measure, other: Measure) -> Measure:
    """What `<` and its like make of two."""
    for each in (one, other):
        if each in (NAME, TRUTH):
            raise ValueError(f"a {each.noun} is compared with == or !=")
    try:
        together(one, other)
    except ValueError:
        raise ValueError(f"compares different things: {one.noun} with {other.noun}") from None
    return TRUTH


def equated(one: Measure, other: Measure) -> Measure:
    """What `==` makes of two."""
    if one in (NAME, TRUTH) or other in (NAME, TRUTH):
        if one is not other:
            raise ValueError(f"compares different things: {one.noun} with {other.noun}")
        return TRUTH
    return compared(one, other)


def product(one: Measure, other: Measure, sign: int = 1) -> Measure:
    """What a product measures, or (`sign` -1) a quotient."""
    for each in (one, other):
        _numeric(each)
    if COUNT in (one, other):
        return COUNT
    if other is NUMBER:
        return one
    if one is NUMBER and sign == 1:
        return other
    powers = dict(one.powers or ())
    for unit, power in other.powers or ():
        powers[unit] = powers.get(unit, 0) + sign * power
    return _made(tuple(sorted((unit, power) for unit, power in powers.items() if power)))


def quotient(one: Measure, other: Measure) -> Measure:
    """What a quotient measures."""
    return product(one, other, -1)


def raised(base: Measure, _exponent: Measure) -> Measure:
    """What a power measures: that depends on a number that is not known here."""
    _numeric(base)
    return NUMBER if base is NUMBER else COUNT


def scaled(one: Measure) -> Measure:
    """What rounding, or a sign, leaves."""
    _numeric(one)
    return one


def of_many(*parts: Measure) -> Measure:
    """What the least or largest of several measures."""
    found = parts[0]
    for part in parts[1:]:
        found = together(found, part)
    return scaled(found)


def denied(one: Measure) -> Measure:
    """What `not` makes of a truth value."""
    return joined(one)


def joined(*parts: Measure) -> Measure:
    """What `and` and `or` make of truth values."""
    for part in parts:
        if part is not TRUTH:
            raise ValueError(f"and, or and not take comparisons, not a {part.noun}")
    return TRUTH


def plain(one: Measure) -> Measure:
    """What a logarithm or root measures."""
    _numeric(one)
    return COUNT


def _numeric(one: Measure) -> None:
    if one in (NAME, TRUTH):
        raise ValueError(f"a {one.noun} cannot be counted with")


def _made(powers: tuple[tuple[str, int], ...]) -> Measure:
    dimension = _DIMENSIONS.get(powers)
    if dimension is not None:
        return measure_of(dimension)
    return Measure(" ".join(f"{unit}^{power}" for unit, power in powers), powers)


Of = Callable[..., Any]
"""How an operator or a function makes one measure of several."""
