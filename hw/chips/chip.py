"""One accelerator as frozen data: peaks by dtype, memories, links, money, and where each figure comes from.

Model: a chip has a matrix unit and a vector unit (dense peak FLOP/s by dtype), HBM, on-chip memory and what levels there
are of it, optionally host memory and disk behind the PCIe link (`hw.chips.memory` has the memories), and links to the
world. A link's bandwidth is one way per port; `count` is the ports of a chip. All figures are data-sheet peaks in SI
base units; efficiencies live apart, under `calibration`.
Invariant: memory gets slower away from the chip (levels >= hbm, on_chip >= hbm >= host >= disk).
The same dotted names serve chip files, overrides (`set: {hbm.bandwidth: ...}`) and error messages.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, computed_field, field_validator

from hw.chips.collective_times import CollectiveTimes
from hw.chips.kernel_times import Architecture, DTypeName, KernelTimes, NamedKernelTimes, kernel_times
from hw.chips.memory import COMMON_MEMORIES, Memory, hierarchy_problems, name_problems
from hw.input.document import Key
from hw.input.units import Dimension, show
from hw.input.validation import (
    BytesPerSecond,
    Efficiency,
    FlopsPerSecond,
    Frozen,
    Hertz,
    Seconds,
    Spec,
    UsdPerHour,
    Watts,
)
from hw.input.wording import unknown

DTYPES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "int4", "fp4", "int32")
"""Number formats that a peak can be quoted for."""

DERIVED_TOLERANCE = 0.02
"""How far a peak may lie from units x FLOP/cycle x clock: data sheets round their clocks."""


Peaks = Annotated[dict[DTypeName, FlopsPerSecond], Field(min_length=1), Frozen]
"""Dense FLOP/s by dtype."""


class Derivation(Spec):
    """A peak re-derived from the unit count: units x flops_per_cycle x clock, for one dtype."""

    units: int = Field(gt=0, strict=True)
    flops_per_cycle: float = Field(gt=0, allow_inf_nan=False)
    clock_hz: Hertz = Field(alias="clock")
    dtype: DTypeName = "bf16"

    @property
    def flops_per_s(self) -> float:
        """The peak that the three figures give."""
        return self.units * self.flops_per_cycle * self.clock_hz


class MatrixUnit(Spec):
    """Systolic arrays or tensor cores, all of the chip's together. `tile` is [contraction, columns] for padding; `cores`:
    the whole units of the chip that kernels hold (SMs of a GPU)."""

    peak_flops_per_s: Peaks = Field(alias="peak")
    cores: int = Field(
        default=1, gt=0, le=100_000, strict=True, description="whole units that kernels hold: a GPU's SMs"
    )
    tile: tuple[int, int] = (128, 128)
    derived: Derivation | None = None

    @field_validator("tile")
    @classmethod
    def _tile_is_positive(cls, tile: tuple[int, int]) -> tuple[int, int]:
        if min(tile) < 1:
            raise ValueError("{key} wants two whole numbers of at least 1")
        return tile


class VectorUnit(Spec):
    """The lanes that do everything but contractions; a fused multiply-add counts as two."""

    peak_flops_per_s: Peaks = Field(alias="peak")


class Link(Spec):
    """Ports of one kind: bytes/s one way per port, seconds per hop and per message, ports per chip.

    `in_switch_reduction`: the switches that are sold for this link add up what comes to them (NVSwitch from its third
    generation on); a wiring may say otherwise of its own switches.
    """

    bytes_per_s: BytesPerSecond = Field(alias="bandwidth")
    latency_s: Seconds = Field(alias="latency", default=0.0)
    message_s: Seconds = Field(alias="message", default=0.0)
    count: int = Field(default=1, gt=0, le=10_000, strict=True)
    in_switch_reduction: bool = Field(default=False, strict=True, description="its switches can add up (NVLS, SHARP)")

    def __repr__(self) -> str:
        rate, latency = show(self.bytes_per_s, Dimension.BANDWIDTH), show(self.latency_s, Dimension.TIME)
        return f"Link({self.count} x {rate} one way, {latency})"

    @property
    def egress_bytes_per_s(self) -> float:
        """All ports of the chip together, one way."""
        return self.bytes_per_s * self.count


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


TIERS = ("on_demand", "reserved", "spot")
"""How a chip can be rented."""


Tier = Literal["on_demand", "reserved", "spot"]


NO_SELLER = "a price of its own"
"""Of a price that does not say who asks it: that of a scenario, or of a chip file of the user's."""


