"""Measured times beside what a chip's measured profile makes of them: single operators, steps of models, training steps of
whole clusters.

`read_rows(path)` reads a CSV of operators and steps, `judged(rows, chip)` predicts each row, `by_group(...)` sums up how far
off they are; `read_training_rows(path)`, `trained(rows)` and `by_source(...)` do so for training steps on many chips, and
`with_one_efficiency(rows, resource)` with the efficiency of a resource that explains them best.
"""

from scenarios.validation.errors import Errors, errors_of
from scenarios.validation.judge import TIMER_S, Judged, by_group, judged, written_back_s
from scenarios.validation.left_out import LeftOutError
from scenarios.validation.one_efficiency import Fitted, with_one_efficiency
from scenarios.validation.operators import operator_graph
from scenarios.validation.recipes import Told, told
from scenarios.validation.rows import Row, every, read_rows
from scenarios.validation.scaled import scaled
from scenarios.validation.steps import model_of
from scenarios.validation.training import Source, Trained, by_source, trained
from scenarios.validation.training_rows import TrainingRow, has_training_rows, read_training_rows

__all__ = [
    # Operators, and steps on one chip.
    "TIMER_S",
    "Judged",
    "Row",
    "by_group",
    "every",
    "judged",
    "model_of",
    "operator_graph",
    "read_rows",
    "written_back_s",
    # Training steps on many.
    "Fitted",
    "LeftOutError",
    "Source",
    "Told",
    "Trained",
    "TrainingRow",
    "by_source",
    "has_training_rows",
    "read_training_rows",
    "scaled",
    "told",
    "trained",
    "with_one_efficiency",
    # Errors.
    "Errors",
    "errors_of",
]
