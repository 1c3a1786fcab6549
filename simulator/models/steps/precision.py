"""What is stored and computed in which number format.

Model: one record says it all. `compute` is the format of activations and of matmuls, `weights` that of the copy which they
read, `gradients` what the backward pass makes, `main_gradients` what gradients of several microbatches are added up in
(the same where it is not said), `moments` and `master` the optimizer's states, `logits` what the loss is computed from,
`kv` the cache of keys and values.
Bytes a parameter with AdamW: fp32 4 + 4 + 8 = 16; bf16 2 + 2 + 8 = 12; mixed_bf16 2 + 4 + 4 + 8 = 18.
Source: Micikevicius et al. 2018 (mixed precision); Narayanan et al. 2021 and Megatron-LM's distributed optimizer for 18 B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from hw import Mark, Problem, Problems, SpecError
from hw.input import unknown
from simulator.graph.dtypes import DTYPE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The formats of one run; `master` and `main_gradients` may be absent."""

    compute: str = "bf16"
    weights: str = "bf16"
    gradients: str = "bf16"
    main_gradients: str | None = None
    moments: str = "fp32"
    master: str | None = None
    logits: str = "fp32"
    kv: str = "bf16"


PRECISIONS: Mapping[str, Precision] = {
    "fp32": Precision(compute="fp32", weights="fp32", gradients="fp32", kv="fp32"),
    "bf16": Precision(),
    "mixed_bf16": Precision(main_gradients="fp32", master="fp32"),
}
"""Precisions by name, of training and of inference."""

NARROW: Mapping[str, Precision] = {
    "int8": Precision(weights="int8"),
    "int4": Precision(weights="int4"),
    "fp8": Precision(weights="fp8", kv="fp8"),
    "int8_kv8": Precision(weights="int8", kv="int8"),
}
"""Precisions of inference with narrow weights, by name: matmuls are as wide as activations, which are bf16, and read the
narrow weights; `fp8` and `int8_kv8` have a narrow cache, too."""


def precision_of(given: str | Mapping[str, str]) -> Precision:
    """A precision by name, or changes to `bf16` by the names of its fields. Raises SpecError."""
    if isinstance(given, str):
        known = {**PRECISIONS, **NARROW}
        if given not in known:
            raise SpecError([Problem(Mark("precision"), unknown("precision", given, known))])
        return known[given]
    problems = Problems()
    names = [each.name for each in fields(Precision)]
    for name, dtype in given.items():
        if name not in names:
            problems.add(Mark(f"precision.{name}"), unknown("part of a precision", name, names))
        elif dtype not in DTYPE_BYTES:
            problems.add(Mark(f"precision.{name}"), unknown("dtype", dtype, DTYPE_BYTES))
    problems.raise_if_any()
    return replace(PRECISIONS["bf16"], **given)
