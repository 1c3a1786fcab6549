"""How far a study is: a bar with the time that is left, on a terminal's stderr, and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""Called with how many runs have finished."""


@contextmanager
def silent(_total: int, _known: int) -> Iterator[Advance]:
    """No bar."""
    yield lambda _count: None


@contextmanager
def bar(total: int, known: int) -> Iterator[Advance]:
    """A bar over `total` runs of which `known` were there before; nothing if stderr is no terminal."""
    if total == known or not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from scenarios.console.terminal import console

    columns = (
        TextColumn("runs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("runs", total=total - known)
        yield lambda count: progress.advance(task, count)
