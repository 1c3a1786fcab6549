"""Timelines for tests: random ones, written out by hand, and runs of small graphs; and a breakdown by brute force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from analysis.timelines import DOES

Row = tuple[int, str, int, int]
"""Chip, what it does, begin and end in whole microseconds."""

rows = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(DOES), st.integers(0, 20), st.integers(0, 8)).map(
        lambda row: (row[0], row[1], row[2], row[2] + row[3])
    ),
    min_size=1,
    max_size=25,
)


def timeline_of(given: Sequence[Row]) -> pd.DataFrame:
    """A frame with what the analyses need; every row in a queue of its own."""
    return pd.DataFrame(
        {
            "task": range(len(given)),
            "op": [f"op{at}" for at in range(len(given))],
            "kind": "made",
            "chip": [row[0] for row in given],
            "queue": [f"q{at}" for at in range(len(given))],
            "chunk": 0,
            "begin": [row[2] * 1e-6 for row in given],
            "end": [row[3] * 1e-6 for row in given],
            "waiting": 0.0,
            "does": [row[1] for row in given],
        }
    )


def brute_breakdown(given: Sequence[Row], chip: int, upto: int) -> dict[str, int]:
    """Microseconds of what a chip does, microsecond by microsecond."""
    found = dict.fromkeys((*DOES, "idle"), 0)
    for at in range(upto):
        runs = {does for where, does, begin, end in given if where == chip and begin <= at < end}
        found[next((each for each in DOES if each in runs), "idle")] += 1
    return found


def brute_both(given: Sequence[Row], chip: int, upto: int) -> tuple[int, int]:
    """Microseconds in which communication runs, and in which arithmetic runs as well."""
    runs = [{does for where, does, begin, end in given if where == chip and begin <= at < end} for at in range(upto)]
    return sum("network" in each for each in runs), sum({"network", "arithmetic"} <= each for each in runs)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain dicts."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def indexed(frame: Any, by: str) -> Any:
    """The frame by the values of a column; what is looked up in it is of any type."""
    return frame.set_index(by)
