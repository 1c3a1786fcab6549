"""Measured traces as timelines: PyTorch's Kineto, Holistic Trace Analysis' files, Chrome traces of any origin, our own.

Model: every complete slice (ph X, or a pair of B and E) becomes a row with the columns of `timeline_frame`: op is its
name, kind its category, queue its stream (args.stream, else the thread), chip its rank. Where a file has slices of a
device (categories kernel, gpu_memcpy, gpu_memset), only those count; else all of them do, nested ones too: what
covers time covers it once. The rank is `distributedInfo.rank` of the file, else args.device, else the number of the process.
`does` follows Holistic Trace Analysis: names that begin with nccl (or rccl, hccl, gloo) or hold ncclKernel are
communication, Memcpy, Memset and dma are memory, everything else computes. Our own files say it in the category.
Times start at 0 with the first slice of all files. `waiting` is unknown (NaN), and nothing waits for anything.
Format: Trace Event Format, JSON object or bare array, packed with gzip or not; times in microseconds.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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


def read_trace(*paths: str | Path) -> pd.DataFrame:
    """The timeline of one trace, or of the traces of several ranks together.

    Raises SpecError for a file that cannot be read, is no trace, or has no slices; all problems at once.
    """
    import pandas as pd

    import analysis.accessor  # noqa: F401 (adds `.overlapse` to DataFrames)

    slices: list[_Slice] = []
    problems: list[Problem] = []
    for path in map(Path, paths):
        try:
            slices += _slices(_loaded(path), path)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    if not slices:
        raise SpecError([Problem(Mark("trace"), "there is no file to read")])
    slices.sort(key=lambda each: each.begin_us)
    first = slices[0].begin_us
    begin = np.asarray([each.begin_us - first for each in slices])
    end = np.asarray([each.begin_us - first + each.lasted_us for each in slices])
    count = len(slices)
    return pd.DataFrame(
        {
            "task": np.arange(count, dtype=np.int32),
            "op": pd.Categorical([each.name for each in slices]),
            "kind": pd.Categorical([each.category.split(",")[0] for each in slices]),
            "chip": _numbers([each.chip for each in slices]),
            "queue": pd.Categorical([each.queue for each in slices]),
            "chunk": np.asarray([each.chunk for each in slices], dtype=np.int32),
            # to the picosecond: that is what a file can say
            "begin": np.rint(begin * 1e6) / 1e12,
            "end": np.rint(end * 1e6) / 1e12,
            "waiting": np.full(count, np.nan, dtype=np.float32),
            "does": pd.Categorical([_does(each) for each in slices], categories=list(DOES)),
        }
    )


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
    except RecursionError:
        reason = "this nests too deeply"
    raise SpecError([Problem(Mark(str(path)), reason)])


def _slices(data: Any, path: Path) -> list[_Slice]:
    """The slices of a file that count. Raises SpecError."""
    events = data.get("traceEvents") if isinstance(data, dict) else data
    if not isinstance(events, list):
        raise SpecError([Problem(Mark(str(path)), "this is no trace: it has no list of traceEvents")])
    about = data.get("distributedInfo") if isinstance(data, dict) else None
    rank = about.get("rank") if isinstance(about, dict) else None
    events = [event for event in events if isinstance(event, dict)]
    names = _thread_names(events)
    try:
        found = [_slice(event, rank, names) for event in _complete(events)]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise SpecError([Problem(Mark(str(path)), f"a slice is not as the format says: {error!r}")]) from None
    found = [each for each in found if each.category.lower() not in _MARKS]
    device = [each for each in found if each.category.lower() in _DEVICE]
    if not found:
        raise SpecError([Problem(Mark(str(path)), "the trace has no slices (events with ph X, or B and E)")])
    return device or found


def _thread_names(events: Iterable[Mapping[str, Any]]) -> dict[tuple[object, object], str]:
    """The names that metadata give to threads."""
    return {
        (event.get("pid"), event.get("tid")): str(event["args"]["name"])
        for event in events
        if event.get("ph") == "M" and event.get("name") == "thread_name" and "name" in (event.get("args") or {})
    }


def _complete(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Slices with a begin and a length; the E of a thread ends its last open B."""
    open_: dict[tuple[object, object], list[Mapping[str, Any]]] = {}
    for event in events:
        thread = event.get("pid"), event.get("tid")
        phase = event.get("ph")
        if phase == "X":
            yield event
        elif phase == "B":
            open_.setdefault(thread, []).append(event)
        elif phase == "E" and open_.get(thread):
            first = open_[thread].pop()
            yield {**first, "dur": float(event["ts"]) - float(first["ts"])}


def _slice(event: Mapping[str, Any], rank: object, names: Mapping[tuple[object, object], str]) -> _Slice:
    args = event.get("args") or {}
    thread = event.get("pid"), event.get("tid")
    queue = args.get("stream", names.get(thread, event.get("tid", "")))
    chip = rank if rank is not None else args.get("device", event.get("pid", 0))
    begin, lasted = float(event["ts"]), float(event.get("dur", 0.0))
    if not (np.isfinite(begin) and np.isfinite(lasted) and lasted >= 0):
        raise ValueError(f"{event.get('name')}: ts {begin}, dur {lasted}")
    chunk = int(args.get("chunk", 0))
    return _Slice(str(event.get("name", "")), str(event.get("cat", "")), chip, str(queue), chunk, begin, lasted)


def _numbers(chips: list[object]) -> Any:
    """Chips as numbers: their own where all are whole numbers, else in the order in which they come."""
    if all(isinstance(chip, int) or str(chip).lstrip("-").isdigit() for chip in chips):
        return np.asarray([int(str(chip)) for chip in chips], dtype=np.int32)
    place: dict[object, int] = {}
    return np.asarray([place.setdefault(str(chip), len(place)) for chip in chips], dtype=np.int32)


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
