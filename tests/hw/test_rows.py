"""Numbers of many rows: every row that stays gets what its own numbers alone would have given, bit for bit.

Random programs of arithmetic, branches, choices and keys are run on a batch and on each of its rows. Numbers are few, so
that rows coincide, and some are large, so that whole numbers do not fit into 64 bits or into floats.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.rows import (
    Batch,
    ManyRowsError,
    Memo,
    Tally,
    alike_in,
    array_of,
    by_rows,
    column,
    distinct,
    largest,
    largest_quotient,
    least_of_each,
    most_of,
    most_of_each,
    number_of,
    numbered,
    repeated,
    rowwise,
    shared,
    smallest,
    sums_at,
    told_apart,
)

Number = Any
Step = Callable[[Number, Number], Number]


def plain(number: Number) -> Number:
    """Numbers of numpy as Python's, which raise where they are divided by zero."""
    return number.item() if isinstance(number, np.generic) else number


def floats(*numbers: Number) -> Any:
    """A column of floats."""
    return array_of(numbers, np.float64)


def of_sorted(first: Any, second: Any) -> Any:
    """What adds up of a first column, in the order of a second, until two are taken."""
    return np.cumsum(np.take_along_axis(first, np.lexsort((first, second)), -1), axis=-1)[..., 1]


def tallied(a: Number, b: Number) -> Number:
    """Something that hangs on all of a tally, and on its order."""
    tally = Tally([(a, 1), (b, 2), (2, a), (a, 3)])
    return sum((at + 1) * amount for at, (_, amount) in enumerate(tally.items())) + tally[a]


BINARY: dict[str, Step] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "ceiling": lambda a, b: -(-a // b),
    "max": max,
    "min": min,
    "largest": lambda a, b: largest([a, b, 1]),
    "smallest": lambda a, b: smallest(iter([a, b])),
    "branch": lambda a, b: a * 2 if a < b else b if a == b else a,
    "round": lambda a, b: round(a) + b,
    "ceil": lambda a, b: math.ceil(a) - math.floor(b),
    "abs": lambda a, b: abs(a) + abs(b),
    "power": lambda a, b: abs(a) ** (b % 3),
    "share": lambda a, b: a / 3 + 0.1 * b,
    "plain": lambda a, b: 3 - a + 1.5 * b,
    "float": lambda a, b: float(a) if a == 1 else b,
    "keys": lambda a, b: len(distinct([a, b, a, 2])),
    "numbered": lambda a, b: sum(numbered([(a, 1), (b, 1), (3, 1)])),
    "rowwise": lambda a, b: rowwise(lambda one, other: one if one < other else other, a, b),
    "tally": tallied,
    "quotients": lambda a, b: largest_quotient([(a, b), (b, 3), (a, b)]),
    "shared": lambda a, b: sum(shared([a, b, a, 1])),
    "sums": lambda a, b: plain(sums_at(np.array([1, 0, 1]), floats(a, 0.1, b))[1]),
    "alike": lambda a, b: len(set(alike_in(floats(a, b, a, 1)).tolist())),
    "apart": lambda a, b: len(set(told_apart(floats(a, b, a, 1)).tolist())),
    "runs": lambda a, b: number_of((most_of_each(floats(a, b, 1), [0, 2]) - least_of_each(floats(a, b, 1), [0, 2]))[0]),
    "by rows": lambda a, b: by_rows(of_sorted, floats(a, b, 1), floats(b, 2, a)),
    "by rows, whole": lambda a, b: by_rows(of_sorted, array_of([a, b, 1]), array_of([b, a, 2])),
    "sorted": lambda a, b: sorted([a, b, 1])[1],
    "texts": lambda a, b: int(f"{a:.0f}") if a == 2 else b,
    "shown": lambda a, b: len(f"{a!r}") + b,
    "truth": lambda a, b: a if b else b,
    "numpy": lambda a, b: plain(np.float64(0.25) * a) + b,
}
WHOLE = st.integers(-3, 4) | st.sampled_from([2**31, 10**15, -(10**15), 2**53 + 1, 2**62 - 1, 2**70])
NUMBERS = WHOLE | st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.5, 0.1, 1 / 3, 1e15, 1e-9])
Program = list[tuple[str, int, int]]
PROGRAMS = st.lists(st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 5), st.integers(0, 5)), max_size=8)


