"""Numbers that stand for many rows of a study at once: what is alike about rows is worked out once.

Model: a batch is some rows, the first of which leads. A `Rows` has the number of each row in an array, and the lead's as a
plain number. Arithmetic goes row by row, so every row gets what the same arithmetic on its own numbers gives. What needs a
plain answer (a comparison, a branch, an index, a text) is answered as for the lead; rows for which the answer would be
another stay behind, and are worked out another time with a lead of their own.
Law: code that runs on a batch does what it does for its lead alone, and for every row that has not stayed behind what it
would do for that row alone, bit for bit. What does not know of rows is at worst slow: it leaves few of them together.
Assumes: additions, products, quotients and comparisons of numpy's 64-bit numbers are those of Python's (IEEE 754), as long
as whole numbers stay below 2^62; where they are not, rows are gone through one by one. `sum` adds from left to right, as it
does up to Python 3.11 (`sums_in_order`).
Limits: a `Rows` is no key of a dict, since equal numbers could not find each other there (`Memo` is a dict that can).
Source: array libraries trace plain code in this way, with an abstract value in the place of the lead.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy

from hw.rows.operators import Operators, Work

_WHOLE = 2**62
"""Whole numbers in arrays stay below this, so that no sum of two of them can overflow."""

_EXACT = 2**53
"""Whole numbers below this are exact as floats."""

_FLOAT, _INT, _OTHER = "f", "i", "O"
_SORTS = {int: _INT, bool: _INT, float: _FLOAT}
"""Plain numbers, and the sort of array that goes with them."""

_GOES_WRONG = (ArithmeticError, ValueError, TypeError, LookupError)
"""What a row may raise that its lead does not: it stays behind, and raises it when it is a lead itself."""


class ManyRowsError(TypeError):
    """A number of many rows is asked to be a key, or meets rows that are not its own."""


class FewRowsError(Exception):
    """So few rows are left of a batch that each is better off by itself."""


class Batch:
    """Rows that are worked out together as long as they go the way of the first, the lead; where no more than `least` do,
    `FewRowsError` ends it."""

    def __init__(self, count: int, least: int = 0) -> None:
        self.count, self.least = count, least
        self.staying: Any = numpy.ones(count, dtype=bool)

    def number(self, values: Sequence[Any]) -> Any:
        """What stands for a value of each row: a plain value where all have the same one. Rows with one of another type
        than the lead's stay behind."""
        first = values[0]
        if len(set(map(type, values))) > 1:
            values = self.agreeing(values, [type(each) is type(first) for each in values])
        # floats of nothing are equal and may yet have unlike signs
        if all(each == first for each in values) and not (type(first) is float and first == 0.0):
            return first
        return Rows(self, first, _array(values))

    def agreeing(self, values: Sequence[Any], alike: Sequence[bool]) -> Sequence[Any]:
        """Leave behind the rows whose value is not like the lead's; the values, with the lead's in place of theirs."""
        self.keep(numpy.array(alike))
        return [value if same else values[0] for value, same in zip(values, alike, strict=True)]

    def results(self, work: Callable[..., Any], *operands: Any) -> list[Any]:
        """What a function makes of the operands of each row, as Python's own values. Raises what it raises for the lead;
        a row for which it raises stays behind, and has the lead's result."""
        lists = [each.column.tolist() if type(each) is Rows else [_python(each)] * self.count for each in operands]
        rows = zip(*lists, strict=True)
        lead = work(*next(rows))
        found, gone = [lead] * self.count, self.staying.copy()
        for row, (values, stays) in enumerate(zip(rows, self.staying[1:].tolist(), strict=True), 1):
            if stays:
                try:
                    found[row] = work(*values)
                except _GOES_WRONG:
                    gone[row] = False
        self.keep(gone)
        return found

    def each(self, work: Callable[..., Any], *operands: Any) -> Any:
        """The number that a function makes of the operands of each row: slow, and right whatever they are."""
        return self.number(self.results(work, *operands))

    def values(self, number: Any) -> list[Any]:
        """The value of each row that has not stayed behind."""
        if type(number) is Rows:
            found: list[Any] = number.column[self.staying].tolist()
            return found
        return [number] * int(self.staying.sum())

    def keep(self, alike: Any) -> None:
        """Leave behind the rows that are not alike: a truth value for each."""
        if not alike.all():
            self.staying = self.staying & alike
            if self.least and self.staying.sum() <= self.least:
                raise FewRowsError

    @contextmanager
    def working(self) -> Iterator[None]:
        """While code runs on numbers of the batch: rows that stayed behind may divide by zero or overflow."""
        with numpy.errstate(all="ignore"):
            yield


