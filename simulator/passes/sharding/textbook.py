"""The textbook's assignment of mesh axes to the loops of an op: the four cases of a sharded matmul, and their spirit.

Each axis by itself, the first rule that holds:
- partial sums that the op can take pass through it (others are reduced first: the axis is then free for what follows);
- an output declared a partial sum over the axis gets it from a loop that is summed;
- case 3: a summed loop, sharded alike in all inputs that have it, and no other over the axis, stays: the partial sums
  are reduced afterwards, or scattered if the output wants the axis on a dim;
- the loop that the output wants sharded is the axis's (inputs whole over it are sliced, others are gathered first);
- case 1: a loop that the output has stays sharded, and the output is gathered, since it is wanted whole; case 4: of two
  such loops the one whose input is larger stays, the other input is gathered;
- case 2: the axis is on no loop, and inputs sharded over it are gathered.
Source: "How to Scale Your Model", chapter on sharding (multiplying sharded arrays).
"""

from __future__ import annotations

from simulator.passes.sharding.loops import Annotated, To


def textbook(op: Annotated) -> dict[str, To]:
    """Each axis where the textbook puts it."""
    return {axis: _place(op, axis) for axis in op.axes}


def _place(op: Annotated, axis: str) -> To:
    passing = _passing(op, axis)
    if passing:
        return To(passing=passing)
    users = [op.user(axis, at) for at in range(len(op.op.inputs))]
    held = [loop for loop in dict.fromkeys(users) if loop is not None and op.splits(axis, loop)]
    alike = [loop for loop in held if op.summed(loop) and all(users[at] == loop for at in op.owners(loop))]
    if axis in op.op.output.partial:
        others = (loop for loop in (*held, *op.free) if op.summed(loop) and op.splits(axis, loop))
        return To(next(iter((*alike, *others)), None))
    wanted = op.user(axis, len(op.op.inputs))
    if wanted is not None and not (alike and len(held) == 1):
        return To(wanted if op.splits(axis, wanted) else None)
    kept = [loop for loop in held if loop in alike or not op.summed(loop)]
    nbytes = {loop: max(_nbytes(op, at) for at, user in enumerate(users) if user == loop) for loop in kept}
    return To(max(kept, key=nbytes.__getitem__, default=None))


def _nbytes(op: Annotated, at: int) -> float:
    return op.site.nbytes(op.op.inputs[at])


def _passing(op: Annotated, axis: str) -> tuple[int, ...]:
    """The inputs whose partial sums over the axis pass through the op."""
    sums, inputs = op.sums(axis), op.op.inputs
    if not sums or op.kind.partial == "none" or any(axis in tensor.axes for tensor in inputs):
        return ()
    if op.kind.partial == "every":
        return sums if len(sums) == len(inputs) else ()
    rivals = sum(1 for tensor in inputs if tensor.partial)
    if rivals > 1 and axis not in op.op.output.partial:
        return ()
    return (max(sums, key=lambda at: _nbytes(op, at)),)
