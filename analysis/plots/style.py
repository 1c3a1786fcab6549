"""One look for every picture: colours by cause, the frame of a chart, names made inert, a unit for an axis of times.

Colours: a cause has the same one in every picture (`analysis.words.causes`). Loads (0 to 1) are the network's colour, more
or less opaque, which works on light and on dark ground.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from analysis.words.causes import CAUSES, COMPUTE, MEMORY, NETWORK, OVERHEAD

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CAUSE_COLOURS: Mapping[str, str] = {name: cause.colour for name, cause in CAUSES.items()}
"""The colour of each cause, everywhere."""

IDLE_COLOUR = "#d9dce1"
"""Time in which nothing happens."""

SERIES_COLOURS = ("#7048e8", "#a61e4d", "#5c940d", "#8d6e2f", "#3d5a80")
"""Lines of a study, one after the other: a cause's colour means that cause, and nothing else has it."""

CHIP_COLOUR, SWITCH_COLOUR = "#3d5a80", "#8a94a6"
"""Nodes of a wiring."""

GAIN_COLOUR = "#7a869a"
"""Time that a change saves."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
_LEGEND = {
    "orientation": "h",
    "x": 0,
    "y": 1,
    "yanchor": "bottom",
    "xanchor": "left",
    "traceorder": "normal",
    "itemsizing": "constant",
}
_INK, _FAINT, _GRID = "#1c2127", "#5c6570", "#e4e7eb"

DOES_COLOURS: Mapping[str, str] = {cause.does: cause.colour for cause in (COMPUTE, NETWORK, MEMORY, OVERHEAD)}
"""The colour of what a task does: a fixed time alone is overhead."""

MEMORY_SHADES = ("#7d5200", "#a86f00", "#d08f00", "#eeb03a", "#f5cb7c", "#fae3b8", "#b9bec6")
"""Shades of the memory's colour for its owners, the last one grey for what is left over."""

CONTENTION_COLOUR = "#f0e442"
"""Time beyond what a task takes alone."""

FAINTEST_LOAD = 0.18
"""Opacity of what carries nothing: still to be seen."""

_ROUND = re.compile(r"(\.\d+)+(?=[+/]|$)")
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def time_unit(longest_s: float) -> tuple[float, str]:
    """Seconds in the unit that suits a longest time, and its name: (1e-3, 'ms') for 0.2 s."""
    return next(((size, name) for size, name in _TIME_UNITS if longest_s >= size), (1e-12, "ps"))


def load_colour(load: float) -> str:
    """The colour of a link that is used for a share `load` of the time."""
    return faded(NETWORK.colour, FAINTEST_LOAD + (1 - FAINTEST_LOAD) * min(1.0, max(0.0, load)))


def faded(colour: str, part: float) -> str:
    """A colour ('#rrggbb') of which only a part covers the ground."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{part:.3f})"


def without_round(name: str) -> str:
    """The name of an op or tensor without the rounds of its blocks: 'y.3' is 'y'."""
    return _ROUND.sub("", name)


def inert(text: object) -> str:
    """A name as plotly shows it verbatim: it reads some tags in text, and a name is no markup."""
    return escape(str(text), quote=False)


def styled(figure: Figure, height: int, x: Mapping[str, Any], y: Mapping[str, Any]) -> Figure:
    """The figure in our frame: no box, light grid, legend above; `x` and `y` are options of the axes."""
    axis = {
        "gridcolor": _GRID,
        "zeroline": False,
        "linecolor": _GRID,
        "tickcolor": _GRID,
        "automargin": True,
        "tickfont": {"color": _FAINT},
        "title": {"standoff": 8, "font": {"size": 12, "color": _FAINT}},
    }
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 28, "t": 36, "b": 8},
        font={"family": FONT, "size": 13, "color": _INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"align": "left", "font": {"family": FONT, "size": 12}},
        legend=_LEGEND,
        showlegend=True,
        barmode="stack",
        bargap=0.3,
        hovermode="closest",
        xaxis=_merged(axis, x),
        yaxis=_merged(axis, y),
    )
    return figure


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an axis; a title given as text keeps the distance of the base."""
    result = {**base, **more}
    if isinstance(more.get("title"), str):
        result["title"] = {**base["title"], "text": more["title"]}
    return result
