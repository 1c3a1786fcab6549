"""How much of the chips' peak a run uses: MFU and HFU over all chips of the system, alike or not.

Model: the matrix FLOPs of every chip at its data sheet's peak take `ideal` seconds there; MFU is what all chips' peaks would
have needed, over what they were there for: sum(ideal x peak) / (time x sum(peak)), so the share of the FLOPs that the whole
system could have done in the time. On alike chips with alike work that is a chip's ideal seconds over the time.
MFU counts the FLOPs of the model, HFU also those done again (`recompute=true` of an op, or of a member of a fused kernel).
Source: model and hardware FLOPs utilisation as in Chowdhery et al. 2022 (PaLM), appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hw import Chip
from simulator import Plan
from simulator.dtypes import usable_dtype
from simulator.plan import Variant


def ideal_math_s(variant: Variant, chip: Chip, recomputed: bool = True) -> float:
    """Seconds of a kernel's matrix work at the chip's peak, without padding; with what is done again if `recomputed`."""
    works = (work for work in variant.kernel.works if work.unit == "matrix_unit" and (recomputed or not work.recompute))
    return sum(work.flops / _peak(chip, work.dtype) for work in works)


def mfu(plan: Plan, time_s: float) -> float:
    """The share of all chips' matrix peaks that the model's FLOPs use; 0 for a run of no time."""
    return _utilisation(plan, time_s, recomputed=False)


def hfu(plan: Plan, time_s: float) -> float:
    """The share of all chips' matrix peaks that is used, recomputation included; 0 for a run of no time."""
    return _utilisation(plan, time_s, recomputed=True)


def _utilisation(plan: Plan, time_s: float, recomputed: bool) -> float:
    works = [work for planned in plan.kernels for work in planned.kernel.works if work.unit == "matrix_unit"]
    if not works or time_s <= 0:
        return 0.0
    dtype = max(works, key=lambda work: work.flops).dtype
    ideal_s: dict[int, float] = {}
    for planned in plan.kernels:
        for chip in planned.chips:
            ideal_s[chip] = ideal_s.get(chip, 0.0) + ideal_math_s(
                plan.variant(planned, chip), plan.system.chip_at(chip), recomputed
            )
    peaks = [_peak(kind, dtype) for kind in plan.system.kinds]
    kind_of = plan.system.kind_of
    used = sum(seconds * peaks[kind_of[chip]] * len(plan.members(chip)) for chip, seconds in ideal_s.items())
    return used / (time_s * sum(peaks[kind] for kind in kind_of))


def _peak(chip: Chip, dtype: str) -> float:
    """FLOP/s at which a chip's matrix unit serves a dtype; 0 if it cannot."""
    peaks: Mapping[Any, float] = chip.matrix_unit.peak_flops_per_s
    served = usable_dtype(dtype, peaks)
    return peaks[served] if served else 0.0
