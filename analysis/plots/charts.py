"""Pictures for notebooks and papers: plotly figures from a run, or from DataFrames of one.

    from analysis.plots import plot_timeline, save
    figure = plot_timeline(outcome.timeline)     # shows itself in a notebook
    save(figure, "timeline.svg")                 # .svg, .png, .pdf through a Chromium on this machine; .html without

Each takes a frame (`timeline_frame`, `temporal_breakdown`, `memory_frame`, a study's or a what-if's), so that what was
filtered, read back from a file or measured is drawn the same way; a `Result` stands for its own frame. A cause has the
same colour in every picture (`analysis.plots.style`). plotly is imported when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.steps import need
from analysis.frames.timeline import timeline_frame
from analysis.plots.style import CAUSE_COLOURS, DOES_COLOURS, IDLE_COLOUR, faded, inert, styled, time_unit
from analysis.timelines.breakdown import PARTS, temporal_breakdown
from analysis.words.causes import DOES, NETWORK, OVERHEAD, cause_of
from analysis.words.words import RUN_WORDS
from hw import Dimension
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


MAX_BARS = 4000
"""Slices that are drawn one by one; where there are more, a lane shows how busy it is in each part of the time."""

PARTS_OF_TIME = 600

_LANE = 30
_BASE = 96
_HIGH = 0.8
"""Of the room of a lane, how much a busy one fills."""


def plot_timeline(run: Result | pd.DataFrame, chips: Sequence[int] | None = None) -> Figure:
    """Lanes by chip and queue over time, coloured by what runs. `run`: a result, or a timeline frame (also a measured one).

    More than `MAX_BARS` slices become utilisation: the height of a lane is the share of each part of the time that it is
    busy, by what it does. Raises ValueError for missing columns.
    """
    from plotly.graph_objects import Figure

    frame = timeline_frame(run) if isinstance(run, Result) else run
    need(frame, ["op", "chip", "queue", "begin", "end", "does"], "a timeline")
    if chips is not None:
        frame = frame[frame["chip"].isin(list(chips))]
    pairs = frame[["chip", "queue"]].drop_duplicates().astype({"queue": str}).sort_values(["chip", "queue"])
    lanes = {pair: f"chip {pair[0]} · {inert(pair[1])}" for pair in pairs.itertuples(index=False, name=None)}
    size, unit = time_unit(float(frame["end"].max()) if len(frame) else 0.0)
    place = {pair: at for at, pair in enumerate(lanes)}
    lane = np.asarray([place[pair] for pair in zip(frame["chip"], frame["queue"].astype(str), strict=True)], dtype=int)
    traces = _bars(frame, lane, size, unit) if len(frame) <= MAX_BARS else _utilisation(frame, lane, size)
    x = {"title": f"time ({unit})", "rangemode": "tozero"}
    ticks = {"tickvals": list(range(len(lanes))), "ticktext": list(lanes.values())}
    y = {**ticks, "range": [len(lanes) - 0.4, -0.6], "showgrid": False}
    return styled(Figure(traces), _BASE + _LANE * max(1, len(lanes)), x, y).update_layout(barmode="overlay", bargap=0.2)


def _bars(frame: pd.DataFrame, lane: NDArray[Any], size: float, unit: str) -> list[Any]:
    """A bar per slice, a trace per thing that slices do."""
    from plotly.graph_objects import Bar

    traces = []
    begin, took = frame["begin"].to_numpy() / size, (frame["end"] - frame["begin"]).to_numpy() / size
    does, ops = frame["does"].astype(str).to_numpy(), [inert(op) for op in frame["op"]]
    for name in DOES:
        mine = does == name
        if mine.any():
            traces.append(
                Bar(
                    orientation="h",
                    name=name,
                    base=begin[mine].tolist(),
                    x=took[mine].tolist(),
                    y=lane[mine].tolist(),
                    width=_HIGH,
                    marker={"color": DOES_COLOURS[name], "line": {"width": 0}},
                    customdata=[op for op, chosen in zip(ops, mine, strict=True) if chosen],
                    hovertemplate=f"%{{customdata}}<br>%{{base:.6~g}} {unit} + %{{x:.4~g}} {unit}",
                )
            )
    return traces


def _utilisation(frame: pd.DataFrame, lane: NDArray[Any], size: float) -> list[Any]:
    """Each lane as areas as high as it is busy in each part of the time, one thing that slices do upon the other."""
    from plotly.graph_objects import Scatter

    begin, end = frame["begin"].to_numpy(), frame["end"].to_numpy()
    edges = np.linspace(0.0, float(end.max()), PARTS_OF_TIME + 1)
    does = frame["does"].astype(str).to_numpy()
    steps = np.repeat(edges / size, 2)[1:-1]
    across = np.concatenate([steps, steps[::-1]])
    below = np.zeros((lane.max() + 1, PARTS_OF_TIME))
    traces = []
    for name in DOES:
        busy = (
            np.stack([_busy(begin, end, (does == name) & (lane == at), edges) for at in range(len(below))]) / edges[1]
        )
        xs: list[float | None] = []
        ys: list[float | None] = []
        for at in np.flatnonzero(busy.any(axis=1)).tolist():
            # the axis points down
            floor = np.repeat(at + _HIGH / 2 - _HIGH * below[at], 2)
            roof = floor - _HIGH * np.repeat(busy[at], 2)
            xs += [*across.tolist(), None]
            ys += [*roof.tolist(), *floor[::-1].tolist(), None]
        if xs:
            look = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": DOES_COLOURS[name]}
            traces.append(Scatter(name=name, x=xs, y=ys, hoveron="fills", hoverinfo="name", **look))
        below += busy
    return traces


def _busy(begin: NDArray[Any], end: NDArray[Any], chosen: NDArray[Any], edges: NDArray[Any]) -> NDArray[Any]:
    """Time between neighbouring edges that the chosen slices take; some may lie inside others."""
    points = np.concatenate([begin[chosen], end[chosen]])
    order = np.argsort(points, kind="stable")
    level = np.cumsum(np.concatenate([np.ones(chosen.sum()), -np.ones(chosen.sum())])[order]) > 0
    times = points[order]
    if not len(times):
        return np.zeros(len(edges) - 1)
    done = np.concatenate([[0.0], np.cumsum(np.diff(times) * level[:-1])])
    return np.diff(np.interp(edges, times, done))


def plot_breakdown(run: Result | pd.DataFrame) -> Figure:
    """Where the time of every chip went, as shares. `run`: a result, or a frame of `temporal_breakdown`.

    Raises ValueError for missing columns.
    """
    from plotly.graph_objects import Bar, Figure

    frame = temporal_breakdown(timeline_frame(run), run.time_s) if isinstance(run, Result) else run
    need(frame, [*PARTS, "total"], "a breakdown")
    keys = [name for name in frame.columns if name not in (*PARTS, "total")]
    labels = [
        ", ".join(f"{key} {inert(value)}" for key, value in zip(keys, row, strict=True))
        for row in frame[keys].itertuples(index=False, name=None)
    ]
    total = frame["total"].to_numpy(dtype=float)
    traces = []
    for part in PARTS:
        share = np.divide(frame[part].to_numpy(dtype=float), total, out=np.zeros(len(frame)), where=total > 0)
        if share.any():
            name = {"network": "exposed network", "memory": "exposed memory"}.get(part, part)
            colour = DOES_COLOURS.get(part, IDLE_COLOUR)
            traces.append(
                Bar(
                    orientation="h",
                    name=name,
                    x=(100 * share).tolist(),
                    y=labels,
                    marker={"color": colour, "line": {"width": 0}},
                    hovertemplate=f"{name} %{{x:.2f}} %<extra>%{{y}}</extra>",
                )
            )
    y = {"autorange": "reversed", "type": "category", "showgrid": False}
    height = _BASE + min(24, max(1, len(frame))) * _LANE
    return styled(Figure(traces), height, {"range": [0, 100], "ticksuffix": " %"}, y)


def plot_sweep(frame: pd.DataFrame, x: str, y: str = "time", by: str | None = None) -> Figure:
    """A word of the results over an input of a study, a line for each value of `by`. Rows with an error are left out.

    `frame`: one row per run (`outcome.study`). Raises ValueError for missing columns.
    """
    from plotly.graph_objects import Figure, Scatter

    need(frame, [x, y] + ([by] if by else []), "a study")
    runs = frame[frame[y].notna()]
    if "error" in runs.columns:
        runs = runs[runs["error"].isna() | (runs["error"] == "")]
    word = RUN_WORDS.get(y)
    size, unit = 1.0, word.dimension.unit if word is not None and word.dimension is not None else ""
    if word is not None and word.dimension is Dimension.TIME and len(runs):
        size, unit = time_unit(float(runs[y].max()))
    number = runs[x].map(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)).all()
    groups = [("", runs)] if by is None else list(runs.groupby(by, sort=False, observed=True))
    colours = list(CAUSE_COLOURS.values())
    traces = [
        Scatter(
            name=inert(value),
            x=(rows[x] if number else rows[x].map(inert)).tolist(),
            y=(rows[y].astype(float) / size).tolist() if _numeric(rows[y]) else rows[y].map(inert).tolist(),
            mode="lines+markers",
            line={"color": colours[at % len(colours)], "width": 2},
            marker={"size": 7},
            showlegend=by is not None,
        )
        for at, (value, unsorted) in enumerate(groups)
        for rows in [unsorted.sort_values(x, kind="stable") if number else unsorted]
    ]
    across: dict[str, Any] = {"title": inert(x), "type": _scale(runs[x]) if number else "category"}
    up = {"title": f"{inert(y)} ({unit})" if unit else inert(y)}
    return styled(Figure(traces), 360, across, up | ({"type": _scale(runs[y] / size)} if _numeric(runs[y]) else {}))


_DECADES = 20.0
"""From this ratio of largest to smallest on, an axis is logarithmic."""


def _scale(values: pd.Series[Any]) -> str:
    """The type of the axis for some numbers."""
    least, most = float(values.min()), float(values.max())
    return "log" if least > 0 and most >= _DECADES * least else "linear"


def _numeric(column: pd.Series[Any]) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column))


def plot_tornado(frame: pd.DataFrame) -> Figure:
    """What a faster resource saves: the share of the time at 1.1x, 2x and infinite speed, the largest gain on top.

    `frame`: one row per resource, with columns resource, time, x1_1, x2, infinite (s). Raises ValueError for missing ones.
    Resources that change nothing are left out.
    """
    from plotly.graph_objects import Bar, Figure

    need(frame, ["resource", "time", "x1_1", "x2", "infinite"], "a what-if")
    change = {name: (frame[name] / frame["time"] - 1).astype(float) * 100 for name in ("x1_1", "x2", "infinite")}
    shown = np.abs(np.stack([values.to_numpy() for values in change.values()])).max(axis=0, initial=0) > 0.005
    order = np.lexsort((change["infinite"].to_numpy(), change["x2"].to_numpy()))
    order = order[shown[order]]
    resources = [inert(frame["resource"].iloc[at]).replace("_", " ") for at in order]
    looks = {
        "infinite": ("infinitely fast", 0.3, 0.8),
        "x2": ("2x", 0.62, 0.56),
        "x1_1": ("1.1x", 1.0, 0.32),
    }
    traces = [
        Bar(
            orientation="h",
            name=label,
            x=change[name].to_numpy()[order].tolist(),
            y=resources,
            width=width,
            marker={
                "color": [faded(_cause_colour(frame["resource"].iloc[at]), part) for at in order],
                "line": {"width": 0},
            },
            hovertemplate=f"%{{y}} {label}: %{{x:+.2f}} % of the time<extra></extra>",
        )
        for name, (label, part, width) in looks.items()
    ]
    x = {"title": "change of the time", "ticksuffix": " %"}
    figure = styled(Figure(traces), _BASE + 40 + 36 * max(1, len(resources)), x, {"autorange": "reversed"})
    return figure.update_layout(barmode="overlay")


_FIXED_TIMES = ("launch", "latency")
_COMMON_RESOURCES = ("matrix_unit", "vector_unit", "hbm", "on_chip", "host", "disk", "pcie")


def _cause_colour(resource: str) -> str:
    """The colour of what a resource's time counts as; what is no common part of a chip is a link."""
    if resource in _FIXED_TIMES:
        return OVERHEAD.colour
    return cause_of(resource).colour if resource in _COMMON_RESOURCES else NETWORK.colour
