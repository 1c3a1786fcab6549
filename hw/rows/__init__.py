"""Numbers that stand for many rows of a study at once.

`Batch(count).number(values)` makes one; plain code then works out all rows in one go (`hw.rows.rows` says how, and what
it guarantees). The rest is what Python has for plain numbers, for numbers of which some may stand for many rows.
"""

from hw.rows.choose import largest, rowwise, smallest
from hw.rows.columns import array_of, number_of, order_of
from hw.rows.memo import Memo, distinct, numbered
from hw.rows.rows import Batch, ManyRowsError, Rows, batch_of, column, sums_in_order

__all__ = [
    # Many rows at once.
    "Batch",
    "ManyRowsError",
    "Rows",
    "batch_of",
    "column",
    "sums_in_order",
    # Choices that part no rows.
    "largest",
    "rowwise",
    "smallest",
    # Columns.
    "array_of",
    "number_of",
    "order_of",
    # Keys.
    "Memo",
    "distinct",
    "numbered",
]
