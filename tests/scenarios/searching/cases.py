"""Small models and spaces of layouts that searches are tried on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from hw import RunError, SpecError
from scenarios import run
from scenarios.questions.searching.searched import Searched

TEXT = """\
name: s
system: {{chip: {chip}, topology: {topology}, set: {{hbm.capacity: {capacity}}}}}
workload:
  model:
    name: small
    layers: 4
    d_model: 1024
    attention: {{heads: 8}}
    ffn: {{d_ff: 4096, gated: true, activation: silu}}
    embedding: {{vocab: 8192}}
  batch: {batch}
  seq: 256
run: {{overlap: {overlap}}}
"""
SPACE: Mapping[str, list[Any]] = {
    "tp": [1, 2, 4],
    "pp": [1, 2, 3],
    "zero": [0, 3],
    "microbatch": [2],
    "recompute": ["none", "full"],
}
ASKED = [text for key, values in SPACE.items() for text in ("--vary", f"{key}={','.join(map(str, values))}")]
MORE: Mapping[str, Mapping[str, list[Any]]] = {
    "schedule": {"schedule": ["gpipe", "zero_bubble"]},
    "interleave": {"schedule": ["1f1b", "interleaved"], "interleave": [1, 2], "zero": [0]},
    "collective_matmul": {"collective_matmul": [1, 2]},
    "cp": {"cp": [1, 2]},
    "ep": {"ep": [1, 2]},
    "zero": {"zero": [1, 2]},
    "order": {"order": ["tp cp ep dp pp", "pp dp tp cp ep"]},
}
CASES = {
    "fast links": ("h100_sxm", "switch(4) over nvlink", "80 GB", 16, "full"),
    "slow links": ("tpu_v5e", "ring(4)", "16 GB", 8, "none"),
    "little memory": ("h100_sxm", "switch(4) over nvlink", "0.9 GB", 16, "auto"),
}


def file_of(folder: Path, case: str) -> str:
    chip, topology, capacity, batch, overlap = CASES[case]
    path = folder / "s.yaml"
    path.write_text(TEXT.format(chip=chip, topology=topology, capacity=capacity, batch=batch, overlap=overlap), "utf-8")
    return str(path)


def every(file: str) -> Iterator[tuple[Mapping[str, Any], float, bool]]:
    """Each layout that can be built, its time, and whether it fits."""
    for chosen, sets in zip(product(*SPACE.values()), sets_of(SPACE), strict=True):
        try:
            words = run(file, sets).words
        except (SpecError, RunError):
            continue
        yield dict(zip(SPACE, chosen, strict=True)), words.result.time_s, bool(words["fits"])


def sets_of(space: Mapping[str, list[Any]]) -> Iterator[list[str]]:
    """The overrides of each layout of a space."""
    for chosen in product(*space.values()):
        values = zip(space, chosen, strict=True)
        yield [
            f"workload.{'' if key == 'recompute' else 'parallel.'}{key}={as_written(key, value)}"
            for key, value in values
        ]


def as_written(key: str, value: Any) -> Any:
    return f"[{', '.join(value.split())}]" if key == "order" else value


def summed_up(found: Searched) -> tuple[Any, ...]:
    """All that a search says."""
    ran = [(each.values, each.time_s, each.bound_s) for each in found.ran]
    return ran, found.too_large, found.left, found.open, found.bound_s, dict(found.errors), dict(found.twins)
