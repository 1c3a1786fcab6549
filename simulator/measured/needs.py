"""Kernels of chips whose kernels have been measured: what `run.calibration: measured` makes of their needs.

Model: the chip's kernel times say how long a kernel is at work alone (`simulator.measured`); the resource that the data
sheet holds to be the slowest is busy for all of that, the others for as long as the data sheet says. So a kernel is as
long as measured, its words say what bounds it, and no kernel is faster than its roofline. Its start comes before, and is
no work. What overlaps inside a kernel is part of what was measured: `overlap`, `tiles=` and padding say nothing here.
Left to the data sheet: transfers between chips, and whatever reads or writes a host or a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw import Chip
from hw.chips import KernelTimes
from simulator.engine.causes import resource_cause
from simulator.measured.device import Device
from simulator.measured.kernel import kernel_time
from simulator.ops.kernel import Kernel

if TYPE_CHECKING:
    from simulator.options import RunOptions


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds by resource of a kernel that was measured, those before it, and what they rest on."""

    times_s: Mapping[str, float]
    start_s: float
    by: str


def kernel_times_of(options: RunOptions, chip: Chip) -> KernelTimes | None:
    """The kernel times of a chip, if the run asks for what was measured and they are known."""
    measured = chip.calibration.measured if options.calibration == "measured" else None
    return measured.kernels if measured is not None else None


def timed(
    kernel: Kernel, needs: Mapping[str, float], chip: Chip, times: KernelTimes | None, faster: Callable[[str], float]
) -> Timed | None:
    """A kernel as it was measured, given its `needs` by the data sheet, and what rates of that a run multiplies; None where
    the times do not speak of it."""
    far = any(resource_cause(name) == "host" for name in needs)
    if times is None or kernel.communication is not None or far or not needs:
        return None
    found = kernel_time(kernel, Device.of(chip, faster), times)
    slowest = max(needs, key=lambda name: needs[name])
    return Timed({**needs, slowest: max(found.busy_s, needs[slowest])}, found.start_s, found.by)
