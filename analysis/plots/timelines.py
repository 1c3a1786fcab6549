"""When each chip does what, as a picture: the timeline, and where its time went.

Model: slices are coloured by what binds them where that is known (of a result, or of a frame with a column `bound_by`),
else by what they do, which is all that a measured trace tells. Names stand on the bars that are wide enough for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.steps import need
from analysis.frames.timeline import timeline_frame
from analysis.plots.style import CAUSE_COLOURS, DOES_COLOURS, IDLE_COLOUR, inert, styled, time_unit
from analysis.timelines.breakdown import PARTS
from analysis.timelines.instants import PARTS as INSTANT_PARTS
from analysis.timelines.instants import Part, instants
from analysis.words.causes import CAUSES, DOES
from analysis.words.columns.rounds import op_figures
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
    """Lanes by chip and queue over time. `run`: a result, or a timeline frame (also a measured one).

    Colours are those of causes for a result and for a frame that has `bound_by` (`timeline.merge(ops)`), else of what runs.
    More than `MAX_BARS` slices become utilisation: the height of a lane is the share of each part of the time that it is
    busy, by what it does. Raises ValueError for missing columns.
    """
    from plotly.graph_objects import Figure

    frame = _with_causes(run) if isinstance(run, Result) else run
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


def _with_causes(result: Result) -> pd.DataFrame:
    """A run's timeline with what binds each slice."""
    frame = timeline_frame(result)
    cause = {each.name: each.bound_by for each in op_figures(result)}
    return frame.assign(bound_by=frame["op"].map(cause).astype(str))


def _sorts(frame: pd.DataFrame) -> tuple[NDArray[Any], Mapping[str, str]]:
    """What tells slices apart, and its colours: causes where they are known, else what slices do."""
    if "bound_by" in frame.columns:
        return frame["bound_by"].astype(str).to_numpy(), {name: CAUSE_COLOURS[name] for name in CAUSES}
    return frame["does"].astype(str).to_numpy(), {name: DOES_COLOURS[name] for name in DOES}


NAMED = 0.02
"""Of the whole time, how long a slice is at least whose bar carries its name."""


EDGED = 200
"""Slices that are parted by an edge; where there are more they are thin."""


def _bars(frame: pd.DataFrame, lane: NDArray[Any], size: float, unit: str) -> list[Any]:
    """A bar per slice, a trace per thing that slices do."""
    from plotly.graph_objects import Bar

    traces = []
    begin, took = frame["begin"].to_numpy() / size, (frame["end"] - frame["begin"]).to_numpy() / size
    sorts, colours = _sorts(frame)
    ops = [inert(op) for op in frame["op"]]
    edge = 0.5 if len(frame) <= EDGED else 0.0  # thin bars would be all edge
    wide = took >= NAMED * float((begin + took).max())
    for name, colour in colours.items():
        mine = sorts == name
        if mine.any():
            traces.append(
                Bar(
                    orientation="h",
                    name=name,
                    base=begin[mine].tolist(),
                    x=took[mine].tolist(),
                    y=lane[mine].tolist(),
                    width=_HIGH,
                    marker={"color": colour, "line": {"width": edge, "color": "#ffffff"}},
                    text=[op if named else "" for op, named, chosen in zip(ops, wide, mine, strict=True) if chosen],
                    textposition="inside",
                    insidetextanchor="start",
                    textangle=0,
                    constraintext="none",
                    cliponaxis=True,
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
    sorts, colours = _sorts(frame)
    steps = np.repeat(edges / size, 2)[1:-1]
    across = np.concatenate([steps, steps[::-1]])
    below = np.zeros((lane.max() + 1, PARTS_OF_TIME))
    traces = []
    for name, colour in colours.items():
        busy = (
            np.stack([_busy(begin, end, (sorts == name) & (lane == at), edges) for at in range(len(below))]) / edges[1]
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
            look = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "fillcolor": colour}
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

    Of a result each part is told apart by what binds it, in the colours of its slices; what is exposed is striped. A frame
    knows only what was done. Raises ValueError for missing columns.
    """
    from plotly.graph_objects import Figure

    traces, chips = _of_result(run) if isinstance(run, Result) else _of_frame(run)
    y = {"autorange": "reversed", "type": "category", "showgrid": False}
    height = _BASE + min(24, max(1, chips)) * _LANE
    return styled(Figure(traces), height, {"range": [0, 100], "ticksuffix": " %"}, y)


def _of_result(result: Result) -> tuple[list[Any], int]:
    """A trace per part of the instants, over all chips; and how many chips there are."""
    spent = instants(result, op_figures(result), range(result.plan.system.size))
    labels = [f"chip {chip}" for chip in spent]
    traces = []
    for part in INSTANT_PARTS:
        shares = [100 * row.get(part, 0.0) / result.time_s if result.time_s else 0.0 for row in spent.values()]
        if any(shares):
            traces.append(_part_bar(part.label, shares, labels, _part_colour(part), part.exposed))
    return traces, len(labels)


def _part_colour(part: Part) -> str:
    return CAUSE_COLOURS[part.cause] if part.cause else IDLE_COLOUR


def _of_frame(frame: pd.DataFrame) -> tuple[list[Any], int]:
    """A trace per part of a breakdown; and how many rows it has."""
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
            exposed = part in ("network", "memory")
            name = f"exposed {part}" if exposed else part
            colour = DOES_COLOURS.get(part, IDLE_COLOUR)
            traces.append(_part_bar(name, (100 * share).tolist(), labels, colour, exposed))
    return traces, len(frame)


def _part_bar(name: str, shares: Sequence[float], labels: Sequence[str], colour: str, exposed: bool) -> Any:
    """Bars of one part, with their shares on those that have room for them."""
    from plotly.graph_objects import Bar

    pattern = {"shape": "/", "fgcolor": "#ffffff", "size": 6, "solidity": 0.25, "fillmode": "overlay"}
    marker = {"color": colour, "line": {"width": 0}, **({"pattern": pattern} if exposed else {})}
    return Bar(
        orientation="h",
        name=name,
        x=shares,
        y=labels,
        text=[f"{share:.1f} %" if share >= _ROOM_FOR_SHARE else "" for share in shares],
        textposition="inside",
        textangle=0,
        marker=marker,
        hovertemplate=f"{name} %{{x:.2f}} %<extra>%{{y}}</extra>",
    )


_ROOM_FOR_SHARE = 8.0
"""Percent from which a share is written on its bar."""
