"""How much of every resource was in use at any instant: units, memories, links.

Model: a task that progresses at rate p (share of its work per second) takes p * t_r of resource r, where t_r is what the
resource alone would need for it. A resource's share is the sum over its tasks: never above 1, and its integral is the
work asked of it over its capacity (law 3), within 1 ps per task. Rates come from `simulator.rates`: exact; only if a
user's process took part are they means per task (`frame.attrs["exact"]` is False then, and a share may exceed 1).
What a user's process uses itself is not in it. Of alike resources that were folded one has rows; `alike` says for how many
it stands.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.steps import grouped, need, steps, taken
from simulator import PS_PER_S, RESOURCE_CAUSES, Network, Plan, Result, rates_of

if TYPE_CHECKING:
    import pandas as pd

_ALIKE = 1e-12


def usage_frame(result: Result) -> pd.DataFrame:
    """Columns: resource, cause (categoricals), chip (-1: a wire), begin, end (s), share (of its capacity), alike.

    One row per resource and stretch of constant share; where nothing is asked of a resource it has no row.
    """
    import pandas as pd

    plan = result.plan
    rates = rates_of(result)
    resource, row, ps = _demands(plan, rates.task)
    found = steps(
        resource,
        rates.begin_ps[row] / PS_PER_S,
        rates.end_ps[row] / PS_PER_S,
        (rates.rate[row] * ps)[:, None],
    )
    found = found.where(found.level[:, 0] > 0).merged(_ALIKE)
    resources = plan.program.resources
    names = [each.name for each in resources]
    causes = np.asarray([RESOURCE_CAUSES.index(each.cause) for each in resources], dtype=np.int8)
    chips = np.asarray([each.chip for each in resources], dtype=np.int32)
    frame = pd.DataFrame(
        {
            "resource": pd.Categorical.from_codes(found.group, categories=pd.Index(names)),
            "cause": pd.Categorical.from_codes(causes[found.group], categories=pd.Index(RESOURCE_CAUSES)),
            "chip": chips[found.group],
            "begin": found.begin,
            "end": found.end,
            "share": found.level[:, 0],
            "alike": np.asarray(alike_of(plan), dtype=np.int32)[found.group],
        }
    )
    frame.attrs["exact"] = rates.exact
    return frame


def _demands(plan: Plan, task: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For every stretch of a task and every resource that the task uses: resource, number of the stretch, ps alone."""
    shapes = plan.program.shapes
    counts = np.asarray([len(shape.demands) for shape in shapes], dtype=np.int64)
    first = np.cumsum(counts) - counts
    resource = np.asarray([each for shape in shapes for each, _ in shape.demands], dtype=np.int64)
    ps = np.asarray([time for shape in shapes for _, time in shape.demands], dtype=np.float64)
    number = np.asarray(plan.program.shape, dtype=np.int64)[task]
    times = counts[number]
    row = np.repeat(np.arange(len(number)), times)
    place = first[number][row] + np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
    return resource[place], row, ps[place]


def alike_of(plan: Plan) -> list[int]:
    """For how many resources each one of the program stands."""
    folding = plan.folding
    if folding is None:
        return [1] * len(plan.program.resources)
    wires = Counter(folding.wire)
    place = {name: number for number, name in enumerate(wire_names(plan))}
    return [
        len(plan.members(each.chip)) if each.chip >= 0 else wires[place[each.name]] if each.name in place else 1
        for each in plan.program.resources
    ]


def wire_names(plan: Plan) -> list[str]:
    """The names of all wires, by the numbers that folding gives them: links, then what chips share of their hosts."""
    return [wire.name for wire in Network(plan.system, plan.options).wires]


def utilisation(usage: pd.DataFrame, end: float | None = None, bins: int = 100) -> pd.DataFrame:
    """Mean share of each resource in equal bins of time: resource, bin, begin, end (s), share.

    The integral is that of `usage`. `end`: that of the run (default: the last end in `usage`). Raises ValueError for
    less than one bin.
    """
    need(usage, ["resource", "begin", "end", "share"], "a usage frame")
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be at least 1")
    last = (float(usage["end"].max()) if len(usage) else 0.0) if end is None else end
    number, keys = grouped(usage, "resource")
    edges = np.linspace(0.0, last, bins + 1)
    order = np.lexsort((usage["begin"].to_numpy(), number))
    number = number[order]
    begin, stop, share = (usage[name].to_numpy()[order] for name in ("begin", "end", "share"))
    bounds = np.searchsorted(number, np.arange(len(keys) + 1))
    work = np.zeros((len(keys), bins))
    for at, (low, high) in enumerate(pairwise(bounds)):
        work[at] = np.diff(integral(begin[low:high], stop[low:high], share[low:high], edges))
    result = taken(keys, np.repeat(np.arange(len(keys)), bins))
    result["bin"] = np.tile(np.arange(bins, dtype=np.int32), len(keys))
    result["begin"], result["end"] = np.tile(edges[:-1], len(keys)), np.tile(edges[1:], len(keys))
    width = np.diff(edges)
    result["share"] = np.divide(work, width, out=np.zeros_like(work), where=width > 0).ravel()
    return result


def integral(begin: NDArray[Any], end: NDArray[Any], share: NDArray[Any], at: NDArray[Any]) -> NDArray[Any]:
    """Seconds of full use up to each instant of `at`, of one resource's stretches in order of time."""
    if not len(begin):
        return np.zeros(len(at))
    done = np.concatenate([[0.0], np.cumsum((end - begin) * share)])
    here = np.searchsorted(begin, at, side="right") - 1
    inside = np.clip(np.minimum(at, end[here]) - begin[here], 0.0, None) * share[here]
    return np.where(here < 0, 0.0, done[here] + inside)


def busy_seconds(usage: pd.DataFrame) -> pd.Series[float]:
    """Seconds of full use of every resource: its work over its capacity."""
    work = (usage["end"] - usage["begin"]) * usage["share"]
    return work.groupby(usage["resource"], observed=True).sum()
