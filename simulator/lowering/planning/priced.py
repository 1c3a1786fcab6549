"""What each sort of chip makes of a kernel: the tile that on-chip memory allows, and seconds on each resource.

Model: of the tiles that fit, that of the least traffic to and from memory, then of most pipeline steps; what is read again
for it counts. Seconds are those of the data sheet unless kernels like it were measured (`simulator.measured`); where chips
differ a little and wait for each other, all go as the slowest (`run.spread`).
Assumes: what a kernel costs hangs on what it moves and computes and how it is cut, not on names; so it is worked out once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hw import Chip
from hw.rows import Memo, largest, rowwise
from simulator.engine.causes import resource_cause
from simulator.lowering.efficiency import efficiency_of
from simulator.lowering.host_ports import far_bytes
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.planned import Variant
from simulator.lowering.resources import SystemResources
from simulator.measured import Asked, timed
from simulator.ops.kernel import Communication, Kernel, Tile, Tiling


class Variants:
    """What each sort of chip makes of kernels; of kernels that differ in names only it is worked out once."""

    def __init__(self, plan: Plan, resources: SystemResources) -> None:
        self._plan, self._resources = plan, resources
        self._known: Memo[tuple[object, ...], Variant] = Memo()

    def of(self, kernels: Sequence[Kernel]) -> tuple[Variant, ...]:
        """The variants of one kernel, given as each sort of chip has it."""
        return tuple(
            self._variant(at, kernel, chip)
            for at, (kernel, chip) in enumerate(zip(kernels, self._plan.split.chips, strict=True))
        )

    def alike(self, kernel: Kernel) -> Variant:
        """What the first sort of chip makes of a kernel, or of one that differs from it in names only."""
        return self._alike(0, kernel, self._plan.split.chips[0])

    def _variant(self, at: int, kernel: Kernel, chip: Chip) -> Variant:
        known = self._alike(at, kernel, chip)
        return known if known.kernel is kernel else replace(known, kernel=kernel)

    def _alike(self, at: int, kernel: Kernel, chip: Chip) -> Variant:
        key = (at, *_figures(kernel), *(_told_apart(kernel) if self._plan.options.calibration == "measured" else ()))
        try:
            known = self._known.get(key)
        except TypeError:  # a tiling of somebody's own that cannot be hashed
            return _variant(kernel, self._plan, self._resources, chip)
        if known is None:
            made = _variant(kernel, self._plan, self._resources, chip)
            known = self._known.put(key, replace(made, sort=len(self._known)))
        return known


def _figures(kernel: Kernel) -> tuple[object, ...]:
    """All of a kernel that tiles and times depend on: what it moves and computes, and how it is cut."""
    return (
        tuple((access.nbytes, access.memory) for access in kernel.reads),
        tuple((access.nbytes, access.memory) for access in kernel.writes),
        kernel.works,
        kernel.host_s,
        kernel.tiling,
        kernel.schedule.tiles,
        kernel.schedule.chunks,
        kernel.communication is None,
    )


def _told_apart(kernel: Kernel) -> tuple[object, ...]:
    """What the times of kernels that were measured depend on beside these figures."""
    items = tuple(access.item_bytes for access in kernel.reads)
    once = kernel.matrix_dtype, kernel.contractions, bool(kernel.vector_flops)
    return kernel.kind, kernel.launches, kernel.reduces, kernel.row_elements, items, *once


def queue_name(kernel: Kernel) -> str:
    """The queue that issues a kernel."""
    return kernel.schedule.queue or _queue_name(kernel.communication)


def _variant(kernel: Kernel, plan: Plan, resources: SystemResources, chip: Chip) -> Variant:
    steps, tile = _choose_tile(kernel, plan, chip)
    moved = zip(kernel.reads, tile.rereads, strict=True)
    read = sum(access.nbytes * times for access, times in moved if access.memory == "hbm")
    written = sum(access.nbytes for access in kernel.writes if access.memory == "hbm")
    times_s = resources.kernel_seconds(kernel, tile.rereads, chip)
    latency_s = resources.latency_s(kernel, chip) if plan.options.memory_latency else 0.0
    found = Variant(kernel, steps, tile.label, read + written, times_s, far_bytes(kernel, tile.rereads), latency_s)
    options = plan.options
    measured = timed(kernel, times_s, chip, Asked(options, lambda name: efficiency_of(options, chip, name)))
    if measured is not None:
        latency_s += measured.start_s
        found = replace(found, steps=math.inf, times_s=measured.times_s, latency_s=latency_s, by=measured.by)
    return found if kernel.communication is not None else _at_pace(found, plan.pace)


def _at_pace(usual: Variant, pace: float) -> Variant:
    """A kernel as a slower chip has it: all work there. Hosts are as fast, and so are starts and given times."""
    if pace == 1.0:
        return usual
    times_s = {name: time if resource_cause(name) == "host" else time * pace for name, time in usual.times_s.items()}
    return replace(usual, times_s=times_s, pace=pace)


def _choose_tile(kernel: Kernel, plan: Plan, chip: Chip) -> tuple[float, Tile]:
    """The pipeline steps of one task (one chunk), and the tile with what it re-reads."""
    overlap, given = plan.options.overlap, kernel.schedule
    whole = Tile(math.inf, (1.0,) * len(kernel.reads), "")
    if given.tiles is not None and kernel.communication is None:
        return float(given.tiles), whole
    if overlap == "none":
        return 1.0, whole
    level = chip.memories.get(plan.options.tile_level)
    if overlap == "full" or kernel.tiling is None or level is None or kernel.communication is not None:
        return math.inf, whole

    near = chip.near_memories
    nbytes = tuple(access.nbytes if access.memory not in near else 0.0 for access in kernel.reads)
    best = rowwise(_best_tile, kernel.tiling, level.capacity_bytes, chip.matrix_unit.tile, nbytes)
    return largest([1.0, best.steps / given.chunks]), best


def _best_tile(tiling: Tiling, on_chip_bytes: float, unit: tuple[int, int], nbytes: Sequence[float]) -> Tile:
    """The tile of the least traffic, then of most steps, the first of equals; `nbytes`: what each read moves."""

    def rank(tile: Tile) -> tuple[float, float]:
        traffic = sum(moved * times for moved, times in zip(nbytes, tile.rereads, strict=True))
        return traffic, -tile.steps

    return min(tiling.tiles(on_chip_bytes, unit), key=rank)


def _queue_name(communication: Communication | None) -> str:
    if communication is None:
        return "compute"
    return "p2p" if communication.pair else f"net.{communication.axes}"
