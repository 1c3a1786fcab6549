"""Traces for tests: events in the forms in which profilers write them, files of them, and sums over plain JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import read_trace, temporal_breakdown

Event = dict[str, Any]
US_PER_S = 1e6


def slice_(name: str, ts: Any, dur: Any, pid: Any = 0, tid: Any = 1, **more: Any) -> Event:
    """A complete event; `more`: cat, args."""
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, **more}


def kernel(name: str, ts: Any, dur: Any, device: int = 0, stream: int = 7) -> Event:
    """A kernel as Kineto writes it: the process is the device."""
    args = {"device": device, "stream": stream}
    return slice_(name, ts, dur, device, stream, cat="kernel", args=args)


def process(pid: Any, name: str | None = None, label: str | None = None) -> list[Event]:
    """What metadata say of a process."""
    said = [("process_name", {"name": name}), ("process_labels", {"labels": label})]
    return [{"ph": "M", "name": what, "pid": pid, "tid": 0, "args": args} for what, args in said if all(args.values())]


def thread(pid: Any, tid: Any, name: str) -> Event:
    """What metadata say of a thread."""
    return {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}


def written(folder: Path, events: Iterable[Event], name: str = "trace.json", **about: Any) -> Path:
    """A file of events, an object with `about` beside them."""
    path = folder / name
    path.write_text(json.dumps({**about, "traceEvents": list(events)}))
    return path


def parts_us(timeline: pd.DataFrame) -> dict[int, dict[str, float]]:
    """The breakdown of every chip, in microseconds to the nanosecond."""
    found = temporal_breakdown(timeline)
    rows = found.set_index("chip").mul(US_PER_S).round(3).to_dict("index")
    return {int(str(chip)): {str(part): us for part, us in row.items() if us} for chip, row in rows.items()}


def read_parts(folder: Path, events: Sequence[Event], **about: Any) -> dict[int, dict[str, float]]:
    """The breakdown of a file of events."""
    return parts_us(read_trace(written(folder, events, **about)))


def union_us(spans: Iterable[tuple[float, float]]) -> float:
    """How long at least one of some spans lasts."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
