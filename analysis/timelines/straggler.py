"""Who comes late: the skew of every collective and transfer, and what each chip costs the others.

Definition. A member has come when its own inputs and its queue were ready; the collective starts when the last has come.
`skew` is how long the first waited for the last; `waited` adds up over members. In a simulated timeline that is the
column `waiting`. A measured trace has none: there each member's own begin is when it came, and the n-th communication of
one name on each chip is one collective.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.frames.accessor import timeline_method
from analysis.frames.steps import outer

if TYPE_CHECKING:
    import pandas as pd

_NOISE_S = 1e-12


@timeline_method("skew")
def skew(timeline: pd.DataFrame) -> pd.DataFrame:
    """One row per collective or transfer of several chips: op, begin (s, when it could start), chips, skew, waited (s),
    last (the chip that came last; the first of equals)."""
    tasks = _arrivals(timeline)
    groups = tasks.groupby("group", sort=False)
    last = tasks.loc[groups["came"].idxmax()].set_index("group")
    result = groups.agg(op=("op", "first"), begin=("came", "max"), chips=("chip", "size"), first=("came", "min"))
    result["skew"] = result["begin"] - result.pop("first")
    result["waited"] = groups["late"].sum()
    result["last"] = last["chip"]
    return result[result["chips"] > 1].reset_index(drop=True)


@timeline_method("stragglers")
def stragglers(timeline: pd.DataFrame) -> pd.DataFrame:
    """One row per chip: times it came last (by more than a picosecond), seconds that the others waited for it,
    seconds that it waited itself; the dearest first."""
    import pandas as pd

    found = skew(timeline)
    late = found[found["skew"] > _NOISE_S].groupby("last").agg(times=("skew", "size"), cost=("waited", "sum"))
    own = _arrivals(timeline).groupby("chip")["late"].sum()
    chips = pd.Index(sorted(set(own.index)), name="chip")
    result = pd.DataFrame(
        {
            "times_last": late["times"].reindex(chips, fill_value=0),
            "others_waited": late["cost"].reindex(chips, fill_value=0.0),
            "waited": own.reindex(chips, fill_value=0.0),
        }
    )
    return result.sort_values("others_waited", ascending=False, kind="stable").reset_index()


def _arrivals(timeline: pd.DataFrame) -> pd.DataFrame:
    """Communications with `came` (s), `late` (s that they waited) and the `group` that they belong to."""
    tasks = outer(timeline)
    tasks = tasks[tasks["does"] == "network"]
    if "waiting" in tasks.columns and tasks["waiting"].notna().all():
        late = tasks["waiting"].astype("float64")
        return tasks.assign(came=tasks["begin"] - late, late=late, group=_simulated_groups(tasks))
    tasks = tasks.sort_values(["begin", "end"], kind="stable")
    turn = tasks.groupby(["chip", "op"], observed=True).cumcount()
    tasks = tasks.assign(came=tasks["begin"], group=tasks.groupby(["op", turn], observed=True).ngroup())
    return tasks.assign(late=tasks.groupby("group")["came"].transform("max") - tasks["came"])


def _simulated_groups(tasks: pd.DataFrame) -> pd.Series[int]:
    """Members of one task; the copies that a folded task stands for cannot be told apart, and count as one group."""
    return tasks["task"].astype("int64")
