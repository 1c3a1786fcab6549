"""Kernel times from timings of operators: stage by stage, each parameter from the rows that speak of it.

Model: a stage is some parameters and the rows that determine them; streams come first, since all that follows rests on the
start of a kernel and on HBM. Parameters that no stage determines stay as in what the fit begins with. Errors are logarithms
of predicted over measured; soft losses let a spoiled row count little, whatever it says, rows whose times spread are left
out, and so, by name, are a few that are far off where all others of their stage agree. What is found is the chip's own: of
its clock, power limit and peak, as sure as the errors of each family's rows.
Law: rows made from parameters give these parameters again.
Source: scipy.optimize.least_squares, losses soft_l1 and cauchy (an extra: `pip install 'overlapse[calibrate]'`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hw import Chip, RunError
from hw.chips import Family, KernelTimes
from scenarios.calibration.timed import Timed, timed_rows
from scenarios.validation import Row
from simulator.measured import Device

SOFT = 0.1
"""Errors above this count as lines, not as squares."""

_FAR = 2.0
"""Rows that are off by more than this factor on average are of another chip, or in another unit."""

_ALONE = 8.0
"""Rows that lie so many times further from the middle of their stage than its rows do (in standard deviations, by the median
of distances), and by more than `_FAR`, are spoiled: no kernel's time spreads so."""

_FEW = 0.2
"""Of the rows of a stage, so many are spoiled at most: where more are far off, it is the model that does not fit."""

_STEP = 1e-3
"""Relative steps of differences: tiles and waves make times that bend."""

_SAYS = 0.01
"""Of the logarithms of times, what a parameter's own changes of them at least, else its rows say next to nothing of it."""

