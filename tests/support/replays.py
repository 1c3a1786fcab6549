"""Traces of runs for tests of replays, as PyTorch's profiler writes them (in microseconds), and how long a replay takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, ImportOptions, import_files
from tests.support.traces import Event, slice_, written


def call(name: str, ts: float, dur: float, correlation: int = -1, tid: int = 1) -> Event:
    """A call of the runtime."""
    return slice_(name, ts, dur, 9, tid, cat="cuda_runtime", args={"correlation": correlation})


def work(name: str, ts: float, dur: float, correlation: int = -1, stream: int = 7, **more: Any) -> Event:
    """A kernel on a stream of device 0."""
    args = {"device": 0, "stream": stream, "correlation": correlation, **more}
    return slice_(name, ts, dur, 0, stream, cat="kernel", args=args)


def launched(name: str, at: float, ts: float, dur: float, number: int, stream: int = 7, **more: Any) -> list[Event]:
    """A kernel, and the call of 2 us that launched it."""
    return [call("cudaLaunchKernel", at, 2, number), work(name, ts, dur, number, stream, **more)]


def replay(folder: Path, events: Sequence[Event], options: ImportOptions | None = None, **about: Any) -> Imported:
    return import_files([written(folder, events, **about)], options=options)


def time_us(made: Imported) -> float:
    """How long a replay takes, printed, read and run."""
    return float(str(summary(made)["time"])) * 1e6


def summary(made: Imported) -> Any:
    return summarise(build_scenario(parse_document(made.text, "made.yaml"), Path("made.yaml")))


def collective(number: int, ts: float, dur: float, elements: int = 1 << 20, at: float = 6) -> list[Event]:
    """An all-reduce of two ranks on stream 20."""
    said = {
        "Collective name": "allreduce", "Process Group Name": "0", "Process Group Ranks": "[0, 1]", "Group size": 2,
        "In msg nelems": elements, "Out msg nelems": elements, "dtype": "BFloat16",
    }  # fmt: skip
    return launched("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", at, ts, dur, number, 20, **said)


def two_ranks(folder: Path, **more: float) -> list[Path]:
    """Rank 1 computes for 200 us, rank 0 for 100 and waits in its collective, which takes 30 us once both are there."""
    first = [*launched("mm", 0, 5, 100, 1), call("cudaEventRecord", 2, 1), call("cudaStreamWaitEvent", 4, 1),
             *collective(2, 105, 130)]  # fmt: skip
    second = [*launched("mm", 0, 5, 200, 1), call("cudaEventRecord", 2, 1), call("cudaStreamWaitEvent", 4, 1),
              *collective(2, 205, 30)]  # fmt: skip
    return [
        written(folder, events, f"rank{rank}.json", distributedInfo={"rank": rank, "world_size": 2}, **more)
        for rank, events in enumerate((first, second))
    ]
