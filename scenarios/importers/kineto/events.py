"""What a PyTorch profiler's trace says of one process: what its devices did, and the calls that made them do it.

Model: of hundreds of thousands of events few matter for a replay: kernels, copies and fills (`DeviceWork`), the calls of the
runtime and the driver (`HostCall`) that launched them, waited for them or spoke of events, and the waits between streams
that newer profilers record (`StreamWait`). Calls and work meet by their correlation; the op that a kernel belongs to is
found by its external id. All else is passed by as it is read, so that memory grows with kernels and not with the file.
Times are integers of picoseconds since whatever the file counts from (`baseTimeNanoseconds` included).
Source: Kineto's output_json.cpp and CuptiActivityApi; NCCL arguments are those of PyTorch's record_param_comms.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.traces import TraceText, events_of, exact, open_trace, picoseconds
from hw import Problem, SpecError
from scenarios.importers.kineto.group_ranks import group_ranks
from scenarios.importers.kineto.shapes import line_of

WORK = ("kernel", "gpu_memcpy", "gpu_memset")
CALLS = ("cuda_runtime", "cuda_driver", "hip_runtime", "privateuse1_runtime", "privateuse1_driver")
RANGES = ("user_annotation",)

_MOST_TOLD = 20
_OTHERS = ((r"^/(device|host):|^/job:", "XProf"), (r"^(Ascend Hardware|CANN|HCCL)", "Ascend's profiler"))
"""What profilers call processes whose traces are read as timelines alone."""


@dataclass(frozen=True, slots=True)
class CollectiveSaid:
    """What a communication kernel says of its collective. `ranks`: of its group, None where they are not all listed;
    `group`: what the group is called."""

    kind: str
    group: str
    size: int
    ranks: tuple[int, ...] | None
    elements_in: int
    elements_out: int
    dtype: str


@dataclass(slots=True)
class DeviceWork:
    """A kernel, a copy or a fill on a stream of a device."""

    name: str
    category: str
    device: int
    stream: str
    begin_ps: int
    end_ps: int
    correlation: int
    external: int
    in_graph: bool
    collective: CollectiveSaid | None


@dataclass(frozen=True, slots=True)
class HostCall:
    """A call of the runtime or the driver."""

    name: str
    thread: str
    begin_ps: int
    end_ps: int
    correlation: int


@dataclass(frozen=True, slots=True)
class StreamWait:
    """A stream that waits for an event: the calls that said so and that recorded the event, by correlation, and the stream
    (`waited`) on which it was recorded."""

    device: int
    stream: str
    correlation: int
    recorded: int
    waited: str


@dataclass(slots=True)
class RankTrace:
    """One file. `ops`: names of ops by external id, `shaped`: those of them that a model can price, as lines; `ranges`: what
    the program itself marked, by name; `processes`: what processes are called."""

    path: Path
    rank: int | None = None
    chip_name: str = ""
    work: list[DeviceWork] = field(default_factory=list)
    calls: list[HostCall] = field(default_factory=list)
    waits: list[StreamWait] = field(default_factory=list)
    ops: dict[int, str] = field(default_factory=dict)
    shaped: dict[int, str] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)
    processes: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def op_of(self, work: DeviceWork) -> str:
        """The op that launched something, without its namespace; empty where that is not known."""
        return self.ops.get(work.external, "").rpartition("::")[2]


def read_rank(path: Path) -> RankTrace:
    """What one file says. Raises SpecError for a file that is no trace, or in which nothing ran on a device."""
    trace = open_trace(path)
    made = RankTrace(path)
    problems: list[Problem] = []
    for at, event in events_of(trace):
        if not isinstance(event, dict) or event.get("ph") != "X":
            made.processes |= _process_name(event)
            continue
        try:
            _take(event, made)
        except ValueError as error:
            problems += trace.refusal(f"an event is not as Kineto writes it: {error}", at).problems
            if len(problems) == _MOST_TOLD:
                break
    if not made.work and not problems:
        problems += trace.refusal(_nothing_ran(made.processes), 0).problems
    if problems:
        raise SpecError(problems)
    _take_about(trace, made)
    made.work.sort(key=lambda each: (each.begin_ps, each.end_ps))
    made.calls.sort(key=lambda each: (each.begin_ps, each.end_ps))
    made.notes += [f"{path.name}: {note}" for note in trace.notes]
    return made


def _process_name(event: Any) -> set[str]:
    """What an event calls a process; nothing of others."""
    named = isinstance(event, dict) and event.get("ph") == "M" and event.get("name") == "process_name"
    said = event.get("args") if named else None
    return {str(said["name"])} if isinstance(said, dict) and isinstance(said.get("name"), str) else set()


def _nothing_ran(processes: set[str]) -> str:
    """Why there is nothing to replay, by the names of processes."""
    nothing = "nothing in this trace ran on a device (no kernel, gpu_memcpy or gpu_memset): there is nothing to replay"
    for pattern, profiler in _OTHERS:
        if any(re.search(pattern, name) for name in processes):
            return (
                f"{nothing}. It is a trace of {profiler}, which records no launches and waits: `overlapse import FILE` "
                "without --out shows its timeline; replays are of PyTorch's profiler (Kineto) and of Nsight Systems"
            )
    return nothing


def _take(event: Mapping[str, Any], made: RankTrace) -> None:
    """Keep an event, if it is one that matters. Raises ValueError with a message for the user."""
    category = event.get("cat")
    if category == "cpu_op":
        _take_op(event, made)
    elif category in WORK:
        made.work.append(_work(event, str(category)))
    elif category in CALLS:
        begin, end = _span(event)
        name = sys.intern(str(event.get("name", "")))
        made.calls.append(HostCall(name, str(event.get("tid")), begin, end, _whole(event, "correlation", -1)))
    elif category == "cuda_sync" and str(event.get("name", "")).startswith("Stream Wait"):
        recorded = _whole(event, "wait_on_cuda_event_record_corr_id", -1)
        device = _whole(event, "device", 0)
        waited = str(_args(event).get("wait_on_stream", ""))
        made.waits.append(StreamWait(device, _stream(event), _whole(event, "correlation", -1), recorded, waited))
    elif category in RANGES:
        made.ranges.setdefault(str(event.get("name", "")), _span(event))


def _take_op(event: Mapping[str, Any], made: RankTrace) -> None:
    """Keep what an op is called, and what it is, where its shapes say so."""
    args = _args(event)
    external = args.get("External id")
    if not isinstance(external, int):
        return
    name = sys.intern(str(event.get("name", "")))
    made.ops[external] = name
    line = line_of(name, args) if "Input Dims" in args else None
    if line is not None:
        made.shaped[external] = sys.intern(line)


def _work(event: Mapping[str, Any], category: str) -> DeviceWork:
    begin, end = _span(event)
    args = _args(event)
    return DeviceWork(
        name=sys.intern(str(event.get("name", ""))),
        category=category,
        device=_whole(event, "device", 0),
        stream=_stream(event),
        begin_ps=begin,
        end_ps=end,
        correlation=_whole(event, "correlation", -1),
        external=_whole(event, "External id", -1),
        in_graph=bool(args.get("graph node id") or args.get("graph id")),
        collective=_collective(args),
    )


def _collective(args: Mapping[str, Any]) -> CollectiveSaid | None:
    """The collective that a kernel carries out, from what PyTorch notes beside NCCL's kernels."""
    kind = args.get("Collective name")
    if kind is None:
        return None
    said = args.get("Group size")
    size = said if isinstance(said, int) and not isinstance(said, bool) else 0
    ranks = group_ranks(args, size)
    return CollectiveSaid(
        kind=str(kind),
        group=str(args.get("Process Group Name", "")),
        size=size or len(ranks or ()),
        ranks=ranks,
        elements_in=_count(args.get("In msg nelems")),
        elements_out=_count(args.get("Out msg nelems")),
        dtype=str(args.get("dtype", "")),
    )


