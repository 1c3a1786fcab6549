"""Tables of training steps that others publish, in the columns that they have there: each is read as rows of ours.

Model: a table is known by its columns. What it says is said in our columns (`scenarios.validation.training_rows`); what it
does not say stays empty, so that such rows are left out and say why. Throughput is made seconds: tokens of a step over
tokens a second of all chips.
Source: MooreThreads/SimuMax docs/b200; NVIDIA-NeMo/Megatron-Bridge docs/performance-summary (its FP8 recipes where the
precision is empty; rotation, gates and losses in one kernel each); pytorch/torchtitan benchmarks;
AI-Hypercomputer/tpu-recipes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from scenarios.validation.tpu_recipes import recipe_of

Cells = Mapping[str, str]

SECONDS = "measured_seconds_per_iteration"
"""The column of ours that says how long a step takes."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A kind of table: the columns that it is known by, and a row of it in our columns."""

    columns: Collection[str]
    cells: Callable[[Cells], dict[str, str]]


def dialect_of(head: Collection[str]) -> Dialect | None:
    """The kind of table that has such columns; None if it is not known."""
    return next((each for each in DIALECTS if set(each.columns) <= set(head)), None)


def _simumax(row: Cells) -> dict[str, str]:
    """`parallel` is such as tp2pp1, on eight chips; `mbc` micro-batches of one sequence."""
    sizes = re.fullmatch(r"tp(\d+)pp(\d+)", row["parallel"])
    tp, pp = (int(sizes[1]), int(sizes[2])) if sizes else (1, 1)
    dp = 8 // (tp * pp)
    return {
        "source": "SimuMax on B200",
        "framework": "megatron-core",
        "model": row["model"].replace("-", "_"),
        "layers": row["layer_num"],
        "seq": "4096",
        "global_batch": str(int(row["mbc"]) * dp),
        "micro_batch": "1",
        "tp": str(tp),
        "pp": str(pp),
        "dp": str(dp),
        "dtype": "bf16",
        "overlap": "none",
        "n_chips": "8",
        "chip": "B200",
        SECONDS: str(float(row["real_ms"]) / 1000),
    }


_BRIDGE_MODELS = {
    "LLAMA3.1_405B": "llama3_405b",
    "LLAMA3_70B": "llama3_70b",
    "LLAMA3_8B": "llama3_8b",
    "Qwen3_30B_a3B": "qwen3_30b_a3b",
    # what is beyond the mean is dropped, and what is short of it padded: as many rows as where experts are asked for evenly
    "Qwen3_30B_a3B (tokendrop)": "qwen3_30b_a3b",
    "Qwen3_235B_a22B": "qwen3_235b_a22b",
    "GPT OSS 120B": "gpt_oss_120b",
}

_BRIDGE_CHIPS = {"DGX-H100": "H100-80GB-SXM", "DGX-B200": "B200"}


_SENT_TO_NODES = ("Qwen3_30B_a3B",)
"""Models whose recipes for H100 send tokens to nodes first (the flex dispatcher with HybridEP)."""

_NODE = 8
"""GPUs of a DGX."""

_SPLITS = 4
"""Pieces in which Megatron-Bridge's dense recipes have matmuls and their tensor-parallel communication overlap."""


def _bridge(row: Cells) -> dict[str, str]:
    """n/a and nothing are 1; the batch is shared by all chips that share nothing else."""
    tp, pp, cp, ep, vp, chips = (_count(row[name]) for name in ("TP", "PP", "CP", "EP", "VP", "#-GPUs"))
    tokens = float(row["GBS"]) * float(row["Sequence Length"])
    return {
        "source": f"Megatron-Bridge on {row['System']}",
        "framework": "megatron-core",
        "dispatch": "fused",
        "model": _BRIDGE_MODELS.get(row["Model"], row["Model"]),
        "seq": row["Sequence Length"],
        "global_batch": row["GBS"],
        "micro_batch": row["MBS"],
        "tp": str(tp),
        "pp": str(pp),
        "cp": str(cp),
        "ep": str(ep),
        "dp": str(chips // (tp * pp * cp)),
        "interleave": str(vp if pp > 1 else 1),
        "dtype": "bf16" if row["Precision"] == "BF16" else "fp8",
        "sharding": "FSDP" if _count(row["FSDP"], 0) else "none",
        "collective_matmul": str(_SPLITS if ep == 1 else 1),
        "gradients": "bf16",
        "dropless": "false" if "tokendrop" in row["Model"] else "true",
        "expert_nodes": str(max(1, ep // _NODE) if row["Model"] in _SENT_TO_NODES else 1),
        "n_chips": str(chips),
        "chip": _BRIDGE_CHIPS.get(row["System"], row["System"]),
        SECONDS: str(tokens / chips / float(row["Tokens / sec / GPU"])),
    }


def _torchtitan(row: Cells) -> dict[str, str]:
    """A batch is that of all replicas, which are those that shard."""
    tokens = float(row["local_batch"]) * float(row["seq"]) * float(row["fsdp"])
    return {
        "source": "torchtitan",
        "framework": "torchtitan",
        "model": row["model"].replace("3.1-", "3_"),
        "global_batch": str(int(row["local_batch"]) * int(row["fsdp"])),
        "micro_batch": row["local_batch"],
        "dp": row["fsdp"],
        "recompute": row["ac"],
        "collective_matmul": row["tp"] if "AsyncTP" in row["technique"].split() else "1",
        "dtype": "fp8" if row["float8"] == "1" else "bf16",
        "dispatch": "compiled" if row["compile"] == "1" else "eager",
        "n_chips": row["gpus"],
        SECONDS: str(tokens / float(row["gpus"]) / float(row["tps_per_gpu"])),
    }


def _maxtext(row: Cells) -> dict[str, str]:
    """How a step is shared out stands in its recipe, and not in the table."""
    recipe = recipe_of(row)
    tokens = float(row["step_s"]) * float(row["tokens_per_s_per_chip"].replace(",", ""))
    said = {"source": "tpu-recipes", "framework": "maxtext", "dispatch": "graph", SECONDS: row["step_s"]}
    if recipe is None:
        return {**said, "model": row.get("model") or row.get("recipe", ""), "chip": "", "n_chips": row.get("chips", "")}
    batch = row.get("gbs") or round(tokens * recipe.chips / recipe.seq)
    return {**said, **recipe.cells, "global_batch": str(batch)}


def _count(text: str, otherwise: int = 1) -> int:
    return int(text) if text.strip().isdigit() else otherwise


DIALECTS = (
    Dialect(("parallel", "layer_num", "mbc", "real_ms"), _simumax),
    Dialect(("System", "#-GPUs", "GBS", "Tokens / sec / GPU"), _bridge),
    Dialect(("technique", "local_batch", "fsdp", "tps_per_gpu"), _torchtitan),
    Dialect(("step_s", "tflops_per_chip", "tokens_per_s_per_chip"), _maxtext),
)
"""All kinds of tables that are known."""
