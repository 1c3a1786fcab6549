"""Memory of torchtitan's training steps of Llama 3.1 against what was measured on H100s and H200s.

Model: FSDP with and without context or tensor parallel. All is shared out, gathered in bf16 and summed in fp32 (FSDP2);
the loss is that of eager PyTorch in fp32 (`eager`), but in 2025 (the H200s) it is compiled with the model: logits and
their gradient stay in bf16, and what is wider stays in registers; checkpointing is selective by op
(`recompute: alternate`) or full; reserved bytes are those of PyTorch's allocator with expandable segments. With tensor
parallel the loss is PyTorch's over a sharded vocabulary (`loss_parallel`), and four tensors of logits in fp32 are held
at once.
Not covered: pipelines, which keep gathered weights and whole gradients in fp32 (as `zero: 1`), and 13 to 20 % more.
Source: pytorch/torchtitan, benchmarks (BSD-3), those of 2024-12 (commit 9dec370, only blocks are compiled) and of Trainy,
2025-06 (commit e7c0cae, `components/loss.py` compiles the loss); the measurements are not part of the project.
"""

from __future__ import annotations

import csv
from dataclasses import replace
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
COMPILED_LOSS = replace(FSDP2, logits="bf16")
MODELS = {"llama3.1-8b": "llama3_8b", "llama3.1-70b": "llama3_70b"}
RECOMPUTE = {"selective": "alternate", "full": "full"}


def rows(*, tensor: bool = False) -> list[dict[str, str]]:
    """Those without pipelines, with or without tensor parallel."""
    with ROWS.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["pp"] == "1" and (row["tp"] != "1") == tensor]


def reserved(row: dict[str, str]) -> float:
    """GiB that are reserved."""
    described = load_model(MODELS[row["model"]]).description
    assert isinstance(described, Transformer)
    each, compiled = int(row["local_batch"]), row["source"] == "trainy"
    parallel = Parallel(dp=int(row["fsdp"]), tp=int(row["tp"]), cp=int(row["cp"]), zero=3, microbatch=each)
    training = Training(
        batch=each * parallel.dp,
        seq=int(row["seq"]),
        precision=COMPILED_LOSS if compiled else FSDP2,
        recompute=RECOMPUTE[row["ac"]],
        eager=not compiled,
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
    assert len(errors) == 6
    assert sum(map(abs, errors)) / len(errors) <= 0.05
    assert max(map(abs, errors)) <= 0.07


def test_reserved_bytes_of_a_sharded_loss() -> None:
    (row,) = rows(tensor=True)
    found, want = reserved(row), float(row["memory_gib"])
    print(
        f"{row['gpus']:>3} GPUs {row['technique']} {row['ac']} {found:.1f} GiB of {want:.1f}: {found / want - 1:+.1%}"
    )
    assert found == pytest.approx(want, rel=0.10)