def _is_whole(said: object) -> bool:
    return isinstance(said, int) and not isinstance(said, bool)


def _count(said: object) -> int:
    return said if isinstance(said, int) and said > 0 else 0


def _args(event: Mapping[str, Any]) -> Mapping[str, Any]:
    args = event.get("args") or {}
    if not isinstance(args, dict):
        raise ValueError(f"'{event.get('name')}' has args that are no object")
    return args


def _stream(event: Mapping[str, Any]) -> str:
    return str(_args(event).get("stream", event.get("tid")))


def _whole(event: Mapping[str, Any], key: str, missing: int) -> int:
    """A whole number among the args of an event."""
    said = _args(event).get(key, missing)
    if isinstance(said, bool) or not isinstance(said, int):
        raise ValueError(f"'{event.get('name')}' has {key} {said!s:.40}, not a whole number")
    return said


def _span(event: Mapping[str, Any]) -> tuple[int, int]:
    """When an event begins and ends."""
    begin, lasted = exact(event.get("ts")), exact(event.get("dur", 0))
    if begin is None or lasted is None or lasted < 0:
        raise ValueError(f"'{event.get('name')}' has no time: ts and dur are microseconds, dur not negative")
    start = picoseconds(begin)
    return start, start + picoseconds(lasted)


def _take_about(trace: TraceText, made: RankTrace) -> None:
    """What a file says of itself: its rank, when it began to count, and what its chips are called."""
    about = trace.about
    base = exact(about.get("baseTimeNanoseconds"))
    if base:
        _shift(made, int(base) * 1000)
    info = about.get("distributedInfo")
    rank = info.get("rank") if isinstance(info, dict) else None
    made.rank = rank if _is_whole(rank) else None
    made.chip_name = next(_chip_names(about.get("deviceProperties")), "")


def _chip_names(said: Any) -> Iterator[str]:
    for each in said if isinstance(said, list) else ():
        if isinstance(each, dict) and isinstance(each.get("name"), str):
            yield each["name"]


def _shift(made: RankTrace, by_ps: int) -> None:
    """Move all times of a file."""
    for work in made.work:
        work.begin_ps += by_ps
        work.end_ps += by_ps
    made.calls = [
        HostCall(each.name, each.thread, each.begin_ps + by_ps, each.end_ps + by_ps, each.correlation)
        for each in made.calls
    ]
    made.ranges = {name: (begin + by_ps, end + by_ps) for name, (begin, end) in made.ranges.items()}
