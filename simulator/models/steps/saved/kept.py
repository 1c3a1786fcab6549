"""What blocks keep for their backward pass by a rule, whether that reads it or not.

Model: without a compiler selective checkpointing that goes by the kind of an op stores what such ops make until the backward
pass of their block begins. What nothing there reads is read by an op that costs nothing.
Source: PyTorch, torch/utils/checkpoint.py (create_selective_checkpoint_contexts); torch/_functorch/partitioners.py, which
keeps only what the backward graph reads; pytorch/torchtitan, its policy by op.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from simulator.graph.items import Op, Repeat, Tensor, every_op
from simulator.models.steps.parts import Part
from simulator.models.steps.storage.buffer import HERE
from simulator.passes.differentiate import Gradients


def kept_by_blocks(back: Gradients, parts: Sequence[Part]) -> Gradients:
    """A backward pass whose blocks hold what the forward pass has kept for them."""
    blocks = [part for part in parts if part.kept]
    kept = {op.name: op.output for part in blocks for op in every_op(part.items) if op.name in part.kept}
    made = [{op.name for op in every_op(part.items)} for part in blocks]
    if not kept:
        return back
    items = tuple(_holding(item, kept, made) if isinstance(item, Repeat) else item for item in back.items)
    return replace(back, items=items)


def _holding(block: Repeat, kept: Mapping[str, Tensor], made: Sequence[set[str]]) -> Repeat:
    read = {tensor.name for op in every_op(block.items) for tensor in op.inputs if tensor.rounds == HERE}
    of = next((names for names in made if names & read), set())
    unread = [replace(tensor, rounds=HERE) for name, tensor in kept.items() if name in of and name not in read]
    if not unread:
        return block
    # sums over chips stay what they are: what says that it keeps them needs none
    sums = "".join(dict.fromkeys(axis for tensor in unread for axis in tensor.partial))
    told = Tensor(f"kept{unread[0].name}", "fp32", (), partial=sums)
    return replace(block, items=(Op(told, "custom", tuple(unread), (("bytes", "0"),)), *block.items))
