"""A matmul as a GPU library carries it out: tiles of the output, in waves over the cores.

Model: each core makes one tile of the output at a time, going along the contraction: its matrix unit works at a share of
its peak, and is fed with a strip of both operands by the on-chip memory. Tiles that do not fill the last wave leave cores
idle. Where there are few tiles the contraction is split over cores, whose sums are then added. Of all tiles and splits the
library finds the fastest. A partly filled tile takes as long as a full one.
A systolic array (`padded`) does whole tiles of its own size along the contraction and the columns.
Groups of rows that are as long as tokens ask for (a `ragged` contraction) lie one behind the other: where a library's tiles
stand across two (`ragged_depth`) such a tile is done once for each, so that of G groups in tiles of t there are G - 1 more
than rows over t; each core has a part of the rows of every group, whose weights it reads once for each strip of columns.
Along a contraction (gradients of weights) steps go so. A library that has kernels of their own for groups is told by those
(`simulator.measured.grouped`).
A convolution is the matmul that it amounts to (implicit GEMM): positions x channels out, contraction channels x window.
Assumes: rows of the operands lie along the contraction or along n. Law: no faster than the peak, never faster for more.
Source: NVIDIA, Matrix Multiplication Background User's Guide (tiles, waves, alignment); CUTLASS, efficient GEMM; of groups
jax-ml/jax, pallas/ops/tpu/megablox/gmm.py (make_group_metadata) and tokamax, whose tuned tiles go along all of k.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from hw.chips import MatmulTimes
from simulator.measured.device import Device, joint
from simulator.measured.grouped import grouped_s
from simulator.ops.kernel import Contraction

_PARTIAL_BYTES = 8.0
"""Of an element of the output in a split: a sum in fp32, written and read again."""

_LIKE = {"fp4": "fp8"}
"""Formats whose share of the peak was not measured, and those whose it is taken to be, since it falls with their width."""


class Tiled(NamedTuple):
    """A matmul in tiles: seconds on the cores, HBM not counted, and pieces of work that one core each carries out."""

    seconds: float
    blocks: int


def matmul_s(part: Contraction, dtype: str, item_bytes: float, device: Device, times: MatmulTimes) -> float:
    """Seconds on the cores, HBM not counted."""
    if part.ragged and times.grouped is not None:
        return grouped_s(part, dtype, device, times.grouped)
    return tiled(part, dtype, item_bytes, device, times).seconds


def tiled(part: Contraction, dtype: str, item_bytes: float, device: Device, times: MatmulTimes) -> Tiled:
    """The fastest way to cut it."""
    tiles = dict.fromkeys(turned for rows, columns in times.tiles for turned in ((rows, columns), (columns, rows)))
    return min(_tiled(part, tile, dtype, item_bytes, device, times) for tile in tiles)


def _tiled(
    part: Contraction, tile: tuple[int, int], dtype: str, item_bytes: float, device: Device, times: MatmulTimes
) -> Tiled:
    """With one tile, in as many parts of the contraction as are fastest."""
    rows, columns = tile
    count = _count(part, tile, device.cores, times)
    deep, steps = _depth(part, device.cores, times)
    fed = _strips(part, tile, count, device.cores, times)
    rate = device.peak(dtype) / device.cores * times.rate.get(_LIKE.get(dtype, dtype), times.rate.get("bf16", 1.0))
    source = device.hbm_bytes_per_s if times.fed_by == "hbm" else device.on_chip_bytes_per_s
    feed = source * times.feed / device.cores
    slowed = _unaligned(part, item_bytes, times)
    rate, feed = rate * slowed, feed * slowed
    best = Tiled(float("inf"), 0)
    for splits in range(1, times.most_splits + 1):
        depth = -(-deep // splits)
        if splits > 1:
            depth = max(times.least_depth, -(-depth // times.depth) * times.depth)
        waves = -(-count * splits // device.cores)
        math_s = 2.0 * rows * _whole(columns, device.tile[1], times) * _whole(depth, device.tile[0], times) / rate
        math_s *= part.share
        feed_s = (rows * fed[0] + columns * fed[1]) * depth * part.share * item_bytes / feed
        out_s = rows * columns * (item_bytes if splits == 1 else _PARTIAL_BYTES) / feed
        # writes of a tile go on while the next one begins; only the last wave's are waited for
        busy = waves * (joint(math_s, feed_s, times.corner) + steps * times.tile_s) + out_s
        seconds = busy + (times.split_s if splits > 1 else 0.0)
        if seconds < best.seconds:
            best = Tiled(seconds, count * splits)
        if waves > 1 and splits > 1:
            break
    return best


def _count(part: Contraction, tile: tuple[int, int], cores: int, times: MatmulTimes) -> int:
    """Tiles of all matrices; of groups that lie one behind the other those across two once for each."""
    down, across = -(-part.m // tile[0]), -(-part.n // tile[1])
    if times.ragged_depth is None or part.ragged not in ("m", "n"):
        return part.batch * down * across
    size, length, others = (part.m, tile[0], across) if part.ragged == "m" else (part.n, tile[1], down)
    each = -(-part.batch * size // cores)
    return cores * (-(-each // length) + min(part.batch, each) - 1) * others


def _strips(
    part: Contraction, tile: tuple[int, int], count: int, cores: int, times: MatmulTimes
) -> tuple[float, float]:
    """How many strips of either operand a tile reads: both, but that the weights of a group stay while its rows go by."""
    if times.ragged_depth is None or part.ragged not in ("m", "n"):
        return 1.0, 1.0
    others = -(-part.n // tile[1]) if part.ragged == "m" else -(-part.m // tile[0])
    kept = min(1.0, cores * part.batch * others / count)
    return (1.0, kept) if part.ragged == "m" else (kept, 1.0)


def _depth(part: Contraction, cores: int, times: MatmulTimes) -> tuple[int, float]:
    """Elements of the contraction that a tile goes along, and in how many steps: of groups that lie one behind the other
    those of a step across two are gone along for each."""
    if times.ragged_depth is None or part.ragged != "k":
        return part.k, 1.0
    length = times.ragged_depth
    each = -(-part.batch * part.k // cores)
    steps = cores * (-(-each // length) + min(part.batch, each) - 1) / part.batch
    return math.ceil(steps * length), steps


def _whole(size: int, tile: int, times: MatmulTimes) -> int:
    """What an array does of so many rows or columns: whole tiles, if it is padded."""
    return -(-size // tile) * tile if times.padded else size


def _unaligned(part: Contraction, item_bytes: float, times: MatmulTimes) -> float:
    """What is left of the rate where rows in memory do not begin at whole lines."""
    depth = times.unaligned if times.unaligned_depth is None else times.unaligned_depth
    return min(
        times.unaligned if (part.n * item_bytes) % times.align else 1.0,
        depth if (part.k * item_bytes) % times.align else 1.0,
    )
