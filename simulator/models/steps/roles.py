"""Whose memory each tensor of a training step takes.

Model: weights are what is stored and what the optimizer makes of it; what is gathered of them is a communication buffer.
Gradients of weights are gradients from where they are made, and so is all that is packed, summed or reduced of them; those
of activations are temporaries, those of logits belong to logits and loss. What is recomputed has the owner of what it is
made of the first time.
Source: the categories of PyTorch's memory profiler (torch.profiler, Category), master weights and buffers apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from simulator.graph.items import Op, every_op
from simulator.graph.owners import Owner
from simulator.models.steps.buffers import STATES, Stored
from simulator.models.steps.parts import Part
from simulator.models.steps.storage.buffer import Buffer
from simulator.passes.differentiate import Gradients


def step_roles(
    parts: Iterable[Part], stored: Stored, back: Gradients, added: Collection[str], optimizer: str
) -> dict[str, Owner]:
    """The owners of all tensors of a chunk's step."""
    parts = list(parts)
    found = forward_roles(parts, stored)
    for part in parts:
        for buffer in part.buffers:
            found |= buffer_roles(buffer, stored, back, added, optimizer)
        found |= part.roles
    return found | _backward_roles(every_op(back.items), back, found)


def forward_roles(parts: Iterable[Part], stored: Stored) -> dict[str, Owner]:
    """The owners of all tensors of a forward pass."""
    found: dict[str, Owner] = {}
    parts = list(parts)
    for part in parts:
        for op in every_op(part.items):
            found |= dict.fromkeys((each.name for each in op.inputs), "activations")
            found[op.name] = "activations"
    for part in parts:
        for buffer in part.buffers:
            found |= _weight_roles(buffer, stored)
        found |= part.roles
    return found


def _weight_roles(buffer: Buffer, stored: Stored) -> dict[str, Owner]:
    """The owners of what a buffer is stored and gathered as."""
    owned, whole = stored.owned(buffer).name, stored.whole(buffer).name
    found: dict[str, Owner] = {}
    gathered: Owner = "communication buffers" if stored.is_shared(buffer) else "weights"
    found |= dict.fromkeys((whole, *(weight.name for weight in buffer.weights)), gathered)
    return found | dict.fromkeys((owned, f"stored{owned}", f"stored{whole}", f"n{owned}"), "weights")


def buffer_roles(
    buffer: Buffer, stored: Stored, back: Gradients, added: Collection[str], optimizer: str
) -> dict[str, Owner]:
    """The owners of what a buffer is stored, gathered, reduced and stepped as."""
    main = stored.main(buffer).name
    found = _weight_roles(buffer, stored)
    found |= dict.fromkeys((main, f"stored{main}"), "gradients")
    found |= dict.fromkeys((f"{step}{buffer.name}" for step in ("wide", "unscaled", "clipped")), "gradients")
    ops, packed = stored.collected(buffer, back.of, added)
    more = [op for last in (False, True) for op in stored.finished(buffer, packed, last)[0]]
    more += stored.reduced(buffer, packed)[0]
    found |= dict.fromkeys((op.name for op in (*ops, *more)), "gradients")
    if stored.adds_each(buffer):
        parts = (stored.part_of_main(buffer, back.of[weight.name]).name for weight in buffer.weights)
        found |= dict.fromkeys(parts, "gradients")
    found |= dict.fromkeys((f"{state}{buffer.name}" for state in STATES[optimizer]), "optimizer")
    found[f"master{buffer.name}"] = "master weights"
    if "optimizer" in stored.offload:
        states = [*STATES[optimizer], "master"]
        found |= {f"in{state}{buffer.name}": found[f"{state}{buffer.name}"] for state in states}
    return found


def _backward_roles(ops: Iterable[Op], back: Gradients, known: Mapping[str, Owner]) -> dict[str, Owner]:
    """The owners of what the backward pass makes beside what becomes of its gradients."""
    of_gradient: dict[Owner, Owner] = {
        "weights": "gradients",
        "communication buffers": "gradients",
        "logits and loss": "logits and loss",
    }
    found: dict[str, Owner] = {}
    for op in ops:
        if op.name in known:
            continue
        if op.name in back.remade:
            found[op.name] = known[back.remade[op.name]]
        else:
            stands_for = known.get(back.stands_for.get(op.name, ""), "activations")
            found[op.name] = of_gradient.get(stands_for, "temporaries")
    return found
