"""`timeline.overlapse.breakdown()`: the analyses as methods of a DataFrame.

Importing this module is what adds `overlapse` to DataFrames. Every method is a plain function of this package with the
frame as its first argument, and returns a DataFrame; see there for definitions and columns.
"""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from analysis.breakdown import exposed_intervals, shares, temporal_breakdown
from analysis.diff import diff_timelines
from analysis.frames import as_timeline
from analysis.idle import idle_by_cause, idle_intervals
from analysis.overlap import overlap_fraction
from analysis.queues import queue_lengths
from analysis.rollup import labelled, rollup
from analysis.steps import Keys, need_times
from analysis.straggler import skew, stragglers


@pd.api.extensions.register_dataframe_accessor("overlapse")
class TimelineAccessor:
    """The analyses of a timeline. Raises AttributeError for a frame without its columns; ValueError for bad times."""

    def __init__(self, frame: pd.DataFrame) -> None:
        try:
            self._frame = as_timeline(frame)
        except ValueError as error:
            raise AttributeError(str(error)) from None

    @property
    def _timeline(self) -> pd.DataFrame:
        """The frame, its times checked. Raises ValueError."""
        need_times(self._frame)
        return self._frame

    def breakdown(
        self, end: float | None = None, span: Literal["run", "own"] = "run", by: str | Keys = "chip"
    ) -> pd.DataFrame:
        """`temporal_breakdown`: seconds of compute, network, memory, other, idle."""
        return temporal_breakdown(self._timeline, end, span, by)

    def shares(self, by: str | Keys = "chip") -> pd.DataFrame:
        """The breakdown as shares that add up to 1."""
        return shares(temporal_breakdown(self._timeline, by=by))

    def overlap(self, by: str | Keys = "chip", what: str = "network") -> pd.DataFrame:
        """`overlap_fraction`: how much of the communication is hidden behind arithmetic."""
        return overlap_fraction(self._timeline, by, what)

    def exposed(self, what: str = "network", by: str | Keys = "chip") -> pd.DataFrame:
        """`exposed_intervals`: when communication (or copies) run and no arithmetic does."""
        return exposed_intervals(self._timeline, what, by)

    def idle(self, end: float | None = None) -> pd.DataFrame:
        """`idle_intervals`: when chips do nothing."""
        return idle_intervals(self._timeline, end)

    def idle_by_cause(
        self, dependencies: pd.DataFrame | None = None, links: pd.DataFrame | None = None, end: float | None = None
    ) -> pd.DataFrame:
        """`idle_by_cause`: what idle chips wait for."""
        return idle_by_cause(self._timeline, dependencies, links, end)

    def queues(self, dependencies: pd.DataFrame) -> pd.DataFrame:
        """`queue_lengths`: how many tasks are ready and wait for their turn."""
        return queue_lengths(self._timeline, dependencies)

    def labelled(self, **patterns: str) -> pd.DataFrame:
        """`labelled`: the rows with base, layer, round and what patterns find in names."""
        return labelled(self._timeline, **patterns)

    def rollup(self, by: str | Keys = "base", **patterns: str) -> pd.DataFrame:
        """`rollup`: time by op, round, layer or pattern."""
        return rollup(self._timeline, by, **patterns)

    def skew(self) -> pd.DataFrame:
        """`skew`: who came last to each collective, and how late."""
        return skew(self._timeline)

    def stragglers(self) -> pd.DataFrame:
        """`stragglers`: what each chip's lateness cost the others."""
        return stragglers(self._timeline)

    def diff(self, after: pd.DataFrame, by: str | Keys = "base", **patterns: Any) -> pd.DataFrame:
        """`diff_timelines` from this timeline to another."""
        return diff_timelines(self._timeline, as_timeline(after), by, **patterns)
