"""The passes of a chunk as the libraries of its engine carry them out."""

from __future__ import annotations

from dataclasses import replace

from simulator.graph.items import Items, every_op
from simulator.models.steps.buffers import Stored
from simulator.models.steps.carried_out.apart import experts_apart
from simulator.models.steps.carried_out.one_by_one import one_by_one
from simulator.models.steps.carried_out.scaling import Scaling
from simulator.passes.differentiate import Gradients


def carried_out(forward: Items, back: Gradients, stored: Stored) -> tuple[Items, Gradients]:
    """Both passes: experts one by one where Megatron-Core has them so, casts with what scales them."""
    backward = back.items
    if stored.megatron:
        forward, backward = experts_apart(forward), experts_apart(backward)
    tensor = stored.parallel.axes("tp")
    if tensor and not stored.parallel.overlap_tensor:
        backward = one_by_one(backward, tensor)
    kinds = {op.name: op.kind for op in every_op((*forward, *backward))}
    scaling = Scaling(stored.precision, kinds, turned=stored.megatron or stored.pytorch, compiled=stored.pytorch)
    return scaling.of(forward), replace(back, items=scaling.of(backward))
