"""One trace file as rows of a timeline: what its devices did, and what the file says of itself.

Model: times are integers of picoseconds since whatever the file counts from (baseTimeNanoseconds, else what its ts count
from). A file with a rank (distributedInfo) and one device is the chip of that rank; else devices keep their numbers.
Our own files are known by their zero (otherData): all their slices are work, their categories say what a slice does and
whether it is a message, and their names have rounds. In all others names carry no structure.
A file without a slice of a device is refused: what its devices did is unknown, and the host's time says nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.timelines.rollup import NOWHERE, place_of
from analysis.traces.reading.does import does
from analysis.traces.reading.events import Events, events_in, exact, picoseconds, told
from analysis.traces.reading.file import MESSAGE, NO_MEMORY, READS, ZERO, refusal, trace_text
from analysis.traces.reading.lanes import DeviceLanes, DeviceSlice, chip_numbers, lanes_of, whole
from analysis.traces.reading.roles import Role
from analysis.traces.reading.text import TraceText, events_of
from analysis.words.causes import DOES
from hw.input import few

_PS_PER_NS = 1000
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One row of a timeline, times in picoseconds."""

    op: str
    kind: str
    does: str
    chip: int
    queue: str
    chunk: int
    begin_ps: int
    end_ps: int
    message: bool
    place: tuple[int, int]
    """The numbers of the outermost and the innermost block, -1 outside of blocks."""


@dataclass(frozen=True, slots=True)
class TraceFile:
    """What a file has. `rank` and `zero_ps` (when the run began) are what it says, None where it says nothing; `based`:
    whether it says from when it counts; `notes`: what is odd about it."""

    path: Path
    rank: int | None
    based: bool
    zero_ps: int | None
    rows: list[TraceRow]
    notes: list[str]

    @property
    def is_one_rank(self) -> bool:
        """Whether its one chip has the number of its rank."""
        return self.rank is not None and len({row.chip for row in self.rows}) == 1


def read_file(path: Path, network: Sequence[re.Pattern[str]], limit_bytes: int) -> TraceFile:
    """What a file has. `network`: patterns of names that are communication. Raises SpecError."""
    try:
        text, notes = trace_text(path, limit_bytes)
        trace = TraceText(path, text)
        events = events_in(trace, events_of(trace))
    except MemoryError:
        raise refusal(path, NO_MEMORY) from None
    rank, base_ps, zero_ps = _rank(trace), _base_ps(trace), _zero_ps(trace)
    lanes = lanes_of(events, all_work=zero_ps is not None)
    if not lanes.work:
        raise refusal(path, "; ".join([_nothing(lanes), *_counted(trace.notes)]))
    chips = list(lanes.chips.values())
    numbers = [rank] if rank is not None and len(chips) == 1 else chip_numbers(chips)
    if numbers is None:
        numbers = list(range(len(chips)))
        names = few((f"{at} is {told(chip.name)}" for at, chip in enumerate(chips)), _MOST_NAMED)
        notes.append(f"chips are numbered in the order in which they come: {names}")
    chip_of = dict(zip(lanes.chips, numbers, strict=True))
    row = _our_row if zero_ps is not None else _measured_row
    rows = [row(each, chip_of[each.chip], base_ps or 0, network) for each in lanes.work]
    notes += [*_counted(trace.notes), *_left_out(events, lanes)]
    return TraceFile(path, rank, base_ps is not None, zero_ps, rows, notes)


def _measured_row(work: DeviceSlice, chip: int, base_ps: int, network: Sequence[re.Pattern[str]]) -> TraceRow:
    """The row of a slice of a profiler's. A message is communication whatever its name."""
    each = work.slice
    what = "network" if work.message or work.communicates else does(each, network)
    return TraceRow(
        op=each.name,
        kind=each.category,
        does=what,
        chip=chip,
        queue=work.queue,
        chunk=0,
        begin_ps=each.begin_ps + base_ps,
        end_ps=each.end_ps + base_ps,
        message=work.message,
        place=NOWHERE,
    )


