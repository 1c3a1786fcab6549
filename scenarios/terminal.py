"""The console that tables and text are printed on."""

from __future__ import annotations

from rich.console import Console

_LEAST, _MOST = 60, 140


def console() -> Console:
    """Standard output, as wide as the terminal within what can be read."""
    found = Console(highlight=False)
    found.width = max(_LEAST, min(_MOST, found.width))
    return found
