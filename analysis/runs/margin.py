"""How sure a measured run's time is: a margin from the residuals of what it rests on.

Model: what a run takes is what its critical path takes, so each stretch of that counts. Kernels of one family (matmuls,
attention, passes over memory, the host's work, ...), and collectives over one link, are off by one factor together, families
independently of each other; the mean error of each on measured rows stands beside its parameters. The relative error of the
time is then the root of the sum of (share of a family x its error)^2; nine of ten normal errors are within 2.06 times their
mean.
Assumes: the path stays the path. Of more than MOST_WALKED tasks the time of all of them stands for it.
`covers`: the share of the path of which residuals are known; of the rest nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from analysis.runs.critical_path import schedule_path
from analysis.runs.grounds import collective_times, slowest_of, spent_by_kernels
from hw import Chip
from hw.chips import chip_kernels
from simulator import Plan, PlannedKernel, Result, Variant
from simulator.measured import family_of

NINE_OF_TEN = 2.06
"""Times the mean of normal errors within which nine of ten are: 1.645 / 0.798."""

MOST_WALKED = 20_000
"""Tasks of a run whose path is walked for this: it takes half a second."""


@dataclass(frozen=True, slots=True)
class Margin:
    """By how much a run's time may be off, relative, and the share of its path of which that is known."""

    relative: float
    covers: float
    time_s: float

    @property
    def low_s(self) -> float:
        """The time less the margin."""
        return self.time_s * max(0.0, 1.0 - self.relative)

    @property
    def high_s(self) -> float:
        """The time and the margin."""
        return self.time_s * (1.0 + self.relative)


def margin(result: Result) -> Margin | None:
    """The margin of a measured run; None of one by the data sheet, or of which no residual is known."""
    plan = result.plan
    if plan.options.calibration != "measured":
        return None
    whole, known = 0.0, 0.0
    errors: dict[str, float] = {}
    spent = _along_the_path(result) if len(plan.program) <= MOST_WALKED else spent_by_kernels(result)
    for sort, variant, seconds in spent:
        planned = plan.kernels.sorts[sort]
        whole += seconds
        found = _residual(plan, planned, planned.variants[variant], plan.split.chips[variant])
        if found is not None:
            name, mean = found
            known += seconds
            errors[name] = errors.get(name, 0.0) + seconds * mean
    if not known:
        return None
    relative = NINE_OF_TEN * math.hypot(*errors.values()) / whole
    return Margin(relative, known / whole, result.time_s)


def _along_the_path(result: Result) -> Iterator[tuple[int, int, float]]:
    """(sort of kernels, variant, seconds) of each stretch of the critical path."""
    plan = result.plan
    for segment in schedule_path(result):
        kernel = plan.kernel_on(segment.task, segment.chip)
        yield (
            plan.kernels.code[kernel],
            plan.split.variant_of[segment.chip],
            1e-12 * (segment.end_ps - segment.begin_ps),
        )


def _residual(plan: Plan, planned: PlannedKernel, variant: Variant, chip: Chip) -> tuple[str, float] | None:
    """What errs together with a kernel, and the mean error of that, where it is known."""
    known = chip_kernels(chip)
    # of a chip whose kernels are another's all are priced by the profile, and its errors are those of the profile
    if known is not None and variant.by == ("measured" if known.own else "profile"):
        family = family_of(planned.kernel)
        mean = known.times.residuals.get(family)
        return (f"{chip.name} {family}", mean) if mean is not None else None
    if planned.kernel.host_s and known is not None:
        mean = known.times.dispatch.residual
        return ("host", mean) if mean is not None else None
    link = slowest_of(plan, planned, variant)
    times = collective_times(plan, planned, link, chip)
    return (link, times.residual) if times is not None and times.residual is not None else None
