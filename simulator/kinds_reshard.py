"""Op kinds that give a tensor another sharding: all_to_all and slice.

`y:bf16[I,J_X] = all_to_all(x:bf16[I_X,J], over=X)` moves axes from dims to other dims; each chip keeps 1/N of its shard
and sends the rest, an equal part to each other chip. V, as the closed forms count it, is the array of all chips of a
group together: N times what one of them holds.
`y:bf16[I_X] = slice(x:bf16[I], over=X)` takes the own shard of a whole dim: a view, which moves and computes nothing and
waits in a queue of its own so that it holds nothing up.
Source: "How to Scale Your Model", chapter on sharding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.kernel import Communication, Kernel, Schedule
from simulator.kinds import Call, ShapeError, kind


def _over(call: Call) -> str:
    axes = call.options.get("over")
    if axes is None:
        raise ShapeError(f"{call.op.kind} needs over=, the mesh axes whose chips take part")
    return str(axes)


@kind("all_to_all", (1, 1), ("over",), network=True)
def all_to_all(call: Call) -> Sequence[Kernel]:
    """Axes moved from dims to other dims. V: the array of the whole group. Reads its input, writes its output."""
    nbytes = call.inputs[0].nbytes * call.options.get("over_chips", 1)
    return [call.kernel(communication=Communication(kind="all_to_all", nbytes=nbytes, axes=_over(call)))]


@kind("slice", (1, 1), ("over",), network=True)
def own_slice(call: Call) -> Sequence[Kernel]:
    """The own shard of a whole dim. No FLOPs and no bytes: a view (`network` only for its sharding rule)."""
    _over(call)
    source, target = (replace(shaped.access, nbytes=0.0) for shaped in (call.inputs[0], call.output))
    return [call.kernel(reads=(source,), writes=(target,), schedule=Schedule(queue="view"))]
