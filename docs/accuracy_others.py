"""Operators that others have measured, beside runs: errors by file and group, of the files that are there.

Files: matmuls and collectives of github:ai-dynamo/aiconfigurator 095f58a51. Matmuls were measured without a timer around
each. A size of a collective is in elements; where one was measured several times, the median counts. What is added up as
int8 no switch adds up: such rows are left out.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator
from pathlib import Path

from hw import Mesh, System, load_chip, parse_topology
from scenarios.validation import Errors, errors_of
from simulator import OpGraph, RunOptions, parse_graph, simulate

_CHIPS = {"a100": "a100_80gb_sxm", "h100": "h100_sxm"}
_BURST = RunOptions(calibration="measured", clocks="burst")
_DTYPES = {"bfloat16": "bf16", "fp8": "fp8"}
_MIB = 2**20

_COLLECTIVES = {
    "all_reduce": "y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)",
    "all_gather": "y:bf16[N] = all_gather(x:bf16[N_X], over=X)",
    "reduce_scatter": "y:bf16[N_X] = reduce_scatter(x:bf16[N]{U_X}, over=X)",
    "alltoall": "y:bf16[M,N_X] = all_to_all(x:bf16[M_X,N], over=X)",
}


def judged_others(folder: Path) -> Iterator[tuple[str, Errors]]:
    """The errors of each group, with the name of its file."""
    for short, name in _CHIPS.items():
        for kind, judge in (("gemm", _matmuls), ("nccl", _collectives)):
            path = folder / "aiconfigurator" / f"{short}_{kind}.csv"
            if path.exists():
                with path.open(encoding="utf-8") as lines:
                    yield from ((path.name, each) for each in judge(list(csv.DictReader(lines)), name))


def _matmuls(rows: list[dict[str, str]], name: str) -> Iterator[Errors]:
    system = System(load_chip(name))
    for dtype, word in _DTYPES.items():
        errors = []
        for row in rows:
            if row["gemm_dtype"] == dtype:
                sizes = {dim: int(row[dim.lower()]) for dim in "MNK"}
                graph = parse_graph([f"y:bf16[M,N] = matmul(a:{word}[M,K], b:{word}[K,N])"], sizes)
                errors.append(simulate(graph, system, _BURST).time_s / (1e-3 * float(row["latency_ms"])) - 1)
        if errors:
            yield errors_of(dtype, errors, 0)


def _collectives(rows: list[dict[str, str]], name: str) -> Iterator[Errors]:
    measured: dict[tuple[str, int, int], list[float]] = {}
    for row in rows:
        if row["nccl_dtype"] == "half":
            key = row["op_name"], int(row["num_gpus"]), 2 * int(row["message_elements"])
            measured.setdefault(key, []).append(1e-3 * float(row["latency_ms"]))
    chip = load_chip(name)
    found = {}
    for (kind, chips, nbytes), times in measured.items():
        system = System(chip, parse_topology(f"switch({chips}) over nvlink", chip.links), Mesh({"X": chips}))
        time_s = simulate(_collective(kind, chips, nbytes), system, RunOptions(calibration="measured")).time_s
        found[kind, chips, nbytes] = time_s / statistics.median(times) - 1
    for label, least in (("all sizes", 0), ("from 1 MiB", _MIB), ("from 64 MiB", 64 * _MIB)):
        yield errors_of(label, [error for (_, _, nbytes), error in found.items() if nbytes >= least], 0)


def _collective(kind: str, chips: int, nbytes: int) -> OpGraph:
    """One collective; the bytes of an exchange are those of a chip."""
    sizes = {"M": chips, "N": nbytes // 2} if kind == "alltoall" else {"N": nbytes // 2}
    return parse_graph([_COLLECTIVES[kind]], sizes)
