"""Attention of a token as a GPU library carries it out: blocks of heads over the cores, each reading its keys and values.

Model: T = fixed + (blocks^n + bytes^n)^(1/n), and the joining of parts. Blocks of one head share a core, those of several
heads that share keys have one each, in waves. Bytes go at HBM's rate, or at that of the cores which have work, whichever is
less; keys of few blocks are split over the cores that are left. More heads than a block takes go each by itself, along
keys that the on-chip memory gives again (`hw.chips.TokenTimes`).
Assumes: queries, keys and values are read in this order, as attention is written.
Source: NVIDIA TensorRT-LLM, docs/source/advanced/gpt-attention.md (masked multi-head attention, its multi-block mode, XQA);
parameters with the timings that they were found on: hw/kernels/hopper_tensorrt_llm.yaml and its like.
"""

from __future__ import annotations

import math

from hw.chips import TokenTimes
from simulator.measured.device import Device, joint
from simulator.ops.kernel import Kernel


def token_s(kernel: Kernel, device: Device, times: TokenTimes) -> float:
    """Seconds at work of a kernel of few queries over many keys."""
    scores = kernel.contractions[0]
    heads, sharing = scores.batch, _sharing(kernel)
    alone = sharing == 1 or sharing > times.most
    blocks = heads if alone else heads // sharing
    parts = max(1, min(device.cores // blocks, math.ceil(scores.n / times.keys)))
    busy = min(device.cores, blocks * parts)
    moved_s = kernel.hbm_bytes / min(times.hbm * device.hbm_bytes_per_s, busy * times.core_bytes_per_s)
    if sharing > times.most:
        moved_s = max(moved_s, kernel.hbm_bytes * sharing / (times.near * device.on_chip_bytes_per_s))
    waves = max(1.0, blocks * parts / device.cores)
    blocks_s = waves * times.head_s if alone else math.ceil(waves) * times.group_s
    return times.fixed_s + joint(blocks_s, moved_s, times.corner) + (times.split_s if parts > 1 else 0.0)


def _sharing(kernel: Kernel) -> int:
    """How many heads share their keys."""
    scores = kernel.contractions[0]
    if len(kernel.reads) < 2:
        return 1
    keys = kernel.reads[1]
    apart = keys.nbytes / (scores.n * scores.k * keys.item_bytes)
    return max(1, min(scores.batch, round(scores.batch / apart))) if apart else 1
