"""Weights are stepped: gradients that waited are reduced, their norm is taken where they are clipped, then each part steps.

Model: what sums up the gradients of all microbatches is reduced where that waited for the end; what is reduced behind the
backward pass is not read or stepped beside that either. Weights that two stages have exchange their sums. Where gradients
are clipped every chip squares and adds up its own, one number for each set of mesh axes is what chips bring together, and
every step waits for all of them.
Source: Pascanu et al. 2013 for clipping by the norm of all gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from simulator.graph.items import Op, Repeat, Tensor
from simulator.models.steps.buffers import Stored
from simulator.models.steps.megatron.rescaled import clipped, over_all, unscaled
from simulator.models.steps.offloading.optimizer import stepped_from_host
from simulator.models.steps.parts import Part
from simulator.models.steps.storage.buffer import Buffer


@dataclass(frozen=True, slots=True)
class Optimizer:
    """What steps the weights, and whether gradients are clipped by their norm before."""

    kind: str
    clips: bool = False


def stepped(
    parts: Sequence[Part], stored: Stored, optimizer: Optimizer, exchanged: Mapping[str, Sequence[Op]]
) -> list[Op | Repeat]:
    """Gradients that waited for the end of the backward pass reduced, their norm taken where they are clipped, then every
    part's weights stepped. `exchanged`: what brings together the sums of tied weights, by their buffer."""
    sums = {buffer.name: summed(stored, buffer) for part in parts for buffer in part.buffers}
    items: list[Op | Repeat] = []
    whole: list[str] = []
    for part in parts:
        late = [op for buffer in part.buffers for op in sums[buffer.name][0]]
        items += part.for_each(late)
        whole += [ops[-1].name for buffer in part.buffers if (ops := sums[buffer.name][0])]
    items += [op for ops in exchanged.values() for op in ops]
    found = {name: made for name, (_, made) in sums.items()}
    # what is reduced behind the backward pass is not read or stepped beside that either
    for part in parts:
        items += part.for_each(over_all(part.buffers, found, partial(unscaled, stored=stored, after=whole)))
    taken, norms = _norms(parts, stored, found, whole) if optimizer.clips else ([], [])
    items += taken
    norms = norms or whole
    clip = partial(clipped, stored=stored, norms=norms if optimizer.clips else [])
    for part in parts:
        steps: list[Op] = []
        for buffers in part.layers:
            steps += over_all(buffers, found, clip)
            for buffer in buffers:
                awaited = [*norms, *(op.name for op in exchanged.get(buffer.name, ())[-1:])]
                step = stored.stepped(buffer, found[buffer.name], optimizer.kind, awaited)
                steps += stepped_from_host(step) if "optimizer" in stored.offload else [step]
        items += part.for_each(steps)
    return items


def summed(stored: Stored, buffer: Buffer) -> tuple[list[Op], Tensor]:
    """What is left to do for the gradients of all microbatches, and where they then are."""
    packed = stored.packed(buffer)
    if stored.waits(buffer):
        return stored.reduced(buffer, packed)
    return [], stored.finished(buffer, packed)[1]


def _norms(
    parts: Sequence[Part], stored: Stored, sums: Mapping[str, Tensor], after: Sequence[str]
) -> tuple[list[Op | Repeat], list[str]]:
    """The norms of all gradients, `after` some ops, and what the optimizer waits for."""
    items: list[Op | Repeat] = []
    last: dict[str, list[Op]] = {}
    for part in parts:
        squares = [stored.squared(buffer, sums[buffer.name]).waiting_for(after) for buffer in part.buffers]
        items += part.for_each(squares)
        for axes, op in {op.output.partial: op for op in squares}.items():
            last.setdefault(axes, []).append(op)
    awaited = [op.name for op in last.pop("", [])]
    # those of all parts are added up on a chip: one number for each set of axes is what chips bring together
    for axes, (*others, op) in last.items():
        whole = Op(replace(op.output, name=f"{op.name}s", partial=""), "all_reduce", (op.output,), (("over", axes),))
        items.append(whole.waiting_for([each.name for each in others]))
        awaited.append(whole.name)
    return items, awaited
