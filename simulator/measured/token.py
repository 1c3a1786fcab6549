"""Attention of a token as a GPU library carries it out: blocks of heads over the cores, each reading its keys and values.

Model: T = fixed + (blocks^n + bytes^n)^(1/n), and the joining of parts: a core's blocks one after the other, beside all
bytes at HBM's rate. Heads that share keys are one block, as long as there are enough such blocks (a quarter of the cores);
their keys are split into parts of 128 or more, fewer the longer they are, for eight waves at most. Else each head goes by
itself: four blocks, two, or one large one to a core, so that heads fill the cores, and parts of its keys where there are
fewer. More blocks than that begin another wave: 112 blocks take twice as long on 108 cores.
Keys and values of a group are read tile by tile, together; a head by itself goes along all its keys, then along its values.
So a tensor that is both (as in some timings) is read once by the former, twice by the latter. Heads by themselves that share
keys have these from the on-chip memory again (`hw.chips.TokenTimes`).
Assumes: queries, keys and values are read in this order, as attention is written; all contexts are as long.
Source: NVIDIA TensorRT-LLM 1.0, cpp/tensorrt_llm/kernels/decoderMaskedMultiheadAttention: decoderXQAImplJIT.cpp
(mayHavePerfGain), decoderXQAImplCommon.h (computeMultiBlockCount), decoderXQAConstants.h and
decoderMaskedMultiheadAttentionLaunch.h (multi_block_grid_setup); parameters with the timings that they were found on:
hw/kernels/hopper_tensorrt_llm.yaml and its like.
"""

from __future__ import annotations

import math

from hw.chips import TokenTimes
from simulator.measured.device import Device, joint
from simulator.ops.kernel import Contraction, Kernel

_PART = 128
"""Keys that a part has at least; a quarter of a large block takes as many at once."""

_FEW = 4
"""Blocks of groups that are fewer than this part of the cores are not worth their kernel."""

_PARTS, _WAVES = 8, 8
"""Of n parts no more than the root of so many times n are made, and no more than so many waves of blocks."""

_SMALL = 4
"""Blocks of one head that a core holds, where there are as many."""

_ROWS = 16
"""Heads of a group that are one tile of rows of the matrix unit."""


def token_s(kernel: Kernel, device: Device, times: TokenTimes) -> float:
    """Seconds at work of a kernel of few queries over many keys."""
    scores, sharing = kernel.contractions[0], _sharing(kernel)
    groups = max(1, scores.batch // sharing)
    enough = groups * max(1, scores.n // _PART) * _FEW >= device.cores
    if 1 < sharing <= times.most and enough:
        return times.fixed_s + _grouped_s(kernel, groups, device, times)
    return times.fixed_s + _alone_s(kernel, sharing, device, times)


def _grouped_s(kernel: Kernel, groups: int, device: Device, times: TokenTimes) -> float:
    parts = _parts(kernel.contractions[0].n, groups, device.cores)
    tiles = math.ceil(kernel.contractions[0].batch / groups / _ROWS)
    fill_s = times.group_s * (1.0 + times.wide * (tiles - 1))
    moved_s = kernel.hbm_bytes / (times.hbm * device.hbm_bytes_per_s)
    joined_s = times.split_s + times.join_s * parts if parts > 1 else 0.0
    return joint(math.ceil(groups * parts / device.cores) * fill_s, moved_s, times.group_corner) + joined_s


def _parts(keys: int, groups: int, cores: int) -> int:
    """Parts that the keys of a group are split into."""
    parts = keys // _PART
    parts = max(1, min(parts, round(math.sqrt(_PARTS * parts))))
    return max(1, min(parts, math.floor(_WAVES * cores / groups)))


def _alone_s(kernel: Kernel, sharing: int, device: Device, times: TokenTimes) -> float:
    heads, keys = kernel.contractions[0].batch, kernel.contractions[0].n
    # a block is one quarter of a core, a half or all of it, which makes up for few heads
    quarters = min(math.ceil(_SMALL * device.cores / heads), _SMALL)
    large = 1 << (quarters.bit_length() - 1)
    slots = device.cores * (_SMALL // large)
    parts = max(1, min(math.ceil(slots / heads), math.ceil(keys / (_PART * large))))
    blocks = heads * parts
    read = _passed_bytes(kernel)
    blocks_s = math.ceil(blocks / slots) * (times.head_s + read / blocks / times.head_bytes_per_s)
    far = read / sharing if kernel.hbm_bytes else 0.0
    moved_s = far / (times.hbm * device.hbm_bytes_per_s)
    if sharing > 1:
        moved_s = max(moved_s, read / (times.near * device.on_chip_bytes_per_s))
    return joint(blocks_s, moved_s, times.corner)


def _passed_bytes(kernel: Kernel) -> float:
    """Keys and values, once for each head."""
    width = kernel.reads[1].item_bytes if len(kernel.reads) > 1 else kernel.reads[0].item_bytes
    return width * sum(_operand(part) for part in kernel.contractions)


def _operand(part: Contraction) -> int:
    return part.batch * part.n * part.k


def _sharing(kernel: Kernel) -> int:
    """How many heads share their keys."""
    scores = kernel.contractions[0]
    if len(kernel.reads) < 2:
        return 1
    keys = kernel.reads[1]
    apart = keys.nbytes / (scores.n * scores.k * keys.item_bytes)
    return max(1, min(scores.batch, round(scores.batch / apart))) if apart else 1
