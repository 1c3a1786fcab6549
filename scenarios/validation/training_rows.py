"""Measured training steps: a CSV with a line for each step, its model, its parallelism and how long it took.

Columns: `source` (of whom), `model`, `layers`, `hidden`, `heads`, `kv_heads`, `ffn`, `seq`, `vocab`, `global_batch`,
`micro_batch`, `tp`, `pp`, `dp`, `interleave`, `recompute` (none, selective, full), `seq_parallel` (True, False), `dtype`,
`sharding` (FSDP FULL_SHARD, FSDP SHARD_GRAD_OP; anything else: each replica has all), `n_chips`, `chip`, `interconnect` (in
which `800 Gbps/node` says what a node has), `measured_seconds_per_iteration`. Of today's steps `framework` (megatron-core,
torchtitan, maxtext: then `model` is one of the catalogue, and shapes need not be said; `first_dense`: so many blocks have no
experts), `cp`, `context` (gather, all_to_all, ring), `ep`, `expert_nodes` (on so many nodes, where tokens are sent to nodes
first), `gradients` (bf16: what they are added up in), `collective_matmul` (pieces in which tensor-parallel communication
overlaps with matmuls), `overlap` (none: of gradients neither), `schedule` (`paired`), `dispatch` (as of a run; eager unless
said), on TPUs `slices`, `shard` (chips among which weights are shared out, where these are not all of a slice), `capacity`
(of experts, over their mean) and `backward` (`apart`: attention goes back in two kernels); `left_out` is why a row is not
predicted, if it is not. Further columns are ignored. A cell may be empty: then the row does not say it. Lines that begin
with # are comments; a row is one line. Tables of others are read in their own columns, too (`scenarios.validation.tables`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hw import Mark, Problems
from scenarios.validation.scaled import completed
from scenarios.validation.table import check_columns, columns_of, lines_of, rows_of
from scenarios.validation.tables import SECONDS, Dialect, dialect_of

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
    head = columns_of(path)
    return SECONDS in head or dialect_of(head) is not None


def read_training_rows(path: Path) -> list[TrainingRow]:
    """The rows of a file, in order. Raises SpecError with every line that cannot be read."""
    lines, head = lines_of(path), columns_of(path)
    dialect = dialect_of(head) if SECONDS not in head else None
    check_columns(lines, path, _NEEDED if dialect is None else ())
    problems = Problems()
    rows = list(_rows(_ours(rows_of(lines, path, problems), dialect, path, problems), path, problems))
    problems.raise_if_any()
    return rows


Lines = Iterable[tuple[int, Mapping[str, str]]]


def _ours(lines: Lines, dialect: Dialect | None, path: Path, problems: Problems) -> Lines:
    """Lines in our columns: what another's table says in its own is said in ours."""
    for at, line in lines:
        try:
            yield at, {**line, **dialect.cells(line)} if dialect is not None else completed(line)
        except KeyError as error:
            problems.add(Mark(str(path), at), f"there is no column {error.args[0]}")
        except (ValueError, OverflowError, ZeroDivisionError) as error:
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
