"""Which physical links the exposed communication is waiting for.

Definition. At an instant at which a chip communicates and does no arithmetic, the time counts for its communications that
run then, in equal parts. A communication's part goes to the link direction that was busiest while it ran (mean share of
its capacity, whoever used it; equally busy ones in equal parts): a faster link elsewhere would not have helped. One without
links (in one chip) counts for `NO_LINK`. So the seconds of all links add up to the exposed network time of all chips.
Of a folded run, what a class of alike links gets is shared evenly by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.steps import Steps, activity, outer
from analysis.frames.timeline import timeline_frame
from analysis.frames.usage import integral, usage_frame, wire_names
from analysis.words.causes import DOES, NETWORK
from simulator import PS_PER_S, Plan, Result

if TYPE_CHECKING:
    import pandas as pd

NO_LINK = "(no link)"
"""Stands for communication that crosses no link."""

_EVEN = 1e-9


def exposed_links(result: Result) -> pd.DataFrame:
    """Columns: link, seconds: exposed communication of all chips by physical link direction, longest first."""
    detail = exposed_by_link(result)
    whole = detail.groupby("link", observed=True, sort=False)["seconds"].sum()
    return whole[whole > 0].sort_values(ascending=False, kind="stable").reset_index()


def exposed_by_link(result: Result) -> pd.DataFrame:
    """Columns: op, link (categoricals), seconds, over all chips. Sums to the exposed network time of all chips."""
    import pandas as pd

    plan = result.plan
    credit = exposed_by_task(result)
    links = task_links(result)
    joined = credit.merge(links, on="task", how="left")
    part = joined["part"].fillna(1.0)
    link = joined["link"].astype(object).where(joined["link"].notna(), NO_LINK)
    rows = pd.DataFrame({"op": joined["op"], "link": link, "seconds": joined["seconds"] * part})
    rows = rows.groupby(["op", "link"], observed=True, sort=False)["seconds"].sum().reset_index()
    rows = _each_wire(rows, plan)
    return rows.astype({"link": "category"})


def exposed_by_task(result: Result) -> pd.DataFrame:
    """Columns: task, op, seconds: what each communication adds to the exposed network time of all chips together."""
    plan = result.plan
    simulated = sorted({lane.chip for lane in plan.program.queues})
    timeline = outer(timeline_frame(result, simulated))
    happening, keys = activity(timeline)
    network, arithmetic = happening.level[:, DOES.index("network")], happening.level[:, 0]
    exposed = happening.where((network > 0) & (arithmetic == 0))
    weight = np.asarray([len(plan.members(int(chip))) for chip in keys["chip"]], dtype=np.float64)
    shared = exposed.seconds / exposed.level[:, DOES.index("network")] * weight[exposed.group]
    done = np.concatenate([[0.0], np.cumsum(shared)])

    tasks = timeline[timeline["does"] == "network"]
    group = np.searchsorted(keys["chip"].to_numpy(), tasks["chip"].to_numpy())
    # the exposed steps within a task: steps never straddle a begin or an end
    low = _place(exposed, group, tasks["begin"].to_numpy())
    high = _place(exposed, group, tasks["end"].to_numpy())
    credit = tasks[["task", "op"]].assign(seconds=np.maximum(0.0, done[high] - done[low]))
    return credit.groupby(["task", "op"], observed=True, sort=False)["seconds"].sum().reset_index()


def _place(steps: Steps, group: NDArray[Any], at: NDArray[Any]) -> NDArray[Any]:
    """How many steps lie before an instant of a group, in the order of groups and time."""
    count = len(steps.group)
    order = np.lexsort(
        (
            np.concatenate([np.ones(count), np.zeros(len(at))]),  # an instant comes before the step that begins there
            np.concatenate([steps.begin, at]),
            np.concatenate([steps.group, group]),
        )
    )
    before = np.cumsum(order < count)
    place = np.empty(count + len(at), dtype=np.int64)
    place[order] = before
    return place[count:]


def task_links(result: Result, usage: pd.DataFrame | None = None) -> pd.DataFrame:
    """Columns: task, link (that of a class stands for all of it), part: the links that a communication is due to."""
    import pandas as pd

    plan = result.plan
    number, link, part = _busiest(result, *_wires_of_tasks(plan), usage)
    found = pd.DataFrame({"task": number, "link": link, "part": part})
    names = [each.name for each in plan.program.resources]
    found["link"] = pd.Categorical.from_codes(found["link"].to_numpy(np.int64), categories=pd.Index(names))
    return found


def _wires_of_tasks(plan: Plan) -> tuple[NDArray[Any], NDArray[Any]]:
    """Every task with every wire that it uses."""
    program = plan.program
    is_wire = [each.cause == NETWORK.resource for each in program.resources]
    wires = [[at for at, time in shape.demands if time > 0 and is_wire[at]] for shape in program.shapes]
    counts = np.asarray([len(each) for each in wires], dtype=np.int64)
    shape = np.asarray(program.shape, dtype=np.int64)
    outer = np.fromiter(program.outer(), dtype=np.int64)
    tasks = outer[counts[shape[outer]] > 0]
    flat = [wire for task in tasks for wire in wires[shape[task]]]
    return np.repeat(tasks, counts[shape[tasks]]), np.asarray(flat, dtype=np.int64)


def _busiest(
    result: Result, task: NDArray[Any], wire: NDArray[Any], usage: pd.DataFrame | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Of the wires of each task, those that were busiest while it ran, and the part that each gets."""
    if not len(task):
        return task, wire, np.zeros(0)
    begin = np.asarray(result.begin_ps)[task] / PS_PER_S
    end = np.asarray(result.end_ps)[task] / PS_PER_S
    used = _used(usage_frame(result) if usage is None else usage, wire, begin, end)
    load = used / np.maximum(end - begin, 1.0 / PS_PER_S)
    starts = np.flatnonzero(np.concatenate([[True], task[1:] != task[:-1]]))
    count = np.diff(np.concatenate([starts, [len(task)]]))
    most = np.repeat(np.maximum.reduceat(load, starts), count)
    top = load >= most * (1.0 - _EVEN)
    among = np.repeat(np.add.reduceat(top.astype(np.float64), starts), count)
    return task[top], wire[top], 1.0 / among[top]


