"""Sets of time as sorted disjoint intervals: unions, differences, lengths. Integer picoseconds in, the same out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hw.rows import by_rows

Interval = tuple[int, int]


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same instants, as disjoint intervals in order."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        elif end > begin:
            merged.append((begin, end))
    return merged


def joined(begin: Any, end: Any) -> list[Interval]:
    """The union of intervals, given as columns."""
    if begin.dtype == object:  # times of many rows
        return union(zip(begin.tolist(), end.tolist(), strict=True))
    lasting = end > begin
    begin, end = begin[lasting], end[lasting]
    order = np.argsort(begin, kind="stable")
    begin, end = begin[order], end[order]
    reached = np.maximum.accumulate(end)
    first = np.flatnonzero(np.concatenate([[True], begin[1:] > reached[:-1]])) if len(begin) else order
    last = np.concatenate([first[1:] - 1, [len(begin) - 1]]) if len(begin) else order
    return list(zip(begin[first].tolist(), reached[last].tolist(), strict=True))


def difference(first: Sequence[Interval], second: Sequence[Interval]) -> list[Interval]:
    """What is in `first` and not in `second`; both disjoint and in order."""
    left: list[Interval] = []
    at = 0
    for begin, end in first:
        while at < len(second) and second[at][1] <= begin:
            at += 1
        here, start = at, begin
        while here < len(second) and second[here][0] < end:
            if second[here][0] > start:
                left.append((start, second[here][0]))
            start = max(start, second[here][1])
            here += 1
        if start < end:
            left.append((start, end))
    return left


def length(intervals: Iterable[Interval]) -> int:
    """Total time."""
    return sum(end - begin for begin, end in intervals)


def covered(begin: Any, end: Any) -> int:
    """The length of the union of intervals, given as columns."""
    if not len(begin):
        return 0
    total: int = by_rows(_covered, begin, end)
    return total


def _covered(begin: Any, end: Any) -> Any:
    order = np.argsort(begin, axis=-1, kind="stable")
    begin, end = np.take_along_axis(begin, order, -1), np.take_along_axis(end, order, -1)
    reached = np.maximum.accumulate(end, axis=-1)
    first = np.concatenate([begin[..., :1], np.maximum(begin[..., 1:], reached[..., :-1])], axis=-1)
    return np.maximum(end - first, 0).sum(axis=-1)


def covered_without(begin: Any, end: Any, others: tuple[Any, Any]) -> int:
    """The length of the union of intervals without that of others, all given as columns."""
    both = np.concatenate([begin, others[0]]), np.concatenate([end, others[1]])
    return covered(*both) - covered(*others)
