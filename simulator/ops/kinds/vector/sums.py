"""Op kinds of the vector unit: sums over dims, and dot.

FLOPs: elements in minus elements out of a sum, 2N-1 of a dot. Bytes: every input once, the output once.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.graph.dtypes import widest
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Kernel
from simulator.ops.kinds.vector.streams import streamed
from simulator.ops.loops import from_the_left, reduced_loops
from simulator.ops.registry import Call, ShapeError, kind


def _reduce_backward(adjoint: Adjoint) -> None:
    """Every term has the gradient of the sum (times what a mean divides by)."""
    adjoint.make(0, "scale", adjoint.given)


@kind("reduce", (1, 1), partial="every", loops=reduced_loops, backward=_reduce_backward)
def reduce(call: Call) -> Sequence[Kernel]:
    """A sum over the dims that the output lacks (of those called alike, the last): elements in minus elements out FLOP."""
    first = call.inputs[0]
    if from_the_left(call.output.tensor.dims, first.tensor.dims) is None:
        message = f"{call.output.tensor.type_text} is not {first.tensor.type_text} with some dims summed away"
        raise ShapeError(message, "out")
    return [
        call.kernel(
            vector_flops=float(max(0, first.elements - call.output.elements)),
            vector_dtype=call.input_dtype,
            tiling=streamed(call),
            row_elements=max(1, first.elements // max(1, call.output.elements)),
            reduces=True,
        )
    ]


@kind("dot", (2, 2))
def dot(call: Call) -> Sequence[Kernel]:
    """x[N] . y[N] -> s[]: 2N-1 FLOP on the vector unit; there is no matrix to fill a matrix unit."""
    x, y = call.inputs
    if x.sizes != y.sizes or len(x.sizes) != 1 or call.output.sizes:
        raise ShapeError("dot takes two vectors of one length and makes a scalar, as in s:bf16[] = dot(x:bf16[N], y)")
    return [
        call.kernel(
            vector_flops=2.0 * x.elements - 1.0,
            vector_dtype=widest((x.dtype, y.dtype)),
            tiling=streamed(call),
            reduces=True,
        )
    ]
