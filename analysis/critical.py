"""The schedule's own critical path as a DataFrame, and how much every op could be late without anyone noticing.

`path_frame` is `analysis.schedule_path`: the chain that the run really took, data, queue order and contention included.
Its parts add up to the run's time. `dependency_bound` of the vocabulary is another thing: a bound from below, the
longest chain of data dependencies with everything at its best.
Slack, as in project planning: tasks last as long as they did, and keep the order that they had in their queues; a task's
slack is how much later it could end with the run ending when it did. On the path it is 0, but where the path goes
through contention: that a later task would then also meet less of it is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analysis.frames import dependencies_frame
from analysis.schedule_path import PATH_CAUSES, schedule_path
from simulator import Result
from simulator.program import PS_PER_S

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
    """Columns: task, op, slack (s), one row per task; messages of a collective have rows of their own.

    Per op: `slack_frame(result).groupby("op", observed=True)["slack"].min()`.
    """
    import pandas as pd

    plan, program = result.plan, result.plan.program
    names = [planned.kernel.name for planned in plan.kernels]
    slack = np.asarray(_latest_ends(result), dtype=np.float64) - np.asarray(result.end_ps, dtype=np.float64)
    return pd.DataFrame(
        {
            "task": np.arange(len(program), dtype=np.int32),
            "op": pd.Categorical([names[kernel] for kernel in program.kernel], categories=list(dict.fromkeys(names))),
            "slack": slack / PS_PER_S,
        }
    )


def _latest_ends(result: Result) -> list[int]:
    """When each task could end at the latest (ps).

    A collective that goes step by step is two places: its begin, before its messages, and its end, after them.
    """
    begin, end = result.begin_ps, result.end_ps
    count, last = len(end), max(end, default=0)
    before_of = {task: count + place for place, task in enumerate(result.plan.program.parts)}
    after = _followers(result, before_of)
    lasted = [end[task] - begin[task] for task in range(count)] + [0] * len(before_of)
    for task in before_of:
        lasted[task] = 0  # the time between its two places is that of its messages
    latest = [last] * len(after)
    for place in reversed(_order(after)):
        latest[place] = min((latest[each] - lasted[each] for each in after[place]), default=last)
    return latest[:count]


def _followers(result: Result, before_of: Mapping[int, int]) -> list[list[int]]:
    """What can begin only when each place is over: inputs, queues, messages of a collective, the end of one."""
    program = result.plan.program
    after: list[list[int]] = [[] for _ in range(len(program) + len(before_of))]
    entry = [before_of.get(task, task) for task in range(len(program))]
    edges = dependencies_frame(result)
    for before, task in zip(edges["before"].tolist(), edges["after"].tolist(), strict=True):
        after[before].append(entry[task])
    for lane in program.lanes():
        if result.plan.options.order == "ready":
            lane.sort(key=lambda task: (result.begin_ps[task], result.end_ps[task], task))
        for before, task in pairwise(lane):
            after[before].append(entry[task])
    if before_of:
        outside = set(zip(edges["before"].tolist(), edges["after"].tolist(), strict=True))
        for task, successors in enumerate(program.successors):
            after[task] += [each for each in successors if (task, each) not in outside]  # the whole that it ends
        for task, (heads, _) in program.parts.items():
            after[before_of[task]] += [task, *heads]
    return after


def _order(after: Sequence[Sequence[int]]) -> list[int]:
    """All places, each before its followers."""
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
