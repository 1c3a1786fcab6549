"""What the streams of PyTorch's FSDP2 keep of a chip's memory for a whole run.

Model: its allocator has a pool for each stream, and what a pool has once taken no other stream gets. Weights are gathered
into a flat buffer in a stream of their own and copied out of it, and that buffer goes when the next group's has been copied
out: the pool is as large as two that follow each other. The root group is all that is in no block. Reduced gradients are
made in a stream of their own, too: where whole gradients are kept until the last microbatch, each chip's share of all of
them comes on top (else the sums that it keeps are those). cuBLAS has its workspaces
(`simulator.models.steps.storage.workspaces`).
Source: PyTorch 2.6, torch/distributed/fsdp/_fully_shard (FSDPCommContext, foreach_all_gather, foreach_reduce);
c10/cuda/CUDACachingAllocator.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Dim, Tensor
from simulator.models.steps.buffers import Stored
from simulator.models.steps.parts import Part
from simulator.models.steps.storage.buffer import Buffer
from simulator.models.steps.storage.workspaces import EVERYWHERE, WORKSPACE


def pools(parts: Sequence[Part], stored: Stored, mark: str, leads: bool = True) -> list[Tensor]:
    """The tensors that stand for the pools beside that of the ops themselves, for the parts of a chunk; `mark`: of the
    chunk, `leads`: whether it is the first of its stage, which has the chip's workspaces."""
    sizes = {"workspaces": float(EVERYWHERE * WORKSPACE) if leads else 0.0, "flats": _flats(parts, stored)}
    if stored.parallel.zero == 1:
        gradients = stored.precision.main_gradients or stored.precision.gradients
        sizes["reduced"] = sum(_shares(part, stored) for part in parts) * DTYPE_BYTES[gradients]
    return [Tensor(f"{name}{mark}", "int8", (Dim(math.ceil(size)),)) for name, size in sizes.items() if size]


def outside_of_blocks(parts: Sequence[Part], stored: Stored) -> list[Tensor]:
    """The weights of the root group, which are gathered once and stay until the backward pass is over."""
    if stored.parallel.zero != 3:
        return []
    buffers = [buffer for part in parts for buffer in part.buffers if not buffer.repeated and stored.is_shared(buffer)]
    return [stored.whole(buffer) for buffer in buffers]


def _flats(parts: Sequence[Part], stored: Stored) -> float:
    """Bytes of the two largest flat buffers that follow each other: the root's, then one for each block."""
    root, blocks = 0.0, list[float]()
    for part in parts:
        layers = [_bytes(buffers, stored) for buffers in part.layers]
        if part.rounds is None:
            root += sum(layers)
        else:
            blocks += layers * min(2, int(part.rounds))
    order = [root, *blocks]
    return max((one + other for one, other in pairwise(order)), default=root)


def _bytes(buffers: Sequence[Buffer], stored: Stored) -> float:
    """Bytes of some buffers that are gathered, whole on a chip."""
    shared = (buffer for buffer in buffers if stored.is_shared(buffer))
    return sum(_elements(buffer, stored) * DTYPE_BYTES[buffer.dtype] for buffer in shared)


def _shares(part: Part, stored: Stored) -> float:
    """Elements of a chip's shares of all buffers of a part, in all rounds of its block."""
    buffers = (buffer for buffer in part.buffers if stored.is_shared(buffer))
    each = sum(_elements(buffer, stored) / _chips(buffer.data, stored) for buffer in buffers)
    return each * int(part.rounds or 1)


def _elements(buffer: Buffer, stored: Stored) -> float:
    """Elements of a buffer that is whole on a chip."""
    return buffer.size / _chips(buffer.sharded, stored)


def _chips(axes: str, stored: Stored) -> int:
    return math.prod(stored.parallel.extents[axis] for axis in axes)
