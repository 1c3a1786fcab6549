"""How a measured training step was run: its model, parallelism and framework as a row tells them, as a step here.

Model: recipes told apart by what the row says of its framework (`scenarios.validation.modern` has today's), else of
sharding; none has a number that is fitted.
- Megatron-LM as of 2021 and 2022: fp16 with fp32 masters, scores in memory behind a fused softmax, or all in fp32; dropout,
  gradients clipped, and reduced behind the backward pass, stages that wait for what they send, a vocabulary padded to 128 a
  chip, ops that a host issues one by one.
- Megatron Core as of 2025 (ZeRO-1): bf16 with fp32 gradients and masters, the optimizer shared out, flash attention,
  models of Llama's shape (gated, RMS norms, rotated, no biases, a head of its own), nothing overlapped, gradients
  clipped.
- FSDP of PyTorch as of 2023: bf16 with fp32 masters, weights (FULL_SHARD) or gradients and optimizer (SHARD_GRAD_OP)
  shared out, gathered and reduced in the open (`engine: fsdp1`), flash attention, no biases, tied embeddings, gradients
  clipped, ops that a host issues one by one; before PyTorch 2.1 (rows whose notes say PURE) a block is recomputed to its
  end.
Assumes: learned positions, GELU; where a row does not say no interleaving and one sequence a microbatch, of Megatron-LM as
many more as its fused softmax asks for (2 of the 18.4 B and the 76.1 B); nodes of eight.
Source: Narayanan et al. 2021; Korthikanti et al. 2022; Bang et al. 2024 (vTrain), its repository's configuration (1F1B, full
recomputation); mosaicml/llm-foundry scripts/train/benchmarking (README.md; submit_benchmarks.py, whose first version has the
image of PyTorch 1.13.1 and mixed precision PURE, its later ones DEFAULT, with images of 2.1) and its configurations of MPT;
mosaicml/composer (`backward_prefetch` is BACKWARD_POST, which prefetches no weights beside gradients); pytorch/pytorch issue
106177 (2.1 nightly: gathers of the forward pass and reductions of the backward pass overlap not), pull 96866 (early stop).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast, get_args

from hw import System
from scenarios.validation.left_out import LeftOutError
from scenarios.validation.machines import NODE, machine_called, machine_system
from scenarios.validation.maxtext import MAXTEXT, PODS, maxtext, pod_system
from scenarios.validation.modern import MEGATRON, SAYS, TORCHTITAN, megatron_core, torchtitan
from scenarios.validation.tables import LEFT_OUT
from scenarios.validation.training_rows import TrainingRow
from simulator import Dispatch, Parallel, Precision, RunOptions, Training, precision_of, softmax_sequences
from simulator.models import Attention, Embedding, Ffn, Head, Norm, Position, Transformer

_FP16 = Precision(compute="fp16", weights="fp16", gradients="fp16", main_gradients="fp32", master="fp32", kv="fp16")
_LM_PRECISIONS = {"fp16": _FP16, "fp32": precision_of("fp32", "training")}
_BF16 = Precision(main_gradients="fp32", master="fp32")

_SAYS = ("layers", "hidden", "heads", "ffn", "seq", "vocab", "global_batch", "tp", "pp", "dp", "n_chips")
"""What a row has to say."""

MOST: Mapping[str, int] = {"layers": 10_000}
MOST_OF_ALL = 10_000_000
"""Counts beyond these are slips: of no model, job or batch that was ever measured."""

_NODE_RATE = re.compile(r"(\d+(?:\.\d+)?) Gbps/node")

_PADDED = 128
"""Rows of a vocabulary that each tensor-parallel chip has are a multiple of this (Megatron-LM)."""


@dataclass(frozen=True, slots=True)
class Told:
    """A row as a step: what the simulator is asked."""

    model: Transformer
    parallel: Parallel
    training: Training
    system: System
    options: RunOptions


def told(row: TrainingRow) -> Told:
    """The step of a row. Raises LeftOutError with what it does not say, or what is not known here."""
    modern: Mapping[str, Recipe] = {MEGATRON: megatron_core, TORCHTITAN: torchtitan, MAXTEXT: maxtext}
    framework = row.text("framework")
    if row.text(LEFT_OUT):
        raise LeftOutError(row.text(LEFT_OUT))
    if framework and framework not in modern:
        raise LeftOutError(f"framework {framework} is not known")
    if framework == MAXTEXT and not row.text("chip"):
        raise LeftOutError(f"the recipe of {row.model} is not known here")
    says = SAYS if framework else _SAYS
    silent = [name for name in says if not row.text(name)]
    if row.measured_s is None:
        silent.append("measured seconds")
    if silent:
        raise LeftOutError(f"does not say {', '.join(silent)}")
    for name in says:
        if not 1 <= (row.count(name) or 0) <= MOST.get(name, MOST_OF_ALL):
            most = MOST.get(name, MOST_OF_ALL)
            raise LeftOutError(f"{name} is {row.text(name)}, and no whole number from 1 to {most:,}")
    sizes = {name: row.count(name) or 0 for name in says}
    machine = machine_called(row.text("chip"))
    if machine is None and row.text("chip") not in PODS:
        raise LeftOutError(f"chip {row.text('chip')} is not known by that name")
    if sizes["tp"] * sizes["pp"] * sizes["dp"] * (row.count("cp") or 1) != sizes["n_chips"]:
        raise LeftOutError("tp x pp x cp x dp are not its chips")
    older: Mapping[str, Recipe] = {"FSDP": _fsdp, "ZeRO": _core}
    recipe = modern[framework] if framework else older.get(row.text("sharding")[:4], _megatron)
    model, parallel, training = recipe(row, sizes)
    if machine is None:
        apart = row.text("backward") == "apart"
        slices = row.count("slices") or 1
        system = pod_system(row.text("chip"), sizes["n_chips"], slices, sizes["tp"], apart)
    else:
        system = machine_system(machine, sizes["n_chips"], _attention_of(recipe, row))
    return Told(model, parallel, training, system, _options(row, system, sizes["n_chips"] > NODE))


def _options(row: TrainingRow, system: System, several: bool) -> RunOptions:
    """Kernels as measured, issued by a host unless the row says otherwise; a network between nodes that is slower than the
    node's own has its rate."""
    asked = row.text("dispatch") or "eager"
    if asked not in get_args(Dispatch):
        raise LeftOutError(f"dispatch {asked} is not known")
    plain = RunOptions(calibration="measured", dispatch=cast(Dispatch, asked))
    found = _NODE_RATE.search(row.text("interconnect"))
    if found is None or not several:
        return plain
    port = system.chip.links["infiniband"]
    share = float(found[1]) * 1e9 / 8 / (NODE * port.bytes_per_s * port.count)
    return replace(plain, efficiency={"infiniband": share}) if share < 1 else plain


