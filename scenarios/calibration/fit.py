"""Kernel times from timings of operators: stage by stage, each parameter from the rows that speak of it.

Model: a stage is some parameters and the rows that determine them; streams come first, since all that follows rests on the
start of a kernel and on HBM. Parameters that no stage determines stay as in what the fit begins with, and so do those of
which its rows say next to nothing, by themselves or apart from others (`scenarios.calibration.best`). A stage needs as many
different works as it has parameters: a row that is there twice says nothing new. Errors are logarithms of predicted over
measured; soft losses let a spoiled row count little, whatever it says, rows whose times spread are left
out, and so, by name, are a few that are far off where all others of their stage agree. What is found is the chip's own: of
its clock, power limit and peak, as sure as the errors of each family's rows.
Law: rows made from parameters give these parameters again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hw import Chip, Mark, RunError
from hw.chips import Family, KernelTimes
from scenarios.calibration.best import Works, best
from scenarios.calibration.timed import Timed, timed_rows, works_of
from scenarios.validation import Row

_FAR = 2.0
"""Rows that are off by more than this factor on average are of another chip, or in another unit."""

_ALONE = 8.0
"""Rows that lie so many times further from the middle of their stage than its rows do (in standard deviations, by the median
of distances), and by more than `_FAR`, are spoiled: no kernel's time spreads so."""