def _used(usage: pd.DataFrame, wire: NDArray[Any], begin: NDArray[Any], end: NDArray[Any]) -> NDArray[Any]:
    """Seconds of full use of wires between two instants each."""
    number = usage["resource"].cat.codes.to_numpy()
    first, last = np.searchsorted(number, wire), np.searchsorted(number, wire, side="right")
    columns = [usage[name].to_numpy() for name in ("begin", "end", "share")]
    used = np.zeros(len(wire))
    order = np.argsort(wire, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(wire[order])) + 1):
        here = slice(first[rows[0]], last[rows[0]])
        since, until, share = (column[here] for column in columns)
        used[rows] = integral(since, until, share, end[rows]) - integral(since, until, share, begin[rows])
    return used


def _each_wire(rows: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """What a class of wires got, shared evenly by its members."""
    folding = plan.folding
    if folding is None or len(set(folding.wire)) == len(folding.wire):
        return rows
    import pandas as pd

    names = wire_names(plan)
    members: dict[str, list[str]] = {}
    for number, first in enumerate(folding.wire):
        members.setdefault(names[first], []).append(names[number])
    alike = [members.get(name, [name]) for name in rows["link"]]
    count = np.asarray([len(each) for each in alike], dtype=np.int64)
    spread: pd.DataFrame = rows.iloc[np.repeat(np.arange(len(rows)), count)].reset_index(drop=True)
    links = [name for each in alike for name in each]
    return spread.assign(link=pd.Series(links, dtype=object), seconds=spread["seconds"] / np.repeat(count, count))
