"""What an export of Nsight Systems (SQLite) says of each process, in the form of a trace of PyTorch's.

Model: kernels, copies, fills and whole graphs (`CUPTI_ACTIVITY_KIND_*`) are work of devices, calls of the runtime launched
them, by correlation, within a process. Waits between streams are exact where the export has them: a synchronisation of
type 2 names an event, and the latest record of that event before it says on which stream it was recorded. NVTX
ranges are ranges of the program. Exports differ: a table or a column that is not there says nothing.
Assumes: a process is the upper part of a global thread number, as Nsight Systems packs it; times are nanoseconds.
Source: Nsight Systems, "Exported SQLite schema reference".
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hw import Mark, Problem, SpecError
from scenarios.importers.kineto.events import DeviceWork, HostCall, RankTrace, StreamWait

_PS_PER_NS = 1000
_PROCESS = 24
"""Bits of a global number below those of its process."""

_VERSION = re.compile(r"_v\d+$")
_COPIES = {1: "HtoD", 2: "DtoH", 8: "DtoD", 10: "PtoP"}
_STREAM_WAIT = 2
_KERNELS, _GRAPHS = "CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_GRAPH_TRACE"
_WORK: Mapping[str, str] = {
    _KERNELS: "kernel",
    _GRAPHS: "kernel",
    "CUPTI_ACTIVITY_KIND_MEMCPY": "gpu_memcpy",
    "CUPTI_ACTIVITY_KIND_MEMSET": "gpu_memset",
}
_RUNTIME = "CUPTI_ACTIVITY_KIND_RUNTIME"


def read_processes(path: Path) -> list[RankTrace]:
    """What each process of an export did, in the order of their numbers. Raises SpecError."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as base:
            base.text_factory = lambda raw: raw.decode("utf-8", "replace")
            return _Export(base, path).processes()
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
        raise SpecError([Problem(Mark(str(path)), f"this database cannot be read: {error}")]) from None


class _Export:
    def __init__(self, base: sqlite3.Connection, path: Path) -> None:
        self.base, self.path = base, path
        names = base.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        self.tables = {str(name) for (name,) in names}
        self.strings: dict[Any, str] = {}
        if "StringIds" in self.tables:
            self.strings = {key: str(value) for key, value in base.execute("SELECT id, value FROM StringIds")}
        self.found: dict[int, RankTrace] = defaultdict(lambda: RankTrace(path))

    def processes(self) -> list[RankTrace]:
        for table, category in _WORK.items():
            for row in self._rows(table, ("start", "end", "deviceId", "streamId", "correlationId")):
                self.found[self._process(row)].work.append(self._work(table, category, row))
        if not self.found:
            message = "nothing in this export ran on a device (no table of kernels, copies or fills has a row)"
            raise SpecError([Problem(Mark(str(self.path)), message)])
        for row in self._rows(_RUNTIME, ("start", "end", "correlationId", "globalTid")):
            name = _VERSION.sub("", self._text(row.get("nameId")))
            begin, end = self._span(row)
            call = HostCall(name, str(row["globalTid"]), begin, end, _whole(row, "correlationId"))
            self.found[self._process(row)].calls.append(call)
        self._waits()
        self._ranges()
        chips = [self._text(row.get("name")) for row in self._rows("TARGET_INFO_GPU", ())]
        traces = [trace for _, trace in sorted(self.found.items()) if trace.work]
        for trace in traces:
            trace.chip_name = next(iter(chips), "")
            trace.work.sort(key=lambda each: (each.begin_ps, each.end_ps))
            trace.calls.sort(key=lambda each: (each.begin_ps, each.end_ps))
        return traces

    def _rows(self, table: str, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows of a table by column; none where there is no such table. Raises SpecError for a missing column."""
        if table not in self.tables:
            return
        cursor = self.base.execute(f'SELECT * FROM "{table}"')
        columns = [str(each[0]) for each in cursor.description]
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise SpecError([Problem(Mark(str(self.path)), f"table {table} has no column {missing[0]}")])
        for number, values in enumerate(cursor, 1):
            row = dict(zip(columns, values, strict=True))
            strange = [name for name in wanted if not isinstance(row[name], int)]
            if strange:
                said = f"row {number} of {table} has {strange[0]} {row[strange[0]]!s:.40}, not a whole number"
                raise SpecError([Problem(Mark(str(self.path), number), said)])
            yield row

    def _process(self, row: Mapping[str, Any]) -> int:
        """The process of a row; 0 where it says none."""
        said = row.get("globalPid", row.get("globalTid", 0))
        return said >> _PROCESS if isinstance(said, int) else 0

    def _work(self, table: str, category: str, row: Mapping[str, Any]) -> DeviceWork:
        begin, end = self._span(row)
        return DeviceWork(
            name=self._named(table, row),
            category=category,
            device=row["deviceId"],
            stream=str(row["streamId"]),
            begin_ps=begin,
            end_ps=end,
            correlation=row["correlationId"],
            external=-1,
            in_graph=bool(row.get("graphNodeId")),
            collective=None,
        )

    def _named(self, table: str, row: Mapping[str, Any]) -> str:
        if table == _KERNELS:
            return self._text(row.get("demangledName")) or self._text(row.get("shortName")) or "kernel"
        if table == _GRAPHS:
            return f"graph_{row.get('graphId', '')}"
        if "MEMCPY" in table:
            kind = row.get("copyKind")
            return f"Memcpy {_COPIES.get(kind, 'copy') if isinstance(kind, int) else 'copy'}"
        return "Memset"

    def _span(self, row: Mapping[str, Any]) -> tuple[int, int]:
        """When a row begins and ends. Raises SpecError where it ends first."""
        if row["end"] < row["start"]:
            raise SpecError(
                [Problem(Mark(str(self.path)), f"what begins at {row['start']} ns ends at {row['end']} ns")]
            )
        return row["start"] * _PS_PER_NS, row["end"] * _PS_PER_NS

    def _text(self, said: Any) -> str:
        """A text, or what a number stands for."""
        return said if isinstance(said, str) else self.strings.get(said, "")

    def _waits(self) -> None:
        """Waits between streams, with the record of the event that each waits for."""
        records: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for row in self._rows("CUPTI_ACTIVITY_KIND_CUDA_EVENT", ("eventId", "streamId", "correlationId")):
            records[self._process(row), row["eventId"]].append((row["correlationId"], row["streamId"]))
        for each in records.values():
            each.sort()
        for row in self._rows("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", ("streamId", "correlationId", "syncType")):
            process, event = self._process(row), row.get("eventId")
            if row["syncType"] != _STREAM_WAIT or not isinstance(event, int):
                continue
            before = [each for each in records.get((process, event), []) if each[0] < row["correlationId"]]
            if before and process in self.found:
                recorded, stream = before[-1]
                device = _whole(row, "deviceId", 0)
                wait = StreamWait(device, str(row["streamId"]), row["correlationId"], recorded, str(stream))
                self.found[process].waits.append(wait)

    def _ranges(self) -> None:
        for row in self._rows("NVTX_EVENTS", ()):
            name = self._text(row.get("text")) or self._text(row.get("textId"))
            process, begin, end = self._process(row), row.get("start"), row.get("end")
            if name and process in self.found and isinstance(begin, int) and isinstance(end, int):
                self.found[process].ranges.setdefault(name, (begin * _PS_PER_NS, end * _PS_PER_NS))


def _whole(row: Mapping[str, Any], key: str, missing: int = -1) -> int:
    said = row.get(key)
    return said if isinstance(said, int) else missing