_FEW = 0.2
"""Of the rows of a stage, so many are spoiled at most: where more are far off, it is the model that does not fit."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Parameters (dotted, as in a file) that some rows determine; mean errors of these rows before and after, relative. A
    stage of fewer different works (`works`) than parameters determines nothing. `weak`: parameters that stay as they were,
    since these rows say next to nothing of them; `ends`: those at the end of what can be; `factor`: by what these rows are
    still off, up or down, in the geometric mean; `spoiled`: rows that were left out, since they are far off alone, and how
    many times too long each is."""

    name: str
    parameters: tuple[str, ...]
    rows: int
    works: int
    before: float = 0.0
    after: float = 0.0
    weak: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    factor: float = 1.0
    spoiled: tuple[tuple[Row, float], ...] = ()

    @property
    def determined(self) -> bool:
        """Whether there were rows enough."""
        return self.works >= len(self.parameters) > 0

    @property
    def found(self) -> tuple[str, ...]:
        """Parameters that the rows have said."""
        return tuple(dotted for dotted in self.parameters if dotted not in self.weak)

    @property
    def residual(self) -> float | None:
        """The mean error of rows that nothing was fitted to: larger than of those that were, as few rows leave parameters
        room (of n rows p parameters take the error of p); None where there is nothing left to judge them by."""
        free = self.works - len(self.found)
        return self.after * math.sqrt(self.works / free) if free > 0 else None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Kernel times of a chip, and how they were found. Of the rows `spread` are left out since other work got in, `unused`
    since they are steps, warm, or nothing that is known here and that the chip can do, `apart` since no stage has them."""

    chip: str
    times: KernelTimes
    stages: tuple[Stage, ...]
    spread: int = 0
    unused: int = 0
    apart: int = 0


def calibrate(rows: Sequence[Row], chip: Chip, base: KernelTimes, source: str) -> Calibrated:
    """The kernel times of a chip from measured operators, beginning with those of `base`. Raises RunError without scipy, and
    for rows that no kernel times come near."""
    every = timed_rows(rows, chip)
    known = [each for each in every if not each.row.unsteady]
    data: dict[str, Any] = base.model_dump(by_alias=True)
    data |= {"name": "", "about": f"Kernels of {chip.name}.", "source": source, **_measured_under(chip)}
    stages, looked_at = [], set[Mark]()
    for name, wanted, parameters in _stages(known, base):
        mine = [each for each in known if wanted(each)]
        looked_at.update(each.row.mark for each in mine)
        stage = Stage(name, parameters, len(mine), works_of(mine))
        if stage.determined:
            data, stage = _without_spoiled(mine, chip, data, stage)
        stages.append(stage)
    _check_factors(stages, chip)
    data["residuals"] = {**base.residuals, **_residuals(stages, base)}
    apart = sum(each.row.mark not in looked_at for each in known)
    left = (len(every) - len(known), len(rows) - len(every), apart)
    return Calibrated(chip.name, KernelTimes(**data), tuple(stages), *left)


def _check_factors(stages: Sequence[Stage], chip: Chip) -> None:
    """Raise RunError for rows that are off by more than a factor of two on average: they are not of this chip, or not in
    microseconds."""
    off = [f"{stage.name} by a factor of {stage.factor:.3g}" for stage in stages if stage.factor > _FAR]
    if off:
        asked = f"are they of {chip.name}, and their times in us?"
        raise RunError(f"no times of kernels come near these rows, off are {', '.join(off)}: {asked}")


def _measured_under(chip: Chip) -> dict[str, float | None]:
    """What shares and times of cores go with, when another chip is like this one."""
    derived = chip.matrix_unit.derived
    peaks = {str(name): rate for name, rate in chip.matrix_unit.peak_flops_per_s.items()}
    clock_hz = derived.clock_hz if derived is not None else None
    return {"clock": clock_hz, "power": chip.power_watts or None, "peak": peaks.get("bf16", peaks.get("fp16"))}


def _residuals(stages: Sequence[Stage], base: KernelTimes) -> dict[Family, float]:
    """The mean error of each family that rows have determined, as of rows that they were not found in; streams and all kinds
    are passes. As many rows as parameters are fitted whatever they are: the error is no less than before."""
    found: dict[Family, list[tuple[int, float]]] = {}
    for stage in stages:
        if stage.determined:
            family = _FAMILIES.get(stage.name, "passes")
            residual = stage.residual
            said = max(stage.after, base.residuals.get(family, 0.0)) if residual is None else residual
            found.setdefault(family, []).append((stage.rows, said))
    return {
        family: sum(rows * said for rows, said in each) / sum(rows for rows, _ in each)
        for family, each in found.items()
    }


_FAMILIES: Mapping[str, Family] = {
    "matmul": "matmul",
    "attention": "attention",
    "attention_backward": "attention_backward",
}
"""By stages; all others are passes over memory."""

Wanted = Callable[[Timed], bool]


def _stages(known: Sequence[Timed], base: KernelTimes) -> list[tuple[str, Wanted, tuple[str, ...]]]:
    dtypes = sorted({each.row.dtype for each in known if each.row.suite == "matmul"})
    rates = tuple(f"matmul.rate.{dtype}" for dtype in dtypes)
    streams = ("copy", "scale", "add", "gelu", "relu")
    attention = ("attention.rate", "attention.pair", "attention.tail", "attention.passes")
    backward = ("attention_backward.rate", "attention_backward.pair", "attention_backward.passes")
    found: list[tuple[str, Wanted, tuple[str, ...]]] = [
        # of several one behind the other the later ones read what is still on the chip
        ("streams", lambda each: each.kinds <= set(streams) and len(each.kernels) == 1, ("start", "hbm")),
        (
            "matmul",
            lambda each: each.row.suite == "matmul",
            (*rates, "matmul.feed", "matmul.tile", "matmul.split", "corner"),
        ),
        ("attention", lambda each: each.kinds == {"attention"} and len(each.kernels) == 1, attention),
        ("attention_backward", lambda each: each.kinds == {"attention_backward"}, backward),
    ]
    taken = {*streams, "fused", "matmul", "attention", "attention_backward", "conv2d"}
    for kind in sorted({kind for each in known if len(each.kinds) == 1 for kind in each.kinds} - taken):
        found.append((kind, partial(_is_of, kind), _of_kind(kind, known, base)))
    return found


def _is_of(kind: str, each: Timed) -> bool:
    return each.kinds == {kind}


def _of_kind(kind: str, known: Sequence[Timed], base: KernelTimes) -> tuple[str, ...]:
    """What an element takes, and what else the base says of the kind, if there are rows enough."""
    own = base.kinds.get(kind)
    more = [key for key in ("row", "long", "least", "fixed") if own is not None and getattr(own, f"{key}_s")]
    works = works_of([each for each in known if _is_of(kind, each)])
    keys = ["element", *more] if works > len(more) else ["element"]
    return tuple(f"kinds.{kind}.{key}" for key in keys)


def _without_spoiled(
    rows: Sequence[Timed], chip: Chip, data: Mapping[str, Any], stage: Stage
) -> tuple[dict[str, Any], Stage]:
    """What fits the rows best that are not spoiled, as long as they determine the parameters."""
    made, found, left = _found(rows, chip, data, stage)
    alone = _far_alone(left)
    kept = [each for at, each in enumerate(rows) if at not in alone]
    fewer = replace(stage, rows=len(kept), works=works_of(kept))
    if not alone or not fewer.determined:
        return made, found
    spoiled = tuple((rows[at].row, math.exp(-left[at])) for at in alone)
    made, found, _ = _found(kept, chip, data, fewer)
    return made, replace(found, spoiled=spoiled)


def _far_alone(errors: Sequence[float]) -> list[int]:
    """Which of some errors are far from the middle of all, if they are few."""
    middle = statistics.median(errors)
    apart = [abs(each - middle) for each in errors]
    # of a normal distribution the median distance is 0.67 standard deviations
    limit = max(math.log(_FAR), _ALONE * statistics.median(apart) / 0.6745)
    found = [at for at, each in enumerate(apart) if each > limit]
    return found if len(found) <= _FEW * len(errors) else []


def _found(
    rows: Sequence[Timed], chip: Chip, data: Mapping[str, Any], stage: Stage
) -> tuple[dict[str, Any], Stage, list[float]]:
    """The parameters that fit some rows best, the stage with the mean errors with those before and with these, and how far
    each row is off with these."""
    fit = best(Works(rows, chip), data, stage.parameters)
    factor = math.exp(statistics.fmean(map(abs, fit.errors)))
    before, after = (
        statistics.fmean(abs(math.exp(each) - 1.0) for each in errors) for errors in (fit.before, fit.errors)
    )
    told = replace(stage, before=before, after=after, weak=fit.weak, ends=fit.ends, factor=factor)
    return fit.data, told, fit.errors
