"""Measured times beside what a chip's measured profile makes of them: single operators, and steps of whole models.

`read_rows(path)` reads a CSV, `judged(rows, chip)` predicts each row, `by_group(...)` sums up how far off they are.
"""

from scenarios.validation.judge import TIMER_S, Group, Judged, by_group, judged, written_back_s
from scenarios.validation.operators import operator_graph
from scenarios.validation.rows import Row, read_rows
from scenarios.validation.steps import model_of

__all__ = [
    "TIMER_S",
    "Group",
    "Judged",
    "Row",
    "by_group",
    "judged",
    "model_of",
    "operator_graph",
    "read_rows",
    "written_back_s",
]
