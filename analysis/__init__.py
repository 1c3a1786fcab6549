"""What it means: a run in the words of the vocabulary, as DataFrames, traces, tables and pictures.

This room knows nothing of scenario files. Front door: `Summary(plan, run)["time"]`, `timeline_frame(result)`,
`temporal_breakdown(timeline)`, `read_trace(file)`, `write_trace(result, file)`, `op_figures(result)`, `WORDS`; every
other analysis stands in a module of its own, and as a method of `timeline.overlapse`.
"""

from analysis.breakdown import temporal_breakdown
from analysis.frames import ops_frame, read_timeline, timeline_frame
from analysis.ops import OpFigures, op_figures
from analysis.read_trace import read_trace
from analysis.summary import Summary, Value
from analysis.trace import write_trace
from analysis.usage import usage_frame
from analysis.words import CAUSES, MONEY_WORDS, OP_WORDS, RUN_WORDS, WORDS, Word, word_named

__all__ = [
    "CAUSES",
    "MONEY_WORDS",
    "OP_WORDS",
    "RUN_WORDS",
    "WORDS",
    "OpFigures",
    "Summary",
    "Value",
    "Word",
    "op_figures",
    "ops_frame",
    "read_timeline",
    "read_trace",
    "temporal_breakdown",
    "timeline_frame",
    "usage_frame",
    "word_named",
    "write_trace",
]
