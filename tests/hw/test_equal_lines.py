"""Equal lines of a table get one number, in the order in which they first come: by a dictionary's definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hw.rows import equal_lines, stable_order

# a few numbers that come often, and numbers so large that two columns of them do not fit into 64 bits together
NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, 2**40))


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[NUMBERS] * width), min_size=1, max_size=30)))
def test_equal_lines_have_one_number_by_their_first(lines: list[tuple[int, ...]]) -> None:
    known: dict[tuple[int, ...], int] = {}
    wanted = [known.setdefault(line, len(known)) for line in lines]
    number, first = equal_lines(*np.asarray(lines, dtype=np.int64).T)
    assert number.tolist() == wanted
    assert first.tolist() == [lines.index(line) for line in known]


def test_no_lines_have_no_numbers() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert [each.tolist() for each in equal_lines(nothing, nothing)] == [[], []]


@given(st.lists(st.integers(0, 70_000), max_size=60), st.sampled_from(["int64", "int32", "uint16"]))
def test_the_stable_order_keeps_equal_ones_as_they_come(numbers: list[int], dtype: str) -> None:
    values = [min(number, int(np.iinfo(dtype).max)) for number in numbers]
    order = stable_order(np.asarray(values, dtype=dtype)).tolist()
    assert order == sorted(range(len(values)), key=values.__getitem__)


@given(st.lists(st.integers(-3, 3), max_size=20))
def test_the_stable_order_takes_numbers_below_0(numbers: list[int]) -> None:
    order = stable_order(np.asarray(numbers, dtype=np.int64)).tolist()
    assert order == sorted(range(len(numbers)), key=numbers.__getitem__)
