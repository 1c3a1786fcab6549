"""Step functions from intervals: how much of what is going on at every instant, group by group.

Model: an interval [begin, end) adds its amounts to its group while it lasts. Between two neighbouring instants at which
something begins or ends nothing changes; such a stretch is one step. One sort does it: the amounts that begin and end are
added up in order of time, and every group returns to nothing at its end.
Everything that asks "what runs when" (breakdown, overlap, idle time, queues, load, memory) stands on this one function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.words.causes import DOES
from hw import Dimension
from hw.input import show

if TYPE_CHECKING:
    import pandas as pd

Keys = Sequence[str]


@dataclass(frozen=True, slots=True)
class Steps:
    """Stretches in which nothing changes, ordered by group and time: group number, begin, end, amounts (one column each)."""

    group: NDArray[np.int64]
    begin: NDArray[np.float64]
    end: NDArray[np.float64]
    level: NDArray[Any]

    @property
    def seconds(self) -> NDArray[np.float64]:
        """How long each lasts."""
        lasted: NDArray[np.float64] = self.end - self.begin
        return lasted

    def where(self, chosen: NDArray[Any]) -> Steps:
        """Only some of the steps."""
        return Steps(self.group[chosen], self.begin[chosen], self.end[chosen], self.level[chosen])

    def merged(self, tolerance: float = 0.0) -> Steps:
        """Neighbours of equal amounts as one step."""
        if len(self.group) < 2:
            return self
        touch = (self.group[1:] == self.group[:-1]) & (self.begin[1:] == self.end[:-1])
        first = np.ones(len(self.group), dtype=bool)
        first[1:] = ~(touch & (np.abs(np.diff(self.level, axis=0)) <= tolerance).all(axis=1))
        last = np.roll(first, -1)
        return Steps(self.group[first], self.begin[first], self.end[last], self.level[first])


def steps(group: NDArray[Any], begin: NDArray[Any], end: NDArray[Any], amounts: NDArray[Any]) -> Steps:
    """The steps of intervals; `amounts` has a row per interval. Stretches between two intervals of a group count too."""
    times = np.concatenate([begin, end])
    narrow = np.asarray(group).astype(np.min_scalar_type(int(group.max(initial=0))))  # sorts four times as fast
    groups = np.concatenate([narrow, narrow])
    order = np.lexsort((times, groups))
    times, groups = times[order], groups[order]
    level = np.concatenate([amounts, -amounts])[order]
    np.cumsum(level, axis=0, out=level)
    same = groups[1:] == groups[:-1]
    kept = np.flatnonzero(same & (times[1:] > times[:-1]))
    level = level[kept]
    if level.dtype.kind == "f":
        level[np.abs(level) < 1e-12 * np.abs(amounts).max(initial=0.0)] = 0.0  # what float sums leave behind
    return Steps(groups[kept].astype(np.int64), times[kept], times[kept + 1], level)


def need(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ValueError if a frame lacks columns, or begins and ends among them are no times; `what` names its kind."""
    need_columns(frame, columns, what)
    if "begin" in columns and "end" in columns:
        need_times(frame)


def need_columns(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ValueError if a frame lacks columns; `what` names the kind of frame."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(f"{what} wants the columns {', '.join(columns)}; there is no {', '.join(missing)}")


def need_times(frame: pd.DataFrame) -> None:
    """Raise ValueError, with column and row, if a begin or an end is no time in seconds, or an end precedes its begin."""
    begin, end = (_times(frame, name) for name in ("begin", "end"))
    if (end < begin).any():
        at = int((end < begin).argmax())
        first, last = (show(float(each[at]), Dimension.TIME, 12) for each in (begin, end))
        raise ValueError(f"'end' of row {frame.index[at]} is {last}, before its 'begin', {first}")


def _times(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    """A column of times, all finite and none negative."""
    column = frame[name].to_numpy()
    if column.dtype.kind not in "fiu":
        for label, value in zip(frame.index, column, strict=True):
            if not isinstance(value, Real):
                raise ValueError(f"{name!r} of row {label} is {value!r}, not a number of seconds")
        column = column.astype(np.float64)
    odd = ~((column >= 0) & (column < np.inf))
    if odd.any():
        at = int(odd.argmax())
        why = "times start at 0" if column[at] < 0 else "not a number of seconds"
        raise ValueError(f"{name!r} of row {frame.index[at]} is {column[at]:g}, {why}")
    return column


def grouped(frame: pd.DataFrame, by: str | Keys) -> tuple[NDArray[Any], pd.DataFrame]:
    """The group number of every row by the values of some columns, and a frame of those values, one row a group."""
    names = [by] if isinstance(by, str) else list(by)
    need(frame, names, "grouping")
    groups = frame.groupby(names, observed=True, sort=True, dropna=False)
    number = groups.ngroup().to_numpy()
    keys = frame[names].iloc[_firsts(number)].reset_index(drop=True)
    return number, keys


def _firsts(number: NDArray[Any]) -> NDArray[Any]:
    """Where each group number stands for the first time, in order of the numbers."""
    return np.unique(number, return_index=True)[1]


def taken(keys: pd.DataFrame, group: NDArray[Any]) -> pd.DataFrame:
    """The keys of some groups, one row each."""
    rows: pd.DataFrame = keys.iloc[group].reset_index(drop=True)
    return rows


def activity(timeline: pd.DataFrame, by: str | Keys = "chip") -> tuple[Steps, pd.DataFrame]:
    """How many tasks of each kind of `DOES` run, per group: the steps (a column of `level` each) and the groups' keys."""
    need(timeline, ["begin", "end", "does"], "a timeline")
    number, keys = grouped(timeline, by)
    amounts = (does_codes(timeline)[:, None] == np.arange(len(DOES))).astype(np.int32)
    begin, end = (timeline[name].to_numpy(np.float64) for name in ("begin", "end"))
    return steps(number, begin, end, amounts), keys


def does_codes(timeline: pd.DataFrame) -> NDArray[Any]:
    """The place of every row's `does` in `DOES`. Raises ValueError for another word."""
    import pandas as pd

    codes = pd.Categorical(timeline["does"], categories=list(DOES)).codes
    if len(codes) and codes.min() < 0:
        odd = timeline["does"][np.asarray(codes) < 0].iloc[0]
        raise ValueError(f"'does' is one of {', '.join(DOES)}, not {odd!r}")
    return np.asarray(codes)


def outer(timeline: pd.DataFrame) -> pd.DataFrame:
    """Without the messages of collectives that go by messages: their collective stands for them.

    A timeline without the column `message` has none.
    """
    if "message" not in timeline.columns:
        return timeline
    message = timeline["message"].eq(True).to_numpy(dtype=bool)  # unknown (NaN, of joined frames) is no message
    return timeline[~message] if message.any() else timeline
