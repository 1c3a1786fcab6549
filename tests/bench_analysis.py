"""Speed of frames, analyses and traces, as rows and ratios:  python -m tests.bench_analysis

The run is that of `tests.bench_engine`: a ring of 16 chips, 1e6 tasks, nothing contended; figures are CPU seconds, best of
three for what takes less than a second. Ratios are against `json.dumps` of the same slices, one event at a time.
"""

from __future__ import annotations

import json
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import dependencies_frame, temporal_breakdown, timeline_frame, usage_frame, utilisation
from analysis.timelines import idle_by_cause, overlap_fraction, queue_lengths, rollup
from analysis.traces import TraceOptions, write_trace_file
from hw import System, load_chip, parse_topology
from simulator import Communication, Engine, Kernel, OpGraph, Plan, PlannedKernel, Result, RunOptions, Traffic, Variant
from tests.bench_engine import OPS, cpu_s, ring

TASKS = 1_000_000


def finished_run(tasks: int, contended: bool = False) -> Result:
    """The ring of `bench_engine` as a result that analyses take."""
    program = ring(tasks, contended, 0.0)
    engine = Engine(program)
    engine.run()
    chip = load_chip("tpu_v5e")
    plan = Plan(System(chip, parse_topology("ring(16)", chip.links)), OpGraph({}, ()), RunOptions(), program=program)
    for name in OPS:
        communication = Communication(kind="send", nbytes=1.0) if name == "send" else None
        kernel = Kernel(name=name, ops=(name,), kind=name, communication=communication)
        times = {} if communication else {"matrix_unit": 1e-4}
        chips = tuple(range(16))
        plan.kernels.append(PlannedKernel(kernel, (Variant(kernel, 1.0, "", 0.0, times),), Traffic(), 0.0, name, chips))
    return Result(plan, engine.begin, engine.end)


def row(name: str, measured: str, goal: str = "") -> None:
    print(f"{name:44} {measured:44} {goal}", flush=True)


def timed(name: str, work: Callable[[], Any], goal: str = "") -> float:
    seconds = cpu_s(work)
    if seconds < 1:
        seconds = min(seconds, *(cpu_s(work) for _ in range(2)))
    row(name, f"{seconds:.3f} s", goal)
    return seconds


def dumped(timeline: pd.DataFrame) -> None:
    """The plain way to write slices: an event at a time."""
    with Path(os.devnull).open("w", encoding="utf-8") as out:
        columns = (timeline[name].tolist() for name in ("op", "kind", "chip", "queue", "begin", "end"))
        for op, kind, chip, queue, begin, end in zip(*columns, strict=True):
            event = {"ph": "X", "name": op, "cat": kind, "pid": chip, "tid": queue, "ts": begin * 1e6}
            out.write(json.dumps({**event, "dur": (end - begin) * 1e6}))


def main() -> None:
    row(f"{TASKS:g} tasks on 16 chips", "measured", "goal")
    result = finished_run(TASKS)
    timed("timeline to a DataFrame", lambda: timeline_frame(result), "0.1 s")
    timeline = timeline_frame(result)
    row("its size", f"{timeline.memory_usage(deep=True).sum() / 1e6:.1f} MB", "30 MB")
    timed("temporal breakdown", lambda: temporal_breakdown(timeline))
    timed("overlap fraction", lambda: overlap_fraction(timeline))
    timed("roll-up by op", lambda: rollup(timeline))
    dependencies = dependencies_frame(result)
    timed("idle by cause", lambda: idle_by_cause(timeline, dependencies))
    timed("queue lengths", lambda: queue_lengths(timeline, dependencies))
    timed("usage of all resources", lambda: usage_frame(result))
    usage = usage_frame(result)
    timed("utilisation in 1000 bins", lambda: utilisation(usage, bins=1000))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        plain = TraceOptions(flows=False, counters=False)
        slices = timed("trace, slices alone", lambda: write_trace_file(result, path, plain), "2 s")
        row("its size", f"{path.stat().st_size / 1e9:.3f} GB")
        timed("trace, with flows and counters", lambda: write_trace_file(result, path), "5 s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        row(
            "its size; memory on top",
            f"{path.stat().st_size / 1e9:.3f} GB; {(peak - before) / 2**20:.2f} GiB",
            "0.5 GB",
        )
    whole = cpu_s(lambda: dumped(timeline))
    row("slices against json.dumps per event", f"{whole / slices:.1f}x faster")


if __name__ == "__main__":
    main()
