"""The schedule's own critical path as a DataFrame, and how much every op could be late without anyone noticing.

`path_frame` is `analysis.runs.critical_path`: the chain that the run really took, data, queue order and contention included.
Its parts add up to the run's time. `dependency_bound` of the vocabulary is another thing: a bound from below, the
longest chain of data dependencies with everything at its best.
Slack, as in project planning: tasks last as long as they did, and keep the order that they had in their queues; a task's
slack is how much later it could end with the run ending when it did. On the path it is 0, but where the path goes
through contention: that a later task would then also meet less of it is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analysis.frames.timeline import dependencies_frame
from analysis.runs.critical_path import PATH_CAUSES, schedule_path
from simulator import PS_PER_S, Result

if TYPE_CHECKING:
    import pandas as pd


def path_frame(result: Result) -> pd.DataFrame:
    """Columns: task, op, chip, cause, begin, end (s): segments that tile the run from 0 to its end."""
    import pandas as pd

    path = schedule_path(result)
    return pd.DataFrame(
        {
            "task": np.asarray([each.task for each in path], dtype=np.int32),
            "op": pd.Categorical([each.op for each in path]),
            "chip": np.asarray([each.chip for each in path], dtype=np.int32),
            "cause": pd.Categorical([each.cause for each in path], categories=list(PATH_CAUSES)),
            "begin": np.asarray([each.begin_ps for each in path], dtype=np.float64) / PS_PER_S,
            "end": np.asarray([each.end_ps for each in path], dtype=np.float64) / PS_PER_S,
        }
    )


def slack_frame(result: Result) -> pd.DataFrame:
    """Columns: task, op, slack (s), one row per task; a collective that goes by messages is one task.

    Per op: `slack_frame(result).groupby("op", observed=True)["slack"].min()`.
    """
    import pandas as pd

    plan, program = result.plan, result.plan.program
    names = list(plan.kernels.names())
    tasks = np.fromiter(program.outer(), dtype=np.int32)
    slack = np.asarray(_latest_ends(result), dtype=np.float64) - np.asarray(result.end_ps, dtype=np.float64)
    return pd.DataFrame(
        {
            "task": tasks,
            "op": pd.Categorical(
                [names[program.kernel[task]] for task in tasks], categories=list(dict.fromkeys(names))
            ),
            "slack": slack[tasks] / PS_PER_S,
        }
    )


def _latest_ends(result: Result) -> list[int]:
    """When each task could end at the latest (ps)."""
    begin, end = result.begin_ps, result.end_ps
    last = max(end, default=0)
    after = _followers(result)
    latest = [last] * len(after)
    for task in reversed(_order(after)):
        starts = (latest[each] - (end[each] - begin[each]) for each in after[task])
        latest[task] = min(starts, default=last)
    return latest


def _followers(result: Result) -> list[list[int]]:
    """What can begin only when each task is over: by its outputs, and by its queues."""
    program = result.plan.program
    after: list[list[int]] = [[] for _ in range(len(program))]
    edges = dependencies_frame(result)
    for before, task in zip(edges["before"].tolist(), edges["after"].tolist(), strict=True):
        after[before].append(task)
    for queue, lane in zip(program.queues, program.lanes(), strict=True):
        if queue.inner:
            continue
        if result.plan.options.order == "ready":
            lane.sort(key=lambda task: (result.begin_ps[task], result.end_ps[task], task))
        for before, task in pairwise(lane):
            after[before].append(task)
    return after


def _order(after: Sequence[Sequence[int]]) -> list[int]:
    """All tasks, each before its followers."""
    waits = [0] * len(after)
    for followers in after:
        for each in followers:
            waits[each] += 1
    ready = [place for place, count in enumerate(waits) if not count]
    for place in ready:
        for each in after[place]:
            waits[each] -= 1
            if not waits[each]:
                ready.append(each)
    return ready
