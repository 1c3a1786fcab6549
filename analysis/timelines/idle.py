"""When chips do nothing, and what they are waiting for.

Definition. A chip is idle where none of its tasks runs. The task with which it goes on had been waiting for the last thing
that ended before it: an input, or the task before it in a queue of another chip that it shares (a collective, a
transfer). That thing is the cause of the whole gap:
- network: a communication (`where` is its busiest link, if links are given, else its queue);
- chip: arithmetic or a copy on another chip (`where` is that chip);
- held: nothing that is known ended then: a user's process, or a measured trace without dependencies;
- end: nothing is left to do here while the run goes on elsewhere.
Holistic Trace Analysis sorts idle time of a stream by host wait and kernel wait; that needs the host's launches, which a
simulated program does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.accessor import timeline_method
from analysis.frames.steps import activity, outer

if TYPE_CHECKING:
    import pandas as pd

IDLE_CAUSES = ("network", "chip", "held", "end")
"""What an idle chip waits for."""


@timeline_method("idle")
def idle_intervals(timeline: pd.DataFrame, end: float | None = None) -> pd.DataFrame:
    """Columns: chip, begin, end: where no task runs on a chip, from 0 to `end` (default: the last end of all rows)."""
    import pandas as pd

    happening, keys = activity(timeline)
    last = (float(timeline["end"].max()) if len(timeline) else 0.0) if end is None else end
    busy = happening.where(np.any(happening.level > 0, axis=1))
    count = len(keys)
    # gaps lie between one busy stretch's end and the next one's begin; every chip has one before and one after
    group = np.concatenate([np.arange(count), busy.group])
    start = np.concatenate([np.zeros(count), busy.end])
    stop_group = np.concatenate([busy.group, np.arange(count)])
    stop = np.concatenate([busy.begin, np.full(count, last)])
    first, second = np.lexsort((start, group)), np.lexsort((stop, stop_group))
    group, start, stop = group[first], start[first], stop[second]
    gap = stop > start
    chips = keys["chip"].to_numpy()[group[gap]]
    return pd.DataFrame({"chip": chips, "begin": start[gap], "end": stop[gap]})


@timeline_method("idle_by_cause")
def idle_by_cause(
    timeline: pd.DataFrame,
    dependencies: pd.DataFrame | None = None,
    links: pd.DataFrame | None = None,
    end: float | None = None,
) -> pd.DataFrame:
    """Columns: chip, begin, end, op (that goes on then), waits_for (op), cause (of `IDLE_CAUSES`), where.

    `dependencies`: `dependencies_frame(result)`; `links`: `task_links(result)`. The gaps are those of `idle_intervals`.
    """
    import pandas as pd

    tasks = outer(timeline)
    gaps = idle_intervals(tasks, end)
    gaps["gap"] = np.arange(len(gaps))
    starts = tasks[["chip", "begin", "task", "op"]].rename(columns={"begin": "end"})
    ahead = gaps.merge(starts, on=["chip", "end"], how="left").drop_duplicates("gap").set_index("gap")
    released = _released_by(tasks, ahead["task"].dropna().astype(np.int64).unique(), dependencies)
    ahead = ahead.merge(released, on="task", how="left")
    known = ahead["freed"].notna() & (ahead["freed"] == ahead["end"])
    network = known & (ahead["by_does"] == "network")
    cause = np.select([ahead["task"].isna(), network, known], ["end", "network", "chip"], default="held")
    where = ahead["by_chip"].map(lambda chip: f"chip{int(chip)}", na_action="ignore").astype(object)
    where = where.mask(network, ahead["by_queue"].astype(object))
    if links is not None and len(links):
        link = ahead["by"].map(links.drop_duplicates("task").set_index("task")["link"].astype(object))
        where = where.mask(network & link.notna(), link)
    return pd.DataFrame(
        {
            "chip": ahead["chip"],
            "begin": ahead["begin"],
            "end": ahead["end"],
            "op": ahead["op"].astype(object).where(ahead["task"].notna(), ""),
            "waits_for": ahead["by_op"].astype(object).where(known, ""),
            "cause": pd.Categorical(cause, categories=list(IDLE_CAUSES)),
            "where": where.where(known, ""),
        }
    )


def _released_by(tasks: pd.DataFrame, wanted: NDArray[Any], dependencies: pd.DataFrame | None) -> pd.DataFrame:
    """For each wanted task the last thing that ended of what it waited for: freed (s), by, and that one's columns."""
    import pandas as pd

    pairs = [_queue_before(tasks, wanted)]
    if dependencies is not None:
        chosen = dependencies[dependencies["after"].isin(wanted)]
        pairs.append(pd.DataFrame({"task": chosen["after"].to_numpy(), "by": chosen["before"].to_numpy(), "rank": 1}))
    found = pd.concat(pairs, ignore_index=True)
    about = tasks.drop_duplicates("task")[["task", "op", "does", "chip", "queue", "end"]]
    about.columns = pd.Index(["by", "by_op", "by_does", "by_chip", "by_queue", "freed"])
    found = found.merge(about, on="by")
    # where an input and a queue end together the input counts, then the first in program order
    found = found.sort_values(["freed", "rank", "by"], ascending=[False, False, True], kind="stable")
    return found.drop_duplicates("task")


def _queue_before(tasks: pd.DataFrame, wanted: NDArray[Any]) -> pd.DataFrame:
    """The task before each wanted one in every queue in which it stands."""
    ordered = tasks.sort_values(["chip", "queue", "begin", "end", "task"], kind="stable")
    before = ordered.groupby(["chip", "queue"], observed=True)["task"].shift()
    pairs = ordered[["task"]].assign(by=before, rank=0)
    pairs = pairs[pairs["task"].isin(wanted) & pairs["by"].notna()]
    return pairs.astype({"by": np.int64})
