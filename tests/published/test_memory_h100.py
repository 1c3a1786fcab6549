"""Memory of PyTorch training steps against one H100: peaks and static bytes of its allocator.

Model: the steps that are measured, as their programs spell them out: PyTorch, eager or compiled but for the loss, in bf16 or
under autocast, AdamW fused with states in the dtype of the weights; of vision models SGD with momentum. What autograd keeps
follows from the ops (`Training.eager`): the product of a gated unit keeps both factors, cross-entropy its
log-probabilities in fp32, the step's Python the logits until it is over, and attention's output is copied behind rotated
queries, of which a compiler keeps both forms, too.
Blocks of the allocator are multiples of 512 B; cuBLAS keeps a workspace of 32 MiB on Hopper for each handle and
stream: the forward thread's, the backward thread's and cublasLt's. Vision models ran behind inference in one process, which
had multiplied on eleven streams more: one of a trace, and one for the warm-up of each of ten captured decode steps. Such a
step has a stream of its own, with cuBLAS's and cublasLt's workspaces. Prefill as it was measured keeps no cache.
Inference of a vision model is a forward pass in which a block's Python holds what it was called with until it returns.
Not covered: attention with its scores in memory.
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

import pandas as pd
import pytest

from analysis import memory_frame, memory_owners
from hw import System, load_chip
from scenarios.models import load_model
from scenarios.validation import model_of
from simulator import (
    Forward,
    Inference,
    OpGraph,
    Parallel,
    Precision,
    RunOptions,
    Training,
    forward_graph,
    inference_graph,
    precision_of,
    simulate,
    train_graph,
)
from simulator.models import parameters

ROWS = Path(__file__).parents[3] / "shared/validation/gpu/h100_endtoend.csv"

if not ROWS.exists():
    pytest.skip(f"the measurements are not here: {ROWS.name}", allow_module_level=True)

WORKSPACE = 32 * 2**20
BLOCK = 512
STREAMS_BEFORE = 11
BF16 = Precision(moments="bf16")
MODES: Mapping[str, Mapping[str, Any]] = {
    "eager": {"precision": BF16, "eager": True},
    "eager+full": {"precision": BF16, "eager": True, "recompute": "full"},
    "eager+amp": {"precision": precision_of("amp_bf16"), "eager": True},
    "compile": {"precision": BF16, "eager": "loss"},
}
VISION: Mapping[str, Mapping[str, Any]] = {
    "eager": {"precision": precision_of("fp32"), "eager": True, "optimizer": "sgd"},
    "eager+amp": {"precision": precision_of("amp_bf16"), "eager": True, "optimizer": "sgd"},
}


FORWARD: Mapping[str, Mapping[str, Any]] = {
    "infer+amp": {"precision": precision_of("amp_bf16"), "eager": True},
}


@cache
def cases(suite: str) -> list[dict[str, str]]:
    """Steps of a suite in the modes that are covered."""
    lines = [line for line in ROWS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = (row for row in csv.DictReader(lines) if row["suite"] == suite and row["phase"] == "step")
    return [row for row in rows if row["mode"] in (MODES if suite == "train" else {**VISION, **FORWARD})]


def frame_of(row: Mapping[str, str]) -> pd.DataFrame:
    """The memory frame of a case."""
    given = json.loads(row["params"])
    batch = given["batch"]
    if row["suite"] == "train":
        model: Any = model_of(given)
        training = Training(batch=batch, seq=given["seq"], **MODES[row["mode"]])
    else:
        model = load_model(row["name"]).description
        training = Training(batch=batch, seq=0, **VISION.get(row["mode"], {}))
    assert parameters(model).total == given["parameters"]
    if row["mode"] in FORWARD:
        return in_blocks(forward_graph(model, Parallel(), Forward(batch=batch, **FORWARD[row["mode"]])))
    return in_blocks(train_graph(model, Parallel(microbatch=batch), training))


def in_blocks(graph: OpGraph) -> pd.DataFrame:
    """The memory frame of a run, tensors as large as the blocks of the allocator that they take."""
    frame = memory_frame(simulate(graph, System(load_chip("h100_sxm")), RunOptions(overlap="full")))
    frame["bytes"] = -(-frame["bytes"] // BLOCK) * BLOCK
    return frame


def errors(row: Mapping[str, str], workspaces: int) -> tuple[float, float]:
    """Relative errors of peak and static bytes of a case."""
    frame = frame_of(row)
    stored = frame["owner"].isin(["weights", "optimizer", "inputs"]) & frame["given"]
    static = frame.loc[stored, "bytes"].sum() + workspaces
    peak = memory_owners(frame)["bytes"].sum() + workspaces
    found = peak / float(row["peak_bytes"]) - 1, static / float(row["static_bytes"]) - 1
    name = f"{row['name']} {row['mode']} {json.loads(row['params'])['batch']}"
    print(f"{name:36} peak {peak / 1e9:7.3f} GB {found[0]:+.2%}, static {static / 1e9:7.3f} GB {found[1]:+.2%}")
    return found


@pytest.mark.long
@pytest.mark.parametrize(("suite", "least", "workspaces"), [("train", 18, 3), ("vision", 5, 3 + STREAMS_BEFORE)])
def test_peaks_and_static_bytes_of_steps(suite: str, least: int, workspaces: int) -> None:
    assert len(cases(suite)) >= least
    found = [errors(row, workspaces * WORKSPACE) for row in cases(suite)]
    peak, static = (sum(abs(each[which]) for each in found) / len(found) for which in (0, 1))
    print(f"mean error: peak {peak:.2%}, static {static:.2%}")
    assert peak <= 0.02
    assert static <= 0.02
    assert max(abs(each[0]) for each in found) <= 0.03
    assert max(abs(each[1]) for each in found) <= 0.03
    compiled = [each[0] for each, row in zip(found, cases(suite), strict=True) if row["mode"] == "compile"]
    assert all(abs(each) <= 0.01 for each in compiled)
    inference = [each[0] for each, row in zip(found, cases(suite), strict=True) if row["mode"] in FORWARD]
    assert all(abs(each) <= 0.02 for each in inference)


def inferred(row: Mapping[str, str]) -> tuple[float, float]:
    """Relative errors of peak and static bytes of a case of inference."""
    given = json.loads(row["params"])
    batch, is_prefill = given["batch"], row["mode"] == "prefill"
    if is_prefill:
        how = Inference(mode="prefill", batch=batch, seq=given["seq"])
    else:
        how = Inference(mode="decode", batch=batch, context=given["context"])
    frame = in_blocks(inference_graph(model_of(given), Parallel(microbatch=batch), how))
    if is_prefill:
        frame = frame[frame["owner"] != "kv cache"]
    workspaces = WORKSPACE * (5 if row["mode"] == "decode_graph" else 3)
    static = frame.loc[frame["given"], "bytes"].sum() + workspaces
    peak = memory_owners(frame)["bytes"].sum() + workspaces
    found = peak / float(row["peak_bytes"]) - 1, static / float(row["static_bytes"]) - 1
    name = f"{row['name']} {row['mode']} {batch} x {given['seq' if is_prefill else 'context']}"
    print(f"{name:36} peak {peak / 1e9:7.3f} GB {found[0]:+.2%}, static {static / 1e9:7.3f} GB {found[1]:+.2%}")
    return found


def test_bytes_of_inference() -> None:
    lines = [line for line in ROWS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [row for row in csv.DictReader(lines) if row["suite"] == "infer" and row["phase"] == "step"]
    assert len(rows) >= 14
    found = [inferred(row) for row in rows]
    peak, static = (sum(abs(each[which]) for each in found) / len(found) for which in (0, 1))
    print(f"mean error: peak {peak:.2%}, static {static:.2%}")
    assert peak <= 0.02
    assert static <= 0.02
    assert max(abs(each[0]) for each in found) <= 0.05
    assert max(abs(each[1]) for each in found) <= 0.025
