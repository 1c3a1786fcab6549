"""A run as DataFrames: the timeline, the ops, memory, the use of resources; tables in files.

Their columns are said at the top of each module; the same names stand at `analysis` itself.
"""

from analysis.frames.allocator import memory_reserved
from analysis.frames.memory import memory_at_peak, memory_frame, memory_levels, memory_owners
from analysis.frames.tables import check_table, write_table
from analysis.frames.timeline import as_timeline, dependencies_frame, ops_frame, read_timeline, timeline_frame
from analysis.frames.usage import busy_seconds, usage_frame, utilisation

__all__ = [
    # Tasks and ops.
    "as_timeline",
    "dependencies_frame",
    "ops_frame",
    "read_timeline",
    "timeline_frame",
    # Memory and resources.
    "busy_seconds",
    "memory_at_peak",
    "memory_frame",
    "memory_levels",
    "memory_owners",
    "memory_reserved",
    "usage_frame",
    "utilisation",
    # Files.
    "check_table",
    "write_table",
]
