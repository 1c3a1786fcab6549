"""Columns of numbers of which some may stand for many rows: arrays of numbers, else of Python's objects.

Model: numpy carries out arithmetic, comparisons and extremes of such objects one by one, in Python's way, and so in that of
`Rows`. What it does not do with objects stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy

from hw.rows.rows import Rows


def array_of(numbers: Iterable[Any], sort: Any = None) -> Any:
    """An array of numbers; of objects where any stands for many rows, since else only equal rows would stay together."""
    listed: Any = numbers if hasattr(numbers, "__len__") else list(numbers)
    if Rows not in map(type, listed):
        return numpy.asarray(listed, dtype=sort)
    found: Any = numpy.empty(len(listed), dtype=numpy.object_)
    for at, number in enumerate(listed):
        found[at] = number * 1.0 if sort is numpy.float64 else number
    return found


def order_of(*keys: Any) -> Any:
    """The order of entries by some keys, the last one first, as `numpy.lexsort` has it."""
    if all(each.dtype != object for each in keys):
        return numpy.lexsort(keys)
    columns = [each.tolist() for each in reversed(keys)]
    places = range(len(columns[0]))
    return numpy.asarray(sorted(places, key=lambda at: tuple(each[at] for each in columns)), dtype=numpy.int64)


def number_of(value: Any) -> Any:
    """A number out of a column, as Python has it."""
    return value.item() if isinstance(value, numpy.generic) else value
