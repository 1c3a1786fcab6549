"""Measured traces as timelines: PyTorch's Kineto, Holistic Trace Analysis' files, Chrome traces of any origin, our own.

Model: every complete slice (ph X, or a pair of B and E) becomes a row with the columns of `timeline_frame`: op is its
name, kind its category, queue its stream (args.stream, else the thread), chip its rank. Where a file has slices of a
device (categories kernel, gpu_memcpy, gpu_memset), only those count; else all of them do, nested ones too: what
covers time covers it once. The rank is `distributedInfo.rank` of the file, else args.device, else the number of the process.
Of several files, chips of those that name no rank get the numbers that no other file names, in the order of the files.
`does` follows Holistic Trace Analysis: names that begin with nccl (or rccl, hccl, gloo) or hold ncclKernel are
communication, Memcpy, Memset and dma are memory, everything else computes. Our own files say it in the category.
Times start at 0 with the first slice of all files; our own files say where their 0 is (otherData).
`waiting` is unknown (NaN), and nothing waits for anything.
Format: Trace Event Format, JSON object or bare array, packed with gzip or not; times in microseconds.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.steps import DOES
from hw import Mark, Problem, SpecError

if TYPE_CHECKING:
    import pandas as pd

_DEVICE = frozenset({"kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset", "concurrent_kernel"})
"""Categories of what a device does, in lower case."""

_MARKS = frozenset({"user_annotation", "gpu_user_annotation", "trace", "profilerstep"})
"""Categories of frames around the work: never work themselves."""

ZERO = "overlapse_zero_us"
"""Where our own traces say, in otherData, at which of their microseconds the run began."""

_LONGEST_US = 1e18
"""Times beyond it are no times: 30,000 years."""

_WHOLE = re.compile(r"-?[0-9]{1,9}")
_NETWORK = re.compile(r"^(nccl|rccl|hccl|gloo)|^c10d::|ncclKernel|ncclDevKernel", re.IGNORECASE)
_MEMORY = re.compile(r"^(hip)?mem(cpy|set)|^dma", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Slice:
    """One slice of a file, times in microseconds as they stand there."""

    name: str
    category: str
    chip: object
    queue: str
    chunk: int
    begin_us: float
    lasted_us: float


@dataclass(frozen=True, slots=True)
class _File:
    """What a file has: its rank and its 0 (microseconds), where it says them, and its slices."""

    path: Path
    rank: int | None
    zero_us: float | None
    slices: list[_Slice]


def read_trace(*paths: str | Path) -> pd.DataFrame:
    """The timeline of one trace, or of the traces of several ranks together.

    `attrs["numbered"]`: the chips of each of several files that name no rank, by file; absent where all do.
    Raises SpecError for a file that cannot be read, is no trace, has no slices, is there twice, or has the rank of
    another; all problems at once.
    """
    import pandas as pd

    import analysis.accessor  # noqa: F401 (adds `.overlapse` to DataFrames)

    files, numbered = _files([Path(path) for path in paths])
    slices = [each for file in files for each in file.slices]
    if not slices:
        raise SpecError([Problem(Mark("trace"), "there is no file to read")])
    slices.sort(key=lambda each: each.begin_us)
    first = min([slices[0].begin_us, *(file.zero_us for file in files if file.zero_us is not None)])
    begin = np.asarray([each.begin_us - first for each in slices])
    end = np.asarray([each.begin_us - first + each.lasted_us for each in slices])
    rows = len(slices)
    frame = pd.DataFrame(
        {
            "task": np.arange(rows, dtype=np.int32),
            "op": pd.Categorical([each.name for each in slices]),
            "kind": pd.Categorical([each.category.split(",")[0] for each in slices]),
            "chip": _numbers([each.chip for each in slices]),
            "queue": pd.Categorical([each.queue for each in slices]),
            "chunk": np.asarray([each.chunk for each in slices], dtype=np.int32),
            # to the picosecond: that is what a file can say
            "begin": np.rint(begin * 1e6) / 1e12,
            "end": np.rint(end * 1e6) / 1e12,
            "waiting": np.full(rows, np.nan, dtype=np.float32),
            "does": pd.Categorical([_does(each) for each in slices], categories=list(DOES)),
        }
    )
    if numbered:
        frame.attrs["numbered"] = numbered
    return frame


def _files(paths: Sequence[Path]) -> tuple[list[_File], dict[str, list[int]]]:
    """All files, and the chips of those that had to be numbered. Raises SpecError."""
    problems: list[Problem] = []
    files: list[_File] = []
    seen: dict[Path, Path] = {}
    of_rank: dict[int, Path] = {}
    for path in paths:
        other = seen.setdefault(path.resolve(), path)
        if other is not path:
            problems.append(Problem(Mark(str(path)), f"this file is given twice: it is {other}"))
            continue
        try:
            file = _file(_loaded(path), path)
        except SpecError as error:
            problems += error.problems
            continue
        files.append(file)
        if file.rank is not None and of_rank.setdefault(file.rank, path) is not path:
            message = f"this says rank {file.rank}, and so does {of_rank[file.rank]}"
            problems.append(Problem(Mark(str(path)), message))
    if problems:
        raise SpecError(problems)
    return _numbered(files) if len(files) > 1 else (files, {})


def _numbered(files: Sequence[_File]) -> tuple[list[_File], dict[str, list[int]]]:
    """The files, chips of those without a rank numbered by what no other file is; those chips, by file."""
    ranks = {file.rank for file in files}
    free = (number for number in count() if number not in ranks)
    result: list[_File] = []
    numbered: dict[str, list[int]] = {}
    for file in files:
        if file.rank is None:
            chips = _numbers([each.chip for each in file.slices]).tolist()
            place = {chip: next(free) for chip in sorted(set(chips))}
            slices = [replace(each, chip=place[chip]) for each, chip in zip(file.slices, chips, strict=True)]
            numbered[str(file.path)] = list(place.values())
            file = replace(file, slices=slices)
        result.append(file)
    return result, numbered


def _loaded(path: Path) -> Any:
    """The JSON of a file. Raises SpecError."""
    try:
        packed = path.read_bytes()
        text = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
        return json.loads(text)
    except OSError as error:
        reason = f"cannot read the file: {error.strerror or error}"
    except (EOFError, zlib.error) as error:
        reason = f"cannot unpack the file: {error}"
    except UnicodeDecodeError:
        reason = "this is not text"
    except json.JSONDecodeError as error:
        raise SpecError(
            [Problem(Mark(str(path), error.lineno, error.colno), f"this is not JSON: {error.msg}")]
        ) from None
    except ValueError:  # Python's own limit
        reason = "a number in it has too many digits"
    except RecursionError:
        reason = "this nests too deeply"
    raise SpecError([Problem(Mark(str(path)), reason)])


def _file(data: Any, path: Path) -> _File:
    """What a file has, with the slices that count. Raises SpecError."""
    events = data.get("traceEvents") if isinstance(data, dict) else data
    if not isinstance(events, list):
        raise SpecError([Problem(Mark(str(path)), "this is no trace: it has no list of traceEvents")])
    rank = _said(data, "distributedInfo", "rank")
    if rank is not None and not _WHOLE.fullmatch(str(rank)):
        raise SpecError([Problem(Mark(str(path)), f"distributedInfo.rank is {_json(rank)}, not a whole number")])
    rank = None if rank is None else int(str(rank))
    zero = _said(data, "otherData", ZERO)
    sure = isinstance(zero, int | float) and abs(zero) <= _LONGEST_US
    events = [event for event in events if isinstance(event, dict)]
    names = _thread_names(events)
    try:
        found = [_slice(event, rank, names) for event in _complete(events)]
    except ValueError as error:
        raise SpecError([Problem(Mark(str(path)), f"a slice is not as the format says: {error}")]) from None
    found = [each for each in found if each.category.lower() not in _MARKS]
    device = [each for each in found if each.category.lower() in _DEVICE]
    if not found:
        raise SpecError([Problem(Mark(str(path)), "the trace has no slices (events with ph X, or B and E)")])
    return _File(path, rank, float(zero) if sure else None, device or found)


def _said(data: Any, part: str, key: str) -> Any:
    """What a part of a file says about the whole of it; None if it does not."""
    about = data.get(part) if isinstance(data, dict) else None
    return about.get(key) if isinstance(about, dict) else None


def _json(value: object) -> str:
    """A value as it stands in the file, cut short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _thread(event: Mapping[str, Any]) -> tuple[str, str]:
    """Process and thread; what stands there need be no number."""
    return repr(event.get("pid")), repr(event.get("tid"))


