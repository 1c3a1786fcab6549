"""HBM over time as DataFrames: one row per tensor and chip, the level at every instant, and who held what at the peak.

Model: that of `analysis.words.memory`: inputs stay for the whole run, what an op makes lives to its last reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.frames.steps import grouped, need, steps, taken
from analysis.words.memory import holdings
from analysis.words.owners import tensor_owners
from simulator import OWNERS, Result

if TYPE_CHECKING:
    import pandas as pd


def memory_frame(result: Result) -> pd.DataFrame:
    """Columns: tensor (categorical), chip, bytes, begin, end (s), given (it was there before the run), alike, owner
    (categorical: weights, gradients, activations and so on).

    Of alike chips that were folded one has rows; `alike` says for how many chips it stands, itself included.
    """
    import pandas as pd

    rows = list(holdings(result))
    owners = tensor_owners(result.plan)
    return pd.DataFrame(
        {
            "tensor": pd.Categorical([row.tensor for row in rows]),
            "chip": np.asarray([row.chip for row in rows], dtype=np.int32),
            "bytes": np.asarray([row.nbytes for row in rows], dtype=np.float64),
            "begin": np.asarray([row.begin_s for row in rows], dtype=np.float64),
            "end": np.asarray([row.end_s for row in rows], dtype=np.float64),
            "given": np.asarray([row.given for row in rows], dtype=bool),
            "alike": np.asarray([len(result.plan.members(row.chip)) for row in rows], dtype=np.int32),
            "owner": pd.Categorical([owners[row.tensor] for row in rows], categories=OWNERS),
        }
    )


def memory_levels(memory: pd.DataFrame) -> pd.DataFrame:
    """The step function of each chip: chip, begin, end (s), bytes alive."""
    need(memory, ["chip", "bytes", "begin", "end"], "a memory frame")
    number, keys = grouped(memory, "chip")
    found = steps(
        number, memory["begin"].to_numpy(), memory["end"].to_numpy(), memory["bytes"].to_numpy(np.float64)[:, None]
    ).merged()
    result = taken(keys, found.group)
    result["begin"], result["end"], result["bytes"] = found.begin, found.end, found.level[:, 0]
    return result


def memory_at_peak(memory: pd.DataFrame) -> pd.DataFrame:
    """The rows that are alive when the fullest chip is fullest (the first such instant), largest first, with `at` (s)."""
    levels = memory_levels(memory)
    if levels.empty:
        return memory.assign(at=0.0).iloc[:0]
    top = int(levels["bytes"].to_numpy().argmax())
    chip, at = levels["chip"].iloc[top], float(levels["begin"].iloc[top])
    alive: pd.DataFrame = memory[(memory["chip"] == chip) & (memory["begin"] <= at) & (memory["end"] > at)]
    return alive.assign(at=at).sort_values("bytes", ascending=False, kind="stable")


def memory_owners(memory: pd.DataFrame) -> pd.DataFrame:
    """Who holds how much of each chip when that is fullest (the first such instant): chip, owner, bytes, at (s)."""

    need(memory, ["chip", "bytes", "begin", "end", "owner"], "a memory frame")
    levels = memory_levels(memory)
    fullest = levels.loc[levels.groupby("chip", sort=True)["bytes"].idxmax(), ["chip", "begin"]]
    beside = memory.merge(fullest.rename(columns={"begin": "at"}), on="chip")
    alive = beside[(beside["begin"] <= beside["at"]) & (beside["end"] > beside["at"])]
    found: pd.DataFrame = alive.groupby(["chip", "owner", "at"], observed=True, sort=True)["bytes"].sum().reset_index()
    return found[["chip", "owner", "bytes", "at"]]
