"""Op kinds that only say how tensors lie in memory: view, side, pack.

`y:bf16[M] = view(x:bf16[B,S,D])`: the bytes of x, or some of them, under another name and other dims: a reshape, a
weight in the flat buffer of a layer. `dk:bf16[...] = side(dq, of=k)`: what an op made beside its output. `b:bf16[N] =
pack(g, h)`: a buffer in which the inputs lie one behind the other, as gradients lie in a bucket.
None of them is a kernel: who reads one reads what lies behind it (`simulator.ops.views`), and that stays for as long.
Assumes: whoever wrote the tensors wrote them where the view or the buffer has them.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.graph.items import Op
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Kernel, beside
from simulator.ops.options import name_of
from simulator.ops.registry import Call, ShapeError, kind


def _unissued(call: Call, *allowed: str) -> None:
    """Raise ShapeError for what a view cannot have: another memory, and options of issued ops."""
    source, target = call.inputs[0].tensor, call.output.tensor
    if source.memory != target.memory:
        raise ShapeError(f"a {call.op.kind} stays where {source.name} is, @{source.memory}; copy it apart", "out")
    for name, _ in call.op.options:
        if name not in allowed:
            message = f"a {call.op.kind} is a view, which nothing issues: {name}= belongs to the op that reads it"
            raise ShapeError(message, name)


def _view_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "view", adjoint.given)


@kind("view", (1, 1), as_written=True, view=True, backward=_view_backward)
def view(call: Call) -> Sequence[Kernel]:
    """Some or all bytes of the input, under other dims. No kernel."""
    _unissued(call)
    source, target = call.inputs[0], call.output
    if target.nbytes > source.nbytes:
        message = f"a view has no more bytes than what it shows: {target.nbytes:g} of {source.nbytes:g}"
        raise ShapeError(message, "out")
    return []


def _made_beside(op: Op) -> Sequence[str]:
    return (beside(op.inputs[0].name, op.option("of") or ""),)


@kind("side", (1, 1), {"of": name_of}, as_written=True, view=True, shows=_made_beside)
def side(call: Call) -> Sequence[Kernel]:
    """What an op made beside its output, called by its `of=`. No kernel."""
    _unissued(call, "of")
    if "of" not in call.options:
        raise ShapeError("side needs of=, the name of what was made beside, as in dk:bf16[S,D] = side(dq, of=k)")
    return []


def _all_inputs(op: Op) -> Sequence[str]:
    return tuple(tensor.name for tensor in op.inputs)


@kind("pack", (1, None), as_written=True, view=True, shows=_all_inputs)
def pack(call: Call) -> Sequence[Kernel]:
    """The inputs one behind the other in a buffer that has room for them. No kernel."""
    _unissued(call)
    held = sum(shaped.elements for shaped in call.inputs)
    if held > call.output.elements:
        raise ShapeError(f"{held} elements do not lie in a buffer of {call.output.elements}", "out")
    return []
