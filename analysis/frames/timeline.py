"""A run as DataFrames: the timeline (one row per task and chip), the ops, and what waited for what.

Schema. Times are seconds since the start of the run; names are categoricals; a missing figure is NaN.
- timeline: task, op, kind, chip, queue, chunk, begin, end, waiting, does, message. `does` is what the task does:
  "arithmetic" (matrix or vector work), "network" (communication), "memory" (data movement alone), "other" (a fixed time
  alone). `message` marks the messages of a collective that goes by messages: they lie inside the span of the whole.
- ops: one row per op name: its FLOPs, bytes, intensity and t_ times; join on `op`: `timeline.merge(ops_frame(r), on="op")`.
- dependencies: before, after: task numbers.
The timeline of 1e6 tasks takes 30 MB: FLOPs and bytes stand in the frame of ops. What was written with `to_csv` or
`to_parquet` comes back with `read_timeline`; every analysis takes either, and a measured trace (`analysis.traces.read`).
pandas is imported when a frame is asked for, not before: the command starts faster without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.accessor import add_accessor
from analysis.frames.schema import conforming
from analysis.frames.steps import need_times
from analysis.frames.tables import plain_names
from analysis.words.causes import CAUSES, DOES, what_it_does
from analysis.words.columns.rounds import op_figures
from analysis.words.ops import OpFigures, combined
from simulator import PS_PER_S, PlannedKernels, Result

if TYPE_CHECKING:
    import pandas as pd


def timeline_frame(result: Result, chips: Collection[int] | None = None) -> pd.DataFrame:
    """Columns: task, op, kind, chip, queue, chunk, begin, end (s), waiting (s before the others of a collective came), does,
    message (part of a collective that has a row too).

    A collective has one row per member chip. Chips that were folded each have their rows; `chips` picks some.
    """
    import pandas as pd

    add_accessor()

    plan, program = result.plan, result.plan.program
    task, queue = _slots(result)
    kernel = _column(program.kernel, task)
    if plan.partner:
        pairs = zip(task.tolist(), queue.tolist(), strict=True)
        kernel = np.asarray([plan.kernel_on(each, program.queues[lane].chip) for each, lane in pairs])
    names = _codes(plan.kernels.names())
    kinds = _codes(sort.kernel.kind for sort in plan.kernels.every_sort())
    lanes = _codes([lane.name for lane in program.queues])
    chip_of = np.asarray([lane.chip for lane in program.queues])
    columns: dict[str, Any] = {
        "task": task,
        "op": pd.Categorical.from_codes(names[1][kernel], categories=pd.Index(names[0])),
        "kind": pd.Categorical.from_codes(kinds[1][kernel], categories=pd.Index(kinds[0])),
        "chip": _narrow(chip_of)[queue],
        "queue": pd.Categorical.from_codes(lanes[1][queue], categories=pd.Index(lanes[0])),
        "chunk": _narrow(_column(program.chunk, task)),
        "begin": _column(result.begin_ps, task) / PS_PER_S,
        "end": _column(result.end_ps, task) / PS_PER_S,
        "waiting": _waiting(result, task, queue),
        "does": pd.Categorical.from_codes(_does(plan.kernels)[kernel], categories=pd.Index(DOES)),
        "message": np.asarray([lane.inner for lane in program.queues], dtype=bool)[queue],
    }
    frame = pd.DataFrame(columns, copy=False)
    folding = plan.folding
    if folding is None or (chips is None and len(folding.chips) == plan.system.size):
        return frame
    return _expanded(frame, folding.members, set(chips) if chips is not None else None)


def _does(kernels: PlannedKernels) -> NDArray[Any]:
    """By kernel, what it does, as a place in `DOES`."""
    of_sort = np.asarray([DOES.index(what_it_does(sort)) for sort in kernels.sorts], dtype=np.int8)
    return of_sort.take(np.asarray(kernels.code))


def ops_frame(result: Result) -> pd.DataFrame:
    """One row per op name, in program order: op, kind, does, tile, time, begin, end (s), flops, hbm_bytes, network_bytes
    (one chip), intensity (FLOP/B, NaN without traffic), bound_by, and the t_ times (s). All chunks and kernels together.
    """
    import pandas as pd

    named: dict[str, list[OpFigures]] = {}
    does: dict[str, str] = {}
    for figures, sort in zip(op_figures(result), result.plan.kernels.every_sort(), strict=True):
        named.setdefault(figures.name, []).append(figures)
        does.setdefault(figures.name, what_it_does(sort))
    rows = [combined(name, each) for name, each in named.items()]
    columns: dict[str, Any] = {
        "op": pd.Categorical(list(named), categories=list(named)),
        "kind": pd.Categorical([row.kind for row in rows]),
        "does": pd.Categorical([does[row.name] for row in rows], categories=list(DOES)),
        "tile": [row.tile for row in rows],
    }
    for column, attribute in _FIGURES.items():
        columns[column] = np.asarray([getattr(row, attribute) for row in rows], dtype=np.float64)
    columns["bound_by"] = pd.Categorical([row.bound_by for row in rows], categories=list(CAUSES))
    for cause in CAUSES.values():
        if cause.of_ops:
            columns[cause.word] = np.asarray([row.times_s.get(cause.word, 0.0) for row in rows])
    return pd.DataFrame(columns)


_FIGURES: Mapping[str, str] = {
    "time": "time_s",
    "begin": "begin_s",
    "end": "end_s",
    "flops": "flops",
    "hbm_bytes": "hbm_bytes",
    "network_bytes": "network_bytes",
    "intensity": "intensity",
}
"""Columns of the frame of ops, and where their values stand; None becomes NaN."""


def dependencies_frame(result: Result) -> pd.DataFrame:
    """Columns before, after: task `after` had to wait for the end of `before`. Queue order is not here.

    A collective that goes by messages does not wait for its own: they lie inside it, and have edges among themselves.
    """
    import pandas as pd

    program = result.plan.program
    before, after = (each.astype(np.int32) for each in program.dependencies())
    if program.parts:
        inner = np.asarray([lane.inner for lane in program.queues])[np.asarray(program.queue)]
        kept = inner[before] == inner[after]
        before, after = before[kept], after[kept]
    return pd.DataFrame({"before": before, "after": after}, copy=False)


def read_timeline(path: str | Path) -> pd.DataFrame:
    """A timeline written by `to_csv(path, index=False)`, `to_parquet(path)` or `write_table`, with its schema.

    Raises OSError for what cannot be read, ValueError for a file without the columns of a timeline, or with odd times.
    """
    import pandas as pd

    where = Path(path)
    if where.suffix == ".parquet":
        frame = as_timeline(pd.read_parquet(where))
    else:
        exact = dict.fromkeys(("begin", "end"), float)  # some readers of csv are off by one in the last place
        try:
            frame = as_timeline(plain_names(pd.read_csv(where, converters=exact)))
        except ValueError:  # text among the times, too: read as it is, for the message
            frame = as_timeline(plain_names(pd.read_csv(where, converters=dict.fromkeys(exact, _float_or_text))))
    need_times(frame)
    return frame


def _float_or_text(text: str) -> float | str:
    try:
        return float(text or "nan")
    except ValueError:
        return text


def as_timeline(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with the columns of a timeline, its names as categoricals. Raises ValueError if some are missing."""
    add_accessor()
    return conforming(frame)


