"""How much of the chips' peak a run uses: MFU and HFU over all chips of the system, alike or not.

Model: the matrix FLOPs of every chip at its data sheet's peak take `ideal` seconds there; MFU is what all chips' peaks would
have needed, over what they were there for: sum(ideal x peak) / (time x sum(peak)), so the share of the FLOPs that the whole
system could have done in the time. On alike chips with alike work that is a chip's ideal seconds over the time.
MFU counts the FLOPs of the model, HFU also those done again (`recompute=true` of an op, or of a member of a fused kernel).
Source: model and hardware FLOPs utilisation as in Chowdhery et al. 2022 (PaLM), appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hw import Chip
from simulator import Plan, Work, usable_dtype

_UNIT = "matrix_unit"


def mfu(plan: Plan, time_s: float) -> float:
    """The share of all chips' matrix peaks that the model's FLOPs use; 0 for a run of no time."""
    return _utilisation(plan, time_s, recomputed=False)


def hfu(plan: Plan, time_s: float) -> float:
    """The share of all chips' matrix peaks that is used, recomputation included; 0 for a run of no time."""
    return _utilisation(plan, time_s, recomputed=True)


def _utilisation(plan: Plan, time_s: float, recomputed: bool) -> float:
    peaks = _Peaks(plan.system.kinds)
    kind_of = plan.system.kind_of
    ideal_s: dict[int, float] = {}
    heaviest: Work | None = None
    for planned in plan.kernels:
        if not planned.kernel.matrix_flops:
            continue
        for work in planned.kernel.works:
            if work.unit == _UNIT and (heaviest is None or work.flops > heaviest.flops):
                heaviest = work
        for chip in planned.chips:
            works = plan.variant(planned, chip).kernel.works
            ideal_s[chip] = ideal_s.get(chip, 0.0) + sum(
                work.flops / peaks.of(kind_of[chip], work.dtype)
                for work in works
                if work.unit == _UNIT and (recomputed or not work.recompute)
            )
    if heaviest is None or time_s <= 0:
        return 0.0
    whole = [peaks.of(kind, heaviest.dtype) for kind in range(len(plan.system.kinds))]
    used = sum(seconds * whole[kind_of[chip]] * len(plan.members(chip)) for chip, seconds in ideal_s.items())
    return used / (time_s * sum(whole[kind] for kind in kind_of))


class _Peaks:
    """FLOP/s at which the matrix unit of each kind of chip serves a dtype; 0 if it cannot."""

    def __init__(self, kinds: Sequence[Chip]) -> None:
        self.kinds = kinds
        self.known: dict[tuple[int, str], float] = {}

    def of(self, kind: int, dtype: str) -> float:
        """That of one kind."""
        if (kind, dtype) not in self.known:
            peaks: Mapping[Any, float] = self.kinds[kind].matrix_unit.peak_flops_per_s
            served = usable_dtype(dtype, peaks)
            self.known[kind, dtype] = peaks[served] if served else 0.0
        return self.known[kind, dtype]
