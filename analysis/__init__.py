"""What it means: a run in the words of the vocabulary, as DataFrames, traces, tables and pictures.

This room knows nothing of scenario files. Front door: `Summary(plan, run)["time"]`, `timeline_frame(result)`,
`temporal_breakdown(timeline)`, `read_trace(file)`, `write_trace(result, file)`, `op_figures(result)`, `WORDS`.
Its sub-packages are doors, too: `analysis.words`, `analysis.frames`, `analysis.timelines` (each function also a method of
`timeline.overlapse`), `analysis.runs`, `analysis.traces`, `analysis.plots`, `analysis.report`, `analysis.terminal`,
`analysis.economics`.
No door imports pandas or plotly: functions do, when they are called.
"""

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
from analysis.traces import memory_snapshot, read_trace, write_memory_snapshot, write_trace
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
