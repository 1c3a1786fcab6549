"""Two timelines side by side: what takes longer, what came and what went.

Times are seconds per chip (added up over a timeline's tasks, divided by its chips), so that runs on different numbers of
chips, and simulated and measured ones, compare. Rows are matched by what stands in the columns `by`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.frames.accessor import timeline_method
from analysis.frames.schema import conforming
from analysis.frames.steps import Keys
from analysis.timelines.rollup import rollup

if TYPE_CHECKING:
    import pandas as pd


def diff_timelines(before: pd.DataFrame, after: pd.DataFrame, by: str | Keys = "base", **patterns: str) -> pd.DataFrame:
    """by.., tasks_before, tasks_after, time_before, time_after, change (s a chip), ratio (NaN where it was not there
    before), the largest change first."""
    names = [by] if isinstance(by, str) else list(by)
    first, second = (_per_chip(each, names, **patterns) for each in (before, after))
    result = first.merge(second, on=names, how="outer", suffixes=("_before", "_after"))
    for column in ("tasks_before", "tasks_after"):
        result[column] = result[column].fillna(0).astype("int64")
    for column in ("time_before", "time_after"):
        result[column] = result[column].fillna(0.0)
    change = result["time_after"] - result["time_before"]
    result["change"] = change.where(change.abs() >= _LEAST_S, 0.0)
    result["ratio"] = result["time_after"] / result["time_before"].where(result["time_before"] > 0)
    order = result["change"].abs().sort_values(ascending=False, kind="stable").index
    return result.loc[order].reset_index(drop=True)


@timeline_method("diff")
def _diff(before: pd.DataFrame, after: pd.DataFrame, by: str | Keys = "base", **patterns: str) -> pd.DataFrame:
    """`diff_timelines` from this timeline to another."""
    return diff_timelines(before, conforming(after), by, **patterns)


_LEAST_S = 1e-13
"""A smaller change is the noise of floats: clocks count whole picoseconds, shared out over chips."""


def _per_chip(timeline: pd.DataFrame, names: list[str], **patterns: str) -> pd.DataFrame:
    import pandas as pd

    rows = rollup(timeline, names, **patterns)[[*names, "tasks", "time"]]
    for name in names:  # categories of two timelines differ
        if isinstance(rows[name].dtype, pd.CategoricalDtype):
            rows = rows.assign(**{name: rows[name].astype(object)})
    return rows.assign(time=rows["time"] / max(1, timeline["chip"].nunique()))
