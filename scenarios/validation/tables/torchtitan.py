"""Steps that torchtitan publishes.

Model: a batch is that of all replicas: chips over those that share a tensor, a sequence or a pipeline. Replicas beyond those
that shard (`fsdp`) hold copies (HSDP). What `technique` says besides is read: AsyncTP, the schedule of a pipeline, experts
(`EP`) on as many of the chips that shard as can have as many each, where no column (`ep`) says on how many.
Source: github:pytorch/torchtitan benchmarks; docs/fsdp.md (hybrid sharding), docs/converging.md, torchtitan/config
(`pipeline_parallel_schedule`, 1F1B unless said).
"""

from __future__ import annotations

import re
from math import gcd

from scenarios.models import load_model, model_called, model_names
from scenarios.validation.tables.cells import LEFT_OUT, SECONDS, Cells, count_of
from simulator.models import Transformer

_ASYNC = re.compile(r"async[\s_-]*tp", re.IGNORECASE)
_SCHEDULES = (
    (re.compile(r"interleaved[\s_-]*zero|zbv|zero[\s_-]*bubble", re.IGNORECASE), "zero_bubble"),
    (re.compile(r"interleaved", re.IGNORECASE), "interleaved"),
    (re.compile(r"gpipe", re.IGNORECASE), "gpipe"),
)
"""Schedules by what a technique calls them, the first that fits; 1F1B where none does."""

_FLOAT8 = {"0": "", "": "", "no": "", "none": "", "1": "current", "tensorwise": "current", "rowwise": "blocks"}
"""By what `float8` says: what matmuls in fp8 are scaled by; nothing: they are in bf16. Rows of a tensor have scales of their
own, which are found as those of blocks are, in the kernel that casts."""

_CHUNKS = 2
"""Chunks of a stage where they are interleaved (torchtitan, unless `pipeline_parallel_layers_per_stage` is said)."""


def torchtitan_cells(row: Cells) -> dict[str, str]:
    """A line in our columns."""
    tp, pp, cp, fsdp, chips = (count_of(row[name]) for name in ("tp", "pp", "cp", "fsdp", "gpus"))
    replicas = max(1, chips // (tp * pp * cp))
    batch = int(row["local_batch"]) * replicas
    technique, float8 = row["technique"], row["float8"].strip().lower()
    schedule = next((name for pattern, name in _SCHEDULES if pattern.search(technique)), "")
    model = model_called(row["model"]) or row["model"]
    experts = count_of(row.get("ep", ""), gcd(fsdp, _experts(model)) if re.search(r"\bEP\b", technique) else 1)
    return {
        "source": "torchtitan",
        "framework": "torchtitan",
        "model": model,
        "global_batch": str(batch),
        "micro_batch": row["local_batch"],
        "dp": str(replicas),
        "shard": str(fsdp) if fsdp < replicas else "",
        "ep": str(experts),
        "schedule": schedule,
        "interleave": str(_CHUNKS if schedule == "interleaved" else 1),
        "recompute": row["ac"],
        "collective_matmul": str(tp) if _ASYNC.search(technique) else "1",
        "dtype": "fp8" if _FLOAT8.get(float8) else "bf16",
        "scaling": _FLOAT8.get(float8, ""),
        "dispatch": "compiled" if row["compile"] == "1" else "eager",
        "n_chips": str(chips),
        LEFT_OUT: _wrong(row, replicas, batch),
        SECONDS: str(batch * float(row["seq"]) / chips / float(row["tps_per_gpu"])),
    }


def _experts(model: str) -> int:
    """How many experts a model has; 1 for one that has none, or is not known."""
    described = load_model(model).description if model in model_names() else None
    moe = described.moe if isinstance(described, Transformer) else None
    return moe.experts if moe is not None else 1


def _wrong(row: Cells, replicas: int, batch: int) -> str:
    """What cannot be in a line; empty where all is well."""
    if row["float8"].strip().lower() not in _FLOAT8:
        return f"float8 {row['float8']} is not known: {', '.join(filter(None, _FLOAT8))}"
    fsdp, said = count_of(row["fsdp"]), row.get("global_batch", "")
    if fsdp > replicas or replicas % fsdp:
        return f"{fsdp} chips that shard are no part of {replicas} replicas"
    if said.strip().isdigit() and int(said) != batch:
        return f"global_batch {said} is not local_batch x replicas, {batch}"
    return ""
