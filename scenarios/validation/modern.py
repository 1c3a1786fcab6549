"""Measured training steps of today's frameworks: a model of the catalogue, its formats and parallelism, as a step here.

Model: torchtitan shares out weights (FSDP2, `engine: pytorch`), in bf16 or, for matmuls of the blocks, fp8, with fp32
masters and reductions (`mixed_precision_reduce`); under a pipeline weights stay gathered and gradients whole until the
last microbatch (`zero: 1`); 'selective' recomputation keeps every second matmul and attention; its pipelines cut a
replica's batch into as many microbatches as they have stages (without a word of `pipeline_parallel_microbatches`).
Megatron-Core with Transformer Engine: bf16 with fp32 gradients and masters, or matmuls of the blocks in fp8; flash
attention, gradients added up by the matmuls that make them, the optimizer shared out (ZeRO-1; where a row says FSDP, all of
it), sequence parallelism wherever tensor parallelism is, gradients clipped and reduced beside the backward pass unless the
row says otherwise, ops that a host issues one by one unless it says otherwise.
Experts lie whole on as many chips as a row says, those that share a tensor or a sequence among them.
Where a row says so (`expert_nodes`) a token goes to each node that has experts for it once (DeepEP, HybridEP), else to
each expert. Where it says so (`gradients`) these are added up and reduced in bf16 (`grad_reduce_in_fp32` is off in all
recipes of Megatron-Bridge).
Where a row says so (`schedule: paired`) exchanges of experts lie behind another microbatch's pass.
Where a row says so (`collective_matmul`) matmuls and their tensor-parallel communication come in pieces that overlap: 4 in
Megatron-Bridge's dense recipes for H100 (Transformer Engine's userbuffers, `num_splits`), as many as chips share a tensor in
torchtitan's asynchronous tensor parallelism.
In fp8 numbers are scaled by the largest of each tensor, or as a row says (`scaling`). In fp4 (NVFP4) the matmuls of blocks
take both operands in four bits, forwards and backwards, at the chip's rate for them, from weights that stay in bf16; the
kernels of its casts find the largest of a tensor, whose scale stands beside those of its blocks of 16. Kernels are
Transformer Engine's,
issued by Python, where a row says so (`dispatch: fused`); experts are gone through one by one, and the host waits for how
many tokens they get, unless tokens beyond a capacity are dropped (`dropless: false`).
Assumes: dense matmuls in one format; stages that wait for what they send; balanced experts. No number is fitted.
Source: NVIDIA Megatron-LM and Megatron-Bridge, docs/performance-summary, scripts/performance/configs (llama; qwen, where
nothing of tensor parallelism overlaps and the router is made to balance), training/comm_overlap.py; pytorch/torchtitan
benchmarks/llama3_h100_202412_torchtitan.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast, get_args

from scenarios.models import load_model, model_called, no_model
from scenarios.validation.left_out import LeftOutError
from scenarios.validation.training_rows import TrainingRow
from simulator import PAIRED, Parallel, Precision, Training, precision_of
from simulator.models import Transformer

Schedule = Literal["gpipe", "1f1b", "interleaved", "zero_bubble", "paired"]
Context = Literal["gather", "all_to_all", "ring"]

MEGATRON, TORCHTITAN = "megatron-core", "torchtitan"
"""What a row's `framework` says."""

_SCHEDULES: Mapping[str, tuple[str, ...]] = {
    MEGATRON: PAIRED,
    TORCHTITAN: ("gpipe", "interleaved", "zero_bubble"),
}
"""Schedules that a row may name."""

SAYS = ("seq", "global_batch", "tp", "pp", "dp", "n_chips")
"""What such a row has to say."""

_PRECISIONS: Mapping[str, Precision] = {
    "bf16": Precision(gradients="fp32", main_gradients="fp32", master="fp32"),
    "fp8": precision_of({"base": "fp8", "scaling": "current"}, "training"),
    "fp4": precision_of({"base": "fp8", "weights": "bf16", "matmul": "fp4", "scaling": "current"}, "training"),
}


