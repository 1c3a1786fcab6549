"""Weights' gradients that the matmul which makes them adds to their sum, as Megatron-LM's layers do.

Model: in blocks, the matmul of a weight's gradient becomes a `matmul_add` onto the weight's part of the buffer of sums: no
gradient in the format of activations stands beside it. Others (of norms, biases, heads of keys that stand in copies, the
table of tokens) are made, and added by a kernel of their own; so is that of the head, whose layer makes a placeholder as
large as its gradient would be.
Source: Megatron-LM, megatron/core/tensor_parallel/layers.py (gradient_accumulation_fusion).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat, Tensor, every_op
from simulator.models.steps.buffers import Stored
from simulator.models.steps.storage.buffer import Buffer
from simulator.passes.differentiate import Gradients


def added_by_matmuls(back: Gradients, buffers: Sequence[Buffer], stored: Stored) -> tuple[Gradients, frozenset[str]]:
    """A backward pass in which matmuls add up what they make, and the names of what is added."""
    kinds = {op.name: op.kind for op in every_op(back.items)}
    into: dict[str, Op] = {}
    of = dict(back.of)
    for buffer, weight in _of_blocks(buffers, stored):
        made = back.of[weight.name]
        if kinds.get(made.name) != "matmul" or set(made.partial) != set(buffer.sums) or weight.name in buffer.copied:
            continue
        into[made.name] = part = stored.part_of_main(buffer, made)
        of[weight.name] = replace(made, dtype=part.output.dtype)
    return replace(back, items=tuple(_with_sums(back.items, into)), of=of), frozenset(into)


def _of_blocks(buffers: Sequence[Buffer], stored: Stored) -> Iterator[tuple[Buffer, Tensor]]:
    """The weights of blocks whose gradients are added up one by one."""
    for buffer in buffers:
        if buffer.repeated and stored.adds_each(buffer):
            yield from ((buffer, weight) for weight in buffer.weights)


def _with_sums(items: Items, into: Mapping[str, Op]) -> Iterator[Op | Repeat]:
    """Items whose matmuls are added to the sums, by the names of what they make."""
    for item in items:
        if isinstance(item, Repeat):
            yield replace(item, items=tuple(_with_sums(item.items, into)))
        elif item.name in into:
            part = into[item.name]
            yield part
            output = replace(item.output, dtype=part.output.dtype)
            yield replace(item, kind="matmul_add", output=output, inputs=(*item.inputs, part.output))
        else:
            yield item
