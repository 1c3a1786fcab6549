"""A roofline of plain numbers: one peak, several bandwidths, and algorithms at their intensities.

    plot_roofs(197 * TERA, {"HBM": 820 * GIGA, "PCIe": 16 * GIGA}, {"matmul, B = 1024": 819, "dot product": 0.25})

Model: under a bandwidth w and a peak p an algorithm of intensity i reaches min(p, i w); it needs no run.
Source: Williams, Waterman & Patterson, CACM 2009; with two bandwidths and two algorithms as in "How to Scale Your Model",
part 1 (the picture is drawn anew).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.plots.roofline import rate_text
from analysis.plots.scales import log_ticks
from analysis.plots.style import inert, styled
from analysis.words.causes import COMPUTE, HOST, MEMORY, NETWORK
from hw import Dimension
from hw.input import show

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_COLOURS = (MEMORY.colour, NETWORK.colour, HOST.colour)
_DASHES = ("solid", "dash", "dot", "dashdot")
_BELOW, _ABOVE = 8.0, 6.0
"""How far the picture goes beyond its outermost ridges and algorithms, as factors."""


def plot_roofs(peak: float, bandwidths: Mapping[str, float], algorithms: Mapping[str, float] | None = None) -> Figure:
    """Roofs of one peak (FLOP/s) under each bandwidth (bytes/s), and a point for each algorithm (FLOP per byte) on each.

    Raises ValueError without a bandwidth, and for a number that is not above 0.
    """
    from plotly.graph_objects import Figure

    points = dict(algorithms or {})
    _check(peak, bandwidths, points)
    marks = [*(peak / rate for rate in bandwidths.values()), *points.values()]
    low, high = min(marks) / _BELOW, max(marks) * _ABOVE
    traces: list[Any] = []
    for at, (name, rate) in enumerate(bandwidths.items()):
        traces += _roof(name, (peak, rate), (low, high), at)
    for at, (name, rate) in enumerate(bandwidths.items()):
        traces.append(_points(name, (peak, rate), points, at))
    x = {"title": "intensity (FLOP/B)", "type": "log", **log_ticks(low, high)}
    lowest = low * min(bandwidths.values())
    y = {"title": "FLOP/s", "type": "log", **log_ticks(lowest, 2 * peak, rate_text)}
    return styled(Figure([trace for trace in traces if len(trace.x)]), 420, x, y)


def _check(peak: float, bandwidths: Mapping[str, float], algorithms: Mapping[str, float]) -> None:
    if not bandwidths:
        raise ValueError("a roofline has a bandwidth: {name: bytes/s}")
    for name, number in {"the peak": peak, **bandwidths, **algorithms}.items():
        if not 0 < number < float("inf"):
            raise ValueError(f"{name} is {number}; it must be above 0, and finite")


def _roof(name: str, rates: tuple[float, float], span: tuple[float, float], at: int) -> list[Any]:
    """The slope and the flat part of one roof."""
    from plotly.graph_objects import Scatter

    (peak, rate), (low, high) = rates, span
    ridge = peak / rate
    dash = _DASHES[at % len(_DASHES)]
    label = f"{inert(name)} {show(rate, Dimension.BANDWIDTH)}"
    slope = Scatter(
        x=[low, ridge],
        y=[low * rate, peak],
        mode="lines",
        line={"color": _COLOURS[at % len(_COLOURS)], "width": 2, "dash": dash},
        name=label,
        hovertemplate=f"{label}<extra></extra>",
    )
    flat = Scatter(
        x=[ridge, high],
        y=[peak, peak],
        mode="lines",
        line={"color": COMPUTE.colour, "width": 2},
        name=f"peak {show(peak, Dimension.FLOP_RATE)}",
        showlegend=at == 0,
        hoverinfo="skip",
    )
    return [slope, flat]


def _points(name: str, rates: tuple[float, float], algorithms: Mapping[str, float], at: int) -> Any:
    """What each algorithm reaches under one roof; the first roof's points carry the names."""
    from plotly.graph_objects import Scatter

    peak, rate = rates
    reached = [min(peak, intensity * rate) for intensity in algorithms.values()]
    bound = ["compute" if value >= peak else inert(name) for value in reached]
    return Scatter(
        x=list(algorithms.values()),
        y=reached,
        mode="markers+text",
        text=[inert(each) if at == 0 else "" for each in algorithms],
        textposition="top left",
        showlegend=False,
        marker={"size": 10, "color": _COLOURS[at % len(_COLOURS)], "line": {"width": 1, "color": "#ffffff"}},
        customdata=[
            f"<b>{inert(each)}</b><br>{show(value, Dimension.FLOP_RATE)}, bound by {why}"
            for each, value, why in zip(algorithms, reached, bound, strict=True)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )
