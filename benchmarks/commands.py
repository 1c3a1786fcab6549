"""Whole commands, each in a process of its own: CPU seconds (interpreter and imports included), also of processes that it
starts, the seconds that go by, and the most memory that one of them had.

A command that takes more CPU than `LIMIT_S` is stopped, and its figures are known from one side only.
"""

from __future__ import annotations

import io
import json
import os
import pstats
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.table import ROOT, Figure, Figures

LIMIT_S = 300
LIMIT_BYTES = 8 * 2**30
TOP = 12
"""Lines of a profile that are shown."""


@dataclass(frozen=True, slots=True)
class Spent:
    """How a command ended, what it used of the machine, and what it said on stderr."""

    code: int
    cpu_s: float
    wall_s: float
    mib: float
    said: str

    @property
    def stopped(self) -> bool:
        """Whether it was killed for its CPU, or refused the memory that it asked for."""
        return self.code in (-signal.SIGXCPU, -signal.SIGKILL) or "MemoryError" in self.said


@cache
def environment() -> Mapping[str, str]:
    """What commands run in: the tree's code, compiled once before anything is measured, as an installed copy's is."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = {**own, "PYTHONPATH": str(ROOT)}
    warm = [sys.executable, "-m", "overlapse", "run", "library:llama3_8b_block"]
    subprocess.run(warm, cwd=ROOT, env=found, stdout=subprocess.DEVNULL, check=True)
    return found


def spent(command: Sequence[str], folder: str) -> Spent:
    """Run a command in a folder, within the limits."""
    limited = [sys.executable, "-m", "benchmarks.spent", str(LIMIT_S), str(LIMIT_BYTES), *command]
    done = subprocess.run(limited, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    said, _, told = done.stderr.strip().rpartition("\n")
    return Spent(said=said, **json.loads(told))


def whole(arguments: Sequence[str], scenario: str = "", best_of: int = 1) -> Figures:
    """The command's figures, the least of some times. A scenario's text is laid as `case.yaml` where the command runs."""
    seconds, gone, mebibytes, stopped = float("inf"), float("inf"), float("inf"), False
    for _ in range(best_of):
        with tempfile.TemporaryDirectory() as folder:
            if scenario:
                (Path(folder) / "case.yaml").write_text(scenario, encoding="utf-8")
            found = spent([sys.executable, "-m", "overlapse", *arguments], folder)
        stopped = found.stopped
        if found.code and not stopped:
            raise RuntimeError(f"overlapse {' '.join(arguments)} ended with {found.code}:\n{found.said}")
        seconds, gone, mebibytes = min(seconds, found.cpu_s), min(gone, found.wall_s), min(mebibytes, found.mib)
    return {"CPU s": Figure(seconds, stopped), "wall s": Figure(gone, stopped), "MiB": Figure(mebibytes, stopped)}


def after_imports(arguments: Sequence[str], scenario: str) -> Figures:
    """The command's CPU seconds once all that it imports is there."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "case.yaml").write_text(scenario, encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.imported", "modules", *arguments]
        first, second = (spent(command, folder) for _ in range(2))
    if first.code or second.code:
        raise RuntimeError(f"overlapse {' '.join(arguments)} ended with {second.code}:\n{second.said}")
    return {"CPU s": Figure(float(second.said.strip().rsplit("\n", 1)[-1]))}


def profiled(arguments: Sequence[str], scenario: str = "") -> str:
    """Where a command's time goes: the functions in which it is, own time first."""
    with tempfile.TemporaryDirectory() as folder:
        if scenario:
            (Path(folder) / "case.yaml").write_text(scenario, encoding="utf-8")
        found = spent([sys.executable, "-m", "cProfile", "-o", "profile", "-m", "overlapse", *arguments], folder)
        if found.code:
            return f"stopped before it ended ({found.code}) {found.said.strip()[-200:]}"
        return top_lines(pstats.Stats(str(Path(folder) / "profile")))


def top_lines(stats: pstats.Stats) -> str:
    """The first lines of a profile, paths from the root of the repository."""
    out = io.StringIO()
    stats.stream = out  # type: ignore[attr-defined]
    stats.sort_stats("tottime").print_stats(TOP)
    lines = [line for line in out.getvalue().splitlines() if line.strip()]
    return "\n".join(line.replace(f"{ROOT}/", "") for line in lines)
