"""What tests of scenario files share: files written into a folder, and the command as a user gives it."""

from __future__ import annotations

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