class Rows(Operators):
    """A number of each row of a batch; it passes for a plain number, that of the lead. Made by `Batch.number`.

    `sort`: of whole numbers, floats, or others (texts, too). `bound`: whole numbers are of at most that size (-1: not yet
    known).
    """

    __slots__ = ("batch", "bound", "column", "lead", "sort")
    __array_ufunc__ = None  # arithmetic with numbers of numpy is ours

    def __init__(self, batch: Batch, lead: Any, column: Any, bound: int = -1) -> None:
        self.batch, self.lead, self.column, self.bound = batch, lead, column, bound
        self.sort: str = column.dtype.kind

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """That of the lead: code that asks whether something is a number goes the lead's way."""
        return type(self.lead)

    def __repr__(self) -> str:
        return repr(self.alone())  # a text may be compared, or be a key

    def alone(self) -> Any:
        """The lead's number, for what takes plain ones only: rows with another one stay behind."""
        self.batch.keep(self.column == self.lead)
        return self.lead

    def __hash__(self) -> int:
        raise ManyRowsError("a number of many rows is no key: where rows differ, equal ones would not be found")

    def __float__(self) -> float:
        return float(self.alone())

    def __int__(self) -> int:
        return int(self.alone())

    def __index__(self) -> int:
        return operator.index(self.alone())

    def __str__(self) -> str:
        return str(self.alone())

    def __format__(self, spec: str) -> str:
        return format(self.alone(), spec)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return numpy.asarray(self.alone(), dtype=dtype)

    def __deepcopy__(self, memo: Any) -> Rows:
        return self

    def __bool__(self) -> bool:
        return self._answered(bool(self.lead), self.column.astype(bool))

    def _answered(self, lead: bool, rows: Any) -> bool:
        """The lead's answer; rows with the other one stay behind."""
        self.batch.keep(rows if lead else ~rows)
        return lead

    def _compared(self, other: Any, work: Work) -> Any:
        operand = self._operand(other)
        if operand is None:
            return NotImplemented
        lead, column, sort, bound = operand
        if sort == _INT and bound < 0:
            bound = other.most()
        if _comparable(self, sort, bound):
            return self._answered(work(self.lead, lead), work(self.column, column))
        answers = self._each(work, self, other)
        return bool(answers) if type(answers) is Rows else answers

    def _summed(self, one: Any, other: Any, work: Work) -> Any:
        first, second = self._operand(one), self._operand(other)
        if first is None or second is None:
            return NotImplemented
        (lead, left, sort, size), (number, right, with_, bound) = first, second
        if _FLOAT in (sort, with_) and sort in "fi" and with_ in "fi":
            return Rows(self.batch, work(lead, number), work(left, right))
        if sort == with_ == _INT:
            sizes = (size if size >= 0 else one.most()), (bound if bound >= 0 else other.most())
            most = sizes[0] * sizes[1] if work is operator.mul else sizes[0] + sizes[1]
            if most < _WHOLE:
                return Rows(self.batch, work(lead, number), work(left, right), most)
        return self._each(work, one, other)

    def _divided(self, one: Any, other: Any, work: Work) -> Any:
        first, second = self._operand(one), self._operand(other)
        if first is None or second is None:
            return NotImplemented
        (lead, above, sort, _), (divisor, below, by, _) = first, second
        alone = work(lead, divisor)  # raises where the lead's divisor is zero
        exact = sort == by == _FLOAT
        if work is not operator.truediv:
            exact = sort == by == _INT
        elif not exact and sort in "fi" and by in "fi":
            whole = (each for each, its in ((one, sort), (other, by)) if its == _INT)
            exact = all((each.most() if type(each) is Rows else abs(each)) < _EXACT for each in whole)
        if not exact:
            return self._each(work, one, other)
        if type(other) is Rows:
            self.batch.keep(below != 0)
        return Rows(self.batch, alone, work(above, below))

    def _signed(self, work: Callable[[Any], Any]) -> Any:
        if self.sort not in "fi":
            return self._each(work, self)
        return Rows(self.batch, work(self.lead), work(self.column), self.bound)

    def _rounded(self, work: Callable[[Any], int], of_array: Callable[[Any], Any]) -> Any:
        if self.sort == _INT:
            return self
        staying = numpy.where(self.batch.staying, self.column, self.lead)
        if self.sort == _FLOAT and bool((abs(staying) < _WHOLE).all()):
            return Rows(self.batch, work(self.lead), of_array(staying).astype(numpy.int64))
        return self._each(work, self)

    def _each(self, work: Callable[..., Any], *operands: Any) -> Any:
        if any(self._operand(each) is None for each in operands):
            return NotImplemented
        return self.batch.each(work, *operands)

    def most(self) -> int:
        """The largest size of the whole numbers, or more."""
        if self.bound < 0:
            staying = self.column[self.batch.staying]
            self.bound = max(-int(staying.min()), int(staying.max()))
        return self.bound

    def _operand(self, other: Any) -> tuple[Any, Any, str, int] | None:
        """Of an operand: the lead's number, those of all rows (or the one that all have), their sort, and a bound where
        they are whole; None of what is no number."""
        if type(other) is Rows:
            if other.batch is not self.batch:
                raise ManyRowsError("numbers of two batches meet")
            return other.lead, other.column, other.sort, other.bound
        sort = _SORTS.get(type(other))
        if sort == _INT:
            return other, other, _INT if abs(other) < _WHOLE else _OTHER, abs(other)
        if sort is not None:
            return other, other, sort, -1
        if isinstance(other, numpy.generic):
            return self._operand(other.item())
        return (other, other, _OTHER, -1) if self.sort == _OTHER else None


