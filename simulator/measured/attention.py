"""Fused attention as a GPU library carries it out: blocks of queries over the cores, each going along its keys.

Model: the matmuls of a pair of query and key, and its softmax on the vector unit, overlap in part. Blocks of full length
fill waves; where a mask makes them unlike, cores take the next block when they are done, and the last ends late by a part
of the longest; a window is gone along in whole steps of keys, from the first that a query of the block sees to the last,
however few keys of these are near. Few queries (decoding) are bound by reading keys and values, whose parts are then joined
by a second kernel. The backward pass has kernels before and after its own (row sums; gradients of queries in fp32), or one
for gradients of queries and one for those of keys and values: then each makes scores and their gradients, seven matmuls
instead of five.
Source: Dao 2023 (FlashAttention-2); Shah et al. 2024 (FlashAttention-3), on what softmax costs beside matmuls; jax-ml/jax
jax/experimental/pallas/ops/tpu/splash_attention, _flash_attention_dq_kernel and _flash_attention_dkv_kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.chips import AttentionTimes
from simulator.measured.device import Device, joint
from simulator.ops.kernel import Contraction


def attention_s(parts: Sequence[Contraction], dtype: str, device: Device, times: AttentionTimes) -> float:
    """Seconds on the cores, HBM not counted."""
    first = parts[0]
    rows, keys = first.m, _keys(parts)
    blocks = first.batch * -(-rows // times.rows)
    # of one block along all keys: whole steps of keys, whole blocks of queries
    pairs = times.rows * (-(-keys // times.keys) * times.keys)
    made = (*parts, *parts[:2]) if times.apart else parts
    of_pair = sum(part.flops for part in made) / (first.batch * rows * keys * first.share)
    core_s = joint(
        pairs * of_pair * padding(first.k, device, times) * device.cores / (device.peak(dtype) * times.rate),
        pairs * times.pair * device.cores / device.vector_flops_per_s,
        times.corner,
    )
    waves = -(-blocks // device.cores)
    if first.share >= 1.0:
        return waves * (core_s + times.block_s)
    if first.window is not None:
        mean, longest = _near(first, first.window, times)
    else:
        # a block on the diagonal is done in whole steps of keys: half a step more than its unmasked pairs
        mean = min(1.0, first.share + times.keys / (2.0 * keys))
        longest = min(1.0, 2.0 * mean)
    return (blocks * mean / device.cores + times.tail * longest) * core_s + waves * times.block_s


def _near(scores: Contraction, window: tuple[int, int], times: AttentionTimes) -> tuple[float, float]:
    """Steps of keys that blocks of queries go along under a window, over those of all keys: their mean, and the most.
    Queries stand at the last places of the keys."""
    before, behind = window
    offset, last = scores.n - scores.m, scores.n - 1
    steps = [
        min(last, offset + min(at + times.rows, scores.m) - 1 + behind) // times.keys
        - max(0, offset + at - before) // times.keys
        + 1
        for at in range(0, scores.m, times.rows)
    ]
    whole = -(-scores.n // times.keys)
    return sum(steps) / len(steps) / whole, max(steps) / whole


def padding(head: int, device: Device, times: AttentionTimes) -> float:
    """How much more is done than heads of a size ask for: whole tiles of an array, or the next size of the kernels."""
    tile = device.tile[0] if times.padded else times.head
    return -(-head // tile) * tile / head


def _keys(parts: Sequence[Contraction]) -> int:
    """The keys of every query: of scores the columns."""
    return parts[0].n
