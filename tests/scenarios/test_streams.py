"""Standard streams that are closed from the start, or lead to a disk that is full: told, and never with a traceback."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cases import MATMUL

FULL = Path("/dev/full")
NO_ROOM = "output: No space left on device"


def told(command: str, folder: Path) -> tuple[int, str]:
    """The exit code of a shell's line, and what it says by standard error; `overlapse` is the command."""
    line = command.replace("overlapse", f"{shlex.quote(sys.executable)} -m overlapse", 1)
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stderr.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell's redirections")
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("overlapse chips >&-", 0, ""),
        ("overlapse run nowhere.yaml 2>&-", 2, ""),
        ("overlapse run - <&-", 2, "-:1:1: standard input is closed"),
    ],
)
def test_a_stream_that_is_closed(command: str, code: int, said: str, tmp_path: Path) -> None:
    assert told(command, tmp_path) == (code, said)


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is full")
@pytest.mark.parametrize("command", ["overlapse chips", "overlapse --version", "overlapse graph matmul.yaml"])
def test_a_disk_that_is_full_is_told_once(command: str, tmp_path: Path) -> None:
    (tmp_path / "matmul.yaml").write_text(MATMUL)
    assert told(f"{command} > {FULL}", tmp_path) == (2, NO_ROOM)


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is full")
def test_what_is_written_is_written_though_the_screen_has_no_room(tmp_path: Path) -> None:
    (tmp_path / "matmul.yaml").write_text(MATMUL)
    code, said = told(f"overlapse run matmul.yaml --out made > {FULL}", tmp_path)
    assert (code, said.splitlines()[-1]) == (2, NO_ROOM)
    assert (tmp_path / "made" / "report.html").stat().st_size > 0
