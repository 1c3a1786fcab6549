"""Who waits for each task, as columns: a list for each of many tasks is made only where somebody asks for it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np


class Followers(Sequence[list[int]]):
    """By task, those that wait for it: a sequence of lists. What is changed in such a list is changed nowhere else."""

    def __init__(self, before: Any, after: Any, count: int) -> None:
        """`before` and `after`: a line for each dependency of so many tasks, in the order of those that are waited for."""
        ends = np.cumsum(np.bincount(before, minlength=count))
        self._ends = array("q", np.append(0, ends).astype("q").tobytes())
        self._after = array("q", after.astype("q").tobytes())

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, task: int) -> list[int]: ...
    @overload
    def __getitem__(self, task: slice) -> Sequence[list[int]]: ...
    def __getitem__(self, task: int | slice) -> list[int] | Sequence[list[int]]:
        if isinstance(task, slice):
            return [self[each] for each in range(*task.indices(len(self)))]
        if task < 0:
            task += len(self)
        return self._after[self._ends[task] : self._ends[task + 1]].tolist()

    def __iter__(self) -> Iterator[list[int]]:
        after = self._after.tolist()
        return (after[since:until] for since, until in pairwise(self._ends.tolist()))
