"""A small matmul to vary, as a file; and how many rows a store holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

MATMUL = """\
name: matmul
system: {chip: tpu_v5e}
workload:
  dims: {B: 24, D: 512, F: 256}
  ops:
    - y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])
"""
B, D, F = (f"workload.dims.{name}" for name in "BDF")


def write(folder: Path, text: str = MATMUL, name: str = "matmul.yaml") -> str:
    """A file with a text; its path."""
    path = folder / name
    path.write_text(text)
    return str(path)


def stored(path: Path) -> int:
    """How many rows a store holds; none before it is made."""
    beside = sqlite3.connect(path, timeout=60)
    try:
        return int(beside.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0
    finally:
        beside.close()
