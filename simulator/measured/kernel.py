"""The time of one kernel on a measured chip: its cores and HBM at once, after a start.

Model: T = start + (cores^n + hbm^n)^(1/n). The cores' part is that of tiles in waves for a contraction, of blocks of queries
for fused attention; all other kernels are passes over memory. Never below what the data sheet allows.
Provenance: `by` says whether the kind was measured ("measured") or passes once as a kind that was not ("profile").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hw.chips import AttentionTimes, Family, KernelTimes, MatmulTimes, PassTimes
from simulator.graph.dtypes import DTYPE_BYTES
from simulator.measured.attention import attention_s, padding
from simulator.measured.device import Device, joint
from simulator.measured.matmul import matmul_s
from simulator.measured.token import token_s
from simulator.ops.kernel import Kernel

_ONCE = PassTimes.model_construct()  # unchecked: it says nothing, and most runs ask no kernel's time

_CONVOLUTIONS = ("conv2d", "conv2d_backward_input", "conv2d_backward_weight")

_FUSED: Mapping[str, Family] = {
    "attention": "attention",
    "attention_backward": "attention_backward",
    "attention_block": "attention",
    "attention_block_backward": "attention_backward",
}
"""Kinds that are fused attention where one kernel has both matmuls and softmax."""


@dataclass(frozen=True, slots=True)
class KernelTime:
    """Seconds before a kernel is at work, and at work; `by`: what the figure rests on."""

    start_s: float
    busy_s: float
    by: str = "measured"

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.start_s + self.busy_s


def family_of(kernel: Kernel) -> Family:
    """How its time is made."""
    if kernel.kind in _FUSED and kernel.contractions and kernel.vector_flops:
        return _FUSED[kernel.kind]
    if any(work.contractions for work in kernel.works):
        return "convolution" if kernel.kind in _CONVOLUTIONS else "matmul"
    return "passes"


def library_kernels(kernel: Kernel, times: KernelTimes, compiled: bool = False) -> int:
    """How many kernels a library makes of it."""
    fused = {"attention": times.attention, "attention_backward": times.attention_backward}
    if kernel.kind in fused and kernel.contractions and kernel.vector_flops:
        return kernel.launches * fused[kernel.kind].kernels
    own = 1 if any(work.contractions for work in kernel.works) else _pass(kernel, times, compiled).kernels
    return kernel.launches * own


def kernel_time(kernel: Kernel, device: Device, times: KernelTimes, compiled: bool = False) -> KernelTime:
    """The time of a kernel alone; `compiled`: as a compiler makes it, where it does."""
    # standard attention has kernels for matmuls and for softmax: only the fused one has both at once
    fused: Mapping[str, AttentionTimes] = {
        "attention": times.attention,
        "attention_backward": times.attention_backward,
    }
    family = family_of(kernel)
    if family in fused:
        return _attention(kernel, device, times, fused[family])
    if family == "passes":
        return _passes(kernel, device, times, compiled)
    return _contraction(kernel, device, times)


def _hbm_s(nbytes: float, device: Device, times: KernelTimes) -> float:
    return nbytes / (device.hbm_bytes_per_s * times.hbm)


def _attention(kernel: Kernel, device: Device, times: KernelTimes, own: AttentionTimes) -> KernelTime:
    first = kernel.contractions[0]
    split = kernel.kind == "attention" and first.m < own.rows
    if split and own.token is not None and first.share >= 1.0:
        return KernelTime(times.start_s, token_s(kernel, device, own.token))
    cores = attention_s(kernel.contractions, kernel.matrix_dtype, device, own)
    if split:
        # parts of the keys go to all cores; what is left is the chip's rate
        cores = min(cores, _even_s(kernel, device, own))
    kernels = own.kernels + split
    streamed = _hbm_s(kernel.hbm_bytes, device, times)
    hbm = streamed if own.hbm is None else kernel.hbm_bytes / (device.hbm_bytes_per_s * own.hbm)
    # nothing goes over a cache of keys and values once more
    beside = own.split_s if split else own.passes * streamed
    return KernelTime(times.start_s * kernels, joint(cores, hbm, times.corner) + beside)


def _even_s(kernel: Kernel, device: Device, own: AttentionTimes) -> float:
    pairs = sum(part.batch * part.m * part.n * part.share for part in kernel.contractions[:1])
    flops = kernel.matrix_flops / (device.peak(kernel.matrix_dtype) * own.rate)
    first = kernel.contractions[0]
    flops *= padding(first.k, device, own)
    # under a mask these are blocks of short prompts, which are not split: each is filled and emptied
    waves = -(-first.batch // device.cores) if first.share < 1.0 else 0
    return joint(flops, pairs * own.pair / device.vector_flops_per_s, own.corner) + waves * own.block_s


def matmul_times(kernel: Kernel, times: KernelTimes) -> MatmulTimes:
    """Those of its contractions."""
    return times.convolution if times.convolution is not None and kernel.kind in _CONVOLUTIONS else times.matmul


def _contraction(kernel: Kernel, device: Device, times: KernelTimes) -> KernelTime:
    parts = [(part, work.dtype) for work in kernel.works for part in work.contractions]
    own = matmul_times(kernel, times)
    cores = sum(matmul_s(part, dtype, DTYPE_BYTES[dtype], device, own) for part, dtype in parts)
    hbm_s = kernel.hbm_bytes / (device.hbm_bytes_per_s * (own.hbm or times.hbm))
    # a library's loop over groups: their starts stand one behind the other
    return KernelTime(times.start_s * kernel.launches, joint(cores, hbm_s, times.corner))


def _pass(kernel: Kernel, times: KernelTimes, compiled: bool) -> PassTimes:
    own = times.kinds.get(kernel.kind, _ONCE)
    fused = compiled and own.compiled
    return _ONCE if fused or (own.reducing and not kernel.reduces) else own


def lanes_s(kernel: Kernel, device: Device, times: KernelTimes, compiled: bool) -> float:
    """Seconds of the cores in a kernel of passes, beside its bytes."""
    own = _pass(kernel, times, compiled)
    row = max(1, kernel.row_elements)
    long = min(1.0, max(0.0, (row - times.short_row) / (times.long_row - times.short_row)))
    elements = max((access.nbytes / access.item_bytes for access in kernel.reads), default=0.0)
    return elements * (own.element_s + own.row_s / row + own.long_s * long) / device.cores


def _passes(kernel: Kernel, device: Device, times: KernelTimes, compiled: bool) -> KernelTime:
    own = _pass(kernel, times, compiled)
    by = "measured" if kernel.kind in times.kinds else "profile"
    near_bytes = sum(access.nbytes for access in (*kernel.reads, *kernel.writes) if access.memory == "on_chip")
    moved_s = _hbm_s(kernel.hbm_bytes, device, times) + near_bytes / device.on_chip_bytes_per_s
    work_s = joint(own.passes * moved_s + lanes_s(kernel, device, times, compiled), own.least_s, times.corner)
    start_s = times.start_s
    if near_bytes and not kernel.hbm_bytes and times.start_near_s is not None:
        start_s = times.start_near_s
    launches = kernel.launches
    return KernelTime(launches * start_s * own.kernels, work_s + launches * own.fixed_s, by)
