"""A run as traces that Holistic Trace Analysis loads: one Kineto file per rank.

Model: each chip is a rank; each of its queues a stream; each task a kernel. Analyses by name and stream then give what
ours give: temporal breakdown and communication-computation overlap are equal (`tests.analysis.traces.test_hta`).
That tool tells kernels apart by name: communication is `ncclDevKernel_...`, copies `Memcpy ...`; a fixed time alone is a
`Sync ...`, which it counts as neither. An op whose own name it would take for one of these goes by `op<number>`; the
name stands in args. It finds the rank with a pattern that wants a space after `"rank":`, and rounds to whole
microseconds unless HTA_DISABLE_NS_ROUNDING=1 is set in the environment. Messages of a collective that goes by messages
are left out: their collective is there.
Format: as written by the PyTorch profiler (schemaVersion 1).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from analysis.frames.steps import outer
from analysis.frames.timeline import timeline_frame
from analysis.traces.reading.file import ZERO
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd

_NOT_COMPUTE = re.compile(r"^nccl|Memcpy|Memset|dma|Sync|^Stream Wait Event|cuda.*LaunchKernel|^hip|^hccl|ncclKernel")
_ELSE = re.compile(
    r"^runFunction|^job_exe|^packet|^pe_exe|^cpum_exe_subgraph|^collective_subgraph_execution|^ProfilerStep"
)
_COLLECTIVES = {
    "all_reduce": "AllReduce_Sum_bf16_RING_LL",
    "all_gather": "AllGather_RING_LL",
    "reduce_scatter": "ReduceScatter_Sum_bf16_RING_LL",
    "broadcast": "Broadcast_RING_LL",
    "reduce": "Reduce_Sum_bf16_RING_LL",
}
_CATEGORY = {"arithmetic": "kernel", "network": "kernel", "memory": "gpu_memcpy", "other": "kernel"}


def write_hta(result: Result, folder: Path, packed: bool = False) -> list[Path]:
    """Write rank0.json, rank1.json, ... (.json.gz if packed) into `folder`; returns their paths. Raises OSError."""
    timeline = outer(timeline_frame(result))
    folder.mkdir(parents=True, exist_ok=True)
    size = result.plan.system.size
    paths = []
    for chip, rows in timeline.groupby("chip", sort=True):
        rank = int(str(chip))
        path = folder / f"rank{rank}.json{'.gz' if packed else ''}"
        paths.append(path)
        if packed:
            with gzip.open(path, "wt", encoding="utf-8", compresslevel=4) as out:
                _write_rank(rows, rank, size, out)
        else:
            with path.open("w", encoding="utf-8") as out:
                _write_rank(rows, rank, size, out)
    return paths


def _write_rank(rows: pd.DataFrame, rank: int, size: int, out: TextIO) -> None:
    about = {"backend": "nccl", "rank": rank, "world_size": size}
    # the default separators put the space after "rank": that the reader looks for
    out.write(
        f'{{"schemaVersion": 1,\n"distributedInfo": {json.dumps(about)},\n"displayTimeUnit": "ns",\n'
        f'"otherData": {{"{ZERO}": 0}},\n"traceEvents": [\n'
    )
    out.write(",\n".join(_events(rows, rank)))
    out.write("\n]}\n")


def _events(rows: pd.DataFrame, rank: int) -> Iterator[str]:
    kernels = _kernel_names(rows)
    streams = rows["queue"].cat.codes.to_numpy() + 7  # streams of kernels begin at 7 in practice; 0 is the host's
    begin = np.rint(rows["begin"].to_numpy() * 1e12)
    lasted = np.rint(rows["end"].to_numpy() * 1e12) - begin
    columns = (
        rows["op"],
        rows["does"],
        rows["task"],
        streams.tolist(),
        (begin / 1e6).tolist(),
        (lasted / 1e6).tolist(),
    )
    for op, does, task, stream, ts, dur in zip(*columns, strict=True):
        args = {"stream": stream, "device": rank, "correlation": int(task) + 1, "op": str(op), "does": str(does)}
        event = {"ph": "X", "cat": _CATEGORY[str(does)], "name": kernels[op, does], "pid": rank, "tid": stream}
        yield json.dumps({**event, "ts": ts, "dur": dur, "args": args})


def _kernel_names(rows: pd.DataFrame) -> dict[tuple[object, object], str]:
    """The name of every op's kernels, by op and what they do."""
    kinds = rows.drop_duplicates(["op", "does"])
    names: dict[tuple[object, object], str] = {}
    for number, (op, kind, does) in enumerate(zip(kinds["op"], kinds["kind"], kinds["does"], strict=True)):
        plain = f"op{number}" if _NOT_COMPUTE.search(str(op)) or _ELSE.search(str(op)) else str(op)
        names[op, does] = {
            "arithmetic": plain,
            "network": f"ncclDevKernel_{_COLLECTIVES.get(str(kind), 'SendRecv')}",
            "memory": f"Memcpy DtoD ({plain})",
            "other": f"Sync {plain}",
        }[str(does)]
    return names
