"""Traces: a run as a trace for Perfetto or for Holistic Trace Analysis, its memory for PyTorch's viewer, and a profiler's
trace as a timeline."""

from analysis.traces.hta import write_hta
from analysis.traces.read import read_trace
from analysis.traces.reading.events import exact, picoseconds
from analysis.traces.reading.text import TraceText, events_of, open_trace
from analysis.traces.snapshot import memory_snapshot, write_memory_snapshot
from analysis.traces.write import TraceOptions, write_trace, write_trace_file

__all__ = [
    "TraceOptions",
    "TraceText",
    "events_of",
    "exact",
    "memory_snapshot",
    "open_trace",
    "picoseconds",
    "read_trace",
    "write_hta",
    "write_memory_snapshot",
    "write_trace",
    "write_trace_file",
]