def run(program: Program, inputs: Sequence[Number]) -> list[Number]:
    """The inputs, and what each step makes of two numbers so far."""
    numbers = list(inputs)
    for name, one, other in program:
        numbers.append(BINARY[name](numbers[-1 - one % len(numbers)], numbers[-1 - other % len(numbers)]))
    return numbers


def shown(numbers: Sequence[Number]) -> list[str]:
    """Numbers with what they are and all their bits."""
    return [each.hex() if isinstance(each, float) else repr(each) for each in numbers]


def alone(program: Program, inputs: Sequence[Number]) -> list[str] | None:
    """What a row gives by itself; None where it goes wrong."""
    try:
        return shown(run(program, inputs))
    except (ArithmeticError, ValueError, TypeError):
        return None


@given(PROGRAMS, st.lists(st.tuples(NUMBERS, NUMBERS, WHOLE), min_size=1, max_size=8))
def test_rows_that_stay_get_what_they_would_get_alone(program: Program, rows: list[tuple[Number, ...]]) -> None:
    left = list(range(len(rows)))
    while left:
        batch = Batch(len(left))
        inputs = [batch.number([rows[at][place] for at in left]) for place in range(3)]
        lead = alone(program, rows[left[0]])
        try:
            with batch.working():
                numbers = run(program, inputs)
        except (ArithmeticError, ValueError, TypeError):
            assert lead is None
            left = left[1:]
            continue
        columns = [batch.values(each) for each in numbers]
        staying = [at for at, stays in zip(left, batch.staying, strict=True) if stays]
        assert staying[0] == left[0]
        for row, values in zip(staying, zip(*columns, strict=True), strict=True):
            assert shown(values) == alone(program, rows[row])
        left = [at for at in left if at not in staying]


def test_rows_that_decide_alike_stay_together() -> None:
    batch = Batch(4)
    a = batch.number([1, 2, 3, 9])
    assert (a * 2 + 1 < 10) is True
    assert batch.staying.tolist() == [True, True, True, False]
    assert batch.values(a * a) == [1, 4, 9]
    assert batch.values("plain") == ["plain"] * 3


def test_choices_part_nobody() -> None:
    batch = Batch(3)
    a, b = batch.number([1, 5, 3]), batch.number([4.0, 2.0, 3.0])
    assert batch.values(largest([1.0 * a, b])) == [4.0, 5.0, 3.0]
    assert batch.values(smallest([1.0 * a, b])) == [1.0, 2.0, 3.0]
    assert batch.values(rowwise(lambda x, y: "a" if x > y else "b", a, b)) == ["b", "a", "b"]
    assert batch.values(largest_quotient([(a, 2.0), (b, 4.0)])) == [1.0, 2.5, 1.5]
    assert batch.values(most_of(array_of([a, 2, 4]))) == [4, 5, 4]
    assert [batch.values(each) for each in repeated(a, 2)] == [[1, 5, 3]] * 2
    assert batch.values(by_rows(of_sorted, array_of([a, b], np.float64), array_of([b, a], np.float64))) == [5, 7, 6]
    assert batch.staying.all()


def test_what_takes_plain_numbers_only_leaves_those_that_are_equal() -> None:
    batch = Batch(4)
    a = batch.number([2, 3, 2, 2])
    assert [0] * a == [0, 0]
    assert batch.staying.tolist() == [True, False, True, True]
    assert repr(Batch(2).number([1, 2])) == "1"
    b = batch.number([1.0, 1.0, 1.0, 2.0])
    assert np.asarray([b, 2.0]).tolist() == [1.0, 2.0]
    assert batch.staying.tolist() == [True, False, True, False]