_SHARES, _TIMES, _FACTORS = (0.05, 1.0), (1e-9, 1e-3), (0.1, 100.0)
_SMALL = (1e-14, 1e-6)
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "hbm": _SHARES, "rate": _SHARES, "start": _TIMES, "tile": _TIMES, "split": _TIMES,
    "element": _SMALL, "row": _SMALL, "long": _SMALL, "least": _TIMES, "fixed": _TIMES,
    "feed": _FACTORS, "pair": (0.1, 1000.0), "tail": (0.01, 2.0), "passes": (1e-3, 20.0), "corner": (1.2, 30.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """Parameters (dotted, as in a file) that some rows determine; mean errors of these rows before and after, relative. A
    stage of fewer rows than parameters determines nothing. `weak`: parameters that change these rows by next to nothing;
    `factor`: by what these rows are still off, up or down, in the geometric mean; `spoiled`: rows that were left out, since
    they are far off alone, and how many times too long each is."""

    name: str
    parameters: tuple[str, ...]
    rows: int
    before: float = 0.0
    after: float = 0.0
    weak: tuple[str, ...] = ()
    factor: float = 1.0
    spoiled: tuple[tuple[Row, float], ...] = ()

    @property
    def determined(self) -> bool:
        """Whether there were rows enough."""
        return self.rows >= len(self.parameters) > 0


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Kernel times, and how they were found. Of the rows `spread` are left out since other work got in, and `unused` since
    they are steps, warm, or nothing that is known here and that the chip can do."""

    times: KernelTimes
    stages: tuple[Stage, ...]
    spread: int = 0
    unused: int = 0


def calibrate(rows: Sequence[Row], chip: Chip, base: KernelTimes, source: str) -> Calibrated:
    """The kernel times of a chip from measured operators, beginning with those of `base`. Raises RunError without scipy, and
    for rows that no kernel times come near."""
    every = timed_rows(rows, chip)
    known = [each for each in every if not each.row.unsteady]
    data: dict[str, Any] = base.model_dump(by_alias=True)
    data |= {"name": "", "about": f"Kernels of {chip.name}.", "source": source, **_measured_under(chip)}
    stages = []
    for name, wanted, parameters in _stages(known, base):
        mine = [each for each in known if wanted(each)]
        stage = Stage(name, parameters, len(mine))
        if stage.determined:
            data, stage = _without_spoiled(mine, chip, data, stage)
        stages.append(stage)
    _check_factors(stages, chip)
    residuals = _residuals(stages)
    data["residuals"] = {**base.residuals, **residuals}
    return Calibrated(KernelTimes(**data), tuple(stages), len(every) - len(known), len(rows) - len(every))


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


def _residuals(stages: Sequence[Stage]) -> dict[Family, float]:
    """The mean error of each family that rows have determined; streams and all kinds are passes."""
    found: dict[Family, list[tuple[int, float]]] = {}
    for stage in stages:
        if stage.determined:
            found.setdefault(_FAMILIES.get(stage.name, "passes"), []).append((stage.rows, stage.after))
    return {
        family: sum(rows * after for rows, after in each) / sum(rows for rows, _ in each)
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
    rows = sum(_is_of(kind, each) for each in known)
    keys = ["element", *more] if rows > len(more) else ["element"]
    return tuple(f"kinds.{kind}.{key}" for key in keys)


def _without_spoiled(
    rows: Sequence[Timed], chip: Chip, data: Mapping[str, Any], stage: Stage
) -> tuple[dict[str, Any], Stage]:
    """What fits the rows best that are not spoiled, as long as they determine the parameters."""
    made, found, left = _found(rows, chip, data, stage)
    alone = _far_alone(left)
    if not alone or len(rows) - len(alone) < len(stage.parameters):
        return made, found
    kept = [each for at, each in enumerate(rows) if at not in alone]
    spoiled = tuple((rows[at].row, math.exp(-left[at])) for at in alone)
    made, found, _ = _found(kept, chip, data, replace(stage, rows=len(kept)))
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
    parameters = stage.parameters
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise RunError("calibrate needs scipy: pip install 'overlapse[calibrate]'") from None
    device = Device.of(chip)

    def with_values(logs: Sequence[float]) -> dict[str, Any]:
        changed = data
        for dotted, value in zip(parameters, logs, strict=True):
            changed = _put(changed, dotted.split("."), math.exp(value))
        return dict(changed)

    def errors(logs: Sequence[float]) -> list[float]:
        times = KernelTimes(**with_values(logs))
        return [math.log(each.seconds(chip, device, times) / each.row.measured_s) for each in rows]

    bounds = [_BOUNDS[_kind_of(dotted)] for dotted in parameters]
    starts = [_start(data, dotted, limits) for dotted, limits in zip(parameters, bounds, strict=True)]
    low, high = ([math.log(limits[end]) for limits in bounds] for end in (0, 1))
    at = starts
    # first from far away, then with next to no say for rows that are still far off
    for loss in ("soft_l1", "cauchy"):
        found = least_squares(errors, at, bounds=(low, high), loss=loss, f_scale=SOFT, diff_step=_STEP)
        at = found.x
    made = with_values(at)
    said = [math.sqrt(statistics.fmean(change * change for change in column)) for column in found.jac.T.tolist()]
    weak = tuple(dotted for dotted, change in zip(parameters, said, strict=True) if change < _SAYS)

    left = errors(at)
    before = [math.log(each.seconds(chip, device, KernelTimes(**data)) / each.row.measured_s) for each in rows]
    factor = math.exp(statistics.fmean(map(abs, left)))
    return made, replace(stage, before=_mean(before), after=_mean(left), weak=weak, factor=factor), left


def _mean(logs: Sequence[float]) -> float:
    """How far off rows are on average, from the logarithms of what is predicted over what was measured."""
    return statistics.fmean(abs(math.exp(each) - 1.0) for each in logs)


def _kind_of(dotted: str) -> str:
    """What a parameter is: its own name, or `rate` of those by dtype."""
    parts = dotted.split(".")
    return "rate" if "rate" in parts else parts[-1]


def _start(data: Mapping[str, Any], dotted: str, limits: tuple[float, float]) -> float:
    """The logarithm of where a parameter begins, inside its limits; of what was not there in their middle."""
    value: Any = data
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    number = value or math.sqrt(limits[0] * limits[1])
    return math.log(min(limits[1] * (1 - 1e-6), max(limits[0] * (1 + 1e-6), number)))


def _put(data: Mapping[str, Any], path: Sequence[str], value: float) -> dict[str, Any]:
    first, *rest = path
    return {**data, first: _put(data.get(first) or {}, rest, value) if rest else value}
