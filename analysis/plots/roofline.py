"""The roofline as a picture: the roofs of each kind of chip, and every op under them as that kind runs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.plots.style import CAUSE_COLOURS, inert, styled
from analysis.runs.roofline import RooflinePoint, roofline_points
from analysis.words.causes import MEMORY, cause_of
from analysis.words.chip_kinds import kind_labels
from analysis.words.columns.rounds import op_figures
from analysis.words.ops import OpFigures
from hw import Chip, Dimension
from hw.input import show
from simulator import Result

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_POINTS = 400
"""Points that are drawn: those that take longest. Rounds of a block that stand at the same place are one."""


_DASHES = ("solid", "dash", "longdash", "dashdot")
_MARKERS = ("circle", "diamond", "square", "triangle-up")
"""Kinds of chips in order; more than there are begin again, and are told apart by their names."""


@dataclass(frozen=True, slots=True)
class _Look:
    """How a kind of chip is told apart: a name before all others ('' where all are alike), its lines, its markers."""

    label: str
    dash: str
    marker: str | None


@dataclass(slots=True)
class _Spot:
    """Ops at one place: the kind of chip, the point, what binds them, their time, how many."""

    kind: int
    point: RooflinePoint
    name: str
    cause: str
    time_s: float
    count: int


def plot_roofline(result: Result) -> Figure:
    """Roofs of the units and dtypes that the run uses, and a point per op: its size says what share of the time it takes.

    Of unlike chips each kind has its roofs (dashes) and its points (markers), under its name. Ops without arithmetic or HBM
    traffic have no place there.
    """
    from plotly.graph_objects import Figure

    system = result.plan.system
    spots = _spots(result)
    low, high = _range(system.kinds, [spot.point.intensity for spot in spots])
    traces: list[Any] = []
    labels = [f"{inert(label)} " for label in kind_labels(system)] if len(system.kinds) > 1 else [""]
    for kind, (chip, label) in enumerate(zip(system.kinds, labels, strict=True)):
        mine = [spot for spot in spots if spot.kind == kind]
        used = sorted({(spot.point.unit, spot.point.dtype) for spot in mine}) or [_main(chip)]
        look = _Look(label, _DASHES[kind % len(_DASHES)], _MARKERS[kind % len(_MARKERS)] if label else None)
        traces += [*_roofs(chip, used, (low, high), look), *_points(mine, result.time_s, look)]
    reached = [y for trace in traces for y in trace.y]
    x = {"title": "intensity (FLOP/B of HBM)", "type": "log", **_decades(low, high, Dimension.RATIO)}
    y = {"title": "FLOP/s", "type": "log", **_decades(min(reached), max(reached), Dimension.FLOP_RATE)}
    return styled(Figure(traces), 420, x, y)


def _decades(low: float, high: float, dimension: Dimension) -> dict[str, Any]:
    """Ticks of a logarithmic axis at powers of ten; rates in words."""
    powers = [10.0**at for at in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    rates = dimension is Dimension.FLOP_RATE
    texts = [show(power, dimension).removesuffix("FLOP/s").strip() if rates else f"{power:g}" for power in powers]
    return {"tickvals": powers, "ticktext": texts}


def _main(chip: Chip) -> tuple[str, str]:
    return "matrix_unit", next(iter(dict(chip.matrix_unit.peak_flops_per_s)))


def _spots(result: Result) -> list[_Spot]:
    """The ops that have a place under the roofs, alike rounds together, the longest first."""
    found: dict[tuple[int, str, float, float], _Spot] = {}
    for kind in range(len(result.plan.system.kinds)):
        rows: dict[str, OpFigures] = {row.name: row for row in op_figures(result, kind)}
        for point in roofline_points(result, kind):
            row = rows[point.name]
            name = row.base
            key = (kind, name, float(f"{point.intensity:.4g}"), float(f"{point.reached_flops_per_s:.4g}"))
            spot = found.setdefault(key, _Spot(kind, point, name, row.bound_by, 0.0, 0))
            spot.time_s += row.time_s
            spot.count += 1
    return sorted(found.values(), key=lambda spot: (-spot.time_s, spot.name))[:MAX_POINTS]


def _range(chips: Sequence[Chip], intensities: Sequence[float]) -> tuple[float, float]:
    """Intensities from well below the lowest point or ridge to well above the highest."""
    marks = [*intensities]
    for chip in chips:
        unit, dtype = _main(chip)
        peaks: Mapping[str, float] = getattr(chip, unit).peak_flops_per_s
        marks.append(peaks[dtype] / chip.hbm.bytes_per_s)
    return min(marks) / 4, max(marks) * 6


def _roofs(chip: Chip, used: Sequence[tuple[str, str]], span: tuple[float, float], look: _Look) -> list[Any]:
    from plotly.graph_objects import Scatter

    traces = []
    low, high = span
    slopes = [("HBM", chip.hbm.bytes_per_s)]
    slopes += [(name.replace("_", " "), memory.bytes_per_s) for name, memory in chip.near_memories.items()]
    peaks = {pair: float(getattr(chip, pair[0]).peak_flops_per_s[pair[1]]) for pair in used}
    top = max(peaks.values())
    for at, (name, rate) in enumerate(slopes):
        ridge = min(high, top / rate)
        if ridge <= low:
            continue
        label = f"{look.label}{name} {show(rate, Dimension.BANDWIDTH)}"
        traces.append(
            Scatter(
                x=[low, ridge],
                y=[low * rate, ridge * rate],
                mode="lines",
                line={"color": MEMORY.colour, "width": 1.25 if at else 2, "dash": "dot" if at else look.dash},
                name=label,
                hovertemplate=f"{label}<extra></extra>",
            )
        )
    for (unit, dtype), peak in peaks.items():
        cause = cause_of(unit)
        label = f"{look.label}{unit.removesuffix('_unit')} {dtype} {show(peak, Dimension.FLOP_RATE)}"
        start = max(low, peak / slopes[0][1])
        traces.append(
            Scatter(
                x=[min(start, high), high],
                y=[peak, peak],
                mode="lines",
                line={"color": cause.colour, "width": 2} | ({} if look.dash == "solid" else {"dash": look.dash}),
                name=label,
                hovertemplate=f"{label}<extra></extra>",
            )
        )
    return traces


def _points(spots: Sequence[_Spot], time_s: float, look: _Look) -> list[Any]:
    """A trace per cause."""
    from plotly.graph_objects import Scatter

    traces = []
    for cause, colour in CAUSE_COLOURS.items():
        mine = [spot for spot in spots if spot.cause == cause]
        if not mine:
            continue
        traces.append(
            Scatter(
                x=[spot.point.intensity for spot in mine],
                y=[spot.point.reached_flops_per_s for spot in mine],
                mode="markers",
                name=f"{look.label}bound by {cause}",
                marker={
                    "color": colour,
                    "opacity": 0.85,
                    "size": [8 + 26 * (spot.time_s / time_s if time_s else 0.0) ** 0.5 for spot in mine],
                    "line": {"width": 1, "color": "#ffffff"},
                    **({} if look.marker is None else {"symbol": look.marker}),
                },
                customdata=[_words(spot, time_s, look.label) for spot in mine],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    return traces


def _words(spot: _Spot, time_s: float, label: str) -> str:
    point, many = spot.point, f" x{spot.count}" if spot.count > 1 else ""
    lines = [
        f"<b>{inert(spot.name)}{many}</b>" + (f" on {label.rstrip()}" if label else ""),
        f"{show(point.intensity, Dimension.INTENSITY)} of HBM",
        f"{show(point.reached_flops_per_s, Dimension.FLOP_RATE)}, {100 * point.share:.1f} % of its roof",
        f"{show(spot.time_s, Dimension.TIME)}, {100 * spot.time_s / time_s if time_s else 0:.1f} % of the run",
    ]
    return "<br>".join(lines)
