"""What it means: a run in the words of the vocabulary, as DataFrames, traces, tables and pictures.

This room knows nothing of scenario files. Front door: `Summary(plan, run)["time"]`, `timeline_frame(result)`,
`write_trace(result, file)`, `op_figures(result)`, `WORDS`.
"""

from analysis.frames import timeline_frame
from analysis.ops import OpFigures, op_figures
from analysis.summary import Summary, Value
from analysis.trace import write_trace
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
    "timeline_frame",
    "word_named",
    "write_trace",
]
