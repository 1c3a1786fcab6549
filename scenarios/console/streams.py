"""The streams of the command: what they cannot spell they spell in ASCII, and what becomes of work whose reader goes away.

Model: bars and pictures are drawn with characters that not every terminal has; where the encoding lacks one, an ASCII
character of the same width stands for it, so that columns stay where they are; what nobody foresaw is a question mark.
A reader that goes away (`| head`) ends the command, which is no error. While something else is made that was asked for, a
file or the rows of a store, the work goes on and what is printed goes nowhere: files are written whoever reads the screen.
So are they where a stream is closed from the start; a disk that is full is told.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_IN_ASCII = str.maketrans(
    {
        **{"█": "#", "░": ":", "·": ".", "●": "*", "…": "~", "±": "+/-", "→": ">", "\N{NO-BREAK SPACE}": " "},
        **dict.fromkeys("─╴╶╸╺", "-"), **dict.fromkeys("━═", "="), **dict.fromkeys("│┃╵╷⋮", "|"), "╱": "/",
        **dict.fromkeys("├┤┬┴┌┐└┘╭╮╰╯", "+"),
    }
)  # fmt: skip

ERRORS = "overlapse.in_ascii"
"""The name under which `codecs` knows what to do with a character that an encoding lacks."""


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_IN_ASCII)
    return text.encode("ascii", "replace").decode("ascii"), error.end


codecs.register_error(ERRORS, _spelled)


class _Outlet(io.FileIO):
    """A stream's file. Its reader may go away: then the command ends, or, while `needed`, goes on without it."""

    needed = 0
    failed = ""
    _gone = False

    def end(self) -> None:
        """Exits with 2 if something could not be written."""
        if self.failed:
            told, self.failed = self.failed, ""
            with suppress(OSError, ValueError):
                print(f"output: {told}", file=sys.stderr)
            raise SystemExit(2)

    def write(self, data: ReadableBuffer, /) -> int | None:  # type: ignore[override]
        if not self._gone:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._gone = True
                if not self.needed:
                    raise SystemExit(0) from None
            except OSError as error:  # the disk is full: told once, and where something else is made, at the end
                self._gone, self.failed = True, error.strerror or str(error)
                if not self.needed:
                    self.end()
        return memoryview(data).nbytes


def of_the_command(stream: TextIO | None) -> TextIO:
    """A standard stream that spells what it has to, and whose reader may go away; one that is closed takes everything."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors=ERRORS)
    if stream.isatty():
        return stream
    try:
        number = stream.fileno()
    except OSError:  # a buffer of a test
        return stream
    outlet = io.BufferedWriter(_Outlet(number, "w", closefd=False))
    return io.TextIOWrapper(outlet, stream.encoding, ERRORS, line_buffering=stream.line_buffering)


@contextmanager
def unheard() -> Iterator[None]:
    """While something is made that is no line of the screen: it is made though nobody reads these."""
    with ExitStack() as stack:
        for outlet in _outlets():
            outlet.needed += 1
            stack.callback(_no_longer_needed, outlet)
        yield


def _no_longer_needed(outlet: _Outlet) -> None:
    outlet.needed -= 1


def flush_all() -> None:
    """Send what is left; who has gone away changes nothing of how the command ends. Exits with 2 where there was no room."""
    with unheard():
        sys.stdout.flush()
        sys.stderr.flush()
    for outlet in _outlets():
        outlet.end()


def _outlets() -> Iterator[_Outlet]:
    for stream in (sys.stdout, sys.stderr):
        outlet = getattr(getattr(stream, "buffer", None), "raw", None)
        if isinstance(outlet, _Outlet):
            yield outlet
