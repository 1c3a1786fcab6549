"""Memory of PyTorch training steps against one H100: peaks and static bytes of its allocator.

Model: the steps that are measured, as their programs spell them out: eager PyTorch in bf16, AdamW fused with states in the
dtype of the weights. What autograd keeps follows from the ops (`Training.eager`): the product of a gated unit keeps both
factors, cross-entropy its log-probabilities in fp32, the step's Python the logits until it is over, and attention's output
is copied behind rotated queries. Blocks of the allocator are multiples of 512 B; cuBLAS has a workspace of 32 MiB on Hopper
for each handle and stream: the forward thread's, the backward thread's and cublasLt's.
Not covered: autocast, compiled steps, attention with its scores in memory, vision models, inference: they are left out.
Source: PyTorch 2.11, torch/csrc/autograd (derivatives.yaml), c10/cuda/CUDACachingAllocator.cpp, at/cuda/CUDABlas.cpp; the
measurements are not part of the project.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from analysis import memory_frame, memory_owners
from hw import System, load_chip
from simulator import Parallel, Precision, RunOptions, Training, simulate, train_graph
from simulator.models import Attention, Embedding, Ffn, Head, Norm, Position, Transformer, parameters

ROWS = Path(__file__).parents[3] / "shared/validation/gpu/h100_endtoend.csv"

if not ROWS.exists():
    pytest.skip(f"the measurements are not here: {ROWS.name}", allow_module_level=True)

WORKSPACES = 3 * 32 * 2**20
BLOCK = 512
BF16 = Precision(moments="bf16")


def described(given: Mapping[str, Any]) -> Transformer:
    """The model that a row names."""
    gated, heads = given["act"] == "swiglu", given["heads"]
    return Transformer(
        name="measured",
        family="decoder" if given["causal"] else "encoder",
        layers=given["layers"],
        d_model=given["d"],
        attention=Attention(
            heads=heads,
            kv_heads=given["kv_heads"],
            head_dim=given["d"] // heads,
            causal=given["causal"],
            qkv_bias=given["bias"],
            out_bias=given["bias"],
        ),
        ffn=Ffn(d_ff=given["ff"], gated=gated, activation="silu" if gated else "gelu_tanh", bias=given["bias"]),
        norm=Norm(kind=given["norm"]),
        position=Position(kind=given["position"], longest=given["seq"]),
        head=Head() if given["vocab"] else Head(kind="none"),
        embedding=Embedding(vocab=given["vocab"], tied=given["tied"]) if given["vocab"] else None,
    )


@cache
def cases() -> list[dict[str, str]]:
    """Steps of models in eager mode, with and without recomputation."""
    lines = [line for line in ROWS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = (row for row in csv.DictReader(lines) if row["suite"] == "train" and row["phase"] == "step")
    return [row for row in rows if row["mode"] in ("eager", "eager+full")]


@cache
def errors(at: int) -> tuple[float, float]:
    """Relative errors of peak and static bytes of a case."""
    row = cases()[at]
    given = json.loads(row["params"])
    model, batch = described(given), given["batch"]
    assert parameters(model).total == given["parameters"]
    recompute = "full" if row["mode"] == "eager+full" else "none"
    training = Training(batch=batch, seq=given["seq"], precision=BF16, recompute=recompute, eager=True)
    graph = train_graph(model, Parallel(microbatch=batch), training)
    frame = memory_frame(simulate(graph, System(load_chip("h100_sxm")), RunOptions(overlap="full")))
    frame["bytes"] = -(-frame["bytes"] // BLOCK) * BLOCK
    static = frame.loc[frame["owner"].isin(["weights", "optimizer", "inputs"]), "bytes"].sum() + WORKSPACES
    peak = memory_owners(frame)["bytes"].sum() + WORKSPACES
    found = peak / float(row["peak_bytes"]) - 1, static / float(row["static_bytes"]) - 1
    name = f"{row['name']} {row['mode']} {batch} x {given['seq']}"
    print(f"{name:36} peak {peak / 1e9:7.3f} GB {found[0]:+.2%}, static {static / 1e9:7.3f} GB {found[1]:+.2%}")
    return found


def test_peaks_and_static_bytes_of_training_steps() -> None:
    assert len(cases()) >= 14
    found = [errors(at) for at in range(len(cases()))]
    peak, static = (sum(abs(each[which]) for each in found) / len(found) for which in (0, 1))
    print(f"mean error: peak {peak:.2%}, static {static:.2%}")
    assert peak <= 0.05
    assert static <= 0.02
    assert max(abs(each[0]) for each in found) <= 0.05
    assert max(abs(each[1]) for each in found) <= 0.03
