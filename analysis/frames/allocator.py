"""What a framework's allocator makes of a run's memory, as a DataFrame.

Model: the tensors of each chip go through PyTorch's caching allocator (`analysis.words.allocator`), those that are there
before the run first, then step after step until a step reserves nothing more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from analysis.frames.steps import need
from analysis.words.allocator import CachingAllocator, Replay

if TYPE_CHECKING:
    import pandas as pd


def memory_reserved(memory: pd.DataFrame, capacity: float = math.inf, expandable: bool = False) -> pd.DataFrame:
    """What PyTorch says of each chip: chip, allocated (the most bytes of blocks that tensors have), reserved (the most bytes
    taken of the device). `capacity`: of the device (B); `expandable`: with `expandable_segments:True`.

    Both are infinite where the device has no room."""
    import pandas as pd

    need(memory, ["chip", "bytes", "begin", "end", "given"], "a memory frame")
    rows = []
    for chip, here in memory.groupby("chip", sort=True):
        allocator = CachingAllocator(capacity, expandable)
        try:
            replay_of(here).run(allocator)
            rows.append((chip, float(allocator.most_allocated), float(allocator.most_reserved)))
        except MemoryError:
            rows.append((chip, math.inf, math.inf))
    return pd.DataFrame(rows, columns=["chip", "allocated", "reserved"]).astype({"chip": np.int32})


def replay_of(here: pd.DataFrame) -> Replay:
    """The tensors of one chip, ready to go through an allocator."""
    columns = ("bytes", "begin", "end", "given")
    return Replay(*(here[name].to_numpy() for name in columns))
