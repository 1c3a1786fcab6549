"""How long kernels take on chips of one architecture: few physical parameters, from measurements.

Model: rates are shares of what a chip's data sheet says, fixed times are seconds, tiles and rows are the library's. So the
same parameters speak of every chip of an architecture, of more cores or a faster HBM. `simulator.measured` has the
formulas; `overlapse calibrate` finds the parameters in timings of single operators. Nothing here knows a workload.
Assumes: libraries choose their kernels as they did where this was measured.
A chip's file names an architecture (`hw.chips.architectures`: `kernels: hopper`) or gives the parameters themselves.
"""

from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from hw.chips.grouped_times import GroupedTimes
from hw.chips.token_times import TokenTimes
from hw.input.validation import (
    Bytes,
    BytesPerSecond,
    Efficiency,
    FlopsPerSecond,
    Frozen,
    Hertz,
    PositiveWatts,
    Seconds,
    Spec,
)
from hw.input.wording import unknown

Count = Annotated[int, Field(ge=1, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Corner = Annotated[float, Field(ge=1, allow_inf_nan=False, strict=True)]
"""n of (a^n + b^n)^(1/n): at 1 two limits come one after the other, which is the most that they can take."""
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]

DTypeName = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "int4", "fp4", "int32"]
"""Formats that units have rates for."""


def _format(value: str) -> str:
    if value not in get_args(DTypeName):
        raise ValueError(unknown("format", value, get_args(DTypeName)))
    return value


FormatName = Annotated[str, AfterValidator(_format)]
"""The same, of keys that are asked for by any name."""

Family = Literal["matmul", "convolution", "attention", "attention_backward", "passes"]
"""Kernels whose times are made alike."""


class MatmulTimes(Spec):
    """Matmuls and convolutions: tiles of the output in waves over the cores."""

    rate: Annotated[dict[FormatName, Efficiency], Frozen] = Field(
        description="share of a core's peak that a long tile reaches, by dtype; of others that of bf16"
    )
    tiles: tuple[tuple[Count, Count], ...] = Field(
        min_length=1, description="rows and columns of the output that one core makes at once; each either way round"
    )
    depth: Count = Field(default=64, description="elements of the contraction are taken in multiples of this")
    feed: Positive = Field(description="bytes that reach the cores in a second, over the bandwidth of what feeds them")
    fed_by: Literal["on_chip", "hbm"] = Field(
        default="on_chip",
        description="whose bandwidth that is: a cache that all cores share, or HBM where each has its own memory",
    )
    padded: bool = Field(
        default=False,
        strict=True,
        description="a systolic array: contraction and columns are multiples of the matrix unit's tile",
    )
    ragged_depth: Count | None = Field(
        default=None,
        description="of matrices that lie one behind the other a tile across two is done for each, and takes so many "
        "elements of a contraction that is theirs at once; null: each begins with tiles of its own",
    )
    grouped: GroupedTimes | None = Field(
        default=None, description="of such matrices, where a library has kernels of their own for them"
    )
    tile_s: Seconds = Field(alias="tile", description="time of a tile beside its arithmetic: filling, emptying")
    split_s: Seconds = Field(alias="split", description="time to add up tiles whose contraction was split over cores")
    hbm: Efficiency | None = Field(
        default=None, description="share of HBM's bandwidth that operands are read at; else that of long streams"
    )
    most_splits: Count = Field(default=16, description="parts that a contraction is split into at most")
    least_depth: Count = Field(default=256, description="elements of the contraction that a part has at least")
    unaligned: Efficiency = Field(
        default=1.0, description="share of its rate and feed where rows of the output are no multiple of `align`"
    )
    unaligned_depth: Efficiency | None = Field(
        default=None, description="the same where rows along the contraction are none; else as `unaligned`"
    )
    align: Count = Field(default=16, description="bytes that rows are multiples of for the fast kernels")
    corner: Corner = Field(default=6.0, description="of arithmetic and feeding in a core: n of (a^n + b^n)^(1/n)")


class AttentionTimes(Spec):
    """Fused attention: blocks of queries over the cores, each going along its keys."""

    rate: Efficiency = Field(description="share of the matrix unit's peak")
    pair: Positive = Field(
        description="FLOP on the vector unit, of fp32, that the softmax of one query and key is worth"
    )
    padded: bool = Field(
        default=False, strict=True, description="a systolic array: head sizes are multiples of the matrix unit's tile"
    )
    rows: Count = Field(default=128, description="queries of a block")
    keys: Count = Field(default=128, description="keys that a block takes at once")
    tail: NotNegative = Field(
        description="part of the longest block by which the last core ends late where lengths differ"
    )
    corner: Corner = Field(default=2.0, description="of matmuls and softmax in a core: n of (a^n + b^n)^(1/n)")
    kernels: Count = Field(default=1, description="kernels of one op")
    apart: bool = Field(
        default=False,
        strict=True,
        description="backward: gradients of queries and of keys in kernels of their own, each of which makes scores anew",
    )
    passes: NotNegative = Field(
        default=0.0, description="further passes over its tensors, in kernels beside the main one"
    )
    hbm: Efficiency | None = Field(
        default=None, description="share of HBM's bandwidth that keys and values are read at; else that of long streams"
    )
    split_s: Seconds = Field(
        alias="split", default=0.0, description="time to join what parts of the keys gave, where these go to all cores"
    )
    head: Count = Field(
        default=1,
        description="elements in multiples of which a library's kernels are made for heads; others are padded",
    )
    block_s: Seconds = Field(
        alias="block", default=0.0, description="time of a block of queries beside its arithmetic: filling, emptying"
    )
    token: TokenTimes | None = Field(
        default=None, description="few queries over many keys (decoding), by blocks of heads; else keys go to all cores"
    )