class Prices(Spec):
    """What one chip costs an hour, by how it is rented; None where that is not known. `sellers`: who asks that price, and of
    when it is, in few words: prices of unlike sellers and dates say little beside each other."""

    on_demand: UsdPerHour | None = Field(default=None, description="rented when it is needed")
    reserved: UsdPerHour | None = Field(default=None, description="rented for long, or booked ahead")
    spot: UsdPerHour | None = Field(default=None, description="rented until someone else wants it")
    sellers: Annotated[dict[Tier, str], Frozen] = Field(
        default_factory=dict, description="who asks each price, and of when it is: {on_demand: 'AWS, January 2025'}"
    )

    @property
    def known(self) -> dict[str, float]:
        """USD/h by each tier that has a price."""
        priced = {tier: self.of(tier) for tier in TIERS}
        return {tier: usd for tier, usd in priced.items() if usd is not None}

    def told(self, tier: str) -> str | None:
        """How a chip is rented, who asks the price, and of when it is; None where there is no price."""
        if self.of(tier) is None:
            return None
        seller = next((each for name, each in self.sellers.items() if name == tier), NO_SELLER)
        return f"{tier.replace('_', ' ')}, {seller}"

    def of(self, tier: str) -> float | None:
        """USD/h of a tier of `TIERS`, None if unknown."""
        price: float | None = getattr(self, tier)
        return price


def _on_demand(value: object) -> object:
    """A plain price is that on demand."""
    return value if isinstance(value, (dict, Prices)) else {"on_demand": value}


class Chip(Spec):
    """One accelerator. Dense peaks, no sparsity; see the module for the model."""

    name: str = Field(min_length=1)
    about: str = ""
    kind: Literal["tpu", "gpu", "cpu", "accelerator"] = "accelerator"
    matrix_unit: MatrixUnit
    vector_unit: VectorUnit
    hbm: Memory
    on_chip: Memory | None = None
    levels: Annotated[dict[str, Memory], Frozen] = Field(
        default_factory=dict, description="levels of memory on the chip by name, nearest first: registers, l1, l2, ..."
    )
    host: Memory | None = None
    disk: Memory | None = None
    links: Annotated[dict[str, Link], Frozen] = Field(default_factory=dict)
    prices: Annotated[Prices, BeforeValidator(_on_demand, json_schema_input_type=UsdPerHour | Prices)] = Field(
        alias="price", default=Prices(), description="of one chip: a price on demand, or one for each way to rent it"
    )
    power_watts: Watts | None = Field(alias="power", default=None)
    sources: Annotated[dict[str, str], Frozen] = Field(default_factory=dict)
    calibration: Calibration = Calibration()

    def __repr__(self) -> str:
        dtype, peak = next(iter(self.matrix_unit.peak_flops_per_s.items()))
        figures = [
            f"{dtype} {show(peak, Dimension.FLOP_RATE)}",
            f"hbm {self.hbm}",
            *(f"links {', '.join(self.links)}",) * bool(self.links),
        ]
        return f"Chip({self.name}: {', '.join(figures)})"

    @property
    def default_link(self) -> str | None:
        """The link that a topology uses when it names none: the first of the file."""
        return next(iter(self.links), None)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def price_usd_per_h(self) -> float | None:
        """The price on demand."""
        return self.prices.on_demand

    @property
    def memories(self) -> dict[str, Memory]:
        """Every memory by name, nearest first."""
        common = {name: getattr(self, name) for name in COMMON_MEMORIES}
        return {**self.levels, **{name: memory for name, memory in common.items() if memory is not None}}

    @property
    def near_memories(self) -> dict[str, Memory]:
        """The memories on the chip by name: its levels, and on_chip."""
        return {name: memory for name, memory in self.memories.items() if name not in ("hbm", "host", "disk")}

    def ridge_flop_per_byte(self, dtype: str) -> float | None:
        """Arithmetic intensity above which a matmul of `dtype` is compute-bound, or None without a peak."""
        peaks = dict(self.matrix_unit.peak_flops_per_s)
        peak = next((rate for name, rate in peaks.items() if name == dtype), None)
        return peak / self.hbm.bytes_per_s if peak else None

    def figures(self) -> Iterator[str]:
        """The names of the sections that hold figures, and so need a source."""
        yield from ("matrix_unit", "vector_unit", "hbm")
        yield from (name for name in ("on_chip", "host", "disk") if getattr(self, name) is not None)
        yield from (f"levels.{name}" for name in self.levels)
        yield from (f"links.{name}" for name in self.links)
        if self.prices.known:
            yield "price"
        if self.power_watts is not None:
            yield "power"
        if self.calibration.measured is not None:
            yield "calibration"


