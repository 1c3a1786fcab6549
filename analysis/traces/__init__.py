"""Traces: a run as a trace for Perfetto or for Holistic Trace Analysis, and a profiler's trace as a timeline."""

from analysis.traces.hta import write_hta
from analysis.traces.read import read_trace
from analysis.traces.write import TraceOptions, write_trace, write_trace_file

__all__ = [
    "TraceOptions",
    "read_trace",
    "write_hta",
    "write_trace",
    "write_trace_file",
]
