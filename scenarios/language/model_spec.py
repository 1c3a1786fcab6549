"""A whole model as a workload: its step, its parallelism, what is recomputed, and in which formats.

Model: the keys of DESIGN section 9. What a model is stands in `scenarios.models`; what the numbers mean, and what they may
be together, in `simulator.models.steps`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hw.input import Spec

Count = Annotated[int, Field(ge=1)]

MODES = ("train", "prefill", "decode")


class ParallelSpec(Spec):
    """How many chips share each kind of work; `dp` is what the others leave of the system where it is not said."""

    dp: Count | None = Field(default=None, description="data parallel: replicas; what is left of the chips")
    tp: Count = Field(default=1, description="tensor parallel: heads, widths and the vocabulary")
    pp: Count = Field(default=1, description="pipeline stages")
    cp: Count = Field(default=1, description="context parallel: tokens of a sequence")
    ep: Count = Field(default=1, description="expert parallel: experts, and replicas outside of them")
    zero: Annotated[int, Field(ge=0, le=3)] = Field(
        default=0, description="sharded over replicas: 1 the optimizer, 2 gradients too, 3 weights too (FSDP)"
    )
    microbatch: Count = Field(default=1, description="sequences of a replica that are computed at once")
    schedule: Literal["gpipe", "1f1b", "interleaved", "zero_bubble"] = "1f1b"
    interleave: Count = Field(default=1, description="pipeline chunks a stage")
    layers: list[int] | None = Field(default=None, description="blocks of each pipeline chunk, from the first")
    sequence: bool = Field(default=True, description="tokens sharded over tensor-parallel chips between their regions")
    order: list[str] | None = Field(default=None, description="axes from the innermost: [tp, cp, ep, dp, pp]")
    context: Literal["gather", "all_to_all"] = Field(
        default="gather", description="keys gathered, or heads exchanged for tokens, over context-parallel chips"
    )
    imbalance: Annotated[float, Field(ge=1)] = Field(
        default=1.0, description="tokens of the fullest expert, over the mean"
    )
    overlap_gradients: bool = Field(default=True, description="gradients are reduced beside the backward pass")
    prefetch: Annotated[int, Field(ge=0)] = Field(
        default=1, description="layers gathered ahead of their turn (zero: 3)"
    )


class RecomputedBlocks(Spec):
    """So many blocks, from the first, of which all is recomputed."""

    blocks: Annotated[int, Field(ge=0)]


Recompute = Literal["none", "selective", "full"] | RecomputedBlocks

ModelReference = str | dict[str, Any]
"""A name of the catalogue, the path of a model file or of a config.json, or a model written inline."""
