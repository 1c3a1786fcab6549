"""A search as a frame: a row a layout that was run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.questions.searching.searched import Searched

if TYPE_CHECKING:
    import pandas as pd


def searched_frame(found: Searched) -> pd.DataFrame:
    """A row a layout that was run and fits, the best first: `layout` in words, `time` and `bound` in seconds, `peak_memory`
    and `least_memory` in bytes, `mfu`, and `on_front`, whether no other is better in one goal and no worse in another."""
    import pandas as pd

    front = {id(each) for each in found.front}
    rows = [
        {
            "layout": each.told,
            "time": each.time_s,
            "bound": each.bound_s,
            "peak_memory": each.peak,
            "least_memory": each.least_memory,
            "mfu": each.word("mfu"),
            "on_front": id(each) in front,
        }
        for each in found.ran
    ]
    columns = ["layout", "time", "bound", "peak_memory", "least_memory", "mfu", "on_front"]
    return pd.DataFrame(rows, columns=columns)
