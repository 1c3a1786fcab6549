"""Memory of torchtitan's training steps of Llama 3.1 8B against what was measured on H100s.

Model: FSDP with and without context parallel. All is shared out, gathered in bf16 and summed in fp32 (FSDP2); the loss is
that of eager PyTorch in fp32 (`eager`); checkpointing is selective by op (`recompute: alternate`) or full; reserved bytes
are those of PyTorch's allocator with expandable segments.
Not covered: tensor and pipeline parallel, whose loss over a sharded vocabulary holds more; a compiled loss.
Source: pytorch/torchtitan, benchmarks (BSD-3); the measurements are not part of the project.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from analysis import memory_frame, memory_reserved
from hw import Mesh, System, load_chip, parse_topology
from scenarios.models import load_model
from simulator import Parallel, Precision, RunOptions, Training, simulate, train_graph
from simulator.models import Transformer

ROWS = Path(__file__).parents[3] / "shared/validation/public/torchtitan.csv"

if not ROWS.exists():
    pytest.skip(f"the measurements are not here: {ROWS.name}", allow_module_level=True)

FSDP2 = Precision(main_gradients="fp32", master="fp32")
RECOMPUTE = {"selective": "alternate", "full": "full"}


def rows() -> list[dict[str, str]]:
    """Those of torchtitan itself with neither tensor nor pipeline parallel."""
    with ROWS.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["tp"] == row["pp"] == "1" and row["source"].startswith("T")]


def reserved(row: dict[str, str]) -> float:
    """GiB that are reserved."""
    described = load_model("llama3_8b").description
    assert isinstance(described, Transformer)
    each = int(row["local_batch"])
    parallel = Parallel(dp=int(row["fsdp"]), cp=int(row["cp"]), zero=3, microbatch=each)
    training = Training(
        batch=each * parallel.dp, seq=int(row["seq"]), precision=FSDP2, recompute=RECOMPUTE[row["ac"]], eager=True
    )
    chip = load_chip("h100_sxm")
    system = System(chip, parse_topology(f"switch({parallel.chips}) over nvlink", chip.links), Mesh(parallel.mesh))
    result = simulate(train_graph(described, parallel, training), system, RunOptions(overlap="full"))
    return float(memory_reserved(memory_frame(result), expandable=True)["reserved"].max()) / 2**30


def test_reserved_bytes() -> None:
    errors = []
    for row in rows():
        found, want = reserved(row), float(row["memory_gib"])
        errors.append(found / want - 1)
        print(f"{row['gpus']:>3} GPUs {row['technique']} {row['ac']} {found:.1f} GiB of {want:.1f}: {errors[-1]:+.1%}")
    assert len(errors) == 5
    assert sum(map(abs, errors)) / len(errors) <= 0.05
    assert max(map(abs, errors)) <= 0.07
