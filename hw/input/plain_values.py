"""Values as programs have them, in the forms in which a file could hold them.

Model: numbers of numpy and pandas are Python's own, arrays, tuples, ranges and sets are lists, paths are text. A loop over a
DataFrame's column gives `numpy.int64`, which is no `int`; whole numbers of 32 bits would also run over in a product.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """A value, and all inside of it, as a file could hold it."""
    if isinstance(value, Mapping):
        return {plain(name): plain(each) for name, each in value.items()}
    if hasattr(value, "tolist"):  # numpy and pandas
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [plain(each) for each in value]
    return value
