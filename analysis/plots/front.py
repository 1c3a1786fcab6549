"""Two goals against each other: what was run, and the front of those that nothing beats in one without losing in the other.

from analysis.plots import plot_front
plot_front(searched_frame(found))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from analysis.frames.steps import need
from analysis.plots.scales import log_or_linear
from analysis.plots.style import GAIN_COLOUR, SERIES_COLOURS, inert, styled, time_unit

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

_GB = 1e9


def plot_front(frame: pd.DataFrame) -> Figure:
    """Time over peak memory of layouts, those on the front joined by steps: between two of them nothing better was found.

    `frame`: a row a layout with `layout`, `time` (s), `peak_memory` (B) and `on_front`. Raises ValueError where one lacks.
    """
    from plotly.graph_objects import Figure

    need(frame, ["layout", "time", "peak_memory", "on_front"], "a search")
    size, unit = time_unit(float(frame["time"].max())) if len(frame) else (1.0, "s")
    rows = frame.sort_values("peak_memory", kind="stable")
    chosen = rows["on_front"].astype(bool)
    traces = [
        _trace(rows[~chosen], size, "run", {"mode": "markers", "marker": {"size": 7, "color": GAIN_COLOUR}}),
        _trace(
            rows[chosen],
            size,
            "front",
            {
                "mode": "lines+markers",
                "line": {"color": SERIES_COLOURS[0], "width": 2, "shape": "hv"},
                "marker": {"size": 9, "color": SERIES_COLOURS[0]},
            },
        ),
    ]
    across = {"title": "peak memory of a chip (GB)", **log_or_linear((frame["peak_memory"] / _GB).tolist())}
    up = {"title": f"time ({unit})", **log_or_linear((frame["time"] / size).tolist())}
    return styled(Figure([each for each in traces if len(each.x)]), 420, across, up)


def _trace(rows: pd.DataFrame, size: float, name: str, look: dict[str, Any]) -> Any:
    from plotly.graph_objects import Scatter

    return Scatter(
        name=name,
        x=(rows["peak_memory"] / _GB).tolist(),
        y=(rows["time"] / size).tolist(),
        text=rows["layout"].map(inert).tolist(),
        hovertemplate="%{text}<br>%{x:.4g} GB, %{y:.4g}<extra></extra>",
        **look,
    )
