"""What is made of whole columns of numbers of many rows: where an order counts, each row has its own.

Model: a column is an array over the things that it is about (tasks, say), of which each number may stand for many rows. Work
on whole columns is written along their last axis. So it is done for plain columns as they are, and for those of many rows
for a table of numbers, with a line for each row: nobody stays behind because things come in another order there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from hw.rows.choose import largest, smallest
from hw.rows.rows import Batch, Rows, batch_of, column, sort_of

_AT_ONCE = 2_000_000
"""Numbers of a table that are there at once."""


def by_rows(work: Callable[..., Any], *columns: Any) -> Any:
    """The number that work makes of columns, along their last axis."""
    batch = batch_of(*(number for column in columns if column.dtype == object for number in column))
    if batch is None:
        return _one(work(*(_plain(column) for column in columns)))
    lists = [column.tolist() for column in columns]
    if any(sort_of(*each) not in "fib" for each in lists):
        return batch.each(lambda *numbers: _one(work(*_columns(numbers, columns))), *_all(lists))
    wide = max(1, _AT_ONCE // max(1, sum(map(len, lists))))
    parts = [slice(at, at + wide) for at in range(0, batch.count, wide)]
    made = numpy.concatenate([work(*(_table(batch, each, part) for each in lists)) for part in parts])
    return Rows(batch, made[0].item(), made)


def _table(batch: Batch, numbers: list[Any], part: slice) -> Any:
    """The numbers of some rows: a line for each."""
    plain = [type(each) is not Rows for each in numbers]
    first = numpy.asarray([each.lead if type(each) is Rows else each for each in numbers])
    table = numpy.empty((len(range(batch.count)[part]), len(numbers)), dtype=first.dtype)
    table[:] = first
    for at, each in enumerate(numbers):
        if not plain[at]:
            table[:, at] = each.column[part]
    return table


def _plain(column: Any) -> Any:
    """A column of objects, none of which stands for many rows, as numpy has such numbers."""
    return numpy.asarray(column.tolist()) if column.dtype == object else column


def _one(made: Any) -> Any:
    """The number that work has made of plain columns, as Python has it."""
    return numpy.asarray(made).item()


def _all(lists: list[list[Any]]) -> list[Any]:
    return [number for each in lists for number in each]


def _columns(numbers: tuple[Any, ...], columns: tuple[Any, ...]) -> list[Any]:
    """The numbers of one row, column by column again."""
    found, at = [], 0
    for each in columns:
        found.append(numpy.asarray(numbers[at : at + len(each)]))
        at += len(each)
    return found


def number_in(batch: Batch, line: Any) -> Any:
    """The number that a line of a table has for each row of a batch; of rows that stayed behind it may be any."""
    values = numpy.where(batch.staying, line, line[0])
    return batch.number(values.tolist())


def least_of_each(column: Any, starts: Any) -> Any:
    """The smallest number of each run of a column, as `numpy.minimum.reduceat` has it."""
    return _of_each(numpy.minimum, smallest, column, starts)


def most_of_each(column: Any, starts: Any) -> Any:
    """The largest number of each run of a column, as `numpy.maximum.reduceat` has it."""
    return _of_each(numpy.maximum, largest, column, starts)


def most_of(column: Any) -> Any:
    """The largest number of a column, as Python has it; 0 of one without any."""
    if column.dtype == object:
        return largest(column.tolist(), default=0)
    return column.max().item() if len(column) else 0


def raised(one: Any, places: Any, other: Any) -> Any:
    """A column whose numbers at some places, which may come again, are at least those of another one."""
    found = one.copy()
    if one.dtype != object and other.dtype != object:
        numpy.maximum.at(found, places, other)
        return found
    for place, number in zip(places.tolist(), other.tolist(), strict=True):
        found[place] = largest([found[place], number])
    return found


def put(one: Any, there: Any, number: Any) -> Any:
    """A column with a number at some places: a truth value for each."""
    found = one.copy() if type(number) is not Rows else one.astype(numpy.object_)
    for place in numpy.flatnonzero(there).tolist():
        found[place] = number
    return found


def alike_everywhere(one: Any, other: Any) -> bool:
    """Whether two columns are equal in every row that there is; nobody stays behind."""
    if one.dtype != object and other.dtype != object:
        return bool(numpy.array_equal(one, other))
    return all(numpy.array_equal(column(one), column(other)) for one, other in zip(one, other, strict=True))


def _of_each(plain: Any, chosen: Callable[..., Any], column: Any, starts: Any) -> Any:
    if column.dtype != object:
        return plain.reduceat(column, starts)
    found: Any = numpy.empty(len(starts), dtype=numpy.object_)
    for at, run in enumerate(numpy.split(column, starts[1:])):
        found[at] = chosen(run.tolist())
    return found
