"""What blocks keep for their backward pass by a rule, whether that reads it or not.

Model: without a compiler selective checkpointing that goes by the kind of an op stores what such ops make until the backward
pass of their layer begins. What nothing there reads is read by an op that costs nothing.
Source: PyTorch, torch/utils/checkpoint.py (create_selective_checkpoint_contexts); torch/_functorch/partitioners.py, which
keeps only what the backward graph reads; pytorch/torchtitan, its policy by op.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from simulator.graph.items import Op, Repeat, Tensor, every_op
from simulator.models.steps.parts import Part
from simulator.models.steps.rounds.layers import layer_of_each
from simulator.models.steps.storage.buffer import HERE
from simulator.passes.differentiate import Gradients


def kept_by_blocks(back: Gradients, parts: Sequence[Part]) -> Gradients:
    """A backward pass whose blocks hold what the forward pass has kept for them."""
    for part in parts:
        if part.kept:
            items = tuple(_held(item, part, back) if isinstance(item, Repeat) else item for item in back.items)
            back = replace(back, items=items)
    return back


def _held(block: Repeat, part: Part, back: Gradients) -> Repeat:
    """A block of the backward pass with what a part has kept for it, if it is the part's."""
    layers = layer_of_each(part)
    read = {tensor.name for op in every_op(block.items) for tensor in op.inputs if tensor.rounds == HERE}
    if not read & layers.keys():
        return block
    kept = {op.name: op.output for op in every_op(part.items) if op.name in part.kept and op.name not in read}
    items = list(block.items)
    for layer in range(len(part.ends)):
        unread = [replace(tensor, rounds=HERE) for name, tensor in kept.items() if layers[name] == layer]
        if unread:
            at = _begin(items, layers, layer, back) if layer + 1 < len(part.ends) else 0
            items.insert(at, _reader(unread))
    return replace(block, items=tuple(items))


def _begin(items: Sequence[Op | Repeat], layers: Mapping[str, int], layer: int, back: Gradients) -> int:
    """Where the backward pass of a layer of a round begins: with the first op that reads or makes again what it made."""
    for at, item in enumerate(items):
        if isinstance(item, Op):
            names = [back.remade.get(item.name, ""), *(each.name for each in item.inputs if each.rounds == HERE)]
            if any(layers.get(name) == layer for name in names):
                return at
    return len(items)


def _reader(unread: Sequence[Tensor]) -> Op:
    # sums over chips stay what they are: what says that it keeps them needs none
    sums = "".join(dict.fromkeys(axis for tensor in unread for axis in tensor.partial))
    told = Tensor(f"kept{unread[0].name}", "fp32", (), partial=sums)
    return Op(told, "custom", tuple(unread), (("bytes", "0"),))
