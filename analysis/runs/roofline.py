"""The roofline: per op, its intensity, what the roofs allow there, and what it reached.

FLOPs are those of the unit that carries the op (the matrix unit if it has any work there).
Roof of an op: min(peak of its unit and dtype, intensity x HBM bandwidth). Source: Williams, Waterman & Patterson, CACM 2009.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from analysis.words.columns.rounds import op_figures
from hw import Chip
from simulator import Result, Variant, usable_dtype


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """One kernel under its roof. FLOP/s and FLOP/B of the memory `level`."""

    name: str
    unit: str
    dtype: str
    intensity: float
    roof_flops_per_s: float
    reached_flops_per_s: float
    level: str = "hbm"
    base: str = ""
    """Its name without the numbers of rounds."""

    def __repr__(self) -> str:
        reached = f"{self.intensity:.4g} FLOP/B, {100 * self.share:.1f} % of its roof"
        return f"RooflinePoint({self.name} on {self.unit}: {reached})"

    @property
    def share(self) -> float:
        """Reached over roof."""
        return self.reached_flops_per_s / self.roof_flops_per_s


@dataclass(frozen=True, slots=True)
class Roof:
    """A ceiling of a chip: its unit, dtype, peak, and the intensity at which a memory (`level`) can feed it."""

    unit: str
    dtype: str
    flops_per_s: float
    ridge: float
    level: str = "hbm"


def roofs(chip: Chip, level: str = "hbm") -> Iterator[Roof]:
    """All ceilings of a chip, fed by one of its memories (a name of `Chip.memories`)."""
    bytes_per_s = chip.memories[level].bytes_per_s
    for unit in ("matrix_unit", "vector_unit"):
        peaks: Mapping[str, float] = getattr(chip, unit).peak_flops_per_s
        for dtype, peak in peaks.items():
            yield Roof(unit, dtype, peak, peak / bytes_per_s, level)


def roofline_points(result: Result, kind: int | None = None) -> Iterator[RooflinePoint]:
    """A point for every kernel that does arithmetic and moves bytes, under the roofs of the chip that took longest: of HBM,
    or, of one that moves no HBM bytes, of the memory in which it moves most.

    `kind`: of the chips of one kind only (a number of `System.kinds`), for the kernels that they run.
    """
    plan = result.plan
    for row, planned in zip(op_figures(result, kind), plan.kernels, strict=True):
        variant = plan.variant(planned, row.chip)
        chip, kernel = plan.system.chip_at(row.chip), variant.kernel
        level, nbytes = _fed_from(variant)
        if not (kernel.flops and nbytes and row.time_s > 0):
            continue
        unit = "matrix_unit" if kernel.matrix_flops else "vector_unit"
        flops = kernel.matrix_flops or kernel.vector_flops
        intensity = flops / nbytes
        dtype = kernel.matrix_dtype or kernel.vector_dtype
        peaks: Mapping[str, float] = getattr(chip, unit).peak_flops_per_s
        served = usable_dtype(dtype, peaks)
        if served is None:
            continue
        roof = min(peaks[served], intensity * chip.memories[level].bytes_per_s)
        yield RooflinePoint(row.name, unit, served, intensity, roof, flops / row.time_s, level, row.base)


def _fed_from(variant: Variant) -> tuple[str, float]:
    """The memory whose roof counts for a kernel, and the bytes that it moves there."""
    if variant.hbm_bytes:
        return "hbm", variant.hbm_bytes
    moved: dict[str, float] = {}
    for access in (*variant.kernel.reads, *variant.kernel.writes):
        moved[access.memory] = moved.get(access.memory, 0.0) + access.nbytes
    return max(moved.items(), key=lambda item: item[1], default=("hbm", 0.0))
