"""What it means: a run in the words of the vocabulary, as DataFrames, traces, tables and pictures.

This room knows nothing of scenario files. Front door: `Summary(plan, run)["time"]`, `timeline_frame(result)`,
`temporal_breakdown(timeline)`, `read_trace(file)`, `write_trace(result, file)`, `op_figures(result)`, `WORDS`.
Its sub-packages are doors, too: `analysis.words`, `analysis.frames`, `analysis.timelines` (each function also a method of
`timeline.overlapse`), `analysis.runs`, `analysis.traces`, `analysis.plots`, `analysis.report`, `analysis.terminal`,
`analysis.economics`.
No door imports pandas or plotly: functions do, when they are called. Traces are loaded when they are asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.frames import (
    as_timeline,
    busy_seconds,
    check_table,
    dependencies_frame,
    memory_at_peak,
    memory_frame,
    memory_levels,
    memory_owners,
    memory_reserved,
    ops_frame,
    read_timeline,
    timeline_frame,
    usage_frame,
    utilisation,
    write_table,
)
from analysis.runs.collectives import network_record
from analysis.terminal import screen
from analysis.timelines import temporal_breakdown
from analysis.words import (
    CAUSES,
    JOB_WORDS,
    MODEL_WORDS,
    MONEY_WORDS,
    OP_WORDS,
    PRICED_WORDS,
    RUN_WORDS,
    WORDS,
    OpFigures,
    Summary,
    Value,
    Word,
    bases,
    bubble,
    combined,
    kind_labels,
    op_figures,
    priced_by,
    word_named,
)

if TYPE_CHECKING:
    from analysis.traces import memory_snapshot, read_trace, write_memory_snapshot, write_trace

__all__ = [
    # The vocabulary, and a run in its words.
    "CAUSES",
    "MODEL_WORDS",
    "JOB_WORDS",
    "MONEY_WORDS",
    "OP_WORDS",
    "PRICED_WORDS",
    "RUN_WORDS",
    "WORDS",
    "OpFigures",
    "Summary",
    "Value",
    "Word",
    "bases",
    "bubble",
    "combined",
    "kind_labels",
    "op_figures",
    "priced_by",
    "word_named",
    # DataFrames.
    "as_timeline",
    "busy_seconds",
    "dependencies_frame",
    "memory_at_peak",
    "memory_frame",
    "memory_levels",
    "memory_owners",
    "memory_reserved",
    "network_record",
    "ops_frame",
    "read_timeline",
    "temporal_breakdown",
    "timeline_frame",
    "usage_frame",
    "utilisation",
    # Traces.
    "memory_snapshot",
    "read_trace",
    "write_memory_snapshot",
    "write_trace",
    # Tables and the terminal.
    "check_table",
    "screen",
    "write_table",
]

_TRACES = ("memory_snapshot", "read_trace", "write_memory_snapshot", "write_trace")


def __getattr__(name: str) -> Any:
    if name not in _TRACES:
        raise AttributeError(f"module 'analysis' has no attribute '{name}'")
    return getattr(import_module("analysis.traces"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
