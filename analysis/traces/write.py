"""The timeline as a Chrome/Perfetto trace: one process per chip, one track per queue, one slice per task.

Format: the JSON object form of the Trace Event Format; times are microseconds, written to the picosecond. otherData say
that the run began at 0: its first slice may come later.
- slices (X): name the op, categories its kind, what it does, and "message" if it is one; args FLOPs and HBM bytes of the
  task, of communication also the bytes that a chip sends (and its chunk, if it has several).
  A queue runs one task at a time, so slices of a track never overlap; messages of a collective have tracks of their own.
- flows (s, f): from each task to each one that waits for it, on the chip that both share if there is one.
- counters (C): HBM bandwidth and the memory held, on every chip; the bandwidth of every link, in a process of its own.
  Of chips and links that were folded, flows, memory held and link counters are those of the one that was simulated: the
  names of the processes say so.
Written as a stream, a batch at a time, from columns: strings that many events share are made once. A run of more than
`MAX_SLICES` slices is written for one chip of each class of alike ones.
Perfetto keeps nanoseconds: what is shorter is there, with length 0.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from analysis.frames.timeline import dependencies_frame, timeline_frame
from analysis.traces.counters import counter_lines
from analysis.traces.reading.file import MESSAGE, ZERO
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd

MAX_SLICES = 1_000_000
"""Slices beyond which only one chip of each class of alike ones is written."""

BATCH = 1 << 16
"""Events that are held as text at a time."""

_US = 1e6


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What a trace has beside its slices. `points`: values per counter; a counter with more has means over equal times."""

    flows: bool = True
    counters: bool = True
    points: int = 5_000


def write_trace(result: Result, out: TextIO, options: TraceOptions | None = None) -> None:
    """Write the trace as JSON. Raises OSError."""
    chosen = options or TraceOptions()
    chips = _shown(result)
    timeline = timeline_frame(result, chips)
    _write(out, _all_lines(result, timeline, chips, chosen))


def write_trace_file(result: Result, path: Path, options: TraceOptions | None = None) -> None:
    """Write the trace into a file, packed with gzip if its name ends in .gz. Raises OSError."""
    if path.suffix == ".gz":
        with gzip.open(path, "wb", compresslevel=4) as packed, io.TextIOWrapper(packed, encoding="utf-8") as out:
            write_trace(result, out, options)
    else:
        with path.open("w", encoding="utf-8") as out:
            write_trace(result, out, options)


def _write(out: TextIO, batches: Iterable[Sequence[str]]) -> None:
    out.write(f'{{"displayTimeUnit":"ns","otherData":{{"{ZERO}":0}},"traceEvents":[\n')
    first = True
    for lines in batches:
        if lines:
            out.write("" if first else ",\n")
            out.write(",\n".join(lines))
            first = False
    out.write("\n]}\n")


def _all_lines(
    result: Result, timeline: pd.DataFrame, chips: list[int], options: TraceOptions
) -> Iterator[Sequence[str]]:
    yield list(_names(result, chips, timeline))
    yield from slice_lines(timeline, _texts(result, timeline))
    if options.flows:  # after the slices: a flow binds to a slice that is there
        yield from flow_lines(timeline, dependencies_frame(result))
    if options.counters:
        yield from counter_lines(result, chips, options.points)


def _shown(result: Result) -> list[int]:
    """The chips that are written: all, or one of each class."""
    plan, program = result.plan, result.plan.program
    simulated = sorted({lane.chip for lane in program.queues})
    members = {chip: plan.members(chip) for chip in simulated}
    count = np.bincount(np.asarray(program.queue), minlength=len(program.queues))
    for queues in program.groups.values():
        count[list(queues[1:])] += 1
    slices = sum(int(tasks) * len(members[lane.chip]) for tasks, lane in zip(count, program.queues, strict=True))
    return simulated if slices > MAX_SLICES else sorted(chip for each in members.values() for chip in each)


