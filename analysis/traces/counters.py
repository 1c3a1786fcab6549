"""The counters of a trace: HBM bandwidth and memory held on every chip, bandwidth of every link.

Values are those of `usage_frame` and `memory_levels`, in bytes/s and bytes. A counter with more points than asked for has
means over equal stretches of time instead (for memory the most held in each), so that a trace of any length stays small.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.memory import memory_frame, memory_levels
from analysis.frames.usage import alike_of, integral, usage_frame
from analysis.words.causes import NETWORK
from simulator import Result

_US = 1e6


def counter_lines(result: Result, chips: list[int], points: int) -> Iterator[list[str]]:
    """Batches of C events; links stand in a process whose number is that of the system's chips."""
    plan, end = result.plan, result.time_s
    links = plan.system.size
    usage = usage_frame(result)
    codes = usage["resource"].cat.codes.to_numpy()
    columns = [usage[name].to_numpy() for name in ("begin", "end", "share")]
    named, alike = False, alike_of(plan)
    for at, resource in enumerate(plan.program.resources):
        hbm = resource.name.endswith(".hbm") and resource.chip >= 0
        low, high = np.searchsorted(codes, [at, at + 1])
        if low == high or not (hbm or resource.cause == NETWORK.resource):
            continue
        rows = [column[low:high] for column in columns]
        times, values = _binned(rows, end, points) if high - low > points else _stepped(rows, end)
        if hbm:
            for chip in set(plan.members(resource.chip)) & set(chips):
                yield _events("HBM bytes/s", chip, times, values * resource.per_s)
            continue
        if not named:
            wires = (
                many for many, each in zip(alike, plan.program.resources, strict=True) if each.cause == NETWORK.resource
            )
            name = "links (each for all that are alike)" if max(wires) > 1 else "links"
            yield [json.dumps({"ph": "M", "name": "process_name", "pid": links, "tid": 0, "args": {"name": name}})]
            named = True
        yield _events(f"{resource.name} bytes/s", links, times, values * resource.per_s)
    yield from _memory(result, chips, points)


def _memory(result: Result, chips: list[int], points: int) -> Iterator[list[str]]:
    levels = memory_levels(memory_frame(result))
    for chip, rows in levels.groupby("chip", sort=True):
        if chip not in chips:
            continue
        begin, held = rows["begin"].to_numpy(), rows["bytes"].to_numpy()
        if len(begin) > points:
            edges = np.searchsorted(begin, np.linspace(0.0, result.time_s, points + 1)[:-1])
            edges = np.unique(np.minimum(edges, len(begin) - 1))
            begin, held = begin[edges], np.maximum.reduceat(held, edges)
        yield _events("HBM held", int(str(chip)), begin, held)


def _stepped(rows: list[Any], end: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where a step function changes, and to what; it is 0 between its rows."""
    begin, stop, share = rows
    gap = np.append(begin[1:] > stop[:-1], stop[-1] < end)
    times = np.concatenate([begin, stop[gap]])
    values = np.concatenate([share, np.zeros(int(gap.sum()))])
    order = np.argsort(times, kind="stable")
    return times[order], values[order]


def _binned(rows: list[Any], end: float, points: int) -> tuple[NDArray[Any], NDArray[Any]]:
    edges = np.linspace(0.0, end, points + 1)
    begin, stop, share = rows
    return edges[:-1], np.diff(integral(begin, stop, share, edges)) * points / end


def _events(name: str, pid: int, times: NDArray[Any], values: NDArray[Any]) -> list[str]:
    head = f'{{"ph":"C","name":{json.dumps(name)},"pid":{pid},"ts":'
    pairs = zip((np.rint(times * 1e12) / _US).tolist(), values.tolist(), strict=True)
    return [f'{head}{ts!r},"args":{{"value":{value:.6g}}}}}' for ts, value in pairs]