def _thread_names(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """The names that metadata give to threads."""
    return {
        _thread(event): str(event["args"]["name"])
        for event in events
        if event.get("ph") == "M" and event.get("name") == "thread_name" and _said(event, "args", "name") is not None
    }


def _complete(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Slices with a begin and a length; the E of a thread ends its last open B."""
    open_: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in events:
        thread = _thread(event)
        phase = event.get("ph")
        if phase == "X":
            yield event
        elif phase == "B":
            open_.setdefault(thread, []).append(event)
        elif phase == "E" and open_.get(thread):
            first = open_[thread].pop()
            yield {**first, "dur": _microseconds({**first, **event}, "ts") - _microseconds(first, "ts")}


def _microseconds(event: Mapping[str, Any], key: str, missing: float | None = None) -> float:
    """A time of an event. Raises ValueError with a message for the user."""
    said: Any = event.get(key, missing)
    try:
        time = float(said)  # None and lists are what is caught, too
    except (TypeError, ValueError, OverflowError):
        time = np.nan
    if abs(time) <= _LONGEST_US:
        return time
    what = f"{key} {_json(said)}, not a number of microseconds" if key in event else f"no {key}"
    raise ValueError(f"{_json(event.get('name'))} has {what}")


def _slice(event: Mapping[str, Any], rank: int | None, names: Mapping[tuple[str, str], str]) -> _Slice:
    """A slice from its event. Raises ValueError with a message for the user."""
    name, args = _json(event.get("name")), event.get("args") or {}
    if not isinstance(args, dict):
        raise ValueError(f"{name} has args {_json(args)}, not an object")
    queue = args.get("stream", names.get(_thread(event), event.get("tid", "")))
    chip = rank if rank is not None else args.get("device", event.get("pid", 0))
    begin, lasted = _microseconds(event, "ts"), _microseconds(event, "dur", 0.0)
    if lasted < 0:
        raise ValueError(f"{name} has dur {lasted:g}: it ends before it begins")
    chunk = str(args.get("chunk", 0))
    if not _WHOLE.fullmatch(chunk):
        raise ValueError(f"{name} has chunk {_json(args['chunk'])}, not a whole number")
    return _Slice(str(event.get("name", "")), str(event.get("cat", "")), chip, str(queue), int(chunk), begin, lasted)


def _numbers(chips: list[object]) -> Any:
    """Chips as numbers: their own where all are whole numbers, else in the order in which they come."""
    texts = [str(chip) for chip in chips]
    if all(_WHOLE.fullmatch(text) for text in set(texts)):
        return np.asarray([int(text) for text in texts], dtype=np.int32)
    place: dict[str, int] = {}
    return np.asarray([place.setdefault(text, len(place)) for text in texts], dtype=np.int32)


def _does(each: _Slice) -> str:
    """One of `DOES`."""
    said = each.category.rpartition(",")[2]
    if "," in each.category and said in DOES:
        return said
    if _NETWORK.search(each.name):
        return "network"
    if each.category.lower() in ("gpu_memcpy", "gpu_memset") or _MEMORY.search(each.name):
        return "memory"
    return "compute"