def megatron_core(row: TrainingRow, sizes: Mapping[str, int]) -> tuple[Transformer, Parallel, Training]:
    """The step of a row. Raises LeftOutError for what has no form here."""
    interleave, experts = row.count("interleave") or 1, row.count("ep") or 1
    model, cp = _model(row), row.count("cp") or 1
    # experts lie whole on chips, of which those that share a tensor or a sequence are some
    whole = model.moe is not None and experts > 1 and sizes["tp"] * cp > 1
    beside = sizes["tp"] * cp if whole else 1
    if experts % beside:
        raise LeftOutError(f"experts lie on {experts} chips, no multiple of {beside} that share a tensor or a sequence")
    parallel = Parallel(
        dp=_without_experts(model, sizes["dp"], experts // beside),
        ep=experts // beside,
        whole_experts=whole,
        tp=sizes["tp"],
        pp=sizes["pp"],
        cp=cp,
        zero=3 if row.text("sharding").startswith("FSDP") else 1,
        microbatch=row.count("micro_batch") or 1,
        sequence=sizes["tp"] > 1,
        schedule=_schedule(row, MEGATRON),
        interleave=interleave,
        context=_context(row),
        overlap_gradients=row.text("overlap") != "none",
        layers=_ends_apart(row, sizes["pp"] * interleave),
        collective_matmul=row.count("collective_matmul") or 1,
        expert_nodes=row.count("expert_nodes") or 1,
        imbalance=float(row.text("capacity") or 1.0),
    )
    training = Training(
        batch=sizes["global_batch"],
        seq=sizes["seq"],
        precision=_formats(row),
        recompute=_recompute(row),
        clip=True,
        engine="megatron",
        dropless=row.text("dropless") != "false",
    )
    return model, parallel, training


def _schedule(row: TrainingRow, framework: str) -> Schedule:
    """The schedule of a row's pipeline, as it says or as its chunks have it. Raises LeftOutError for one that the framework
    has not."""
    said = row.text("schedule")
    if said and said not in _SCHEDULES[framework]:
        raise LeftOutError(f"schedule {said} is not known of {framework}")
    return cast(Schedule, said) if said else "interleaved" if (row.count("interleave") or 1) > 1 else "1f1b"


def _recompute(row: TrainingRow) -> str | int:
    """What is recomputed: a word, or of how many blocks all is."""
    said = row.text("recompute") or "none"
    return int(said) if said.isdigit() else said


def _context(row: TrainingRow) -> Context:
    """How context-parallel chips attend, as a row says; over gathered keys and values where it does not."""
    said = row.text("context") or "gather"
    if said not in get_args(Context):
        raise LeftOutError(f"context {said} is not known: {', '.join(get_args(Context))}")
    return cast(Context, said)


def _formats(row: TrainingRow) -> Precision:
    """The formats of a row: fp8 is scaled by each tensor's largest number, and Megatron-Core adds gradients up in fp32,
    unless it says otherwise. Raises SpecError for a scaling that is not known."""
    dtype, said, scaling = row.text("dtype"), row.text("gradients"), row.text("scaling")
    if dtype not in _PRECISIONS:
        raise LeftOutError(f"{dtype or 'a format that it does not say'} with {row.text('framework')}")
    found = _PRECISIONS[dtype]
    if scaling:
        found = replace(found, scaling=precision_of({"scaling": scaling}, "training").scaling)
    return replace(found, gradients=said, main_gradients=said) if said else found


def _ends_apart(row: TrainingRow, chunks: int) -> tuple[int, ...]:
    """How many layers each chunk has where the first has the embedding alone and the last the head; else as it is usual."""
    if row.text("ends") != "apart":
        return ()
    each, rest = divmod(_model(row).layers, chunks - 2)
    if rest:
        raise LeftOutError("layers between the ends that cannot be shared out evenly")
    return (0, *[each] * (chunks - 2), 0)


def torchtitan(row: TrainingRow, sizes: Mapping[str, int]) -> tuple[Transformer, Parallel, Training]:
    """The step of a row. Raises LeftOutError for what has no form here."""
    model, experts = _model(row), row.count("ep") or 1
    parallel = Parallel(
        dp=_without_experts(model, sizes["dp"], experts),
        ep=experts,
        tp=sizes["tp"],
        pp=sizes["pp"],
        cp=row.count("cp") or 1,
        # pipelines keep weights gathered, and gradients whole, until the last microbatch
        zero=3 if sizes["pp"] == 1 else 1,
        shard=row.count("shard"),
        microbatch=max(1, (row.count("micro_batch") or 1) // sizes["pp"]),
        schedule=_schedule(row, TORCHTITAN),
        interleave=row.count("interleave") or 1,
        collective_matmul=row.count("collective_matmul") or 1,
    )
    asked = row.text("recompute") or "none"
    training = Training(
        batch=sizes["global_batch"],
        seq=sizes["seq"],
        precision=replace(_formats(row), gradients="fp32"),
        recompute="alternate" if asked == "selective" else asked,
        clip=True,
        eager=row.text("dispatch") in ("", "eager"),
        engine="pytorch",
    )
    return model, parallel, training


def _without_experts(model: Transformer, replicas: int, experts: int) -> int:
    """Replicas of the experts. Raises LeftOutError where they cannot lie so."""
    if experts > 1 and model.moe is None:
        raise LeftOutError(f"{model.name} has no experts to lie on {experts} chips")
    if replicas % experts:
        raise LeftOutError("experts lie on more chips than share the batch")
    return replicas // experts


def _model(row: TrainingRow) -> Transformer:
    """The model of the catalogue that a row names, with as many layers, blocks without experts in front and heads of keys
    and values as it says."""
    name = model_called(row.model)
    described = load_model(name).description if name is not None else None
    if name is None:
        raise LeftOutError(no_model(row.model))
    if not isinstance(described, Transformer):
        raise LeftOutError(f"{row.model} is no transformer")
    kv_heads, dense = row.count("kv_heads"), row.count("first_dense")
    if kv_heads:
        described = replace(described, attention=replace(described.attention, kv_heads=kv_heads))
    if dense is not None and described.moe is not None:
        described = replace(described, moe=replace(described.moe, first_dense=dense))
    return replace(described, layers=row.count("layers") or described.layers)
