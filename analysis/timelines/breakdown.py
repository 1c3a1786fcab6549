"""Where the time of every chip went: computing, communicating, moving data, or nothing.

Definitions. At every instant a chip does the first of these that applies:
- arithmetic: a task with matrix or vector work runs;
- network: no such task, but a communication runs (exposed communication);
- memory: neither, but a task that only moves data runs (exposed copies);
- other: none of these, but a task runs (a fixed time that moves nothing);
- idle: no task runs.
The five add up to the whole exactly. A task counts for its whole span, its fixed time included.
Holistic Trace Analysis: `get_temporal_breakdown` has compute_time = arithmetic, non_compute_time = network + memory + other
and idle_time = idle, over the span from a rank's first kernel to its last: that is `span="own"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from analysis.frames.accessor import timeline_method
from analysis.frames.steps import Keys, Steps, activity, taken
from analysis.words.causes import DOES
from hw import Dimension
from hw.input import show

if TYPE_CHECKING:
    import pandas as pd

PARTS = (*DOES, "idle")
"""The columns of a breakdown that add up to `total`."""


@timeline_method("breakdown")
def temporal_breakdown(
    timeline: pd.DataFrame,
    end: float | None = None,
    span: Literal["run", "own"] = "run",
    by: str | Keys = "chip",
) -> pd.DataFrame:
    """Seconds of each of `PARTS` and `total`, one row per group (chip).

    span "run": from 0 to `end` (default: the last end of all rows); "own": from a group's first begin to its last end.
    Raises ValueError for missing columns, an `end` before the last task's, or another span.
    """
    if span not in ("run", "own"):
        raise ValueError(f"span is 'run' or 'own', not {span!r}")
    happening, keys = activity(timeline, by)
    doing = np.where((happening.level > 0).any(axis=1), (happening.level > 0).argmax(axis=1), len(DOES))
    count = len(keys)
    cells = happening.group * len(PARTS) + doing
    seconds = np.bincount(cells, weights=happening.seconds, minlength=count * len(PARTS)).reshape(count, len(PARTS))
    result = keys.copy()
    for at, name in enumerate(DOES):
        result[name] = seconds[:, at]
    if span == "own":
        total = seconds.sum(axis=1)
    else:
        last = float(timeline["end"].max()) if len(timeline) else 0.0
        if end is not None and end < last:
            given, found = (show(each, Dimension.TIME, 12) for each in (end, last))
            raise ValueError(f"the end of the run, {given}, lies before the last task's, {found}")
        total = np.full(count, last if end is None else end)
    result["idle"] = np.maximum(0.0, total - seconds[:, : len(DOES)].sum(axis=1))
    result["total"] = total
    return result


def shares(breakdown: pd.DataFrame) -> pd.DataFrame:
    """A breakdown as shares of its total; they add up to 1."""
    result = breakdown.copy()
    total = result["total"].to_numpy()
    for name in PARTS:
        result[name] = np.divide(result[name], total, out=np.zeros(len(total)), where=total > 0)
    return result


@timeline_method("shares")
def _shares_of(timeline: pd.DataFrame, by: str | Keys = "chip") -> pd.DataFrame:
    """The breakdown as shares that add up to 1."""
    return shares(temporal_breakdown(timeline, by=by))


@timeline_method("exposed")
def exposed_intervals(timeline: pd.DataFrame, what: str = "network", by: str | Keys = "chip") -> pd.DataFrame:
    """When tasks that do `what` ("network", "memory" or "other") run and no matrix or vector work does: by.., begin, end.

    Their longest sum over chips is the word `exposed_network` or `exposed_memory` of the run.
    """
    if what not in DOES[1:]:
        raise ValueError(f"what can be exposed is {', '.join(DOES[1:])}, not {what!r}")
    happening, keys = activity(timeline, by)
    alone = (happening.level[:, DOES.index(what)] > 0) & (happening.level[:, 0] == 0)
    chosen = happening.where(alone)
    # only when matters, not how many run
    found = Steps(chosen.group, chosen.begin, chosen.end, np.ones((len(chosen.group), 1))).merged()
    result = taken(keys, found.group)
    result["begin"], result["end"] = found.begin, found.end
    return result
