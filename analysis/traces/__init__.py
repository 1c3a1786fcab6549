"""Traces: a run as a trace for Perfetto or for Holistic Trace Analysis, and a profiler's trace as a timeline."""

from analysis.hta import write_hta
from analysis.read_trace import read_trace
from analysis.trace import TraceOptions, write_trace, write_trace_file

__all__ = [
    "TraceOptions",
    "read_trace",
    "write_hta",
    "write_trace",
    "write_trace_file",
]
