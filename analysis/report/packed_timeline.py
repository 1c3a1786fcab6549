"""The timeline of a run for the report: lanes of slices as columns of bytes, small enough to carry in a page.

Model: a lane is a queue of a simulated chip. Its slices, in order of time, are columns: begin since the begin before,
duration, task, kernel, chunk, and how long a member of a group waited. Whole numbers that change little deflate well. A
time is a count of ticks of 1 ps, or of 10^3n ps where the run is too long for a browser's 53 bits.
What is too much for a page is not drawn slice by slice: a lane beyond `MAX_SLICES` has its utilisation in `BINS` equal
parts of the run, by cause; a lane beyond `MAX_LANES` is only counted. The page says so.

Format of the bytes: a 32-bit length (little-endian), so many bytes of JSON, then the columns that the JSON lists, each
[type, offset, length] with its offset from the end of the JSON, all deflated together (zlib).
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.words.causes import CAUSES
from analysis.words.ops import OpFigures
from simulator import PS_PER_S, Result

MAX_SLICES = 300_000
MAX_LANES = 512
BINS = 1024
_EXACT = 2**53
_LEVEL = 9
_TYPES = {1: "u1", 2: "u2", 4: "u4"}


@dataclass(slots=True)
class DrawnLanes:
    """Where the slices are: rows sorted by lane and begin, and the queue, first row and number of rows of each lane."""

    task: NDArray[Any]
    queue: NDArray[Any]
    begin: NDArray[Any]
    end: NDArray[Any]
    lanes: list[tuple[int, int, int]]
    tick_ps: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A timeline for a page: base64 of deflated bytes, and in words what is not drawn slice by slice (empty: nothing)."""

    data: str
    note: str


def packed(result: Result, figures: Sequence[OpFigures], path: Iterable[int]) -> Packed:
    """The timeline of a run; `figures` by kernel, `path` the tasks of the schedule's critical path."""
    lanes = _lanes(result)
    detailed, coarse = _divided(lanes)
    kept = sum(count for *_, count in detailed)
    facts, fact = _facts(result, figures)
    columns = {**_slice_columns(result, lanes, kept), **_dependencies(result, kept), "fact": _narrow(fact)}
    critical = sorted(path)
    columns["path"] = _since(critical)
    columns["along"] = _since(sorted(_messages_of(result, critical)))
    left_out = max(0, len(lanes.lanes) - MAX_LANES)
    coarse = coarse[: MAX_LANES - len(detailed)]
    columns["bins"] = _bins(result, figures, lanes, coarse)
    header = {
        "tick_s": lanes.tick_ps / PS_PER_S,
        "end": int(max(result.end_ps, default=0)) // lanes.tick_ps,
        "tasks": len(result.plan.program) if kept else 0,
        "causes": list(CAUSES),
        "lanes": [_lane(result, queue, count, True) for queue, _, count in detailed]
        + [_lane(result, queue, count, False) for queue, _, count in coarse],
        "bins": BINS,
        "names": [row.name for row in figures],
        "facts": facts,
    }
    data = base64.b64encode(zlib.compress(_bytes(header, columns), _LEVEL)).decode("ascii")
    return Packed(data, " ".join(_notes(len(coarse), left_out)))


def _since(tasks: Sequence[int]) -> NDArray[np.int32]:
    """Ascending numbers, each counted from the one before."""
    return np.diff(np.asarray(tasks, dtype=np.int64), prepend=0).astype(np.int32)


def _messages_of(result: Result, tasks: Sequence[int]) -> set[int]:
    """The messages that collectives among some tasks consist of: the whole is on the path, and so are they with it."""
    program = result.plan.program
    reached = [head for task in tasks if task in program.parts for head in program.parts[task][0]]
    found: set[int] = set()
    while reached:
        task = reached.pop()
        if task in found or not program.is_inner(task):
            continue
        found.add(task)
        reached.extend(program.successors[task])
    return found


def _notes(coarse: int, left_out: int) -> Iterator[str]:
    if coarse:
        yield f"Too much for a page: {coarse} lane{'s' if coarse > 1 else ''} drawn as utilisation in {BINS} parts."
    if left_out:
        yield f"{left_out} more lane{'s' if left_out > 1 else ''} not drawn at all."