def _our_row(work: DeviceSlice, chip: int, base_ps: int, network: Sequence[re.Pattern[str]]) -> TraceRow:
    """The row of a slice of ours: kind, what it does and whether it is a message are its categories, its chunk an arg.
    In files for Holistic Trace Analysis, which knows categories of its own, what it does is an arg."""
    row = _measured_row(work, chip, base_ps, network)
    kind, *said = work.slice.category.split(",")
    said.append(str(work.slice.args.get("does", "")))
    what = next((word for word in said if word in DOES), row.does)
    chunk = whole(work.slice.args.get("chunk", 0)) or 0
    place = place_of(row.op)
    return replace(row, kind=kind, does=what, chunk=chunk, message=MESSAGE in said, place=place)


def _said(trace: TraceText, part: str, key: str) -> Any:
    """What a part of a file says about the whole of it; None if it does not."""
    about = trace.about.get(part)
    return about.get(key) if isinstance(about, Mapping) else None


def _rank(trace: TraceText) -> int | None:
    """The rank that a file says. Raises SpecError for one that is none."""
    said = _said(trace, "distributedInfo", "rank")
    rank = whole(said)
    if said is not None and rank is None:
        raise refusal(trace.path, f"distributedInfo.rank is {told(said)}, not a whole number")
    return rank


def _base_ps(trace: TraceText) -> int | None:
    """When a file begins to count, since 1970. Raises SpecError for what is no time."""
    said = trace.about.get("baseTimeNanoseconds")
    base_ns = exact(said)
    if said is not None and base_ns is None:
        raise refusal(trace.path, f"baseTimeNanoseconds is {told(said)}, not a number of nanoseconds")
    return None if base_ns is None else int(base_ns * _PS_PER_NS)


def _zero_ps(trace: TraceText) -> int | None:
    """When the run of one of our own files began; None for all other files."""
    said = _said(trace, "otherData", ZERO)
    zero_us = None if isinstance(said, str) else exact(said)
    return None if zero_us is None else picoseconds(zero_us)


def _counted(notes: Mapping[str, int]) -> Iterator[str]:
    """Notes with how often each came."""
    for note, count in notes.items():
        yield note if count == 1 else f"{note} ({count:,} times)"


def _left_out(events: Events, lanes: DeviceLanes) -> Iterator[str]:
    """Notes on slices that may be a device's and were left out, and on devices that may be several."""
    hosts = {each.thread[0] for each in lanes.left_out.get(Role.HOST, []) if each.category == "cpu_op"}
    if len(hosts) > len(lanes.chips):
        yield (
            f"{len(hosts)} hosts, but {len(lanes.chips)} of their devices can be told apart by process: "
            "in a file put together from several, give the devices of each a number of their own"
        )
    unknown = lanes.left_out.get(Role.UNKNOWN, [])
    if unknown:
        processes = dict.fromkeys(each.thread[0] for each in unknown)
        names = few((told(events.process_names.get(process, process)) for process in processes), _MOST_NAMED)
        yield f"{len(unknown):,} slices left out, of processes that are not known to be devices: {names}"


def _nothing(lanes: DeviceLanes) -> str:
    """The message for a file without a slice of a device: what it has instead."""
    host, frames = (lanes.left_out.get(role, []) for role in (Role.HOST, Role.FRAME))
    if not host and not frames:
        return f"the trace has no slices (events with ph X, or B and E). {READS}"
    has = []
    if host:
        kinds = few(dict.fromkeys(each.category or each.name for each in host), _MOST_NAMED)
        has.append(f"{len(host):,} of the host ({kinds})")
    if frames:
        has.append(f"{len(frames):,} around work, as steps and annotations are")
    return (
        "the trace has no slice of a device: what its devices computed is unknown. "
        f"It has {' and '.join(has)}: record the device's activities, too"
    )
