"""Choices among numbers that may stand for many rows: row by row, where a plain choice would part them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

import numpy

from hw.rows.rows import Batch, Rows, column, sort_of

Made = TypeVar("Made")
Number = TypeVar("Number", int, float)


def largest(numbers: Iterable[Number], default: Number | None = None) -> Number:
    """The largest of some numbers, as `max` has it; of numbers of many rows that of each row."""
    found = list(numbers)
    if not found and default is not None:
        return default
    if Rows not in map(type, found):
        return max(found)
    most: Number = _chosen(found, max, operator.gt)
    return most


def smallest(numbers: Iterable[Number], default: Number | None = None) -> Number:
    """The smallest of some numbers, as `min` has it; of numbers of many rows that of each row."""
    found = list(numbers)
    if not found and default is not None:
        return default
    if Rows not in map(type, found):
        return min(found)
    least: Number = _chosen(found, min, operator.lt)
    return least


def _chosen(numbers: Sequence[Any], plain: Callable[..., Any], better: Callable[[Any, Any], Any]) -> Any:
    """The extreme of numbers of which some stand for many rows; those that it can be are all whole, or all not."""
    batch: Batch = next(each.batch for each in numbers if type(each) is Rows)
    if sort_of(*numbers) not in "fi":
        return batch.each(lambda *values: plain(values), *numbers)
    best = column(numbers[0])
    once = {id(each): each for each in numbers[1:]}  # alike links have one number between them
    for each in once.values():
        here = column(each)
        best = numpy.where(better(here, best), here, best)  # the first of equals
    return Rows(batch, plain(each.lead if type(each) is Rows else each for each in numbers), best)


def largest_quotient(pairs: Iterable[tuple[float, float]]) -> float:
    """The largest of some quotients. The same two numbers are divided once: alike links have one rate between them."""
    once = {(id(above), id(below)): (above, below) for above, below in pairs}
    return largest(above / below for above, below in once.values())


def rowwise(work: Callable[..., Made], *given: Any) -> Made:
    """What a function makes of each row by itself: for choices that hang on much. Numbers of many rows may stand anywhere in
    tuples and dataclasses, of what is given and of what comes out. Rows of equal numbers are worked out once."""
    numbers = numbers_in(given)
    if not numbers:
        return work(*given)
    batch: Batch = numbers[0].batch
    known: dict[str, Made] = {}

    def of_row(*values: Any) -> Made:
        key = repr(values)  # which tells 1 from 1.0, and 0.0 from -0.0
        if key not in known:
            known[key] = work(*_plain(given, dict(zip(map(id, numbers), values, strict=True))))
        return known[key]

    made: Made = _joined(batch, batch.results(of_row, *numbers))
    return made


def numbers_in(thing: Any) -> list[Rows]:
    """The numbers of many rows that tuples and dataclasses hold, each once."""
    found: dict[int, Rows] = {}
    left = [thing]
    while left:
        each = left.pop()
        if type(each) is Rows:
            found[id(each)] = each
        left += reversed(_parts(each))
    return list(found.values())


def taken(thing: Made, rows: Sequence[int], least: int = 0) -> tuple[Made, Batch]:
    """The same for some rows alone, in their order: a batch of their own."""
    batch = Batch(len(rows), least)
    numbers = {id(each): batch.number(each.column[rows].tolist()) for each in numbers_in(thing)}
    made: Made = _plain(thing, numbers)
    return made, batch


def _parts(thing: Any) -> Sequence[Any]:
    """What tuples and dataclasses hold; nothing of anything else."""
    if type(thing) is tuple:
        return thing
    kind: Any = type(thing)
    return [getattr(thing, name) for name in _names_of(kind)]


@cache
def _names_of(kind: type) -> tuple[str, ...]:
    """What the parts of things of a kind are called, where that is a dataclass."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()


def _plain(thing: Any, values: dict[int, Any]) -> Any:
    """The same with the values of a row in the place of numbers."""
    if type(thing) is Rows:
        return values[id(thing)]
    parts = _parts(thing)
    return _with(thing, [_plain(part, values) for part in parts]) if parts else thing


def _with(thing: Any, parts: Sequence[Any]) -> Any:
    """The same of other parts."""
    kind: Any = type(thing)
    if kind is tuple:
        return tuple(parts)
    return replace(thing, **dict(zip(_names_of(kind), parts, strict=True)))


def _joined(batch: Batch, made: Sequence[Any]) -> Any:
    """One for what was made of each row, alike in all but numbers."""
    first, parts = made[0], [_parts(each) for each in made]
    if not parts[0]:
        return batch.number(made)
    alike = [type(each) is type(first) and len(its) == len(parts[0]) for each, its in zip(made, parts, strict=True)]
    parts = list(batch.agreeing(parts, alike))
    return _with(first, [_joined(batch, part) for part in zip(*parts, strict=True)])
