"""Questions to a timeline, of a simulation or of a profiler: frames in, frames out.

`temporal_breakdown(timeline)`, `overlap_fraction(timeline)`, `idle_by_cause(...)`, `rollup(timeline, "layer")`; each one
is also a method of `timeline.overlapse` (after `import analysis.accessor`, which imports pandas).
"""

from analysis.breakdown import PARTS, exposed_intervals, shares, temporal_breakdown
from analysis.diff import diff_timelines
from analysis.idle import idle_by_cause, idle_intervals
from analysis.overlap import overlap_fraction
from analysis.queues import queue_lengths
from analysis.rollup import labelled, rollup
from analysis.steps import DOES, steps
from analysis.straggler import skew, stragglers

__all__ = [
    # Where the time goes.
    "DOES",
    "PARTS",
    "exposed_intervals",
    "overlap_fraction",
    "shares",
    "steps",
    "temporal_breakdown",
    # Waiting.
    "idle_by_cause",
    "idle_intervals",
    "queue_lengths",
    # Chips side by side, and timelines side by side.
    "diff_timelines",
    "skew",
    "stragglers",
    # By op, round, layer or pattern.
    "labelled",
    "rollup",
]
