"""What a library takes for the attention of a token: few queries over many keys, a block of work for each head.

Model: heads that share keys (GQA) are one block, up to so many of them (`most`); of more each goes by itself along keys that
come from the on-chip memory again. A block of one head leaves its core room for others; one of several heads has its core
to itself, so that these go in waves. A core reads no more than so many bytes a second (`core_rate`): few blocks reach less
than HBM's rate, and are split along their keys over the cores that are left, in parts of at least `keys`, which a second
kernel joins (`split`).
Source: NVIDIA TensorRT-LLM, docs/source/advanced/gpt-attention.md (masked multi-head attention, its multi-block mode, XQA);
parameters are measured.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hw.input.validation import BytesPerSecond, Efficiency, Seconds, Spec

Count = Annotated[int, Field(ge=1, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Corner = Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)]


class TokenTimes(Spec):
    """Attention of a token, by blocks of heads."""

    fixed_s: Seconds = Field(alias="fixed", description="time beside all that, whatever the size")
    split_s: Seconds = Field(alias="split", description="further time where keys are split over cores")
    hbm: Efficiency = Field(description="share of HBM's bandwidth that keys and values are read at")
    head_s: Seconds = Field(alias="head", description="time of a core for a block of one head")
    group_s: Seconds = Field(alias="group", description="the same for a block of heads that share keys")
    most: Count = Field(default=32, description="heads that share keys in a block at most; of more each goes by itself")
    core_bytes_per_s: BytesPerSecond = Field(
        alias="core_rate", description="bytes a second that one core reads at most"
    )
    keys: Count = Field(default=256, description="keys that a part has at least")
    near: Positive = Field(
        default=1.0,
        description="rate at which heads by themselves read keys that they share, over the on-chip memory's",
    )
    corner: Corner = Field(default=2.0, description="of blocks and their bytes: n of (a^n + b^n)^(1/n)")