def chip_invariants(chip: Chip) -> Iterator[tuple[tuple[Key, ...], str]]:
    """What is wrong with a chip as a whole: the keys that may be to blame, likeliest first, and the message."""
    units: dict[str, object] = {"matrix_unit": None, "vector_unit": None, "pcie.in": None, "pcie.out": None}
    yield from name_problems(chip.levels, {**units, **dict.fromkeys(COMMON_MEMORIES), **chip.links})
    yield from hierarchy_problems(
        chip.levels, {name: chip.memories[name] for name in COMMON_MEMORIES if name in chip.memories}
    )
    measured = chip.calibration.measured
    for name in measured.links if measured is not None else ():
        if name not in chip.links and name not in chip.levels:
            place: Key = ("calibration", "measured", name)
            yield (place,), unknown("link or resource", name, [*MEASURED, "launch", *chip.levels, *chip.links])
    for name in measured.collectives if measured is not None else ():
        if name not in chip.links:
            place = ("calibration", "measured", "collectives", name)
            yield (place,), unknown("link", name, chip.links)
    if measured is not None and measured.kernels_said is not None and measured.long_matmuls:
        place = ("calibration", "measured", "long_matmuls")
        yield (place,), "long_matmuls says nothing beside `kernels`, which are the chip's own: take one of them out"
    said = {"kernels": measured.kernels_said, "kernels_like": measured.kernels_like} if measured is not None else {}
    for key in (key for key, value in said.items() if value is not None):
        if "cores" not in chip.matrix_unit.model_fields_set:
            place = ("calibration", "measured", key)
            yield (place, ("matrix_unit",)), "kernels go over cores in waves: matrix_unit.cores is missing"
    known = list(chip.figures())
    for name in chip.sources:
        if name not in known:
            yield (("sources", name),), unknown("section", name, known)


def self_check(chip: Chip) -> Iterator[tuple[tuple[Key, ...], str]]:
    """Where a chip file contradicts itself: a peak that its own units, cycles and clock do not give.

    It is a check of what was transcribed from a data sheet, so an override, which is a what-if, is not held against it.
    """
    derived = chip.matrix_unit.derived
    if derived is not None:
        peak = chip.matrix_unit.peak_flops_per_s.get(derived.dtype)
        if peak is None:
            yield (("matrix_unit", "derived"),), f"there is no peak for {derived.dtype} to compare with"
        elif abs(derived.flops_per_s / peak - 1) > DERIVED_TOLERANCE:
            message = (
                f"units x flops_per_cycle x clock gives {show(derived.flops_per_s, Dimension.FLOP_RATE)}, "
                f"the {derived.dtype} peak says {show(peak, Dimension.FLOP_RATE)}"
            )
            yield (("matrix_unit", "derived"), ("matrix_unit", "peak", derived.dtype)), message
