"""Who waits for longer than a second at a terminal sees what is being done; pipes and files never do."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

import scenarios.console.waiting as waiting_module
from scenarios.cli import app
from scenarios.console.waiting import waiting

LONG = "import time\nfrom scenarios.console.waiting import waiting\nwith waiting('digging') as sign:\n"
SLOW, FAST = LONG + "    time.sleep(1.8)\n", LONG + "    sign.says('done')\n"

PLAIN = """\
name: plain
system: {chip: tpu_v5e}
workload:
  dims: {B: 512, D: 1024}
  ops:
    - y:bf16[B,D] = relu(x:bf16[B,D])
expect: {time: {value: 2.56 us, tolerance: 1%}}
"""


def on_stderr(script: str, terminal: bool = True, **environment: str) -> bytes:
    """What a script shows on its stderr, a terminal or a pipe."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    named = {**os.environ, "TERM": "xterm", **environment}
    running = subprocess.Popen([sys.executable, "-c", script], stderr=theirs, env=named)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert running.wait() == 0
    return shown


def test_a_wait_of_more_than_a_second_is_told_and_wiped_away() -> None:
    shown = on_stderr(SLOW)
    assert b"digging ... 1 s" in shown
    assert shown.endswith(b"\r\x1b[K")


def test_what_is_quick_stays_silent() -> None:
    assert b"digging" not in on_stderr(FAST)
    assert b"done" not in on_stderr(FAST)


def test_pipes_and_dumb_terminals_show_nothing() -> None:
    assert on_stderr(SLOW, terminal=False) == b""
    assert on_stderr(SLOW, TERM="dumb") == b""


@dataclass
class Terminal:
    """Both ends of one: what a command writes to, and what is seen."""

    written: TextIO
    seen: int

    def shows(self, *arguments: str) -> str:
        """What is seen of a command's stderr."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", self.written)
            with suppress(SystemExit):
                app(list(arguments), standalone_mode=False)
        seen = b""
        while select.select([self.seen], [], [], 0.3)[0]:  # what was written arrives a little later
            seen += os.read(self.seen, 1 << 16)
        return seen.decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal without patience."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    monkeypatch.setattr(waiting_module, "PATIENCE_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as written:
        yield Terminal(written, ours)
    os.close(ours)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("run",), ("lowering", "simulating", "summing up")),
        (("run", "--json"), ("lowering", "simulating")),
        (("what-if",), ("running what if",)),
        (("check",), ("checking",)),
        (("explain",), ("lowering", "simulating", "summing up")),
        (("compare", "--set", "workload.dims.B=64"), ("comparing",)),
        (("find", "workload.dims.B=1:64", "--where", "time > 1 us"), ("searching",)),
    ],
)
def test_commands_say_what_they_do(
    tmp_path: Path,
    terminal: Terminal,
    capsys: pytest.CaptureFixture[str],
    asked: tuple[str, ...],
    told: tuple[str, ...],
) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(PLAIN)
    shown = terminal.shows(asked[0], str(path), *asked[1:])
    places = [shown.find(each) for each in told]
    assert -1 not in places
    assert places == sorted(places)
    assert shown.endswith("\r\x1b[K")
    said = capsys.readouterr().out
    assert said
    assert "\x1b" not in said


def test_a_file_is_named_whatever_characters_it_has(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "pl\x07.yaml"
    path.write_text(PLAIN)
    shown = terminal.shows("check", str(path))
    assert "checking" in shown
    assert "\x07" not in shown


def test_lines_go_aside() -> None:
    """Without a terminal a line is printed as it is."""
    lines: list[str] = []
    with waiting("nothing") as sign:
        sign.aside(lines.append)("a line")
    assert lines == ["a line"]