def _expanded(frame: pd.DataFrame, members: Mapping[int, list[int]], wanted: set[int] | None) -> pd.DataFrame:
    """The rows of each simulated chip once for every chip that it stands for."""
    kept = {first: [chip for chip in all_ if wanted is None or chip in wanted] for first, all_ in members.items()}
    counts = np.zeros(max(kept) + 1, dtype=np.int64)
    starts = np.zeros_like(counts)
    flat: list[int] = []
    for first, here in kept.items():
        counts[first], starts[first] = len(here), len(flat)
        flat.extend(here)
    first_of_row = frame["chip"].to_numpy()
    times = counts[first_of_row]
    rows = np.repeat(np.arange(len(frame)), times)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    result = frame.iloc[rows].reset_index(drop=True)
    result["chip"] = _narrow(np.asarray(flat, dtype=np.int64)[starts[first_of_row][rows] + place])
    return result


def _column(values: Sequence[int], task: NDArray[Any]) -> NDArray[Any]:
    """A column of the program by row; no copy where every task is one row."""
    whole = np.asarray(values)  # an array.array shares its memory
    if whole.dtype == object:  # beyond 64 bits: a run of more than 106 days
        whole = whole.astype(np.float64)
    return whole if len(whole) == len(task) else whole[task]


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Small whole numbers in as few bytes as they need."""
    return values.astype(np.min_scalar_type(int(values.max(initial=1)))) if len(values) else values


def _waiting(result: Result, task: NDArray[Any], queue: NDArray[Any]) -> NDArray[Any]:
    """Seconds that each row waited for the rest of its group, to seven digits."""
    waiting = np.zeros(len(task), dtype=np.float32)
    if result.plan.program.groups:
        waited = result.waiting_ps
        rows = zip(task.tolist(), queue.tolist(), strict=True)
        waiting[:] = [waited.get(row, 0) / PS_PER_S for row in rows]
    return waiting


def _slots(result: Result) -> tuple[NDArray[Any], NDArray[Any]]:
    """Task and queue of every row: tasks in order, a group task once per queue."""
    program = result.plan.program
    if not program.groups:
        return np.arange(len(program), dtype=np.int32), np.asarray(program.queue)
    rows = [(task, queue) for task in range(len(program)) for queue in program.queues_of(task)]
    slots = np.asarray(rows, dtype=np.int32).reshape(-1, 2)
    return slots[:, 0].copy(), slots[:, 1].copy()


def _codes(names: Iterable[str]) -> tuple[list[str], NDArray[Any]]:
    """Distinct names, and for each name its place among them, in the narrowest integers."""
    place: dict[str, int] = {}
    codes = [place.setdefault(name, len(place)) for name in names]
    return list(place), np.asarray(codes, dtype=np.min_scalar_type(-max(1, len(place))))
