"""What measurements say of one chip, beside its data sheet.

Model: an efficiency is what was measured over what the data sheet says, of a unit, a memory or a link; a launch is what
starting a kernel takes. Where kernels of the chip's architecture are known (`hw.chips.kernel_times`), they say how long
kernels take; what collectives over a link take beside its bandwidth stands under the link's name.
Assumes: shares hold at every size; what depends on size stands in the times of kernels and collectives.
Source: each chip's file, under `sources.calibration`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, computed_field

from hw.chips.architectures import Architecture, NamedKernelTimes, kernel_times
from hw.chips.collective_times import CollectiveTimes
from hw.chips.kernel_times import KernelTimes
from hw.input.validation import Efficiency, Frozen, Seconds, Spec

MEASURED = ("matrix_unit", "vector_unit", "hbm", "on_chip", "host", "disk")
"""What every chip may have measured, its links apart."""


class Measured(Spec):
    """Efficiencies (measured over data sheet) and the launch time of a kernel, from measurements of this chip. Links have
    theirs by their names: `nvlink`, `infinity_fabric`, whatever the chip calls them. Where `kernels` are known, they say
    how long kernels take, and the efficiencies of units and HBM do not."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Efficiency] = Field(init=False)

    matrix_unit: Efficiency = 1.0
    vector_unit: Efficiency = 1.0
    hbm: Efficiency = 1.0
    on_chip: Efficiency = 1.0
    host: Efficiency = 1.0
    disk: Efficiency = 1.0
    launch_s: Seconds = Field(alias="launch", default=0.0)
    kernels_said: NamedKernelTimes | None = Field(
        alias="kernels",
        default=None,
        exclude=True,
        description="how long kernels take: the name of an architecture (hw/kernels), or its parameters",
    )
    kernels_like: Architecture | None = Field(
        default=None,
        description="whose kernels those of the chip are like, none of which were measured: an architecture (hw/kernels)",
    )
    attention_like: Architecture | None = Field(
        default=None,
        description="whose fused attention a library runs here in place of the chip's own: an architecture (hw/kernels)",
    )
    long_matmuls: Annotated[dict[Literal["bf16", "fp16", "fp32"], Efficiency], Frozen] = Field(
        default_factory=dict,
        description="share of the peak that long matmuls reach beside `kernels_like`, by dtype; else as there",
    )
    collectives: Annotated[dict[str, CollectiveTimes], Frozen] = Field(
        default_factory=dict, description="what collectives over a link take beside its bandwidth, by its name"
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kernels(self) -> KernelTimes | None:
        """How long kernels take, where that is known."""
        return kernel_times(self.kernels_said)

    @property
    def links(self) -> Mapping[str, float]:
        """Efficiencies by the names of links."""
        return self.__pydantic_extra__ or {}

    def efficiency(self, name: str) -> float:
        """The efficiency of a unit, a memory or a link; 1 where nothing is known."""
        found: float = self.links.get(name, getattr(self, name, 1.0) if name in MEASURED else 1.0)
        return found

    def known(self) -> Mapping[str, float]:
        """What is known to be other than the data sheet, by resource."""
        units = {name: self.efficiency(name) for name in MEASURED}
        return {name: value for name, value in {**units, **self.links}.items() if value != 1.0}


class Calibration(Spec):
    """Profiles beside the data sheet."""

    measured: Measured | None = None
