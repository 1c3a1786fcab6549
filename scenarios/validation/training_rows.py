"""Measured training steps: a CSV with a line for each step, its model, its parallelism and how long it took.

Columns: `source` (of whom), `model`, `layers`, `hidden`, `heads`, `kv_heads`, `ffn`, `seq`, `vocab`, `global_batch`,
`micro_batch`, `tp`, `pp`, `dp`, `interleave`, `recompute` (none, selective, full), `seq_parallel` (True, False), `dtype`,
`sharding` (FSDP FULL_SHARD, FSDP SHARD_GRAD_OP; anything else: each replica has all), `n_chips`, `chip`, `interconnect` (in
which `800 Gbps/node` says what a node has), `measured_seconds_per_iteration`. Of today's steps `framework`
(megatron-core, torchtitan, maxtext: then `model` is one of the catalogue, and shapes need not be said), `cp`, `ep`,
`overlap` (none: of gradients neither), `dispatch` (as of a run; eager unless said), on TPUs
`slices` and `capacity` (of experts, over their mean). Further columns are ignored. A cell may be empty: then
the row does not say it. Lines that begin with # are comments; a row is one line. Tables of others are read in their own
columns, too (`scenarios.validation.dialects`).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hw import Mark, Problems, SpecError
from hw.input import Problem
from scenarios.validation.dialects import SECONDS, Dialect, dialect_of
from scenarios.validation.scaled import completed

_NEEDED = ("source", "model", "n_chips", "chip", SECONDS)


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One measured step, as its line has it. `measured_s`: None where it does not say."""

    mark: Mark
    cells: Mapping[str, str]
    measured_s: float | None

    @property
    def source(self) -> str:
        """Of whom it is."""
        return self.cells["source"]

    @property
    def model(self) -> str:
        """What the source calls the model."""
        return self.cells["model"]

    def count(self, name: str) -> int | None:
        """A whole number of a column, where it is said."""
        text = self.cells.get(name, "")
        try:
            value = float(text)
        except ValueError:
            return None
        return int(value) if value.is_integer() else None

    def text(self, name: str) -> str:
        """A cell, empty where it says nothing."""
        return self.cells.get(name, "")


def has_training_rows(path: Path) -> bool:
    """Whether a file is of training steps, by its columns."""
    try:
        lines = _numbered(path)
    except (OSError, UnicodeDecodeError):
        return False
    head = next(csv.reader([lines[0][1]])) if lines else []
    return SECONDS in head or dialect_of(head) is not None


def read_training_rows(path: Path) -> list[TrainingRow]:
    """The rows of a file, in order. Raises SpecError with every line that cannot be read."""
    try:
        lines = _numbered(path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise SpecError([Problem(Mark(str(path)), f"cannot read the file: {why}")]) from None
    if len(lines) < 2:
        raise SpecError([Problem(Mark(str(path)), "there are no rows")])
    table = csv.DictReader(line for _, line in lines)
    head = table.fieldnames or ()
    dialect = dialect_of(head) if SECONDS not in head else None
    missing = [name for name in _NEEDED if name not in head]
    if missing and dialect is None:
        raise SpecError([Problem(Mark(str(path), lines[0][0]), f"there are no columns {', '.join(missing)}")])
    problems = Problems()
    numbered = zip((at for at, _ in lines[1:]), table, strict=True)
    rows = list(_rows(_ours(numbered, dialect, path, problems), path, problems))
    problems.raise_if_any()
    return rows


def _numbered(path: Path) -> list[tuple[int, str]]:
    """The lines of a file with their numbers, but for comments and empty ones."""
    text = path.read_text(encoding="utf-8")
    return [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip() and line[0] != "#"]


Lines = Iterable[tuple[int, Mapping[str, str]]]


def _ours(lines: Lines, dialect: Dialect | None, path: Path, problems: Problems) -> Lines:
    """Lines in our columns: what another's table says in its own is said in ours."""
    for at, line in lines:
        cells = {name: value or "" for name, value in line.items() if name is not None}
        try:
            yield at, {**cells, **dialect.cells(cells)} if dialect is not None else completed(cells)
        except (ValueError, ZeroDivisionError) as error:
            problems.add(Mark(str(path), at), f"cannot be read as in its other lines: {error}")


def _rows(lines: Lines, path: Path, problems: Problems) -> Iterator[TrainingRow]:
    for at, cells in lines:
        mark = Mark(str(path), at)
        told = cells[SECONDS]
        try:
            seconds = float(told) if told else None
        except ValueError:
            seconds = math.nan
        if seconds is not None and not 0 < seconds < math.inf:
            problems.add(mark, f"{SECONDS} is '{told}'; it wants a number of seconds above 0, or nothing")
            continue
        yield TrainingRow(mark, cells, seconds)
