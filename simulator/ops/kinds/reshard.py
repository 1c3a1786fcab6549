"""Op kinds that give a tensor another sharding: all_to_all and slice.

`y:bf16[I,J_X] = all_to_all(x:bf16[I_X,J], over=X)` moves axes from dims to other dims; each chip keeps 1/N of its shard
and sends the rest, an equal part to each other chip. V, as the closed forms count it, is the array of all chips of a
group together: N times what one of them holds, with what shards are padded by before and after.
`shares=[0.5, 1/4, 1/4]` makes it uneven: of what every chip holds, that part goes to the chip at each place of the group
(experts that are asked for unequally), which has that part of the dim from then on (`simulator.passes.parts`).
`y:bf16[I_X] = slice(x:bf16[I], over=X)` takes the own shard of a whole dim: a view. It is no kernel, takes no time and
holds no memory; what reads it reads x, which stays for as long (`simulator.ops.views`).
Source: "How to Scale Your Model", chapter on sharding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Communication, Kernel
from simulator.ops.kinds.collective import parts_moved
from simulator.ops.registry import Call, ShapeError, kind


def _over(call: Call) -> str:
    axes = call.options.get("over")
    if axes is None:
        raise ShapeError(f"{call.op.kind} needs over=, the mesh axes whose chips take part")
    return str(axes)


def _back_again(adjoint: Adjoint) -> None:
    adjoint.make(0, "all_to_all", adjoint.given, options=[("over", adjoint.op.option("over") or "")])


def _whole_again(adjoint: Adjoint) -> None:
    adjoint.make(0, "all_gather", adjoint.given, options=[("over", adjoint.op.option("over") or "")])


@kind("all_to_all", (1, 1), ("over", "shares"), network=True, backward=_back_again)
def all_to_all(call: Call) -> Sequence[Kernel]:
    """Axes moved from dims to other dims. V: the array of the whole group. Reads its input, writes its output."""
    axes, chips = _over(call), call.options.get("over_chips", 1)
    source, target = call.inputs[0], call.output
    # equal messages: what pads the dims that lose an axis pads them, and so does what pads those that gain one
    grown = (max(before, after) / (before or 1) for before, after in zip(source.padded, target.padded, strict=False))
    moved = parts_moved(call, source.nbytes * chips * math.prod(grown))
    return [call.kernel(communication=Communication(kind="all_to_all", axes=axes, **moved))]


@kind("slice", (1, 1), ("over",), network=True, view=True, backward=_whole_again)
def own_slice(call: Call) -> Sequence[Kernel]:
    """The own shard of a whole dim. No kernel: a view (`network` only for its sharding rule)."""
    _over(call)
    source, target = call.inputs[0].tensor, call.output.tensor
    if source.memory != target.memory:
        raise ShapeError(f"a slice is a view and stays where {source.name} is, @{source.memory}; copy it apart", "out")
    for name, _ in call.op.options:
        if name != "over":
            raise ShapeError(f"a slice is a view, which nothing issues: {name}= belongs to the op that reads it", name)
    return []
