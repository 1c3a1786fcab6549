"""The timeline as a DataFrame: one row per task and chip, seconds, names as categoricals.

pandas is imported when a frame is asked for, not before: the command starts faster without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import Result
from simulator.program import PS_PER_S

if TYPE_CHECKING:
    import pandas as pd


def timeline_frame(result: Result, chips: Collection[int] | None = None) -> pd.DataFrame:
    """Columns: task, op, kind, chip, queue, chunk, begin, end (s), waiting (s before the others of a collective came).

    A collective has one row per member chip. Chips that were folded each have their rows; `chips` picks some.
    """
    import pandas as pd

    plan, program = result.plan, result.plan.program
    task, queue = _slots(result)
    kernel = _column(program.kernel, task)
    if plan.partner:
        pairs = zip(task.tolist(), queue.tolist(), strict=True)
        kernel = np.asarray([plan.kernel_on(each, program.queues[lane].chip) for each, lane in pairs])
    names = _codes([planned.kernel.name for planned in plan.kernels])
    kinds = _codes([planned.kernel.kind for planned in plan.kernels])
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
    }
    frame = pd.DataFrame(columns, copy=False)
    folding = plan.folding
    if folding is None or (chips is None and len(folding.chips) == plan.system.size):
        return frame
    return _expanded(frame, folding.members, set(chips) if chips is not None else None)


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


def _column(values: Sequence[int], task: Any) -> Any:
    """A column of the program by row; no copy where every task is one row."""
    whole = np.asarray(values)  # an array.array shares its memory
    if whole.dtype == object:  # beyond 64 bits: a run of more than 106 days
        whole = whole.astype(np.float64)
    return whole if len(whole) == len(task) else whole[task]


def _narrow(values: Any) -> Any:
    """Small whole numbers in as few bytes as they need."""
    return values.astype(np.min_scalar_type(int(values.max(initial=1)))) if len(values) else values


def _waiting(result: Result, task: Any, queue: Any) -> Any:
    """Seconds that each row waited for the rest of its group, to seven digits."""
    waiting = np.zeros(len(task), dtype=np.float32)
    if result.plan.program.groups:
        waited = result.waiting_ps
        rows = zip(task.tolist(), queue.tolist(), strict=True)
        waiting[:] = [waited.get(row, 0) / PS_PER_S for row in rows]
    return waiting


def _slots(result: Result) -> tuple[Any, Any]:
    """Task and queue of every row: tasks in order, a group task once per queue."""
    program = result.plan.program
    if not program.groups:
        return np.arange(len(program), dtype=np.int32), np.asarray(program.queue)
    rows = [(task, queue) for task in range(len(program)) for queue in program.queues_of(task)]
    slots = np.asarray(rows, dtype=np.int32).reshape(-1, 2)
    return slots[:, 0].copy(), slots[:, 1].copy()


def _codes(names: list[str]) -> tuple[list[str], Any]:
    """Distinct names, and for each name its place among them, in the narrowest integers."""
    distinct = list(dict.fromkeys(names))
    place = {name: at for at, name in enumerate(distinct)}
    return distinct, np.asarray([place[name] for name in names], dtype=np.min_scalar_type(-max(1, len(distinct))))
