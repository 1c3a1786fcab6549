"""Long output on a terminal goes through the user's pager; short output, pipes and files do not."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from scenarios.cli import main; main()", "chips"]


def on_terminal(rows: int, pager: str, *command: str) -> str:
    """What a terminal of so many rows shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 120, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
    environment |= {"PAGER": pager, "TERM": "xterm"}
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert running.wait() == 0
    return shown.decode(errors="replace")


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that says who it is and shows what it gets."""
    script = tmp_path / "pager"
    script.write_text("#!/bin/sh\necho PAGED\ncat\n")
    script.chmod(0o755)
    return str(script)


def test_what_does_not_fit_is_paged(pager: str) -> None:
    shown = on_terminal(10, pager, *COMMAND)
    assert shown.startswith("PAGED")
    assert "tpu_v5e" in shown


def test_what_fits_is_printed(pager: str) -> None:
    shown = on_terminal(100, pager, *COMMAND)
    assert "PAGED" not in shown
    assert "tpu_v5e" in shown


def test_without_a_pager_everything_is_printed(tmp_path: Path) -> None:
    assert "tpu_v5e" in on_terminal(10, str(tmp_path / "none"), *COMMAND)


def test_a_pipe_is_not_paged(pager: str) -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, env={**os.environ, "PAGER": pager}, check=True)
    assert "PAGED" not in done.stdout
    assert "tpu_v5e" in done.stdout
