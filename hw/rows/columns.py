"""Columns of numbers of which some may stand for many rows: arrays of numbers, else of Python's objects.

Model: numpy carries out arithmetic, comparisons and extremes of such objects one by one, in Python's way, and so in that of
`Rows`. What it does not do with objects stands here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import numpy

from hw.rows.memo import numbered
from hw.rows.rows import Rows


def array_of(numbers: Iterable[Any], sort: Any = None) -> Any:
    """An array of numbers; of objects where any stands for many rows, since else only equal rows would stay together."""
    listed: Any = numbers if hasattr(numbers, "__len__") else list(numbers)
    # the library's arrays hold plain numbers alone: none of them has to be made an object to be looked at
    if type(listed) is array or Rows not in map(type, listed):
        return numpy.asarray(listed, dtype=sort)
    found: Any = numpy.empty(len(listed), dtype=numpy.object_)
    for at, number in enumerate(listed):
        found[at] = number * 1.0 if sort is numpy.float64 else number
    return found


def repeated(number: Any, count: int) -> Any:
    """A column of a number, so many times."""
    found: Any = numpy.empty(count, dtype=numpy.object_ if type(number) is Rows else type(number))
    found.fill(number)  # `numpy.full` makes a plain number of one of many rows first
    return found


def number_of(value: Any) -> Any:
    """A number out of a column, as Python has it."""
    return value.item() if isinstance(value, numpy.generic) else value


def sums_in_order() -> bool:
    """Whether `sum` adds plain floats one after the other, as it adds numbers of many rows."""
    return sum([1e100, 1.0, -1e100]) == 0.0


def sums_at(places: Any, amounts: Any, count: int = 0) -> Any:
    """What is at each of so many places (at least: up to the last one), added up, as `numpy.bincount` has it."""
    if amounts.dtype != object:
        return numpy.bincount(places, weights=amounts, minlength=count)
    total = numpy.full(max(count, places.max(initial=-1) + 1), 0.0, dtype=numpy.object_)
    numpy.add.at(total, places, amounts)
    return total


def told_apart(column: Any) -> Any:
    """A column of plain numbers, of which two are equal where those of another column are."""
    return column if column.dtype != object else alike_in(column)


def alike_in(column: Any) -> Any:
    """Equal numbers of a column have equal places among its distinct ones; of plain numbers those are in their order."""
    if column.dtype != object:
        return numpy.unique(column, return_inverse=True)[1]
    return numpy.asarray(numbered(column.tolist()), dtype=numpy.int64)
