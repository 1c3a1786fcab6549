"""The roofline as a picture: the roofs of each kind of chip, and every op under them as that kind runs it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.plots.scales import gathered, joined_names, log_ticks
from analysis.plots.style import CAUSE_COLOURS, inert, styled
from analysis.runs.roofline import RooflinePoint, roofline_points
from analysis.words.causes import HOST, MEMORY, NETWORK, Cause, cause_of
from analysis.words.chip_kinds import kind_labels
from analysis.words.columns.rounds import op_figures
from analysis.words.ops import OpFigures
from hw import Chip, Dimension
from hw.chips import HOST_LINK
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

    Roofs are those of every level of memory, of links one way, and of the host. Of unlike chips each kind has its roofs
    (dashes) and its points (markers), under its name. An op that moves no HBM bytes stands at its intensity of what it
    does move; ops without arithmetic have no place there.
    """
    from plotly.graph_objects import Figure

    system = result.plan.system
    spots = _spots(result)
    low, high = _range(system.kinds, [spot.point.intensity for spot in spots])
    shown = _names(spots, math.log10(high / low))
    traces: list[Any] = []
    labels = [f"{inert(label)} " for label in kind_labels(system)] if len(system.kinds) > 1 else [""]
    for kind, (chip, label) in enumerate(zip(system.kinds, labels, strict=True)):
        mine = [spot for spot in spots if spot.kind == kind]
        used = sorted({(spot.point.unit, spot.point.dtype) for spot in mine}) or [_main(chip)]
        look = _Look(label, _DASHES[kind % len(_DASHES)], _MARKERS[kind % len(_MARKERS)] if label else None)
        traces += [*_roofs(chip, used, (low, high), look), *_points(mine, result.time_s, look, shown)]
    reached = [y for trace in traces for y in trace.y]
    x = {"title": "intensity (FLOP per byte of the level)", "type": "log", **log_ticks(low, high)}
    y = {"title": "FLOP/s", "type": "log", **log_ticks(min(reached), max(reached), rate_text)}
    return styled(Figure(traces), 460, x, y)


def rate_text(value: float) -> str:
    """A rate beside an axis of FLOP/s: '100 T'."""
    return show(value, Dimension.FLOP_RATE).removesuffix("FLOP/s").strip()


def _names(spots: Sequence[_Spot], decades: float) -> Mapping[int, str]:
    """What is written beside spots (by identity): the names of those that stand there."""
    places = [(math.log10(spot.point.intensity), math.log10(spot.point.reached_flops_per_s)) for spot in spots]
    heights = [high for _, high in places]
    span = decades, max(4.0, max(heights, default=0.0) - min(heights, default=0.0))
    there: dict[int, list[str]] = {}
    for spot, carrier in zip(spots, gathered(places, span), strict=True):
        if carrier >= 0:
            there.setdefault(id(spots[carrier]), []).append(_name(spot))
    return {number: joined_names(names) for number, names in there.items()}


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


def level_text(level: str) -> str:
    """The name of a memory as people write it."""
    return "HBM" if level == "hbm" else level.replace("_", " ")


def slopes_of(chip: Chip) -> Iterator[tuple[str, float, Cause]]:
    """What can feed a chip's units: every level of memory, its links, one way, and its host; (name, bytes/s, cause)."""
    yield level_text("hbm"), chip.hbm.bytes_per_s, MEMORY
    for name, memory in chip.near_memories.items():
        yield level_text(name), memory.bytes_per_s, MEMORY
    for name, link in chip.links.items():
        yield f"{name}, one way", link.egress_bytes_per_s, HOST if name == HOST_LINK else NETWORK


def _roofs(chip: Chip, used: Sequence[tuple[str, str]], span: tuple[float, float], look: _Look) -> list[Any]:
    from plotly.graph_objects import Scatter

    traces = []
    low, high = span
    slopes = list(slopes_of(chip))
    peaks = {pair: float(getattr(chip, pair[0]).peak_flops_per_s[pair[1]]) for pair in used}
    top = max(peaks.values())
    for at, (name, rate, cause) in enumerate(slopes):
        ridge = min(high, top / rate)
        if ridge <= low:
            continue
        label = f"{look.label}{name} {show(rate, Dimension.BANDWIDTH)}"
        traces.append(
            Scatter(
                x=[low, ridge],
                y=[low * rate, ridge * rate],
                mode="lines",
                line={"color": cause.colour, "width": 1.25 if at else 2, "dash": "dot" if at else look.dash},
                name=label,
                hovertemplate=f"{label}<extra></extra>",
            )
        )
    for (unit, dtype), peak in peaks.items():
        cause = cause_of(unit)
        label = f"{look.label}{unit.removesuffix('_unit')} {dtype} {show(peak, Dimension.FLOP_RATE)}"
        start = max(low, peak / chip.hbm.bytes_per_s)
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


def _points(spots: Sequence[_Spot], time_s: float, look: _Look, names: Mapping[int, str]) -> list[Any]:
    """A trace per cause; the spots in `names` carry them."""
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
                mode="markers+text",
                text=[names.get(id(spot), "") for spot in mine],
                textposition="bottom right",
                textfont={"size": 11},
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


def _name(spot: _Spot) -> str:
    return inert(spot.name) + (f" x{spot.count}" if spot.count > 1 else "")


def _words(spot: _Spot, time_s: float, label: str) -> str:
    point = spot.point
    lines = [
        f"<b>{_name(spot)}</b>" + (f" on {label.rstrip()}" if label else ""),
        f"{show(point.intensity, Dimension.INTENSITY)} of {level_text(point.level)}",
        f"{show(point.reached_flops_per_s, Dimension.FLOP_RATE)}, {100 * point.share:.1f} % of its roof",
        f"{show(spot.time_s, Dimension.TIME)}, {100 * spot.time_s / time_s if time_s else 0:.1f} % of the run",
    ]
    return "<br>".join(lines)
