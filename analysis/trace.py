"""The timeline as a Chrome/Perfetto trace: one process per chip, one thread per queue, one slice per task.

Format: the JSON object form of the Trace Event Format; times are microseconds. Written as a stream, a row at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

from simulator import Result

_PS_PER_US = 1e6


MAX_SLICES = 1_000_000
"""Slices beyond which only one chip of each class of alike ones is written."""


def trace_events(result: Result) -> Iterator[dict[str, Any]]:
    """Metadata events (names of processes and threads), then a complete event per task and chip."""
    plan, program = result.plan, result.plan.program
    simulated = sorted({lane.chip for lane in program.queues})
    whole = len(program) * plan.system.size <= MAX_SLICES * max(1, plan.classes)
    alike = {chip: plan.members(chip) if whole else [chip] for chip in simulated}
    for first in simulated:
        for chip in alike[first]:
            more = "" if whole else f", like {len(plan.members(first)) - 1} more"
            name = f"chip {chip} ({plan.system.chip_at(chip).name}{more})"
            yield {"ph": "M", "name": "process_name", "pid": chip, "tid": 0, "args": {"name": name}}
            yield {"ph": "M", "name": "process_sort_index", "pid": chip, "tid": 0, "args": {"sort_index": chip}}
    for number, lane in enumerate(program.queues):
        for chip in alike[lane.chip]:
            yield {"ph": "M", "name": "thread_name", "pid": chip, "tid": number + 1, "args": {"name": lane.name}}
    for task in range(len(program)):
        begin, end = result.begin_ps[task], result.end_ps[task]
        for queue in program.queues_of(task):
            first = program.queues[queue].chip
            planned = plan.kernels[plan.kernel_on(task, first)]
            for chip in alike[first]:
                yield {
                    "ph": "X",
                    "name": planned.kernel.name,
                    "cat": planned.kernel.kind,
                    "pid": chip,
                    "tid": queue + 1,
                    "ts": begin / _PS_PER_US,
                    "dur": (end - begin) / _PS_PER_US,
                    "args": {
                        "chunk": program.chunk[task],
                        "flops": planned.kernel.flops / planned.kernel.schedule.chunks,
                        "hbm_bytes": planned.hbm_bytes / planned.kernel.schedule.chunks,
                    },
                }


def write_trace(result: Result, out: TextIO) -> None:
    """Write the trace as JSON."""
    out.write('{"displayTimeUnit":"ns","traceEvents":[')
    for number, event in enumerate(trace_events(result)):
        out.write(",\n" if number else "\n")
        out.write(json.dumps(event, separators=(",", ":"), allow_nan=False))
    out.write("\n]}\n")
