"""Exports of Nsight Systems: replayed, with the waits that events say; several GPUs, NVTX ranges, graphs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, ImportOptions, import_files
from tests.support.mutations import refusals

PROCESS = 7 << 24
KERNEL = "CUPTI_ACTIVITY_KIND_KERNEL"
TABLES = {
    "StringIds": "id INTEGER PRIMARY KEY, value TEXT",
    "TARGET_INFO_GPU": "name TEXT",
    KERNEL: "start, end, deviceId, contextId, streamId, correlationId, globalPid, demangledName, shortName, graphNodeId",
    "CUPTI_ACTIVITY_KIND_MEMCPY": "start, end, deviceId, streamId, correlationId, globalPid, bytes, copyKind",
    "CUPTI_ACTIVITY_KIND_RUNTIME": "start, end, globalTid, correlationId, nameId",
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": "start, end, deviceId, streamId, correlationId, globalPid, syncType, eventId",
    "CUPTI_ACTIVITY_KIND_CUDA_EVENT": "deviceId, streamId, correlationId, globalPid, eventId",
    "NVTX_EVENTS": "start, end, text, textId, globalTid",
}
NAMES = [
    "cudaLaunchKernel_v7000",
    "a",
    "b",
    "c",
    "cudaEventRecord_v3020",
    "cudaStreamWaitEvent_v3020",
    "cudaDeviceSynchronize_v3020",
]


def export(path: Path, rows: dict[str, Sequence[tuple[Any, ...]]]) -> Path:
    """A database with some of the tables of an export; times in ns."""
    with closing(sqlite3.connect(path)) as base:
        for table, columns in TABLES.items():
            base.execute(f"CREATE TABLE {table} ({columns})")
        strings: Sequence[tuple[Any, ...]] = list(enumerate(NAMES))
        filled: dict[str, Sequence[tuple[Any, ...]]] = {"StringIds": strings, "TARGET_INFO_GPU": [("NVIDIA H200",)]}
        for table, found in {**filled, **rows}.items():
            for row in found:
                base.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        base.commit()
    return path


def call(name: str, begin: int, end: int, number: int) -> tuple[int, ...]:
    return begin, end, PROCESS + 1, number, NAMES.index(name)


def kernel(name: str, begin: int, end: int, number: int, stream: int = 7, device: int = 0) -> tuple[Any, ...]:
    return begin, end, device, 1, stream, number, PROCESS, NAMES.index(name), NAMES.index(name), None


def two_streams() -> dict[str, Sequence[tuple[Any, ...]]]:
    """a, then b on another stream behind an event that was recorded behind a, and c beside it; the host needs 2 us each."""
    launch = NAMES[0]
    return {
        "CUPTI_ACTIVITY_KIND_RUNTIME": [
            call(launch, 0, 2000, 1), call(NAMES[4], 2000, 2500, 2), call(launch, 3000, 5000, 3),
            call(NAMES[5], 5000, 5500, 4), call(launch, 6000, 8000, 5),
        ],
        KERNEL: [kernel("a", 5000, 105_000, 1), kernel("c", 105_000, 185_000, 3), kernel("b", 106_000, 156_000, 5, 8)],
        "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": [(5000, 5500, 0, 8, 4, PROCESS, 2, 33)],
        "CUPTI_ACTIVITY_KIND_CUDA_EVENT": [(0, 7, 2, PROCESS, 33)],
        "NVTX_EVENTS": [(0, 2900, "warm-up", None, PROCESS + 1), (2950, 9000, None, 1, PROCESS + 1)],
    }  # fmt: skip


def time_us(made: Imported) -> float:
    scenario = build_scenario(parse_document(made.text, "made.yaml"), Path("made.yaml"))
    return float(str(summarise(scenario)["time"])) * 1e6


def test_a_replay_takes_what_was_measured(tmp_path: Path) -> None:
    made = import_files([export(tmp_path / "run.sqlite", two_streams())])
    assert made.system == {"chip": "h200"}
    assert made.measured_s == pytest.approx(185e-6)
    assert time_us(made) == pytest.approx(185)


def test_a_stream_waits_for_what_its_event_was_recorded_behind(tmp_path: Path) -> None:
    """For a, and not for c, which was launched between the record and the wait: a in half the time ends at 55."""
    path = export(tmp_path / "run.sqlite", two_streams())
    assert time_us(import_files([path], options=ImportOptions(faster={"a": 2, "c": 80}))) == pytest.approx(106)


def test_a_range_can_be_replayed_alone(tmp_path: Path) -> None:
    path = export(tmp_path / "run.sqlite", two_streams())
    made = import_files([path], options=ImportOptions(step="a"))
    assert made.measured_s == pytest.approx(182e-6)
    assert sum("queue=s" in line for line in made.ops) == 4  # c and b, each behind its pause


def test_gpus_are_chips(tmp_path: Path) -> None:
    rows = two_streams()
    rows[KERNEL] = [*rows[KERNEL], kernel("a", 9000, 400_000, 9, device=1)]
    made = import_files([export(tmp_path / "run.sqlite", rows)])
    assert made.system["topology"] == "switch(2) over nvlink"
    assert time_us(made) == pytest.approx(400)


def test_what_is_no_export_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="nothing in this export ran on a device"):
        import_files([export(tmp_path / "empty.sqlite", {})])
    rows = two_streams()
    rows[KERNEL] = [("soon", *kernel("a", 0, 1, 1)[1:])]
    with pytest.raises(SpecError, match=r"row 1 of CUPTI_ACTIVITY_KIND_KERNEL has start soon, not a whole number"):
        import_files([export(tmp_path / "wrong.sqlite", rows)])


def test_broken_exports_are_read_or_refused(tmp_path: Path) -> None:
    path = export(tmp_path / "run.sqlite", two_streams())
    said = refusals(path.read_bytes(), path, lambda each: import_files([each], "nsys").text)
    assert len(said) > 10