class EarlierTimes(Spec):
    """What kernels made for an earlier architecture reach here: its instructions are not this one's fastest."""

    matrix: Efficiency = Field(description="share of the matrix unit's peak that its instructions reach")
    vector: Efficiency = Field(description="share of the vector unit's peak that softmax can use of it")


class PassTimes(Spec):
    """Kernels bound by memory: how often their tensors pass through it, and what rows cost."""

    kernels: Count = Field(default=1, description="kernels that the library makes of the op")
    passes: Positive = Field(
        default=1.0, description="HBM traffic over that of each tensor once; slow lanes count as more"
    )
    compiled: bool = Field(
        default=False, strict=True, description="a compiler makes one kernel of it, with each tensor once"
    )
    reducing: bool = Field(
        default=False,
        strict=True,
        description="what was measured makes statistics; where they are known, tensors pass once",
    )
    element_s: Seconds = Field(
        alias="element", default=0.0, description="time of one core for each element beside its bytes"
    )
    row_s: Seconds = Field(alias="row", default=0.0, description="time of one core for each row")
    long_s: Seconds = Field(
        alias="long", default=0.0, description="time of one core for each element of rows too long to be held on chip"
    )
    least_s: Seconds = Field(
        alias="least", default=0.0, description="time of a single block of elements: what few elements take"
    )
    fixed_s: Seconds = Field(alias="fixed", default=0.0, description="time beside all that, whatever the size")


class DispatchTimes(Spec):
    """What the host does for one kernel before it is issued; of the host and the framework that were measured."""

    eager_s: Seconds = Field(alias="eager", default=0.0, description="of a framework that goes op by op")
    recorded_s: Seconds | None = Field(
        alias="recorded",
        default=None,
        description="the same where it keeps what a backward pass needs; else as `eager`",
    )
    compiled_s: Seconds = Field(alias="compiled", default=0.0, description="of what a compiler has made")
    residual: Efficiency | None = Field(default=None, description="mean error of these times")


class KernelTimes(Spec):
    """Kernels of one architecture; shares are of a chip's own data sheet."""

    name: str = ""
    about: str = ""
    source: str = Field(min_length=1, description="what was measured, where, when and how")
    start_s: Seconds = Field(
        alias="start", description="from the end of a kernel until the next one of a stream is at work"
    )
    start_near_s: Seconds | None = Field(
        alias="start_near", default=None, description="the same of a kernel that HBM has nothing of; else as `start`"
    )
    hbm: Efficiency = Field(description="share of HBM's bandwidth that long streams reach")
    sustained: Efficiency = Field(
        default=1.0, description="share of the matrix unit's rate that power leaves under sustained load (`run.clocks`)"
    )
    corner: Corner = Field(default=4.0, description="of cores and HBM: n of (a^n + b^n)^(1/n)")
    saturating: Efficiency = Field(
        default=0.53, description="share of a chip's cores on which a kernel bound by memory is as fast as on all"
    )
    core_bytes_per_s: BytesPerSecond | None = Field(
        alias="core_rate",
        default=None,
        description="bytes a second that one core moves at most; from HBM's rate over it follows what `saturating` says",
    )
    core_bytes: Bytes = Field(
        alias="core",
        default=2.0**15,
        description="bytes that a core works on at once; kernels of fewer than all cores' hold fewer cores",
    )
    short_row: Count = Field(default=1024, description="elements of a row up to which it stays on chip")
    long_row: Count = Field(
        default=8192, validate_default=True, description="elements of a row from which nothing of it stays on chip"
    )
    dispatch: DispatchTimes = DispatchTimes()
    matmul: MatmulTimes
    convolution: MatmulTimes | None = Field(
        default=None, description="as the matmul that it amounts to; else as `matmul`"
    )
    attention: AttentionTimes
    attention_backward: AttentionTimes
    kinds: Annotated[dict[str, PassTimes], Frozen] = Field(
        default_factory=dict, description="by kind of op; one that is not here passes once, in one kernel"
    )
    residuals: Annotated[dict[Family, Efficiency], Frozen] = Field(
        default_factory=dict, description="mean error of what these times say of measured kernels, by their family"
    )
    clock_hz: Hertz | None = Field(
        alias="clock",
        default=None,
        description="of the chip that was measured; on one that is only like it times of cores go as the clocks",
    )
    power_watts: PositiveWatts | None = Field(
        alias="power",
        default=None,
        description="the power limit of the chip that was measured, which `sustained` is due to",
    )
    peak_flops_per_s: FlopsPerSecond | None = Field(
        alias="peak", default=None, description="the 16-bit peak of the matrix unit of that chip"
    )
    sustained_plain: Efficiency | None = Field(
        default=None, description="the same of formats that run on the vector unit's lanes; else as `sustained`"
    )
    elsewhere: Annotated[dict[Family, Efficiency], Frozen] = Field(
        default_factory=dict, description="the mean error of what they say of chips that are only like that one"
    )
    earlier: EarlierTimes | None = Field(
        default=None,
        description="what attention made for an earlier architecture reaches here (`attention_like`)",
    )

    @field_validator("long_row")
    @classmethod
    def _longer(cls, value: int, info: ValidationInfo) -> int:
        if value <= info.data.get("short_row", 0):
            raise ValueError(f"long_row, {value}, is not more than short_row, {info.data['short_row']}")
        return value
