"""How much of the chips' peak a run uses: MFU and HFU over all chips of the system, alike or not.

Model: the matrix FLOPs of every chip at its data sheet's peak take `ideal` seconds there; MFU is what all chips' peaks would
have needed, over what they were there for: sum(ideal x peak) / (time x sum(peak)), so the share of the FLOPs that the whole
system could have done in the time. On alike chips with alike work that is a chip's ideal seconds over the time.
MFU counts the FLOPs of the model, HFU also those done again: by an op that says so (`recompute=true`, also of a member of a
fused kernel), or by a kernel within itself (the scores of flash attention, backwards: five products for four). Neither
counts rows that hold no token (`filled=` of a matmul: all experts have the slots of the fullest). Products with masks, which
only bring rows to experts and back (`one_hot=`), are in HFU alone. Of what an op says several chips do `alike=` each has its
part in MFU, and all of it in HFU; models say so of their products.
Assumes: else what chips make is each one's own. An op that no axis cuts may be a chip's share of a batch that nobody has
written down, or the same on all of them; who writes it knows.
Source: model FLOPs utilisation as in Chowdhery et al. 2022 (PaLM), appendix B: what is required forwards and backwards is
counted, what is made again is not (of attention two products forwards, four backwards); hardware FLOPs utilisation beside it
as in Korthikanti et al. 2022, appendix A.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.words.per_chip import totals
from hw import Chip
from simulator import Plan, PlannedKernel, usable_dtype

_UNIT = "matrix_unit"


def mfu(plan: Plan, time_s: float) -> float:
    """The share of all chips' matrix peaks that the model's FLOPs use; 0 for a run of no time."""
    return _utilisation(plan, time_s, recomputed=False)


def hfu(plan: Plan, time_s: float) -> float:
    """The share of all chips' matrix peaks that is used, recomputation included; 0 for a run of no time."""
    return _utilisation(plan, time_s, recomputed=True)


def _utilisation(plan: Plan, time_s: float, recomputed: bool) -> float:
    kind_of = plan.system.kind_of
    works = [work for sort in plan.kernels.sorts if sort.kernel.matrix_flops for work in sort.kernel.works]
    heavy = [work for work in works if work.unit == _UNIT]
    alike = len({work.dtype for work in heavy}) == 1  # then it does not matter which is the heaviest
    # of equals the first
    heaviest = heavy[0] if alike else max(heavy, key=lambda work: work.flops, default=None)

    def ideal(sort: PlannedKernel, variant: int) -> float:
        chip = plan.split.chips[variant]
        return sum(
            (work.filled_flops if recomputed else work.model_flops) / _peak(chip, work.dtype)
            for work in sort.variants[variant].kernel.works
            if work.unit == _UNIT
        )

    ideal_s = totals(plan, ideal, lambda sort: bool(sort.kernel.matrix_flops))
    if heaviest is None or time_s <= 0:
        return 0.0
    whole = [_peak(chip, heaviest.dtype) for chip in plan.system.kinds]
    used = sum(seconds * whole[kind_of[chip]] * len(plan.members(chip)) for chip, seconds in ideal_s.items())
    return used / (time_s * sum(whole[kind] for kind in kind_of))


def _peak(chip: Chip, dtype: str) -> float:
    """FLOP/s at which the matrix unit of a chip serves a dtype; 0 if it cannot."""
    peaks: Mapping[Any, float] = chip.matrix_unit.peak_flops_per_s
    served = usable_dtype(dtype, peaks)
    return peaks[served] if served else 0.0
