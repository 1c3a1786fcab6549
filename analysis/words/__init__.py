"""The vocabulary of results, and a run told in it: words, causes, the figures of ops, memory and waiting.

`Summary(plan, run)["time"]`; the same names stand at `analysis` itself.
"""

from analysis.words.bubble import bubble
from analysis.words.causes import CAUSES, DOES, Cause
from analysis.words.chip_kinds import kind_labels
from analysis.words.columns.rounds import Rounds, bases, op_figures, rounds_figures
from analysis.words.means import Mean, mean_of
from analysis.words.ops import OpFigures, combined
from analysis.words.summary import Summary, Value, priced_by
from analysis.words.words import (
    JOB_WORDS,
    MODEL_WORDS,
    MONEY_WORDS,
    OP_WORDS,
    PRICED_WORDS,
    RUN_WORDS,
    WORDS,
    Word,
    word_named,
)

__all__ = [
    # The vocabulary.
    "CAUSES",
    "DOES",
    "MODEL_WORDS",
    "JOB_WORDS",
    "MONEY_WORDS",
    "OP_WORDS",
    "PRICED_WORDS",
    "RUN_WORDS",
    "WORDS",
    "Cause",
    "Word",
    "word_named",
    # Draws.
    "Mean",
    "mean_of",
    # A run, and its ops and chips, in its words.
    "OpFigures",
    "Rounds",
    "Summary",
    "Value",
    "bases",
    "bubble",
    "combined",
    "kind_labels",
    "op_figures",
    "priced_by",
    "rounds_figures",
]
