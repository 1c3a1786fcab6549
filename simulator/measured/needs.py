"""Kernels of chips whose kernels have been measured: what `run.calibration: measured` makes of their needs.

Model: the chip's kernel times say how long a kernel is at work alone (`simulator.measured`); the resource that the data
sheet holds to be the slowest is busy for all of that, the others for as long as the data sheet says. So a kernel is as
long as measured, its words say what bounds it, and no kernel is faster than its roofline. Its start comes before, and is
no work. What overlaps inside a kernel is part of what was measured: `overlap`, `tiles=` and padding say nothing here.
Left to the data sheet: transfers between chips, and whatever reads or writes a host or a disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hw import Chip
from hw.chips import ChipKernels, KernelTimes, chip_kernels
from hw.rows import largest, rowwise
from simulator.engine.causes import resource_cause
from simulator.engine.held import Held
from simulator.measured.device import Device
from simulator.measured.holding import held
from simulator.measured.kernel import kernel_time, library_kernels
from simulator.ops.kernel import Kernel

if TYPE_CHECKING:
    from simulator.options import RunOptions


def costs_of(options: RunOptions, chip: Chip, recorded: bool) -> Callable[[Kernel], float]:
    """Seconds of a chip's host for each kernel that it issues; `recorded`: of a step with a backward pass."""
    times = kernel_times_of(options, chip)
    if times is None:
        return lambda _kernel: 0.0
    own, fused = times.dispatch, options.fused_kernels
    eager = own.recorded_s if recorded and own.recorded_s is not None else own.eager_s
    first = own.compiled_s if options.dispatch == "compiled" else eager
    # of several kernels of one op a library issues all but the first without Python
    others = own.compiled_s if options.dispatch == "fused" else first
    if options.dispatch != "eager":
        return lambda kernel: first + others * (library_kernels(kernel, times, fused) - 1)
    return lambda kernel: first * max(library_kernels(kernel, times, fused), _scripted(kernel))


def _scripted(kernel: Kernel) -> int:
    """Ops without a matmul that are one kernel: a script has joined them, whose interpreter goes through them one by one.
    What a matmul ends in is an argument of its call."""
    return 1 if kernel.contractions else len(kernel.works)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run asks for: its options, and by resource what it multiplies the data sheet's rate with."""

    options: RunOptions
    faster: Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds by resource of a kernel that was measured, those before it, and what they rest on."""

    times_s: Mapping[str, float]
    start_s: float
    by: str


def kernel_times_of(options: RunOptions, chip: Chip) -> KernelTimes | None:
    """The kernel times of a chip, if the run asks for what was measured and they are known."""
    found = _kernels_of(options, chip)
    return found.times if found is not None else None


def _kernels_of(options: RunOptions, chip: Chip) -> ChipKernels | None:
    return chip_kernels(chip) if options.calibration == "measured" else None


def timed(kernel: Kernel, needs: Mapping[str, float], chip: Chip, asked: Asked) -> Timed | None:
    """A kernel as it was measured, given its `needs` by the data sheet; None where that does not speak of it."""
    known = _kernels_of(asked.options, chip)
    far = any(resource_cause(name) == "host" for name in needs)
    if known is None or kernel.communication is not None or far or not needs:
        return None
    device = _device(chip, known.times, asked)
    # which tile is the fastest hangs on much: of many rows each is worked out by itself
    found = rowwise(kernel_time, kernel, device, known.times, asked.options.fused_kernels)
    slowest = max(needs, key=lambda name: needs[name])
    by = found.by if known.own else "profile"
    return Timed({**needs, slowest: largest([found.busy_s, needs[slowest]])}, found.start_s, by)


def held_by(kernel: Kernel, busy_s: Mapping[str, float], chip: Chip, asked: Asked) -> Held | None:
    """The cores that a kernel which was measured holds, given how long resources are busy with it."""
    times = kernel_times_of(asked.options, chip)
    if times is None:
        return None
    compiled = asked.options.fused_kernels
    return rowwise(held, kernel, tuple(busy_s.items()), _device(chip, times, asked), times, compiled)


def _device(chip: Chip, times: KernelTimes, asked: Asked) -> Device:
    """A chip under the clocks of a run: of a format that the vector unit carries out alone its own share is left."""
    full = Device.of(chip, asked.faster)
    if asked.options.clocks != "sustained":
        return full
    plain = times.sustained if times.sustained_plain is None else times.sustained_plain
    lanes: Mapping[str, float] = {str(name): rate for name, rate in chip.vector_unit.peak_flops_per_s.items()}
    units: Mapping[str, float] = {str(name): rate for name, rate in chip.matrix_unit.peak_flops_per_s.items()}
    left = tuple(
        (name, rate * (plain if units[name] <= lanes.get(name, 0.0) else times.sustained))
        for name, rate in full.matrix_flops_per_s
    )
    return replace(full, matrix_flops_per_s=left)
