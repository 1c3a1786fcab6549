"""Memory of vision models in PyTorch against one H100: peaks and static bytes of its allocator.

Model: torchvision's ResNet-50 and ViT-L/16, in fp32 and under autocast, SGD with momentum. What autograd keeps follows from
the ops (`eager`): a convolution its input and a batch norm its own, which are two tensors; a relu its output, and a pool
int64 places beside it; under autocast weights are cast once a step and kept, and what no matmul makes is fp32 in a
transformer; a block's Python holds what it was called with until it returns. Blocks of the allocator are multiples of 512 B.
What the process had allocated before the first of these cases (workspaces, and what cases of other suites left behind) is in
every row and none of their own: it is read off one row, that of inference, as what its static bytes have beside weights,
statistics and images. All else is compared: static bytes of the others, and every peak, which is also compared by what a
step adds to the static bytes.
Source: PyTorch 2.11, torch/csrc/autograd (derivatives.yaml), aten/src/ATen/autocast_mode.h; torchvision models/resnet.py,
vision_transformer.py; the measurements are not part of the project.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path

import pytest

from analysis import memory_frame, memory_owners
from hw import System, load_chip
from scenarios.models import load_model
from simulator import PRECISIONS, Forward, Parallel, RunOptions, Training, forward_graph, simulate, train_graph
from simulator.models import parameters

ROWS = Path(__file__).parents[3] / "shared/validation/gpu/h100_endtoend.csv"

if not ROWS.exists():
    pytest.skip(f"the measurements are not here: {ROWS.name}", allow_module_level=True)

BLOCK = 512


@cache
def cases() -> list[dict[str, str]]:
    lines = [line for line in ROWS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if row["suite"] == "vision" and row["phase"] == "step"]


def infers(row: dict[str, str]) -> bool:
    return "infer" in row["mode"]


@cache
def computed(at: int) -> tuple[float, float]:
    """Peak and static bytes of a case, without what was there before."""
    row = cases()[at]
    model, batch = load_model(row["name"]).description, json.loads(row["params"])["batch"]
    assert parameters(model).total == json.loads(row["params"])["parameters"]
    precision = PRECISIONS["amp_bf16" if "amp" in row["mode"] else "fp32"]
    if infers(row):
        graph = forward_graph(model, Parallel(), Forward(batch=batch, precision=precision, eager=True))
    else:
        how = Training(batch=batch, precision=precision, optimizer="sgd", eager=True)
        graph = train_graph(model, Parallel(microbatch=batch), how)
    frame = memory_frame(simulate(graph, System(load_chip("h100_sxm")), RunOptions(overlap="full")))
    frame["bytes"] = -(-frame["bytes"] // BLOCK) * BLOCK
    static = frame.loc[frame["owner"].isin(["weights", "optimizer", "inputs"]), "bytes"].sum()
    return memory_owners(frame)["bytes"].sum(), static


@cache
def before() -> float:
    """What was allocated before the first case."""
    (at,) = (at for at, row in enumerate(cases()) if infers(row))
    return float(cases()[at]["static_bytes"]) - computed(at)[1]


def test_peaks_and_static_bytes_of_vision_models() -> None:
    assert len(cases()) >= 5
    peaks: list[float] = []
    inference: list[float] = []
    for at, row in enumerate(cases()):
        peak, static = computed(at)
        want_peak, want_static = float(row["peak_bytes"]), float(row["static_bytes"])
        total, stood = (each + before() for each in (peak, static))
        adds = (peak - static) / (want_peak - want_static) - 1
        found = total / want_peak - 1, stood / want_static - 1
        print(f"{row['name']:9} {row['mode']:10} peak {found[0]:+.2%}, of a step {adds:+.2%}, static {found[1]:+.2%}")
        (inference if infers(row) else peaks).append(abs(found[0]))
        assert abs(adds) <= 0.05
        assert abs(found[1]) <= 0.02
    print(f"mean error of training peaks {sum(peaks) / len(peaks):.2%}")
    assert sum(peaks) / len(peaks) <= 0.05
    assert max(inference) <= 0.02
