"""What a reader should know of how a run's figures came about: which numbers are ideal or missing, and whether it matters.

Model: an assumption is a line only where it touches this run: latencies that no source gives count as 0 and are named
where the run sends at all; a format that a chip's matrix unit lacks is named with the one whose peak stands for it;
kernels that are another architecture's are said to be, and chips that differ how much slower they make all; padding is
named where a run with it is noticeably longer, which is really run.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.runs.advice import MAX_TASKS
from analysis.words.summary import Summary
from hw import Chip
from hw.chips import chip_kernels
from hw.input import few
from simulator import Plan, usable_dtype

_MATTERS = 0.01
"""A share of the time from which padding is worth a word."""


def assumptions(summary: Summary) -> list[str]:
    """What was assumed, a line each; empty where nothing was that matters."""
    return [
        *_kernels(summary),
        *_spread(summary.plan),
        *_formats(summary.plan),
        *_latencies(summary),
        *_padding(summary),
    ]


def _formats(plan: Plan) -> list[str]:
    """Formats in which a chip's matrix unit has no peak, and the one that stands for each."""
    found: dict[tuple[str, str, str], None] = {}
    for sort in plan.kernels.sorts:
        for chip, variant in zip(plan.split.chips, sort.variants, strict=True):
            peaks = chip.matrix_unit.peak_flops_per_s
            for work in variant.kernel.works:
                served = usable_dtype(work.dtype, peaks) if work.unit == "matrix_unit" else work.dtype
                if served is not None and served != work.dtype:
                    found[work.dtype, served, chip.name] = None
    return [f"{dtype} at the rate of {served} ({name} has none of its own)" for dtype, served, name in found]


def _kernels(summary: Summary) -> list[str]:
    """Chips none of whose kernels were measured, and whose they are taken for."""
    if summary.plan.options.calibration != "measured":
        return []
    found = {chip.name: chip_kernels(chip) for chip in summary.plan.system.kinds}
    return [
        # a file of its own architecture has some kinds of kernels of it, and the rest of another
        f"kernels of {name} by its data sheet, few of them measured"
        if known.like == name
        else f"kernels of {name} as those of {known.like}, by its data sheet (none measured)"
        for name, known in found.items()
        if known is not None and not known.own
    ]


def _spread(plan: Plan) -> list[str]:
    """By how much the slowest of the chips that wait for each other makes kernels longer."""
    spread = plan.options.spread
    if not spread:
        return []
    return [f"kernels {100 * (plan.pace - 1):+.2g} %: slowest of {plan.slowest_of:,}, spread {100 * spread:.3g} %"]


def _latencies(summary: Summary) -> list[str]:
    """Links that are used and have no figure for their latency."""
    system = summary.plan.system
    topology, sent = system.topology, summary["t_network"]
    if topology is None or not sent:
        return []
    used = {level.link for level in topology.levels if level.link}
    # a latency of 0 that somebody has written is a figure, too
    unknown = sorted(
        {
            link
            for chip in system.kinds
            for link in used & set(chip.links)
            if "latency_s" not in chip.links[link].model_fields_set and not _was_measured(summary, chip, link)
        }
    )
    return [f"no latency on {few(unknown, 3)} (no figure)"] if unknown else []


def _was_measured(summary: Summary, chip: Chip, link: str) -> bool:
    """Whether what is sent over a link takes what was measured, latencies included: collectives do, a send does not."""
    plan, measured = summary.plan, chip.calibration.measured
    if plan.options.calibration != "measured" or measured is None or link not in measured.collectives:
        return False
    asked = [sort.kernel.communication for sort in plan.kernels.sorts]
    return not any(each.pair for each in asked if each is not None)


def _fills_tiles(plan: Plan) -> bool:
    """Whether the dims of all kernels fill the tiles of their chips' units: padded, they take as long."""
    return all(
        work.issued_flops(chip.matrix_unit.tile) == work.issued_flops(None)
        for sort in plan.kernels.sorts
        for chip, variant in zip(plan.split.chips, sort.variants, strict=True)
        for work in variant.kernel.works
    )


def _padding(summary: Summary) -> list[str]:
    """Dims that do not fill the tiles of a unit, where filling them would take longer."""
    plan = summary.plan
    if plan.options.pads or len(plan.program) > MAX_TASKS or _fills_tiles(plan):
        return []
    padded = summary.again(plan.graph, plan.system, replace(plan.options, padding=True)).time_s
    longer = padded / summary.result.time_s - 1 if summary.result.time_s else 0.0
    return [f"no padding of dims to tiles (with it +{100 * longer:.1f} %)"] if longer > _MATTERS else []