def _bytes(header: dict[str, Any], columns: dict[str, NDArray[Any]]) -> bytes:
    """Header and columns; each column starts at a multiple of 4."""
    parts, places, at = [], {}, 0
    for name, column in columns.items():
        data = column.tobytes()
        data += b"\0" * (-len(data) % 4)
        places[name] = [f"{column.dtype.kind}{column.dtype.itemsize}", at, len(column)]
        parts.append(data)
        at += len(data)
    text = json.dumps({**header, "columns": places}, separators=(",", ":"), allow_nan=False).encode("utf-8")
    text += b" " * (-len(text) % 4)
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def _lanes(result: Result) -> DrawnLanes:
    """Every row of the run, sorted by chip, queue and begin; lanes of messages come last on their chip."""
    program = result.plan.program
    task, queue = _rows(result)
    longest = int(max(result.end_ps, default=0))
    tick = 1
    while longest // tick >= _EXACT:
        tick *= 1000
    begin, end = (_ticks(column, tick)[task] for column in (result.begin_ps, result.end_ps))
    order = sorted(range(len(program.queues)), key=lambda at: (program.queues[at].chip, program.queues[at].inner, at))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    place = np.lexsort((task, end, begin, rank[queue])) if len(task) else np.empty(0, dtype=np.int64)
    counts = np.bincount(rank[queue], minlength=len(order)) if len(queue) else np.zeros(len(order), dtype=np.int64)
    firsts = np.cumsum(counts) - counts
    used = [
        (number, int(first), int(count))
        for number, first, count in zip(order, firsts, counts, strict=True)
        if count  # a queue without a task has nothing to show
    ]
    return DrawnLanes(task[place], queue[place], begin[place], end[place], used, tick)


