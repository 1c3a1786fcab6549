"""Activations in the memory of the host: sent there when they are made, and fetched back for the backward pass.

Model: what blocks leave for their backward pass is copied to the host right behind the op that makes it, so that the chip
keeps it only as long as the forward pass reads it; in the backward pass it is copied back before what reads it. With full
recomputation these are the blocks' inputs. Copies have queues of their own and go on beside everything else.
Assumes: the host has room. What stands outside of blocks (embedding, head and loss) stays on the chip.
Source: Rajbhandari et al. 2021 (ZeRO-Infinity), section 5.1.3; NVIDIA Transformer Engine, pytorch/cpu_offload.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.graph.items import Items, Op, Repeat, Tensor, every_op
from simulator.models.steps.storage.buffer import HERE
from simulator.ops.registry import find_kind
from simulator.passes.differentiate import Gradients


@dataclass(frozen=True, slots=True)
class Offloaded:
    """A forward and a backward pass with copies to the host and back; `fetched`: by the name of what is copied back, what
    it is a copy of."""

    forward: Items
    back: Gradients
    fetched: Mapping[str, str]


def activations_on_host(forward: Items, back: Gradients) -> Offloaded:
    """A forward and a backward pass whose blocks leave nothing on the chip."""
    read = [op for item in back.items if isinstance(item, Repeat) for op in every_op(item.items)]
    wanted = {tensor.name for op in read for tensor in op.inputs if tensor.rounds == HERE}
    saved: dict[str, Tensor] = {}
    sent = tuple(_sent(item, wanted, saved) if isinstance(item, Repeat) else item for item in forward)
    items = tuple(_fetching(item, saved) if isinstance(item, Repeat) else item for item in back.items)
    return Offloaded(sent, replace(back, items=items), {f"back{name}": name for name in saved})


def _sent(block: Repeat, wanted: Collection[str], saved: dict[str, Tensor]) -> Repeat:
    """A block of the forward pass that sends away what is wanted of it; notes what that is."""
    taken = {tensor.name: tensor for op in every_op(block.items) for tensor in op.inputs}
    items: list[Op | Repeat] = []
    for start, _ in block.carry:
        if start in wanted and start in taken:
            items.append(_copy_to_host(taken[start], saved))
    for item in block.items:
        items.append(item)
        if isinstance(item, Op) and item.name in wanted and not find_kind(item).view:
            items.append(_copy_to_host(item.output, saved))
    return replace(block, items=tuple(items))


def _copy_to_host(tensor: Tensor, saved: dict[str, Tensor]) -> Op:
    plain = replace(tensor, rounds=(), written="")
    saved[tensor.name] = there = replace(plain, name=f"host{tensor.name}", memory="host")
    return Op(there, "copy", (plain,))


def _fetching(block: Repeat, saved: Mapping[str, Tensor]) -> Repeat:
    """A block of the backward pass that fetches what it reads."""
    return replace(block, items=tuple(_fetched(block.items, saved)))


def _fetched(items: Sequence[Op | Repeat], saved: Mapping[str, Tensor]) -> Iterator[Op | Repeat]:
    here: dict[str, Tensor] = {}
    for item in items:
        if isinstance(item, Repeat):
            yield item
            continue
        for tensor in item.inputs:
            if tensor.rounds != HERE or tensor.name not in saved or tensor.name in here:
                continue
            there = saved[tensor.name]
            here[tensor.name] = replace(there, name=f"back{tensor.name}", memory=tensor.memory)
            yield Op(here[tensor.name], "copy", (replace(there, rounds=HERE),))
        inputs = (here[each.name] if each.rounds == HERE and each.name in here else each for each in item.inputs)
        yield replace(item, inputs=tuple(inputs))
