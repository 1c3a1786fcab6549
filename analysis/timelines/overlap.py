"""How much of the communication is hidden behind arithmetic.

Definition: the time in which both communication and matrix or vector work run on a chip, over the time in which
communication runs there. The same as `get_comm_comp_overlap` of Holistic Trace Analysis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.frames.accessor import timeline_method
from analysis.frames.steps import Keys, activity
from analysis.words.causes import DOES

if TYPE_CHECKING:
    import pandas as pd


@timeline_method("overlap")
def overlap_fraction(timeline: pd.DataFrame, by: str | Keys = "chip", what: str = "network") -> pd.DataFrame:
    """by.., `what` (s in which it runs), overlapped (s), fraction (NaN where it never runs), one row per group.

    `what`: "network", or "memory" for copies hidden behind arithmetic.
    """
    if what not in DOES[1:]:
        raise ValueError(f"what can be hidden is {', '.join(DOES[1:])}, not {what!r}")
    happening, keys = activity(timeline, by)
    runs = happening.level[:, DOES.index(what)] > 0
    both = runs & (happening.level[:, 0] > 0)

    def total(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(happening.group, weights=happening.seconds * chosen, minlength=len(keys))

    result = keys.copy()
    result[what] = total(runs)
    result["overlapped"] = total(both)
    result["fraction"] = result["overlapped"] / result[what].where(result[what] > 0)
    return result
