"""Tables of training steps that others publish, in the columns that they have there."""

from scenarios.validation.tables.cells import LEFT_OUT, SECONDS, Cells
from scenarios.validation.tables.kinds import Dialect, dialect_of

__all__ = ["LEFT_OUT", "SECONDS", "Cells", "Dialect", "dialect_of"]