def _ticks(column: Sequence[int], tick: int) -> NDArray[Any]:
    values = np.asarray(column)
    return (values // tick).astype(np.int64)


def _rows(result: Result) -> tuple[NDArray[Any], NDArray[Any]]:
    """Task and queue of every row: a task of a group has one row per member."""
    program = result.plan.program
    own = np.asarray(program.queue, dtype=np.int64)
    counts = np.ones(len(program), dtype=np.int64)
    for task, queues in program.groups.items():
        counts[task] = len(queues)
    queue = np.repeat(own, counts)
    starts = np.cumsum(counts) - counts
    for task, queues in program.groups.items():
        queue[starts[task] : starts[task] + len(queues)] = queues
    return np.repeat(np.arange(len(program)), counts), queue


def _divided(lanes: DrawnLanes) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """The lanes drawn slice by slice, the first ones that fit together, and the others."""
    kept = 0
    for at, (_, _, count) in enumerate(lanes.lanes):
        kept += count
        if kept > MAX_SLICES or at >= MAX_LANES:
            return lanes.lanes[:at], lanes.lanes[at:]
    return lanes.lanes, []


def _lane(result: Result, queue: int, count: int, detailed: bool) -> dict[str, Any]:
    plan = result.plan
    lane = plan.program.queues[queue]
    return {
        "chip": lane.chip,
        "kind": plan.system.chip_at(lane.chip).name,
        "alike": len(plan.members(lane.chip)) - 1,
        "name": lane.name,
        "inner": lane.inner,
        "count": count,
        "detailed": detailed,
    }


def _slice_columns(result: Result, lanes: DrawnLanes, kept: int) -> dict[str, NDArray[Any]]:
    """The columns of the first `kept` rows. Begins are counted from the one before in their lane."""
    plan, program = result.plan, result.plan.program
    task, queue = lanes.task[:kept], lanes.queue[:kept]
    kernel = np.asarray(program.kernel, dtype=np.int64)[task]
    for at in np.flatnonzero(np.isin(kernel, list(plan.partner))) if plan.partner else ():
        kernel[at] = plan.kernel_on(int(task[at]), program.queues[queue[at]].chip)
    begin = lanes.begin[:kept]
    since = np.diff(begin, prepend=0)
    for _, first, _ in lanes.lanes:
        if first < kept:
            since[first] = begin[first]
    waited = np.zeros(kept, dtype=np.int64)
    if program.groups:
        waiting = result.waiting_ps
        rows = zip(task.tolist(), queue.tolist(), strict=True)
        waited[:] = [waiting.get(row, 0) // lanes.tick_ps for row in rows]
    return {
        **_halves("begin", since),
        **_halves("took", lanes.end[:kept] - begin),
        **_halves("waited", waited),
        "task": np.diff(task, prepend=0).astype(np.int32),
        "kernel": np.diff(kernel, prepend=0).astype(np.int32),
        "chunk": np.diff(np.asarray(program.chunk, dtype=np.int64)[task], prepend=0).astype(np.int32),
    }


def _halves(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """64-bit numbers as two 32-bit columns: the upper ones are nearly all 0."""
    return {f"{name}_low": (values & 0xFFFFFFFF).astype(np.uint32), f"{name}_high": (values >> 32).astype(np.uint32)}


def _dependencies(result: Result, kept: int) -> dict[str, NDArray[Any]]:
    """How many tasks follow each task, and which, as distances; nothing where no slice is drawn."""
    program = result.plan.program
    if not kept:
        return {"followers": _narrow(np.zeros(0, dtype=np.int64)), "distance": np.zeros(0, dtype=np.int32)}
    before, after = program.dependencies()
    counts, distance = np.bincount(before, minlength=len(program)), after - before
    return {"followers": _narrow(counts), "distance": distance.astype(np.int32)}


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(_TYPES[np.min_scalar_type(int(values.max(initial=0))).itemsize])


def _facts(result: Result, figures: Sequence[OpFigures]) -> tuple[list[tuple[object, ...]], NDArray[np.int64]]:
    """What is worth knowing of a chunk of each kernel, each different one once, and its number by kernel.

    Kind, cause, FLOPs, HBM bytes, network bytes, tile, number of chunks; the rounds of a block share theirs.
    """
    known: dict[tuple[object, ...], int] = {}
    numbers = []
    for row, sort in zip(figures, result.plan.kernels.every_sort(), strict=True):
        chunks = sort.kernel.schedule.chunks
        amounts = (row.flops / chunks, row.hbm_bytes / chunks, row.network_bytes / chunks)
        numbers.append(known.setdefault((row.kind, row.bound_by, *amounts, row.tile, chunks), len(known)))
    return list(known), np.asarray(numbers, dtype=np.int64)


def _bins(
    result: Result, figures: Sequence[OpFigures], lanes: DrawnLanes, coarse: Sequence[tuple[int, int, int]]
) -> NDArray[Any]:
    """Per coarse lane, cause and part of the run, how much of it was busy, in 65535ths."""
    length = max(1, int(lanes.end.max(initial=1)))
    edges = np.linspace(0, length, BINS + 1)
    cause_of = np.asarray([list(CAUSES).index(row.bound_by) for row in figures], dtype=np.int64)
    kernel = np.asarray(result.plan.program.kernel, dtype=np.int64)
    shares = np.zeros((len(coarse), len(CAUSES), BINS))
    for at, (_, first, count) in enumerate(coarse):
        rows = slice(first, first + count)
        causes = cause_of[kernel[lanes.task[rows]]]
        for cause in np.unique(causes):
            mine = causes == cause
            shares[at, cause] = busy(lanes.begin[rows][mine], lanes.end[rows][mine], edges)
    return np.rint(65535 * shares / (length / BINS)).astype(np.uint16).ravel()


def busy(begin: NDArray[Any], end: NDArray[Any], edges: NDArray[Any]) -> NDArray[Any]:
    """Time between each two neighbouring edges that disjoint spans in order of time cover."""
    knots = np.stack((begin, end), axis=1).ravel()
    took = np.cumsum(end - begin)
    done = np.stack((took - (end - begin), took), axis=1).ravel()
    return np.diff(np.interp(edges, knots, done))


def used_causes(figures: Sequence[OpFigures]) -> list[str]:
    """The causes that bind some kernel, in the order of `CAUSES`."""
    found = {row.bound_by for row in figures}
    return [cause for cause in CAUSES if cause in found]