def sort_of(*numbers: Any) -> str:
    """What arrays of all of some numbers would hold: 'i' whole numbers, 'f' floats, 'O' neither, or some of each."""
    sorts = {each.sort if type(each) is Rows else _SORTS.get(type(each), _OTHER) for each in numbers}
    return sorts.pop() if len(sorts) == 1 else _OTHER


def column(number: Any) -> Any:
    """The numbers of all rows as an array; a plain number as it is."""
    return number.column if type(number) is Rows else number


def batch_of(*numbers: Any) -> Batch | None:
    """The batch that some numbers belong to; None where all are plain."""
    return next((each.batch for each in numbers if type(each) is Rows), None)


def _python(value: Any) -> Any:
    """A number of numpy's as Python has it; anything else as it is."""
    return value.item() if isinstance(value, numpy.generic) else value


def _array(values: Sequence[Any]) -> Any:
    """An array of 64-bit numbers where values of one type are such and fit, else of Python's own objects."""
    sort = type(values[0])
    if sort is float or sort is bool:
        return numpy.array(values, dtype=sort)
    if sort is int and all(-_WHOLE < each < _WHOLE for each in values):
        return numpy.array(values, dtype=numpy.int64)
    found = numpy.empty(len(values), dtype=object)
    found[:] = values
    return found


def _comparable(number: Rows, sort: str, bound: int) -> bool:
    """Whether 64-bit numbers compare as Python's do: of one sort, or whole ones that are exact as floats."""
    if number.sort == sort:
        return sort in "fi"
    if number.sort == _FLOAT and sort == _INT:
        return 0 <= bound < _EXACT
    return number.sort == _INT and sort == _FLOAT and number.most() < _EXACT
