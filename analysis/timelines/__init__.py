"""Questions to a timeline, of a simulation or of a profiler: frames in, frames out.

`temporal_breakdown(timeline)`, `overlap_fraction(timeline)`, `idle_by_cause(...)`, `rollup(timeline, "layer")`; each one
is also a method of `timeline.overlapse`, and so is what a user marks with `@timeline_method("name")`.
"""

from analysis.frames.accessor import TIMELINE_METHODS, timeline_method
from analysis.frames.steps import steps
from analysis.timelines.breakdown import PARTS, exposed_intervals, shares, temporal_breakdown
from analysis.timelines.diff import diff_timelines
from analysis.timelines.idle import idle_by_cause, idle_intervals
from analysis.timelines.instants import Part, instants
from analysis.timelines.lined_up import Pair, Piece, line_up
from analysis.timelines.overlap import overlap_fraction
from analysis.timelines.queues import queue_lengths
from analysis.timelines.rollup import labelled, rollup
from analysis.timelines.straggler import skew, stragglers
from analysis.words.causes import DOES

__all__ = [
    # Where the time goes.
    "DOES",
    "PARTS",
    "Part",
    "exposed_intervals",
    "instants",
    "overlap_fraction",
    "shares",
    "steps",
    "temporal_breakdown",
    # Waiting.
    "idle_by_cause",
    "idle_intervals",
    "queue_lengths",
    # Chips side by side, and timelines side by side.
    "Pair",
    "Piece",
    "diff_timelines",
    "line_up",
    "skew",
    "stragglers",
    # By op, round, layer or pattern.
    "labelled",
    "rollup",
    # Analyses of your own.
    "TIMELINE_METHODS",
    "timeline_method",
]
