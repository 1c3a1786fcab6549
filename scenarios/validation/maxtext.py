"""Measured training steps of MaxText on TPUs: what its recipes ask for, as a step here.

Model: weights shared out over all chips of a slice (FSDP), whole copies of them on other slices, which exchange
gradients over the data-center network; where a recipe says so, tensor or context parallelism inside a slice. Weights in
fp32, cast to bf16 before they are gathered; AdamW. XLA fuses what is element-wise and issues the whole step at once;
gathers of weights stand in the open (seen in every second row of v6e and TPU7x: told to be a layer ahead, steps are too
fast by what they take), gradients go out beside the backward pass. What recipes keep in the memory of the host instead
of recomputing it (`offload`) crosses PCIe beside everything else, at the data sheet's rate. Weights may be shared out
among a part of a slice (`shard`). Unless a recipe asks for one (sa_use_fused_bwd_kernel), splash attention's backward
pass has two kernels (`backward`).
Where experts have a capacity, all of it is computed (`imbalance`), and tokens come to it by matmuls with masks
(`sparse_matmul=False`: its layers/moe.py, dense_matmul).
Assumes: no gradients are clipped in two passes. No number is fitted.
Source: github:AI-Hypercomputer/tpu-recipes (training/trillium, v5p, ironwood), github:AI-Hypercomputer/maxtext
src/maxtext/configs/tpu/v5e/*.sh; its get_individual_scales and calculate_tflops_training_per_device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from hw import Mesh, System, load_chip, load_system, parse_topology
from scenarios.models import load_model, model_called, no_model
from scenarios.validation.left_out import LeftOutError
from scenarios.validation.scaled import SCALED, scaled
from scenarios.validation.training_rows import TrainingRow
from simulator import Parallel, Precision, Training
from simulator.models import Transformer

MAXTEXT = "maxtext"
"""What a row's `framework` says."""

_PRECISIONS: Mapping[str, Precision] = {
    "bf16": Precision(master="fp32"),
    "fp8": Precision(weights="bf16", matmul="fp8", master="fp32"),
    "int8": Precision(weights="bf16", matmul="int8", master="fp32"),
}


@dataclass(frozen=True, slots=True)
class Pod:
    """A kind of TPU: its chip, the system of its slices (where none ships: a torus), and by chips of a slice its shape."""

    chip: str
    system: str | None
    slices: Mapping[int, str]


PODS: Mapping[str, Pod] = {
    "TPU v5e": Pod("tpu_v5e", "tpu_v5e", {256: "16x16"}),
    "TPU v6e": Pod("tpu_v6e", "tpu_v6e", {8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}),
    "TPU v5p": Pod(
        "tpu_v5p",
        "tpu_v5p",
        {64: "4x4x4", 128: "4x4x8", 256: "4x8x8", 512: "8x8x8", 1024: "8x8x16", 2048: "8x16x16"},
    ),
    "TPU7x": Pod("tpu_v7", None, {64: "4x4x4", 128: "4x4x8", 256: "4x8x8"}),
}
"""The kinds of TPU that rows name."""


_APART = {"calibration.measured.attention_like": "tpu_splash_apart"}
"""Splash attention whose backward pass has a kernel for gradients of queries and one for those of keys and values."""


@cache
def pod_system(name: str, chips: int, slices: int, tp: int = 1, apart: bool = False) -> System:
    """So many slices of chips together. `tp`: chips that share a tensor, which lie along one axis, the first; `apart`:
    attention goes back in two kernels. Raises LeftOutError for a slice that has no shape here."""
    pod, each = PODS[name], chips // slices
    if each not in pod.slices or each * slices != chips:
        raise LeftOutError(f"{slices} slices of {chips} chips of {name} have no shape here")
    axes = sorted(pod.slices[each].split("x"), key=lambda axis: int(axis) != tp)
    shape, chip = "x".join(axes), load_chip(pod.chip, set=_APART if apart else {})
    if pod.system is not None:
        return replace(load_system(pod.system, slice=shape, nodes=slices if slices > 1 else None), chip=chip)
    topology = parse_topology(f"torus({shape.replace('x', ',')}) over ici", chip.links)
    return System(chip, topology, Mesh({"X": each}))


def maxtext(row: TrainingRow, sizes: Mapping[str, int]) -> tuple[Transformer, Parallel, Training]:
    """The step of a row. Raises LeftOutError for what has no form here."""
    if row.text("dtype") not in _PRECISIONS:
        raise LeftOutError(f"{row.text('dtype') or 'a format that it does not say'} with MaxText")
    model = scaled(row.model) if row.model.startswith(SCALED) else _catalogued(row.model)
    slices, dp = row.count("slices") or 1, sizes["dp"]
    parallel = Parallel(
        dp=dp,
        tp=sizes["tp"],
        cp=row.count("cp") or 1,
        zero=3,
        prefetch=0,
        shard=row.count("shard") or (dp // slices if slices > 1 else None),
        microbatch=max(1, sizes["global_batch"] // dp),
        imbalance=float(row.text("capacity") or 1.0),
    )
    training = Training(
        batch=sizes["global_batch"],
        seq=sizes["seq"],
        precision=_PRECISIONS[row.text("dtype")],
        recompute=row.text("recompute") or "none",
        one_hot=bool(row.text("capacity")),
        offload=tuple(row.text("offload").split()),
        expert_biases="fused" if row.text("capacity") else "gathered",
    )
    return model, parallel, training


def _catalogued(name: str) -> Transformer:
    known = model_called(name)
    described = load_model(known).description if known is not None else None
    if not isinstance(described, Transformer):
        raise LeftOutError(no_model(name))
    return described
