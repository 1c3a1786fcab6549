"""How many tasks stand in each queue, ready and waiting for their turn.

Definition. A task is ready when the last of its inputs has ended (at 0 without inputs), and waits until it begins; a
collective waits in the queue of every member. Holistic Trace Analysis counts a kernel from its launch by the host; a
simulated program is launched before it runs, so here a task counts from when it could have run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.frames.accessor import timeline_method
from analysis.frames.steps import grouped, outer, steps, taken

if TYPE_CHECKING:
    import pandas as pd


@timeline_method("queues")
def queue_lengths(timeline: pd.DataFrame, dependencies: pd.DataFrame) -> pd.DataFrame:
    """Columns: chip, queue, begin, end (s), waiting: how many tasks wait; stretches with none waiting have no row."""
    tasks = outer(timeline)
    ready = ready_times(tasks, dependencies)
    number, keys = grouped(tasks, ["chip", "queue"])
    found = steps(number, ready, tasks["begin"].to_numpy(), np.ones((len(tasks), 1), dtype=np.int64))
    found = found.where(found.level[:, 0] > 0).merged()
    result = taken(keys, found.group)
    result["begin"], result["end"], result["waiting"] = found.begin, found.end, found.level[:, 0]
    return result


def ready_times(timeline: pd.DataFrame, dependencies: pd.DataFrame) -> np.ndarray:
    """When the inputs of each row's task had all ended, in seconds; 0 without inputs."""
    ends = timeline.drop_duplicates("task").set_index("task")["end"]
    over = dependencies["before"].map(ends)
    last = over.groupby(dependencies["after"]).max()
    ready = timeline["task"].map(last).fillna(0.0).to_numpy(np.float64)
    return np.asarray(np.minimum(ready, timeline["begin"].to_numpy()))
