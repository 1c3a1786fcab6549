"""What a library takes for the attention of a token: few queries over many keys, in one of two kernels.

Model: a kernel for heads that share keys (GQA), up to so many of them (`most`), and one for a head by itself, as the library
chooses (`simulator.measured.token` has its rules). A core's blocks come one after the other, each of which is filled first;
keys of few blocks are split over cores, and what the parts gave is joined.
Source: NVIDIA TensorRT-LLM, cpp/tensorrt_llm/kernels/decoderMaskedMultiheadAttention (XQA, and masked multi-head attention
with its multi-block mode); parameters are measured.
"""

from typing import Annotated

from pydantic import Field

from hw.input.validation import BytesPerSecond, Efficiency, Seconds, Spec

Count = Annotated[int, Field(ge=1, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Corner = Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)]


class TokenTimes(Spec):
    """Attention of a token, by blocks of heads."""

    fixed_s: Seconds = Field(alias="fixed", description="time beside all that, whatever the size")
    hbm: Efficiency = Field(description="share of HBM's bandwidth that keys and values are read at")
    head_s: Seconds = Field(alias="head", description="time to fill and empty a block of one head")
    head_bytes_per_s: BytesPerSecond = Field(
        alias="head_rate", description="bytes a second that a block of one head reads at most"
    )
    near: Positive = Field(
        default=1.0,
        description="rate at which heads by themselves read keys that they share, over the on-chip memory's",
    )
    corner: Corner = Field(default=2.0, description="of blocks of one head and bytes: n of (a^n + b^n)^(1/n)")
    group_s: Seconds = Field(
        alias="group", description="time to fill and empty a block of up to 16 heads that share keys"
    )
    wide: NotNegative = Field(default=0.0, description="share of that for each 16 further ones")
    group_corner: Corner = Field(default=2.0, description="of such blocks and bytes, as `corner`")
    split_s: Seconds = Field(alias="split", description="further time where keys of a group are split over cores")
    join_s: Seconds = Field(alias="join", default=0.0, description="the same for each part of them")
    most: Count = Field(default=32, description="heads that share keys in a block at most; of more each goes by itself")
