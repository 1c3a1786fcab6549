"""Measured times beside what a chip's measured profile makes of them: single operators, and steps of whole models.

`read_rows(path)` reads a CSV, `judged(rows, chip)` predicts each row, `by_group(...)` sums up how far off they are.
"""

from scenarios.validation.judge import Group, Judged, by_group, judged
from scenarios.validation.rows import Row, read_rows

__all__ = ["Group", "Judged", "Row", "by_group", "judged", "read_rows"]
