"""What all tables of others are said in: columns of ours, of which two have names here."""

from __future__ import annotations

from collections.abc import Mapping

Cells = Mapping[str, str]

SECONDS = "measured_seconds_per_iteration"
"""The column of ours that says how long a step takes."""

LEFT_OUT = "left_out"
"""The column of ours that says why a row of another's table is not predicted, where it says what has no form here."""


def count_of(text: str, otherwise: int = 1) -> int:
    """A whole number of a cell; `otherwise` where it says none (n/a)."""
    return int(text) if text.strip().isdigit() else otherwise
