"""Speed of frames and traces of the run of `benchmarks.core`: a ring of 16 chips, 1e6 tasks, nothing contended."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from analysis import timeline_frame
from analysis.traces import write_trace_file
from benchmarks.core import cpu_s, ring
from benchmarks.table import Figure, Figures
from hw import System, load_chip, parse_topology
from simulator import (
    Communication,
    Engine,
    Kernel,
    OpGraph,
    Plan,
    PlannedKernel,
    PlannedKernels,
    Result,
    RunOptions,
    Traffic,
    Variant,
)

TASKS = 1_000_000
OPS = ("matmul", "vector", "matmul2", "send")


def finished_run(tasks: int, contended: bool = False) -> Result:
    """The ring of `benchmarks.core` as a result that analyses take."""
    program = ring(tasks, contended, 0.0)
    engine = Engine(program)
    engine.run()
    chip = load_chip("tpu_v5e")
    plan = Plan(System(chip, parse_topology("ring(16)", chip.links)), OpGraph({}, ()), RunOptions(), program=program)
    planned = []
    for name in OPS:
        communication = Communication(kind="send", nbytes=1.0) if name == "send" else None
        kernel = Kernel(name=name, ops=(name,), kind=name, communication=communication)
        times = {} if communication else {"matrix_unit": 1e-4}
        chips = tuple(range(16))
        planned.append(PlannedKernel(kernel, (Variant(kernel, 1.0, "", 0.0, times),), Traffic(), 0.0, name, chips))
    plan.kernels = PlannedKernels.listed(planned)
    return Result(plan, engine.begin, engine.end)


@cache
def large_run() -> Result:
    """The run that all rows are about."""
    return finished_run(TASKS)


def timeline() -> Figures:
    """The timeline as a DataFrame: best of three, and what it takes in memory."""
    result = large_run()
    best = min(cpu_s(lambda: timeline_frame(result)) for _ in range(3))
    size = timeline_frame(result).memory_usage(deep=True).sum()
    return {"CPU s": Figure(best), "MB": Figure(float(size) / 1e6)}


def trace() -> Figures:
    """A trace of every slice, with flows and counters."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        return {"CPU s": Figure(cpu_s(lambda: write_trace_file(large_run(), path)))}
