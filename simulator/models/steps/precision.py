"""What is stored and computed in which number format.

Model: one record says it all. `compute` is the format of activations, `weights` that of the copy which matmuls read,
`matmul` that in which the matmuls of blocks take both operands (as wide as activations where it is not said),
`vocabulary` that of the weights of embedding and head (as the others), `gradients` what the backward pass makes,
`main_gradients` what gradients of several microbatches are added up in (the same where it is not said), `moments` and
`master` the optimizer's states, `logits` what the loss is computed from, `kv` the cache of keys and values.
In fp8 the three matmuls of every linear layer of a block, forwards and both backwards, take operands in fp8: inputs and
gradients of outputs are cast to it, each once, and what is kept for the backward pass is the narrow copy. By what they are
scaled (`scaling`) decides over the kernels of a cast (`simulator.models.steps.carried_out.scaling`). Attention, norms,
router, embedding and head stay as wide as activations. So it is with matmuls in whole numbers (int8), of which all else that
is trained stays in floating point.
Weights that are wider than activations are cast to them for the matmuls of each step, and what no matmul makes (norms, sums,
embeddings) is as wide as the weights, as torch.autocast has it.
Bytes a parameter with AdamW: fp32 and amp_bf16 4 + 4 + 8 = 16; bf16 2 + 2 + 8 = 12; mixed_bf16 2 + 4 + 4 + 8 = 18; fp8
1 + 4 + 4 + 8 = 17, with moments in bf16 13.
Assumes: scales of blocks of numbers are few bytes, and not counted.
Source: Micikevicius et al. 2018 (mixed precision); Narayanan et al. 2021 and Megatron-LM's distributed optimizer for 18 B;
DeepSeek-AI 2024 (DeepSeek-V3, section 3.3: fp8 for Fprop, Dgrad and Wgrad, what stays wide, moments in bf16); Abdolrashidi
et al. 2021 and github:google/aqt (matmuls of training in int8, forwards and both backwards); vLLM's docs on fp8 (W8A8: all
linear layers but the head, inputs cast as they come) and on a quantized KV cache (`kv_cache_dtype`, which is asked for).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal

from hw import Mark, Problem, Problems, SpecError
from hw.input import unknown
from simulator.graph.dtypes import DTYPE_BYTES, widest

Use = Literal["training", "inference"]
"""What a precision is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The formats of one run; `master`, `main_gradients`, `matmul` and `vocabulary` may be absent."""

    compute: str = "bf16"
    weights: str = "bf16"
    matmul: str | None = None
    vocabulary: str | None = None
    gradients: str = "bf16"
    main_gradients: str | None = None
    moments: str = "fp32"
    master: str | None = None
    logits: str = "fp32"
    kv: str = "bf16"
    scaling: str = "blocks"

    @property
    def wide(self) -> str:
        """The format of what no matmul makes."""
        return widest((self.compute, self.weights, self.vocabulary or self.weights))


PRECISIONS: Mapping[str, Precision] = {
    "fp32": Precision(compute="fp32", weights="fp32", gradients="fp32", kv="fp32"),
    "bf16": Precision(),
    "amp_bf16": Precision(weights="fp32", gradients="fp32"),
    "mixed_bf16": Precision(main_gradients="fp32", master="fp32"),
}
"""Precisions by name, of training and of inference."""

TRAINED: Mapping[str, Precision] = {
    **PRECISIONS,
    "fp8": Precision(weights="fp8", matmul="fp8", vocabulary="bf16", main_gradients="fp32", master="fp32"),
}
"""Precisions of training, by name."""

NARROW: Mapping[str, Precision] = {
    "int8": Precision(weights="int8"),
    "int4": Precision(weights="int4"),
    "int8_kv8": Precision(weights="int8", kv="int8"),
    "fp8": Precision(weights="fp8", matmul="fp8", vocabulary="bf16"),
}
"""Precisions of inference with narrow weights, by name: matmuls of whole numbers are as wide as activations, which are bf16,
and read the narrow weights; `int8_kv8` has a narrow cache, too. In `fp8` the linear layers of blocks take both operands in
fp8, and embedding, head and cache stay bf16, as serving engines have it where no more is asked of them."""

NAMED_PRECISIONS: Mapping[Use, Mapping[str, Precision]] = {
    "training": TRAINED,
    "inference": {**PRECISIONS, **NARROW},
}
"""Precisions by name, for each use."""

OF_TRAINING = ("gradients", "main_gradients", "moments", "master", "logits", "scaling")
OF_INFERENCE = ("kv",)
"""Parts that only one use has."""

SCALINGS = ("delayed", "current", "blocks")
"""What numbers that are cast to the format of matmuls are scaled by."""

FLOATS = tuple(name for name in DTYPE_BYTES if "int" not in name and name != "bool")


def precision_of(
    given: str | Mapping[str, str], use: Use = "inference", named: Mapping[str, Precision] | None = None
) -> Precision:
    """A precision by name, or changes to one (`base`; bf16) by the names of its fields, for some use; `named`: other
    precisions by name. Raises SpecError with everything that is wrong."""
    known = {**NAMED_PRECISIONS[use], **(named or {})}
    problems = Problems()
    name = given if isinstance(given, str) else given.get("base", "bf16")
    if name not in known:
        key = "precision" if isinstance(given, str) else "precision.base"
        raise SpecError([Problem(Mark(key), _unknown_name(name, use, known))])
    if isinstance(given, str):
        return known[name]
    changes = {part: dtype for part, dtype in given.items() if part != "base"}
    for part, dtype in changes.items():
        for message in _wrong_part(part, dtype, use):
            problems.add(Mark(f"precision.{part}"), message)
    problems.raise_if_any()
    made = replace(known[name], **changes)
    if made.matmul is not None and DTYPE_BYTES[made.matmul] > DTYPE_BYTES[made.compute]:
        message = f"matmuls in {made.matmul} are wider than activations in {made.compute}"
        raise SpecError([Problem(Mark("precision.matmul"), message)])
    return made


def _unknown_name(name: str, use: Use, known: Collection[str]) -> str:
    """What to say of a name that is none of this use."""
    for other, table in NAMED_PRECISIONS.items():
        if other != use and name in table:
            return f"{name} is a precision of {other}; {use} has {', '.join(known)}"
    return unknown("precision", name, known)


def _wrong_part(part: str, dtype: str, use: Use) -> Iterator[str]:
    """What is wrong with a part of a precision."""
    beyond = OF_INFERENCE if use == "training" else OF_TRAINING
    names = [each.name for each in fields(Precision)]
    if part not in names:
        yield unknown("part of a precision", part, [*names, "base"])
    elif part in beyond:
        other = "inference" if use == "training" else "training"
        yield f"{part} is of {other}; {use} has {', '.join(name for name in names if name not in beyond)}"
    elif part == "scaling":
        if dtype not in SCALINGS:
            yield unknown("scaling", dtype, SCALINGS)
    elif dtype not in DTYPE_BYTES:
        yield unknown("dtype", dtype, DTYPE_BYTES)
    elif dtype not in FLOATS and use == "training" and part != "matmul":
        yield f"{part} in {dtype}: what is trained takes small steps, which whole numbers have not; {', '.join(FLOATS)}"
    elif dtype not in FLOATS and part == "compute":
        yield f"activations in {dtype} are not known here; matmul: {dtype} has matmuls take them so"
