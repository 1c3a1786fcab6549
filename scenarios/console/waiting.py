"""A sign that the command is at work: what it does and for how long, on a terminal's stderr, and nowhere else.

Model: who waits for longer than `PATIENCE_S` sees a line, which is written over itself and is gone at the end. What a
command prints meanwhile is held back (`scenarios.console.pager`) or goes `aside`. A study has a bar of its own
(`scenarios.console.progress`).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from hw.input import printable

PATIENCE_S = 1.0
"""How long a command may be silent."""

_TICK_S = 0.5
_WIPE = "\r\x1b[K"
"""Back to the beginning of the line, and nothing to the right of it."""


class Sign:
    """What is being done. Without a terminal (`out` None) it is never seen."""

    def __init__(self, out: TextIO | None, what: str) -> None:
        self._out = out
        self._what = what
        self._since = time.monotonic()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def says(self, what: str) -> None:
        """Something else is being done now."""
        self._what = what
        if self._out is not None and time.monotonic() >= self._since + PATIENCE_S:
            self._draw()

    def aside(self, show: Callable[[str], None]) -> Callable[[str], None]:
        """A way to print lines meanwhile: the sign makes room for each."""

        def shown(line: str) -> None:
            with self._lock:
                self._write(_WIPE)
                show(line)

        return show if self._out is None else shown

    def tick(self) -> None:
        """Draw it time and again until it ends; for a thread beside the one that works."""
        waits = PATIENCE_S
        while not self._ended.wait(waits):
            self._draw()
            waits = _TICK_S

    def end(self) -> None:
        """Wipe it away."""
        self._ended.set()
        with self._lock:
            self._write(_WIPE)

    def _draw(self) -> None:
        with self._lock:
            if not self._ended.is_set():
                told = printable(f"{self._what} ... {time.monotonic() - self._since:.0f} s")
                self._write(f"{_WIPE}{told[: self._columns() - 1]}")

    def _columns(self) -> int:
        assert self._out is not None
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except OSError:
            return 80

    def _write(self, text: str) -> None:
        if self._out is not None:
            with suppress(OSError, ValueError):  # a terminal that was closed is no reason to stop
                self._out.write(text)
                self._out.flush()


@contextmanager
def waiting(what: str) -> Iterator[Sign]:
    """A sign for as long as something takes; nothing is drawn if stderr is no terminal, or one that cannot wipe a line."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Sign(None, what)
        return
    sign = Sign(sys.stderr, what)
    ticking = threading.Thread(target=sign.tick, daemon=True)
    ticking.start()
    try:
        yield sign
    finally:
        sign.end()
        ticking.join()
