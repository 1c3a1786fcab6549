"""Pictures of studies and what-ifs for notebooks and papers: plotly figures from DataFrames.

    from analysis.plots import plot_timeline, save
    figure = plot_timeline(outcome.timeline)     # shows itself in a notebook
    save(figure, "timeline.svg")                 # .svg, .png, .pdf through a Chromium on this machine; .html without

Each takes a frame (`timeline_frame`, `temporal_breakdown`, `memory_frame`, a study's or a what-if's), so that what was
filtered, read back from a file or measured is drawn the same way; a `Result` stands for its own frame. A cause has the
same colour in every picture (`analysis.plots.style`). plotly is imported when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.frames.steps import need
from analysis.plots.scales import log_or_linear
from analysis.plots.style import SERIES_COLOURS, faded, inert, styled, time_unit
from analysis.words.causes import NETWORK, OVERHEAD, cause_of
from analysis.words.words import RUN_WORDS, Word
from hw import Dimension
from hw.input import show

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure


_BASE = 136
"""Height of a tornado beside its bars."""


_DASHES = ("solid", "dash", "dot", "dashdot")
"""Lines beyond the last colour begin again, and are told apart by these."""


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
    traces = [
        Scatter(
            name=inert(value),
            x=(rows[x] if number else rows[x].map(inert)).tolist(),
            y=(rows[y].astype(float) / size).tolist() if _numeric(rows[y]) else rows[y].map(inert).tolist(),
            mode="lines+markers" if number else "markers",  # between names there is nothing
            line=_line(at),
            marker={"size": 7},
            showlegend=by is not None,
        )
        for at, (value, unsorted) in enumerate(groups)
        for rows in [unsorted.sort_values(x, kind="stable") if number else unsorted]
    ]
    scale = dict(log_or_linear(runs[x].astype(float).tolist())) if number else {"type": "category"}
    across: dict[str, Any] = {"title": inert(x), **scale}
    up: dict[str, Any] = {"title": f"{inert(y)} ({unit})" if unit else inert(y)}
    if _numeric(runs[y]):
        up |= log_or_linear((runs[y] / size).tolist(), _amount_text(word) if size == 1.0 else "{:g}".format)
    figure = styled(Figure(traces), 360, across, up)
    return figure.update_layout(legend_title_text=inert(by)) if by else figure


def _line(at: int) -> dict[str, Any]:
    """How the line of a series is drawn, by its number."""
    dash = _DASHES[at // len(SERIES_COLOURS) % len(_DASHES)]
    return {"color": SERIES_COLOURS[at % len(SERIES_COLOURS)], "width": 2, "dash": dash}


def _amount_text(word: Word | None) -> Callable[[float], str]:
    """How amounts of a word are written beside an axis: '100 TFLOP/s'."""
    dimension = word.dimension if word is not None else None
    if dimension is None or not dimension.unit:
        return "{:g}".format
    return lambda value: show(value, dimension)


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
    figure = styled(Figure(traces), _BASE + 36 * max(1, len(resources)), x, {"autorange": "reversed"})
    return figure.update_layout(barmode="overlay")


_FIXED_TIMES = ("launch", "latency")
_COMMON_RESOURCES = ("matrix_unit", "vector_unit", "hbm", "on_chip", "host", "disk", "pcie")


def _cause_colour(resource: str) -> str:
    """The colour of what a resource's time counts as; what is no common part of a chip is a link."""
    if resource in _FIXED_TIMES:
        return OVERHEAD.colour
    return cause_of(resource).colour if resource in _COMMON_RESOURCES else NETWORK.colour
