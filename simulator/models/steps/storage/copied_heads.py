"""Gradients of heads of keys and values of which several chips of the tensor axis have copies.

Model: of fewer heads of keys than chips each chip has the one that its query heads read, so R chips beside each other have
copies of one, each a gradient of its own queries alone. Those of a part are packed together and added up among the R chips:
where R is a power of two in log2 R rounds, in each of which a chip sends all it has 1, 2, 4, ... places on and adds what
comes (recursive doubling), else by passing on, R - 1 times, what came last. All chips step their copies alike then.
Assumes: chips send round the whole axis, not back and forth inside their R: as many bytes, on the same kind of links.
Source: AWS neuronx_distributed, modules/qkv_linear.py (GQAQKVColumnParallelLinear, `kv_size_multiplier`: heads of keys
repeated over the tensor axis, their gradients added up among chips that share one); Thakur et al. 2005 for the rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from simulator.graph.items import Dim, Op, Tensor
from simulator.models.steps.storage.buffer import Buffer


def summed_over_copies(buffer: Buffer, gradients: Sequence[Tensor], dtype: str) -> tuple[list[Op], Tensor]:
    """The ops that add up the gradients of copied weights of a part, and where the sum is."""
    dim = Dim(f"copied{buffer.name}", buffer.sharded)
    total = Tensor(f"k{buffer.name}", dtype, (dim,), buffer.sums)
    ops = [Op(total, "pack", tuple(gradients))]
    sent = total
    for at, shift in enumerate(_shifts(buffer.key_copies)):
        came = replace(total, name=f"k{at}came{buffer.name}")
        told = (("over", buffer.sharded), ("shift", f"{shift}"))
        ops.append(Op(came, "permute", (sent,), told))
        added = replace(total, name=f"k{at}sum{buffer.name}")
        ops.append(Op(added, "accumulate", (total, came)))
        total = added
        sent = total if _doubles(buffer.key_copies) else came
    return ops, total


def _doubles(copies: int) -> bool:
    """Whether so many are a power of two."""
    return copies & (copies - 1) == 0


def _shifts(copies: int) -> Iterator[int]:
    """How many places on each round sends."""
    if not _doubles(copies):
        yield from [1] * (copies - 1)
        return
    shift = 1
    while shift < copies:
        yield shift
        shift *= 2
