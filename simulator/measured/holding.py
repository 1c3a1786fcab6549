"""The cores that a kernel holds while it is at work, as a GPU places its blocks of threads.

Model: a matmul has a block for each of its tiles, one on a core at a time: cores make them in waves, and the last wave
leaves cores free. A kernel that is bound by memory holds all cores that its bytes give work to, and is as fast on as many of
them as draw HBM's rate, each no more than it can (`core_rate`, else a share of the chip's cores, `saturating`); what of its
time is work of the cores goes as much slower as it has fewer. Fused attention has a block for each of its blocks of queries;
since these are of unlike length they are not counted in waves.
Assumes: one block fills a core. A library cuts a matmul for the whole chip, whatever is free when it comes. Where HBM holds
a matmul up, its cores' part of the time is their weight in (cores^n + hbm^n)^(1/n), the slope of that.
Copies between a host and a chip are made by engines of their own, and hold no cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hw.chips import AttentionTimes, KernelTimes
from simulator.engine.causes import UNITS, resource_cause
from simulator.engine.held import Held
from simulator.graph.dtypes import DTYPE_BYTES
from simulator.measured.attention import attention_s
from simulator.measured.device import Device
from simulator.measured.kernel import family_of, lanes_s, matmul_times
from simulator.measured.matmul import Tiled, tiled
from simulator.ops.kernel import Kernel

Busy = Sequence[tuple[str, float]]
"""Seconds by resource."""


def held(kernel: Kernel, busy_s: Busy, device: Device, times: KernelTimes, compiled: bool) -> Held:
    """What a kernel holds, whose time alone is that of the resource that is busy longest."""
    slowest, seconds = max(busy_s, key=lambda each: each[1])
    of_units = [time for name, time in busy_s if resource_cause(name) in UNITS]
    family = family_of(kernel)
    if family == "passes":
        blocks = max(1, math.ceil(kernel.hbm_bytes / times.core_bytes))
        own = lanes_s(kernel, device, times, compiled) / seconds
    elif family in ("matmul", "convolution"):
        tiles = _tiles(kernel, device, times)
        cores, hbm = sum(each.seconds for each in tiles), _hbm_s(kernel, device, times)
        if len(tiles) == 1 and cores >= hbm:
            return Held(min(device.cores, tiles[0].blocks), device.cores, tiles[0].blocks)
        blocks, own = max(each.blocks for each in tiles), _weight(cores, hbm, times.corner)
    else:
        blocks, own = _attention(kernel, device, times)
    units = min(device.cores, blocks)
    if resource_cause(slowest) in UNITS:
        own = 1.0
    enough = max([min(units, _saturating(device, times)), *(device.cores * time / seconds for time in of_units)])
    return Held(units, device.cores, own=min(1.0, own), enough=min(units, enough))


def _saturating(device: Device, times: KernelTimes) -> float:
    """The cores on which a kernel bound by memory is as fast as on all: a faster memory takes more of them."""
    if times.core_bytes_per_s is None:
        return times.saturating * device.cores
    return min(device.cores, device.hbm_bytes_per_s * times.hbm / times.core_bytes_per_s)


def _tiles(kernel: Kernel, device: Device, times: KernelTimes) -> list[Tiled]:
    own = matmul_times(kernel, times)
    return [
        tiled(part, work.dtype, DTYPE_BYTES[work.dtype], device, own)
        for work in kernel.works
        for part in work.contractions
    ]


def _attention(kernel: Kernel, device: Device, times: KernelTimes) -> tuple[int, float]:
    """Blocks, and the cores' part of the time."""
    backward = family_of(kernel) == "attention_backward"
    own: AttentionTimes = times.attention_backward if backward else times.attention
    first = kernel.contractions[0]
    cores = attention_s(kernel.contractions, kernel.matrix_dtype, device, own)
    # of few queries the keys are split over all cores
    blocks = device.cores if first.m < own.rows else first.batch * -(-first.m // own.rows)
    return blocks, _weight(cores, _hbm_s(kernel, device, times), times.corner)


def _hbm_s(kernel: Kernel, device: Device, times: KernelTimes) -> float:
    return kernel.hbm_bytes / (device.hbm_bytes_per_s * times.hbm)


def _weight(cores: float, hbm: float, corner: float) -> float:
    """By how much a joint time grows with the cores' part of it, relative to both."""
    most = max(cores, hbm)
    ours, others = (cores / most) ** corner, (hbm / most) ** corner
    return float(ours / (ours + others))
