"""HBM over time as stacked areas: whose tensors the fullest chip holds, or which ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.memory import memory_frame, memory_levels
from analysis.frames.steps import need
from analysis.plots.style import MEMORY_SHADES, inert, styled, time_unit, without_round
from analysis.words.causes import OVERHEAD
from hw import Dimension, System
from hw.input import show
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

OWNERS = 6
"""Tensors that have an area of their own; the others share one, in grey."""

POINTS = 500
"""Instants that are drawn; of every part of the time the fullest one, so that no peak is lost."""

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def plot_memory(run: Result | pd.DataFrame, capacity: float | None = None) -> Figure:
    """What the chip that gets fullest holds over time: by owner where the graph says whose its tensors are, else by tensor,
    rounds of a block taken together. `capacity` (B) is a line.

    `run`: a result, which knows its chips' capacity, or a frame of `memory_frame`. Raises ValueError for missing columns.
    """
    from plotly.graph_objects import Figure, Scatter

    system = run.plan.system if isinstance(run, Result) else None
    frame = memory_frame(run) if isinstance(run, Result) else run
    need(frame, ["tensor", "chip", "bytes", "begin", "end"], "a memory frame")
    levels = memory_levels(frame)
    if len(levels):  # nothing is held in a run that takes no time
        fullest = _fullest(levels, system)
        frame = frame[frame["chip"] == fullest]
        if system is not None and capacity is None:
            capacity = system.chip_at(fullest).hbm.capacity_bytes
    owners, times, held = _levels(frame, _named(run, frame))
    top = float(held.sum(axis=1).max(initial=0.0))
    size, unit = next(((size, name) for size, name in _UNITS if top >= size), (1.0, "B"))
    scale, time_name = time_unit(float(times.max(initial=0.0)))
    traces = [
        Scatter(
            name=inert(owner),
            x=(times / scale).tolist(),
            y=(held[:, at] / size).tolist(),
            mode="lines",
            stackgroup="held",
            line={"shape": "hv", "width": 0.5, "color": MEMORY_SHADES[at]},
            fillcolor=MEMORY_SHADES[at],
            hovertemplate=f"{inert(owner)} %{{y:.4~g}} {unit}<extra></extra>",
        )
        for at, owner in enumerate(owners)
    ]
    figure = styled(
        Figure(traces), 340, {"title": f"time ({time_name})"}, {"title": f"HBM ({unit})", "rangemode": "tozero"}
    )
    if capacity is not None and top > 0:
        _capacity(figure, capacity, size, top)
    return figure.update_layout(hovermode="x unified")


def _fullest(levels: pd.DataFrame, system: System | None) -> int:
    """The chip that holds most at any time: of what it can hold, where that is known."""
    room = np.ones(len(levels))
    if system is not None:
        room = np.asarray([system.chip_at(chip).hbm.capacity_bytes for chip in levels["chip"].tolist()])
    return int(levels["chip"].to_numpy()[(levels["bytes"].to_numpy() / room).argmax()])


def _capacity(figure: Figure, capacity: float, size: float, top: float) -> None:
    """A line at the capacity where it is near; far above what is held it would only flatten the picture. The axis
    says it in words."""
    title = f"HBM ({figure.layout.yaxis.title.text[5:-1]} of {show(capacity, Dimension.DATA)})"
    figure.update_yaxes(title={"text": title})
    if capacity <= 2 * top:
        figure.add_hline(y=capacity / size, line={"dash": "dash", "width": 1.5, "color": OVERHEAD.colour})


def _named(run: Result | pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """What each row is counted under."""
    if isinstance(run, Result) and run.plan.graph.roles:
        return [str(owner) for owner in frame["owner"]]
    return [without_round(str(name)) for name in frame["tensor"]]


def _levels(frame: pd.DataFrame, names: list[str]) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    """Owners, instants, and bytes by instant and owner; the largest owner lowest."""
    nbytes = frame["bytes"].to_numpy(dtype=float)
    total: dict[str, float] = {}
    spans = (frame["end"] - frame["begin"]).to_numpy(dtype=float)
    for name, amount in zip(names, nbytes * np.where(spans > 0, spans, 0.0), strict=True):
        total[name] = total.get(name, 0.0) + float(amount)
    ranked = sorted(total, key=lambda name: (-total[name], name))
    kept = ranked if len(ranked) <= OWNERS + 1 else ranked[:OWNERS]
    owners = kept if len(kept) == len(ranked) else [*kept, f"{len(ranked) - OWNERS} more"]
    place = {name: min(at, len(owners) - 1) for at, name in enumerate(ranked)}
    owner = np.asarray([place[name] for name in names], dtype=int)
    times = np.concatenate([frame["begin"].to_numpy(dtype=float), frame["end"].to_numpy(dtype=float)])
    change = np.zeros((len(times), max(1, len(owners))))
    change[np.arange(len(times)), np.concatenate([owner, owner])] = np.concatenate([nbytes, -nbytes])
    order = np.argsort(times, kind="stable")
    level = np.cumsum(change[order], axis=0)
    last = np.append(np.diff(times[order]) > 0, True)[: len(order)]  # what happens at one instant counts at once
    times, level = times[order][last], np.maximum(0.0, level[last])
    return owners, *_thinned(times, level)


def _thinned(times: NDArray[Any], level: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if len(times) <= POINTS:
        return times, level
    part = np.minimum(POINTS - 1, (times / times[-1] * POINTS).astype(int))
    order = np.lexsort((-level.sum(axis=1), part))
    first = np.append(True, np.diff(part[order]) > 0)
    kept = np.sort(np.append(order[first], [0, len(times) - 1]))
    kept = np.unique(kept)
    return times[kept], level[kept]
