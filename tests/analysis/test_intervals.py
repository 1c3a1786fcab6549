"""Sets of time as columns are those that are joined one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.words.intervals import joined, length, union

TIMES = st.integers(0, 12)


@given(st.lists(st.tuples(TIMES, TIMES).map(lambda each: (min(each), max(each))), max_size=12))
def test_columns_are_joined_as_intervals_are(spans: list[tuple[int, int]]) -> None:
    begin, end = (np.asarray([span[side] for span in spans], dtype=np.int64) for side in (0, 1))
    found = joined(begin, end)
    assert found == union(spans)
    instants = {at for first, last in spans for at in range(first, last)}
    assert length(found) == len(instants)


def test_times_of_many_rows_are_joined_too() -> None:
    begin, end = (np.asarray(column, dtype=object) for column in ([5, 0, 1], [6, 2, 3]))
    assert joined(begin, end) == [(0, 3), (5, 6)]
