"""The lines of a CSV of measured rows with their numbers, but for comments and empty ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def numbered(path: Path) -> Sequence[tuple[int, str]]:
    """(number, line) of each line that says something; none of a file that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]
