"""What makes a DataFrame a timeline: its columns, and the kinds of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.frames.steps import need_columns
from analysis.words.causes import DOES

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("op", "chip", "queue", "begin", "end", "does")
"""Columns that every timeline has."""

_CATEGORIES = ("op", "kind", "queue", "does")


def conforming(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of a timeline with its names as categoricals. Raises ValueError where columns are missing."""
    import pandas as pd

    need_columns(frame, NEEDED, "a timeline")
    changes: dict[str, Any] = {}
    for name in _CATEGORIES:
        if name in frame.columns and frame[name].dtype != "category":
            known = list(DOES) if name == "does" else None
            odd = set(frame[name]) - set(known) if known else None
            if odd:
                raise ValueError(f"'does' is one of {', '.join(DOES)}, not {odd.pop()!r}")
            changes[name] = pd.Categorical(frame[name], categories=known)
    return frame.assign(**changes)
