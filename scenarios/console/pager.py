"""Output that does not fit on the terminal goes through the user's pager; everything else is printed as ever.

Only where standard output is a terminal, where it is held back to the end so that nothing stands between its lines: pipes,
files and tests get plain output at once. The pager is $PAGER, else `less` if there is one; like git, we ask `less` to keep
colours and to leave the text on the screen.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LESS = "FRX"


class _Held(io.StringIO):
    """Text that is held back; it says that it is a terminal, so that colours stay."""

    def isatty(self) -> bool:
        return True


@contextmanager
def paged() -> Iterator[None]:
    """Hold back what is printed, then show it page by page if it is longer than the screen."""
    terminal = sys.stdout
    if not terminal.isatty():
        yield
        return
    command = _pager()
    held = _Held()
    sys.stdout = held
    try:
        yield
    finally:
        sys.stdout = terminal
        _show(held.getvalue(), command)


def _pager() -> list[str] | None:
    """The words of the pager's command; None where there is none."""
    command = shlex.split(os.environ.get("PAGER", "")) or ["less"]
    return command if shutil.which(command[0]) else None


def _show(text: str, command: list[str] | None) -> None:
    if command is None or text.count("\n") < shutil.get_terminal_size().lines:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    environment = {"LESS": _LESS, **os.environ}
    encoding, errors = sys.stdout.encoding, sys.stdout.errors or "replace"
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, encoding=encoding, errors=errors) as pager,
        suppress(BrokenPipeError, KeyboardInterrupt),  # who has seen enough leaves early
    ):
        pager.communicate(text)
