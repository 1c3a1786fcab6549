"""One accelerator as frozen data: peaks by dtype, memories, links, money, and where each figure comes from.

Model: a chip has a matrix unit and a vector unit (dense peak FLOP/s by dtype), HBM, on-chip memory and what levels there
are of it, optionally host memory and disk behind the PCIe link (`hw.chips.memory` has the memories), and links to the
world. A link's bandwidth is one way per port; `count` is the ports of a chip. All figures are data-sheet peaks in SI
base units; efficiencies live apart, under `calibration` (`hw.chips.calibration`), and so do prices (`hw.chips.prices`).
Invariant: memory gets slower away from the chip (levels >= hbm, on_chip >= hbm >= host >= disk).
The same dotted names serve chip files, overrides (`set: {hbm.bandwidth: ...}`) and error messages.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, computed_field, field_validator

from hw.chips.calibration import MEASURED, Calibration
from hw.chips.kernel_times import DTypeName
from hw.chips.memory import COMMON_MEMORIES, Memory, hierarchy_problems, name_problems
from hw.chips.prices import Prices, on_demand_alone
from hw.input.document import Key
from hw.input.units import Dimension, show
from hw.input.validation import (
    BytesPerSecond,
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
    prices: Annotated[Prices, BeforeValidator(on_demand_alone, json_schema_input_type=UsdPerHour | Prices)] = Field(
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
