"""Every op under every roof of its chip, and how near ops and steps came to their best.

Points: an op has one for each unit that it uses (matrix, vector) and each memory that it moves bytes of (hbm, on_chip,
host, disk) and the links. Intensity is the unit's FLOPs over the bytes of that level, the roof min(peak of unit and
dtype, intensity x bandwidth of the level), reached is FLOPs over the op's time on a chip. On-chip bytes are those of
tensors held there; the traffic of tiles between on-chip memory and the unit is not modelled.
Source: Williams, Waterman & Patterson, CACM 2009; per level: Ilic, Pratas & Sousa, 2014.
Eta: (worst - time) / (worst - best). Of an op: its tasks' own times, best each at max(t_r), worst each at sum(t_r), fixed
times in both; below 0 where others slowed it. Of a step (round, layer, phase): the time from its first begin to its last
end; best is its busiest resource, worst its busiest chip with nothing overlapping. 1 where best and worst meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.frames.steps import Keys, grouped, outer
from analysis.frames.timeline import timeline_frame
from analysis.timelines.rollup import labelled
from analysis.words.columns.rounds import op_figures
from analysis.words.ops import OpFigures
from hw import Chip
from simulator import PS_PER_S, Result, Variant, eta, usable_dtype

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("hbm", "on_chip", "host", "disk", "network")
"""What can feed a unit, beside the levels of memory that a chip names."""

_POINT = ("op", "unit", "dtype", "level", "flops", "bytes", "intensity", "roof", "reached", "share")


def points_frame(result: Result) -> pd.DataFrame:
    """Columns: op, unit, dtype, level, flops, bytes, intensity (FLOP/B), roof, reached (FLOP/s), share (reached / roof).

    Amounts are those of the chip on which an op takes longest, all chunks of its kernel together; ops without FLOPs or
    time have no point.
    """
    import pandas as pd

    rows = [
        row
        for figures, planned in zip(op_figures(result), result.plan.kernels, strict=True)
        if figures.time_s > 0
        for row in _points(
            figures, result.plan.variant(planned, figures.chip), result.plan.system.chip_at(figures.chip)
        )
    ]
    frame = pd.DataFrame(rows, columns=list(_POINT))
    return frame.astype({"op": "category", "unit": "category", "dtype": "category", "level": "category"})


def _points(figures: OpFigures, variant: Variant, chip: Chip) -> Iterator[tuple[Any, ...]]:
    moved = dict(_bytes(figures, variant, chip))
    for work in variant.kernel.works:
        peaks: Mapping[str, float] = getattr(chip, work.unit).peak_flops_per_s
        dtype = usable_dtype(work.dtype, peaks)
        if dtype is None or not work.flops:
            continue
        reached = work.flops / figures.time_s
        for level, nbytes in moved.items():
            intensity = work.flops / nbytes
            roof = min(peaks[dtype], intensity * _bandwidth(chip, level))
            at = (figures.name, work.unit, dtype, level)
            yield *at, work.flops, nbytes, intensity, roof, reached, reached / roof


def _bytes(figures: OpFigures, variant: Variant, chip: Chip) -> Iterator[tuple[str, float]]:
    """(level, bytes) of each level that the op moves anything of."""
    if variant.hbm_bytes:
        yield "hbm", variant.hbm_bytes
    for level in (name for name in chip.memories if name != "hbm"):
        accesses = (*variant.kernel.reads, *variant.kernel.writes)
        nbytes = sum(access.nbytes for access in accesses if access.memory == level)
        if nbytes:
            yield level, nbytes
    if figures.network_bytes and chip.links:
        yield "network", figures.network_bytes


def _bandwidth(chip: Chip, level: str) -> float:
    """Bytes/s of a memory, or of all ports of the chip's default link together, one way."""
    if level == "network":
        assert chip.default_link is not None, "only chips with links send"
        return chip.links[chip.default_link].egress_bytes_per_s
    return chip.memories[level].bytes_per_s


def eta_frame(result: Result, by: str | Keys = "op", **patterns: str) -> pd.DataFrame:
    """by.., time, best, worst (s), eta. `by`: "op" for ops alone; else columns of `labelled` for steps ("layer", ...).

    A collective that goes by messages is one task, as any other.
    """
    tasks = _bounded(result)
    if by in ("op", ["op"]):
        return _of_ops(tasks)
    rows = labelled(tasks, **patterns)
    number, keys = grouped(rows, by)
    frame = keys.copy()
    groups = rows.groupby(number)
    frame["time"] = (groups["end"].max() - groups["begin"].min()).to_numpy()
    frame["best"] = _busiest_resource(result, rows["task"].to_numpy(), number, len(keys))
    chips = np.unique(rows["chip"].to_numpy(), return_inverse=True)[1]
    width = int(chips.max(initial=0)) + 1
    alone = np.bincount(number * width + chips, weights=rows["worst"], minlength=len(keys) * width)
    frame["worst"] = alone.reshape(len(keys), width).max(axis=1, initial=0.0)
    return _with_eta(frame)


def _bounded(result: Result) -> pd.DataFrame:
    """The simulated rows with the best and worst time of each (s)."""
    program = result.plan.program
    simulated = sorted({lane.chip for lane in program.queues})
    timeline = outer(timeline_frame(result, simulated))
    if result.plan.folding is not None:
        timeline = timeline[timeline["chip"].isin(result.plan.folding.chips)]
    shape = np.asarray(program.shape, dtype=np.int64)[timeline["task"].to_numpy()]
    best = np.asarray([each.ideal_ps for each in program.shapes]) / PS_PER_S
    worst = np.asarray([each.fixed_ps + each.serial_ps for each in program.shapes]) / PS_PER_S
    return timeline.assign(best=best[shape], worst=worst[shape])


def _of_ops(tasks: pd.DataFrame) -> pd.DataFrame:
    sums = tasks.assign(time=tasks["end"] - tasks["begin"])
    sums = sums.groupby(["op", "chip"], observed=True, sort=False)[["time", "best", "worst"]].sum().reset_index()
    longest = sums.loc[sums.groupby("op", observed=True, sort=False)["time"].idxmax()]
    return _with_eta(longest[["op", "time", "best", "worst"]].reset_index(drop=True))


def _with_eta(frame: pd.DataFrame) -> pd.DataFrame:
    rows = zip(frame["time"], frame["best"], frame["worst"], strict=True)
    return frame.assign(eta=[eta(time, best, worst) for time, best, worst in rows])


def _busiest_resource(result: Result, task: NDArray[Any], number: NDArray[Any], count: int) -> NDArray[np.float64]:
    """For each group of tasks the work of its busiest resource, over its capacity (s)."""
    program = result.plan.program
    firsts = np.unique(task, return_index=True)[1]  # a collective has a row per chip, and its work once
    work = np.zeros((count, len(program.resources)))
    groups, shapes = number[firsts], np.asarray(program.shape, dtype=np.int64)[task[firsts]]
    pairs, times = np.unique(np.stack([groups, shapes]), axis=1, return_counts=True)
    for group, shape, many in zip(*pairs.tolist(), times.tolist(), strict=True):
        for resource, ps in program.shapes[shape].demands:
            work[group, resource] += ps * many
    busiest: NDArray[np.float64] = work.max(axis=1, initial=0.0) / PS_PER_S
    return busiest
