"""Numbers that stand for many rows of a study at once.

`Batch(count).number(values)` makes one; plain code then works out all rows in one go (`hw.rows.rows` says how, and what
it guarantees). The rest is what Python has for plain numbers, for numbers of which some may stand for many rows.
"""

from hw.rows.choose import largest, largest_quotient, numbers_in, rowwise, smallest, taken
from hw.rows.columns import alike_in, array_of, number_of, repeated, sums_at, sums_in_order, told_apart
from hw.rows.lines import equal_lines, stable_order
from hw.rows.memo import Memo, Tally, distinct, numbered, shared
from hw.rows.rows import Batch, FewRowsError, ManyRowsError, Rows, batch_of, column
from hw.rows.tables import alike_everywhere, by_rows, least_of_each, most_of, most_of_each, number_in, put, raised

__all__ = [
    # Many rows at once.
    "Batch",
    "FewRowsError",
    "ManyRowsError",
    "Rows",
    "batch_of",
    "column",
    "numbers_in",
    "sums_in_order",
    "taken",
    # Choices that part no rows.
    "largest",
    "largest_quotient",
    "rowwise",
    "smallest",
    # Columns.
    "alike_in",
    "array_of",
    "number_of",
    "repeated",
    "sums_at",
    "told_apart",
    # Whole columns.
    "alike_everywhere",
    "by_rows",
    "equal_lines",
    "least_of_each",
    "most_of",
    "most_of_each",
    "number_in",
    "put",
    "raised",
    "stable_order",
    # Keys.
    "Memo",
    "Tally",
    "distinct",
    "numbered",
    "shared",
]