def test_numbers_that_all_rows_have_are_plain() -> None:
    batch = Batch(3)
    assert batch.number([4, 4, 4]) == 4
    assert type(batch.number([4, 4, 4])) is int
    assert batch.staying.all()
    assert batch.number([4, 4.0, 4]) == 4  # a float is another thing, and goes its own way
    assert batch.staying.tolist() == [True, False, True]
    assert column(batch.number([4, 5, 6])).tolist() == [4, 5, 6]


def test_columns_of_plain_numbers_are_as_python_has_them() -> None:
    assert array_of(array("q", [3, 2**62])).tolist() == [3, 2**62]
    assert array_of(array("q", [3])).dtype == np.int64
    assert type(most_of(array_of([3, 2**62]))) is int
    assert most_of(array_of([3, 2**62])) == 2**62
    assert most_of(array_of([2**70, 3])) == 2**70
    assert most_of(array_of([])) == 0
    assert repeated(2.5, 2).tolist() == [2.5, 2.5]


def test_a_number_of_many_rows_is_no_key_but_a_memo_takes_it() -> None:
    batch = Batch(3)
    a = batch.number([1, 2, 2])
    with pytest.raises(ManyRowsError):
        hash((a, 1))
    memo: Memo[Any, str] = Memo()
    memo.put((2, "x"), "two")
    assert memo.get((a, "x")) is None  # it is for two of the rows: those stay behind
    assert batch.staying.tolist() == [True, False, False]
    memo.put((a, "y"), "one")
    assert memo.get((1, "y")) == "one"
    assert len(memo) == 2


@pytest.mark.parametrize("wrong", [lambda a: a + "x", lambda a: a < None, lambda a: a()])
def test_what_is_no_number_is_refused_as_by_a_plain_one(wrong: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        wrong(Batch(2).number([1, 2]))


@dataclass(frozen=True)
class Pair:
    """Something that is made of numbers."""

    one: Any
    parts: tuple[Any, ...]
    word: str = ""


def test_each_row_by_itself_takes_and_makes_things_that_hold_numbers() -> None:
    batch = Batch(4)
    a, b = batch.number([1, 5, 3, 1]), batch.number([4.0, 2.0, 3.0, 4.0])
    tried = []

    def work(pair: Pair, more: tuple[int, ...]) -> Pair:
        tried.append(pair.one)
        return Pair(pair.parts[0], (pair.one + more[0], "fixed"), f"{pair.one:.0f}")

    made = rowwise(work, Pair(a, (b,)), (10,))
    assert tried == [1, 5, 3]  # the last row is as the first
    assert batch.values(made.one) == [4.0, 2.0, 3.0, 4.0]
    assert batch.values(made.parts[0]) == [11, 15, 13, 11]
    assert made.parts[1] == "fixed"
    assert batch.values(made.word) == ["1", "5", "3", "1"]
    assert rowwise(work, Pair(2, (3,)), (1,)) == Pair(3, (3, "fixed"), "2")


def test_rows_of_which_something_else_is_made_stay_behind() -> None:
    batch = Batch(3)
    made = rowwise(lambda count: (1,) * count, batch.number([2, 3, 2]))
    assert made == (1, 1)
    assert batch.staying.tolist() == [True, False, True]
    assert rowwise(lambda size: 1 / (size - 3), batch.number([2, 3, 2])) == -1.0


def test_a_row_that_goes_wrong_by_itself_stays_behind() -> None:
    batch = Batch(3)
    assert batch.values(rowwise(lambda size: 6 // size, batch.number([2, 0, 3]))) == [3, 2]
    assert batch.staying.tolist() == [True, False, True]


def test_texts_of_rows_are_compared_as_texts() -> None:
    batch = Batch(3)
    word = rowwise("{} us".format, batch.number([1, 2, 1]))
    assert word == "1 us"
    assert batch.staying.tolist() == [True, False, True]
    assert ("about " + word) == "about 1 us"
    empty = Batch(2).number(["", "x"])
    assert not empty
    assert empty.batch.staying.tolist() == [True, False]


def test_numbers_of_two_batches_do_not_meet() -> None:
    with pytest.raises(ManyRowsError):
        Batch(2).number([1, 2]) + Batch(2).number([3, 4])