def _names(result: Result, chips: list[int], timeline: pd.DataFrame) -> Iterator[str]:
    """Metadata: the names of processes and tracks."""
    plan = result.plan
    members = {lane.chip: plan.members(lane.chip) for lane in plan.program.queues}
    first_of = {chip: first for first, all_ in members.items() for chip in all_}
    shown = set(chips)
    for chip in chips:
        first = first_of.get(chip, chip)
        alike = members.get(first, [chip])
        left_out = sum(1 for each in alike if each not in shown)
        more = f", like {left_out} more" if left_out else ""
        if len(alike) > 1 and not left_out:  # only one of a class is simulated
            more = f", memory and arrows: chip {first}, for {len(alike)} alike"
        yield _meta("process_name", chip, 0, {"name": f"chip {chip} ({plan.system.chip_at(chip).name}{more})"})
        yield _meta("process_sort_index", chip, 0, {"sort_index": chip})
    chip_of, queue = timeline["chip"].to_numpy(), timeline["queue"].cat
    width = max(1, len(queue.categories))
    for place in np.unique(chip_of.astype(np.int64) * width + queue.codes.to_numpy()):
        chip, lane = divmod(int(place), width)
        yield _meta("thread_name", chip, lane + 1, {"name": str(queue.categories[lane])})
        yield _meta("thread_sort_index", chip, lane + 1, {"sort_index": lane})


def _meta(name: str, pid: int, tid: int, args: dict[str, object]) -> str:
    return json.dumps({"ph": "M", "name": name, "pid": pid, "tid": tid, "args": args}, separators=(",", ":"))


def _texts(result: Result, timeline: pd.DataFrame) -> list[str]:
    """For each op of the timeline its args as JSON, without the closing brace: as the words of an op, those of the chip with
    the most of each."""
    texts: dict[str, str] = {}
    for planned in result.plan.kernels:
        kernel = planned.kernel
        chunks = kernel.schedule.chunks
        flops = max(variant.kernel.flops for variant in planned.variants)
        args: dict[str, float] = {"flops": flops / chunks, "hbm_bytes": planned.hbm_bytes / chunks}
        if kernel.communication is not None:
            args["network_bytes"] = planned.traffic.sent_bytes / chunks
        texts.setdefault(kernel.name, json.dumps(args, separators=(",", ":"), allow_nan=False)[:-1])
    return [texts.get(str(name), '{"flops":0') for name in timeline["op"].cat.categories]


def slice_lines(timeline: pd.DataFrame, args: Sequence[str] | None = None) -> Iterator[list[str]]:
    """Batches of X events of a timeline; `args` per op category, without the closing brace."""
    ops = [json.dumps(str(name)) for name in timeline["op"].cat.categories]
    kinds = [str(name) for name in timeline["kind"].cat.categories]
    does = [str(name) for name in timeline["does"].cat.categories]
    about = list(args) if args is not None else ['{"chunk":0'] * len(ops)
    codes = [timeline[name].cat.codes.to_numpy().astype(np.int64) for name in ("op", "kind", "does")]
    chunk = timeline["chunk"].to_numpy().astype(np.int64)
    message = timeline["message"].to_numpy().astype(np.int64)
    several = np.bincount(codes[0], weights=chunk, minlength=len(ops)) > 0

    def head(op: int, kind: int, what: int, at: int, inner: int) -> str:
        category = json.dumps(",".join([kinds[kind], does[what], *[MESSAGE] * inner]))
        rest = f',"chunk":{at}' if several[op] else ""
        return f'{{"ph":"X","name":{ops[op]},"cat":{category},"args":{about[op]}{rest}}},"pid":'

    heads, which = _interned([*codes, chunk, message], head)
    places, where = _interned([timeline["chip"].to_numpy(), timeline["queue"].cat.codes.to_numpy()], _place)
    begin, end = timeline["begin"].to_numpy(), timeline["end"].to_numpy()
    for low in range(0, len(begin), BATCH):
        here = slice(low, low + BATCH)
        start, stop = np.rint(begin[here] * 1e12), np.rint(end[here] * 1e12)
        rows = zip(
            heads[which[here]].tolist(),
            places[where[here]].tolist(),
            (start / _US).tolist(),
            ((stop - start) / _US).tolist(),
            strict=True,
        )
        yield [f'{first}{place}{ts!r},"dur":{dur!r}}}' for first, place, ts, dur in rows]


