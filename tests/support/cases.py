"""What tests of scenario files share: files written into a folder, and the command as a user gives it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from scenarios.cli import app

MATMUL = """\
name: matmul
system: {chip: tpu_v5e}
workload:
  dims: {B: 4096, D: 4096, F: 4096}
  ops: ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]
run: {overlap: full}
"""
"""A scenario to add claims or a study to: 2 B D F FLOP, longer than its 2 (B D + D F + B F) bytes take."""

CHUNKS = """\
name: chunks
system: {chip: tpu_v5e, topology: "torus(2,4)", mesh: {X: 2, Y: 4}}
workload:
  dims: {B: 1024, D: 2048, F: 4096}
  ops:
    - y:bf16[B,F]{U_XY} = matmul(x:bf16[B,D_XY], w:bf16[D_XY,F], chunks=4)
    - z:bf16[B,F] = all_reduce(y, over=XY, chunks=4)
    - t:bf16[B_X,F] = all_to_all(u:bf16[B,F_X], over=X)
"""
"""Partial sums that cross a torus chunk by chunk, beside an exchange."""
UNLIKE = """\
name: unlike
system: {chips: [v100_sxm2_32gb, h100_sxm], topology: switch(2) over pcie}
workload:
  dims: {B: 4096, D: 1024, F: 2048}
  ops: ["y:fp16[B_X,F] = matmul(x:fp16[B_X,D], w:fp16[D,F])"]
  uneven: pad
  split: proportional
"""
"""Chips of two kinds, each with its part of a batch."""

EXCERPT = " " * 4
"""How a line that shows a place begins."""


def written(folder: Path, text: str, name: str = "scenario.yaml") -> str:
    """A file with a text; its path."""
    path = folder / name
    path.write_text(text)
    return str(path)


def problem_lines(errors: str) -> list[str]:
    """The lines of standard error that tell a problem each, without the lines of the file below them."""
    return [line for line in errors.splitlines() if not line.startswith(EXCERPT)]


def overlapse(*arguments: object) -> Result:
    """The command with these words: its exit code and what it prints. What is no answer of the command is raised."""
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def started(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own, started in a folder."""
    command = [sys.executable, "-m", "overlapse", *arguments]
    beside = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "80", **environment}
    return subprocess.run(command, cwd=folder, env=beside, capture_output=True, timeout=120, check=False)
