"""The values that `find` and `crossover` try, and the checks of how they are written.

Model: from, from + step, ... up to `to`, in exact fractions of what was written; whole numbers, numbers, or quantities of
one unit (`from: 1000 GB/s, to: 4000 GB/s, step: 100 GB/s`). `steps: n` instead of a step: n values, even, or even in the
logarithm; between the ends rounded to four digits, and whole where both ends are whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, overload

from hw import Problems
from hw.input import Document, Key
from scenarios.claims.condition import Condition, parse_condition
from scenarios.claims.scope import Scope
from scenarios.language.study_spec import CrossoverAxis, StudySpec
from scenarios.language.value_text import as_value, in_base_units, one_unit, read_number, read_values

MAX_VALUES = 1_000_000
_MAX_ROWS = 1000
_DIGITS = 4

Value = int | float | str
"""A number, or a text with a unit, as a file would hold it."""


@dataclass(frozen=True)
class Stepped(Sequence[Value]):
    """first, first + step, ...: so many values, made when asked for."""

    first: Fraction
    step: Fraction
    length: int
    unit: str = ""
    whole: bool = True

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, at: int) -> Value: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Value]: ...
    def __getitem__(self, at: int | slice) -> Value | Sequence[Value]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(self.length))]
        if not -self.length <= at < self.length:
            raise IndexError(at)
        return as_value(self.first + (at % self.length) * self.step, self.unit, self.whole)


def stepped(first: Any, last: Any, step: Any = None, default: int = 1) -> Stepped:
    """The values from `first` to `last` in steps, by default of `default`. Raises ValueError."""
    begin, end = read_number(first), read_number(last)
    whole = begin[2] and end[2]
    if step is None and not whole:
        raise ValueError(f"from {first} to {last} wants a step: only whole numbers have one of their own")
    by = (Fraction(default), "", True) if step is None else read_number(step)
    unit = one_unit([begin[1], end[1], by[1]])
    if by[0] <= 0:
        raise ValueError(f"step is {step}; it must be more than 0")
    if end[0] < begin[0]:
        raise ValueError(f"to ({last}) is below from ({first})")
    count = int((end[0] - begin[0]) / by[0]) + 1
    if count > MAX_VALUES:
        raise ValueError(f"{count} values are more than {MAX_VALUES}; narrow from and to, or widen step")
    return Stepped(begin[0], by[0], count, unit, whole and by[2])


def axis_values(axis: CrossoverAxis, default: int = 1) -> Sequence[Value]:
    """The values of one side of a crossover map, ascending as written. Raises ValueError."""
    if axis.values is not None:
        if axis.from_ is not None or axis.to is not None or axis.steps is not None:
            raise ValueError("takes values, or from and to, not both")
        found: Sequence[Value] = read_values(axis.values, MAX_VALUES)
        return found
    if axis.from_ is None or axis.to is None:
        raise ValueError("wants values, or from and to")
    if axis.steps is None:
        return stepped(axis.from_, axis.to, axis.step, default)
    if axis.step is not None:
        raise ValueError("takes a step, or the number of steps, not both")
    return _shared_out(axis.from_, axis.to, axis.steps, axis.log)


def _shared_out(first: Any, last: Any, count: int, log: bool) -> list[Value]:
    ends = read_number(first), read_number(last)
    (low, _, _), (high, _, _) = ends
    unit, whole = one_unit([end[1] for end in ends]), all(end[2] for end in ends)
    if high < low or (log and low <= 0):
        raise ValueError(f"{first} to {last} will not do: to is not below from, and log wants both above 0")
    values: list[Fraction] = []
    for at in range(count):
        part = Fraction(at, max(1, count - 1))
        value = low * Fraction(float(high / low) ** float(part)) if log else low + (high - low) * part
        values.append(Fraction(round(value)) if whole else Fraction(f"{float(value):.{_DIGITS}g}"))
    values[0] = low
    values[-1] = high
    return [as_value(value, unit, whole) for value in dict.fromkeys(values)]


def same_value(one: object, other: object) -> bool:
    """Whether two values are the same number: '1.5 TB/s' is '1500 GB/s'."""
    a, b = (in_base_units(str(each)) for each in (one, other))
    return a == b or abs(a - b) <= 1e-12 * max(abs(a), abs(b))


def read_condition(
    study: StudySpec | None, document: Document, problems: Problems, scope: Scope | None = None
) -> Condition | None:
    """The condition of `find`, with every problem of `find` and `crossover` reported; `scope`: what it may name."""
    if study is None:
        return None
    _check_crossover(study, document, problems, scope)
    find = study.find
    if find is None:
        return None
    here: Key = ("study", "find")
    if (find.smallest is None) == (find.largest is None):
        problems.add(document.value_mark(here), "find wants one of smallest and largest: the path of a value")
    try:
        stepped(find.from_, find.to, find.step)
    except ValueError as error:
        problems.add(document.value_mark(here), f"find: {error}")
    return _condition(find.where, (*here, "where"), document, problems, scope)


def _condition(text: str, where: Key, document: Document, problems: Problems, scope: Scope | None) -> Condition | None:
    try:
        return parse_condition(text, scope)
    except ValueError as error:
        problems.add(document.value_mark(where), str(error))
        return None


def _check_crossover(study: StudySpec, document: Document, problems: Problems, scope: Scope | None) -> None:
    asked = study.crossover
    if asked is None:
        return
    here: Key = ("study", "crossover")
    for name, axis in (("x", asked.x), ("y", asked.y)):
        try:
            count = len(axis_values(axis))
            if name == "y" and count > _MAX_ROWS:
                raise ValueError(f"has {count} values; {_MAX_ROWS} rows are the most")
        except ValueError as error:
            problems.add(document.value_mark((*here, name)), f"{name} {error}")
    _condition(asked.where, (*here, "where"), document, problems, scope)
