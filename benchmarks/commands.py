"""Whole commands, each in a process of its own: CPU seconds (interpreter and imports included) and the most memory it had.

A command that takes more CPU than `LIMIT_S` is stopped, and its figures are known from one side only.
"""

from __future__ import annotations

import io
import os
import pstats
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import ROOT, Figure, Figures

LIMIT_S = 300
LIMIT_BYTES = 8 * 2**30
TOP = 12
"""Lines of a profile that are shown."""


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S + 5))
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))


def spent(command: Sequence[str], folder: str) -> tuple[int, resource.struct_rusage, str]:
    """Status, use of the machine, and what was said on stderr."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=said,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=_limited,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        return process.returncode, usage, said.read()


def whole(arguments: Sequence[str], scenario: str = "", best_of: int = 1) -> Figures:
    """The command's figures, the least of some times. A scenario's text is laid as `case.yaml` where the command runs."""
    seconds, mebibytes, stopped = float("inf"), float("inf"), False
    for _ in range(best_of):
        with tempfile.TemporaryDirectory() as folder:
            if scenario:
                (Path(folder) / "case.yaml").write_text(scenario, encoding="utf-8")
            code, usage, said = spent([sys.executable, "-m", "overlapse", *arguments], folder)
        # killed for its CPU, or refused the memory that it asked for
        stopped = code in (-signal.SIGXCPU, -signal.SIGKILL) or "MemoryError" in said
        if code and not stopped:
            raise RuntimeError(f"overlapse {' '.join(arguments)} ended with {code}:\n{said}")
        seconds = min(seconds, usage.ru_utime + usage.ru_stime)
        mebibytes = min(mebibytes, usage.ru_maxrss / 1024)
    return {"CPU s": Figure(seconds, stopped), "MiB": Figure(mebibytes, stopped)}


def profiled(arguments: Sequence[str], scenario: str = "") -> str:
    """Where a command's time goes: the functions in which it is, own time first."""
    with tempfile.TemporaryDirectory() as folder:
        if scenario:
            (Path(folder) / "case.yaml").write_text(scenario, encoding="utf-8")
        code, _, said = spent(
            [sys.executable, "-m", "cProfile", "-o", "profile", "-m", "overlapse", *arguments], folder
        )
        if code:
            return f"stopped before it ended ({code}) {said.strip()[-200:]}"
        return top_lines(pstats.Stats(str(Path(folder) / "profile")))


def top_lines(stats: pstats.Stats) -> str:
    """The first lines of a profile, paths from the root of the repository."""
    out = io.StringIO()
    stats.stream = out  # type: ignore[attr-defined]
    stats.sort_stats("tottime").print_stats(TOP)
    lines = [line for line in out.getvalue().splitlines() if line.strip()]
    return "\n".join(line.replace(f"{ROOT}/", "") for line in lines)