def _place(chip: int, queue: int) -> str:
    return f'{chip},"tid":{queue + 1},"ts":'


def _interned(columns: Sequence[NDArray[Any]], text: Callable[..., str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The text of every distinct row of some columns, and which one each row has."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * (int(column.max(initial=0)) + 1) + column
    first, which = np.unique(key, return_index=True, return_inverse=True)[1:]
    texts = [text(*(int(column[at]) for column in columns)) for at in first]
    return np.asarray(texts, dtype=object), which


def flow_lines(timeline: pd.DataFrame, dependencies: pd.DataFrame) -> Iterator[list[str]]:
    """Batches of pairs of flow events: from the begin of a task's slice to the begin of one that waited for it.

    A viewer draws from slice to slice; begins are safe places, where a neighbour's end cannot be meant.
    """
    before, after = _ends_of_flows(timeline, dependencies)
    places, where = _interned([timeline["chip"].to_numpy(), timeline["queue"].cat.codes.to_numpy()], _place)
    begin = timeline["begin"].to_numpy()
    for low in range(0, len(before), BATCH // 2):
        ends = np.concatenate([before[low : low + BATCH // 2], after[low : low + BATCH // 2]])
        rows, which = np.unique(ends, return_inverse=True)
        times = (np.rint(begin[rows] * 1e12) / _US).tolist()
        texts = [f"{place}{ts!r}" for place, ts in zip(places[where[rows]].tolist(), times, strict=True)]
        ends = np.asarray(texts, dtype=object)[which]
        count = len(ends) // 2
        pairs = zip(range(low, low + count), ends[:count].tolist(), ends[count:].tolist(), strict=True)
        yield [
            f'{{"ph":"s","cat":"d","name":"d","id":{number},"pid":{source}}},\n'
            f'{{"ph":"f","bp":"e","cat":"d","name":"d","id":{number},"pid":{target}}}'
            for number, source, target in pairs
        ]


def _ends_of_flows(timeline: pd.DataFrame, dependencies: pd.DataFrame) -> tuple[NDArray[Any], NDArray[Any]]:
    """The rows of both ends of every dependency: on one chip if both tasks are there, else the first rows of each."""
    task, chip = timeline["task"].to_numpy().astype(np.int64), timeline["chip"].to_numpy().astype(np.int64)
    count = int(task.max(initial=-1)) + 1
    row_of = np.full(count, -1, dtype=np.int64)
    row_of[task[::-1]] = np.arange(len(task))[::-1]  # the first row of each
    before, after = (dependencies[name].to_numpy().astype(np.int64) for name in ("before", "after"))
    shown = (before < count) & (after < count)
    before, after = before[shown], after[shown]
    first, second = row_of[before], row_of[after]
    apart = np.flatnonzero((first >= 0) & (second >= 0) & (chip[first] != chip[second]))
    if len(apart):  # groups have rows on several chips: look for one that both have
        width = int(chip.max(initial=0)) + 1
        place = task * width + chip
        order = np.argsort(place, kind="stable")
        for own, other, of in ((first, second, after[apart]), (second, first, before[apart])):
            still = chip[own[apart]] != chip[other[apart]]
            wanted = of * width + chip[own[apart]]
            at = np.minimum(np.searchsorted(place[order], wanted), len(order) - 1)
            found = still & (place[order][at] == wanted)
            other[apart[found]] = order[at[found]]
    kept = (first >= 0) & (second >= 0)
    return first[kept], second[kept]
