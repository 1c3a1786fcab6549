"""Traces: a run as a trace for Perfetto or for Holistic Trace Analysis, its memory for PyTorch's viewer, and a profiler's
trace as a timeline."""

from analysis.traces.families import FAMILIES, is_backward, kernel_family, named_family, op_family, short_name, words_in
from analysis.traces.hta import write_hta
from analysis.traces.read import read_trace
from analysis.traces.reading.does import work_does
from analysis.traces.reading.events import exact, picoseconds
from analysis.traces.reading.text import TraceText, events_of, open_trace
from analysis.traces.snapshot import memory_snapshot, write_memory_snapshot
from analysis.traces.write import TraceOptions, write_trace, write_trace_file

__all__ = [
    "FAMILIES",
    "TraceOptions",
    "TraceText",
    "events_of",
    "exact",
    "is_backward",
    "kernel_family",
    "memory_snapshot",
    "named_family",
    "op_family",
    "open_trace",
    "picoseconds",
    "read_trace",
    "short_name",
    "words_in",
    "work_does",
    "write_hta",
    "write_memory_snapshot",
    "write_trace",
    "write_trace_file",
]