Recipe = Callable[[TrainingRow, Mapping[str, int]], tuple[Transformer, Parallel, Training]]


def _megatron(row: TrainingRow, sizes: Mapping[str, int]) -> tuple[Transformer, Parallel, Training]:
    if row.text("dtype") not in _LM_PRECISIONS:
        raise LeftOutError(f"{row.text('dtype') or 'a format that it does not say'} with Megatron-LM")
    half = row.text("dtype") == "fp16"
    precision = _LM_PRECISIONS[row.text("dtype")]
    tp, interleave = sizes["tp"], row.count("interleave") or 1
    parallel = Parallel(
        dp=sizes["dp"],
        tp=tp,
        pp=sizes["pp"],
        microbatch=row.count("micro_batch") or _silent_microbatch(sizes),
        sequence=row.text("seq_parallel") == "True",
        schedule="interleaved" if interleave > 1 else "1f1b",
        interleave=interleave,
        overlap_gradients=row.text("overlap") == "gradients",
        overlap_tensor=row.text("overlap_tensor") != "false",
    )
    training = Training(
        batch=sizes["global_batch"],
        seq=sizes["seq"],
        precision=replace(precision, main_gradients=row.text("gradients") or precision.main_gradients),
        recompute=row.text("recompute"),
        clip=True,
        engine="megatron",
        # its kernel that scales, masks and normalises at once is for formats of 16 bits
        attention="fused_softmax" if half else "standard",
        dropout=True,
    )
    vocab = -(-sizes["vocab"] // (_PADDED * tp)) * _PADDED * tp
    return _gpt(row, {**sizes, "vocab": vocab}, bias=True), parallel, training


def _silent_microbatch(sizes: Mapping[str, int]) -> int:
    """Sequences of a microbatch of a row that does not say: one, or so few more that its attention has the fused softmax."""
    fewest = softmax_sequences(sizes["heads"] // sizes["tp"])
    return 1 if sizes["global_batch"] // sizes["dp"] % fewest else fewest


def _core(row: TrainingRow, sizes: Mapping[str, int]) -> tuple[Transformer, Parallel, Training]:
    if (row.text("dtype"), row.text("sharding")) != ("bf16", "ZeRO-1"):
        raise LeftOutError(f"{row.text('sharding')} in {row.text('dtype') or 'a format that it does not say'}")
    parallel = Parallel(
        dp=sizes["dp"],
        tp=sizes["tp"],
        pp=sizes["pp"],
        zero=1,
        microbatch=row.count("micro_batch") or 1,
        sequence=row.text("seq_parallel") == "True",
        schedule="1f1b",
        overlap_gradients=False,
    )
    training = Training(
        batch=sizes["global_batch"],
        seq=sizes["seq"],
        precision=replace(_BF16, gradients="fp32"),
        recompute=row.text("recompute"),
        clip=True,
        engine="megatron",
    )
    return _llama(row, sizes), parallel, training


def _fsdp(row: TrainingRow, sizes: Mapping[str, int]) -> tuple[Transformer, Parallel, Training]:
    if row.text("dtype") != "bf16":
        raise LeftOutError(f"{row.text('dtype') or 'a format that it does not say'} with FSDP")
    parallel = Parallel(
        dp=sizes["dp"],
        zero=3 if "FULL" in row.text("sharding") else 2,
        microbatch=row.count("micro_batch") or 1,
        prefetch=0,
        overlap_gradients=False,
    )
    asked = row.text("recompute")
    training = Training(
        batch=sizes["global_batch"],
        seq=sizes["seq"],
        precision=replace(_BF16, gradients="fp32") if row.text("system") == _ON_MANY else _BF16,
        recompute="whole" if asked == "full" and _TO_ITS_END in row.text("notes") else asked,
        clip=True,
        eager=True,
        engine="fsdp1",
    )
    return _gpt(row, sizes, bias=False), parallel, training


_TO_ITS_END = "MP mode PURE"
"""What llm-foundry says of rows of PyTorch 1.13."""

FLASH_1, FLASH_2 = "ampere", "ampere_flash_2"
"""Whose attention libraries brought that had none of Hopper's own."""

_ON_MANY = "MosaicML H100 80GB BF16 (Large Scale, >= 128 GPUs)"
"""A table that came after October 2023 (the README of llm-foundry's pull 543 has the others alone), when Composer reduced
gradients in fp32 (its pull 2628)."""

_FLASH_2_OF = frozenset((_ON_MANY, f"MPT-{size}") for size in ("1b", "3b", "7b", "70b"))
"""What llm-foundry ran with FlashAttention-2, by system and model; all else with a kernel of Triton."""


def _attention_of(recipe: Recipe, row: TrainingRow) -> str:
    """Whose attention a row's library brought; empty for the chip's own."""
    if recipe is torchtitan:
        return FLASH_2
    if recipe is not _fsdp:
        return ""
    return FLASH_2 if (row.text("system"), row.model) in _FLASH_2_OF else FLASH_1


def _llama(row: TrainingRow, sizes: Mapping[str, int]) -> Transformer:
    """A decoder of Llama's shape."""
    heads = sizes["heads"]
    attention = Attention(
        heads=heads, kv_heads=row.count("kv_heads") or heads, head_dim=sizes["hidden"] // heads, fused=True
    )
    return Transformer(
        name="measured",
        family="decoder",
        layers=sizes["layers"],
        d_model=sizes["hidden"],
        attention=attention,
        ffn=Ffn(d_ff=sizes["ffn"], gated=True, activation="silu"),
        norm=Norm(kind="rms"),
        position=Position(kind="rope", longest=sizes["seq"]),
        head=Head(),
        embedding=Embedding(vocab=sizes["vocab"], tied=False),
    )


def _gpt(row: TrainingRow, sizes: Mapping[str, int], bias: bool) -> Transformer:
    """A decoder of GPT's shape."""
    heads, width = sizes["heads"], sizes["hidden"]
    attention = Attention(
        heads=heads,
        kv_heads=row.count("kv_heads") or heads,
        head_dim=width // heads,
        qkv_bias=bias,
        out_bias=bias,
        fused=True,
    )
    return Transformer(
        name="measured",
        family="decoder",
        layers=sizes["layers"],
        d_model=width,
        attention=attention,
        ffn=Ffn(d_ff=sizes["ffn"], gated=False, activation="gelu_tanh", bias=bias),
        norm=Norm(kind="layer", bias=bias),
        position=Position(kind="learned", longest=sizes["seq"]),
        head=Head(),
        embedding=Embedding(vocab=sizes["vocab"], tied=True),
    )
