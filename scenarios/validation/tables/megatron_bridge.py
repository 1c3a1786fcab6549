"""Steps that Megatron-Bridge publishes: tokens a second and GPU of its performance recipes.

Model: n/a and nothing are 1, and the batch is shared by all chips that share nothing else. What a row does not say stands in
its recipe (`scenarios.validation.tables.bridge_recipes`). FP8-CS is scaled by each tensor's largest number, as FP8 without a
word and an empty precision are taken to be; FP8-DS by that of steps before; FP8-MX (of 32) and FP8-SC (of 128) by blocks;
NVFP4 has four bits. Fine-tuning of all weights (SFT) is a step like another, over whole sequences; of a few (LoRA) it has no
form here. (tokendrop): what is beyond the mean of an expert is dropped, and what is short of it padded: as many rows as
where experts are asked for evenly.
Assumes: rotation, gates and losses in one kernel each.
Source: github:NVIDIA-NeMo/Megatron-Bridge docs/performance-summary, training/mixed_precision.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from scenarios.models import load_model, model_called
from scenarios.validation.tables.bridge_recipes import NO_RECIPE, PIECES, RECIPES, BridgeRecipe
from scenarios.validation.tables.cells import LEFT_OUT, SECONDS, Cells, count_of
from simulator.models import Transformer

_PRECISIONS: Mapping[str, tuple[str, str]] = {
    "": ("fp8", ""),
    "BF16": ("bf16", ""),
    "FP8": ("fp8", ""),
    "FP8-CS": ("fp8", "current"),
    "FP8-DS": ("fp8", "delayed"),
    "FP8-MX": ("fp8", "blocks"),
    "MXFP8": ("fp8", "blocks"),
    "FP8-SC": ("fp8", "blocks"),
    "NVFP4": ("fp4", ""),
}
"""Formats of matmuls, and what they are scaled by, as precisions say."""

_VARIANT = re.compile(r"\s*\((?P<in>[^)]*)\)\s*$|[\s_-]+(?P<tuned>SFT|LORA|PEFT|DORA)$", re.IGNORECASE)
"""What stands behind a model's name."""

_ONE_SWITCH: Mapping[str, int] = {"gb200": 72, "gb300": 72}
_NODE = 8
"""GPUs that have one NVLink switch, of a rack and of a DGX."""


def bridge_cells(row: Cells) -> dict[str, str]:
    """A line in our columns."""
    tp, pp, cp, ep, vp, chips = (count_of(row[name]) for name in ("TP", "PP", "CP", "EP", "VP", "#-GPUs"))
    tokens = float(row["GBS"]) * float(row["Sequence Length"])
    variant = _VARIANT.search(row["Model"])
    name = row["Model"][: variant.start()] if variant else row["Model"]
    model, gpu = model_called(name) or name, row["System"].lower().removeprefix("dgx-")
    dtype, scaling = _PRECISIONS.get(row["Precision"].strip().upper().replace("_", "-"), ("", ""))
    sharded = bool(count_of(row["FSDP"], 0))
    found = {
        "source": f"Megatron-Bridge on {row['System']}",
        "framework": "megatron-core",
        "model": model,
        "seq": row["Sequence Length"],
        "global_batch": row["GBS"],
        "micro_batch": row["MBS"],
        "tp": str(tp),
        "pp": str(pp),
        "cp": str(cp),
        "ep": str(ep),
        "dp": str(chips // (tp * pp * cp)),
        "interleave": str(vp if pp > 1 else 1),
        "dtype": dtype,
        "scaling": scaling,
        "sharding": "FSDP" if sharded else "none",
        "collective_matmul": str(PIECES if tp > 1 and ep == 1 and dtype != "fp4" else 1),
        "gradients": "bf16",
        "n_chips": str(chips),
        "chip": gpu,
        LEFT_OUT: _wrong(row, variant, dtype),
        SECONDS: str(tokens / chips / float(row["Tokens / sec / GPU"])),
    }
    recipe, dropped = RECIPES.get(model, NO_RECIPE), variant is not None and "drop" in variant[0].lower()
    asked = _asked(recipe, found, dropped)
    # what is made again belongs to pretraining whose weights are not shared out
    again = {} if sharded or (variant is not None and not dropped) else {"recompute": asked["recompute"]}
    return {**found, **asked, "recompute": "", **again}


def _asked(recipe: BridgeRecipe, found: Cells, dropped: bool) -> dict[str, str]:
    """What a recipe asks for, beside what its row says."""
    gpu, ep = found["chip"], int(found["ep"])
    nodes = max(1, ep // _ONE_SWITCH.get(gpu, _NODE)) if gpu in recipe.flex and not dropped else 1
    again = "light" if gpu in recipe.light else recipe.recompute.get((gpu, found["dtype"]), "")
    described = load_model(found["model"]).description if recipe.further else None
    further = isinstance(described, Transformer) and {"layers": str(described.layers + recipe.further)}
    return {
        "dispatch": "fused_graph" if gpu in recipe.graphs and found["dtype"] != "fp4" else "fused",
        "recompute": again,
        "expert_nodes": str(nodes),
        "dropless": "false" if dropped else "true",
        "schedule": "paired" if gpu in recipe.paired else "",
        **(further or {}),
    }


def _wrong(row: Cells, variant: re.Match[str] | None, dtype: str) -> str:
    """What has no form here; empty where all has one."""
    if not dtype:
        return f"precision {row['Precision']} is not known: {', '.join(filter(None, _PRECISIONS))}"
    tuned, inside = (variant["tuned"], variant["in"]) if variant is not None else (None, None)
    if tuned and tuned.upper() != "SFT":
        return f"{tuned} trains a few weights beside those of the model, which has no form here"
    if inside and inside.lower().replace(" ", "") not in ("tokendrop", "sft"):
        return f"what ({inside}) means of {row['Model']} is not known"
    return ""
