"""Op kinds of the vector unit: softmax and norms over rows, and their backward passes.

A row is all elements along one dim, the last unless `axis=` says otherwise; its statistics need all of it. FLOPs are counted
per element of the input. Bytes: every input once, the output once.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Kernel
from simulator.ops.kinds.vector.streams import same_shape, streamed
from simulator.ops.loops import named_loops
from simulator.ops.registry import Call, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _axis(op: Op) -> Sequence[str]:
    """The loop over a row: that of the dim called `axis=`, or of the last one."""
    place = _place(op)
    return () if place is None else (named_loops(op)[0][place],)


def _place(op: Op) -> int | None:
    """The dim of the first input that `axis=` means, by its name (the last one of that name) or its number, negative from
    the right; without it the last. None if there is no such dim."""
    dims, said = op.inputs[0].dims, op.option("axis") or "-1"
    if said.lstrip("-").isdigit():
        place = int(said)
        return place % len(dims) if -len(dims) <= place < len(dims) else None
    return max((at for at, dim in enumerate(dims) if dim.size == said), default=None)


def _normalised(call: Call, flops_per_element: float) -> list[Kernel]:
    first = same_shape(call)
    if not first.sizes:
        raise ShapeError(f"{call.op.kind} needs a tensor with at least one dim", "in0")
    place = _place(call.op)
    if place is None:
        raise ShapeError(
            f"axis '{call.op.option('axis')}' is not a dim of {first.name}:{first.tensor.type_text}", "axis"
        )
    row = first.sizes[place]
    return [
        call.kernel(
            vector_flops=flops_per_element * first.elements,
            vector_dtype=call.input_dtype,
            tiling=streamed(call, row),
            row_elements=row,
            reduces=True,
        )
    ]


def _softmax_backward(adjoint: Adjoint) -> None:
    options = [(key, raw) for key, raw in adjoint.op.options if key == "axis"]
    adjoint.make(0, "softmax_backward", adjoint.op.output, adjoint.given, options=options)


def _norm_backward(adjoint: Adjoint) -> None:
    """The gradient of what is normalised, then those of gamma and beta, sums over all rows."""
    kind, (x, *weights) = adjoint.op.kind, adjoint.op.inputs
    adjoint.make(0, f"{kind}_backward", x, *weights[:1], adjoint.given)
    if weights:
        adjoint.make(1, "norm_weight_backward", x, adjoint.given)
    if len(weights) > 1:
        adjoint.make(2, "reduce", adjoint.given)


@kind("softmax_backward", (2, 2), ("axis",), row_dims=_axis)
def softmax_backward(call: Call) -> Sequence[Kernel]:
    """y and dy: y (dy - sum(y dy)), 4 FLOP per element."""
    return _normalised(call, 4.0)


@kind("layer_norm_backward", (2, 3), ("axis",), row_dims=_axis)
def layer_norm_backward(call: Call) -> Sequence[Kernel]:
    """x, gamma and dy: 11 FLOP per element, statistics given: x normalised 2, dy gamma 1, two sums 3, the rest 5."""
    return _normalised(call, 11.0)


@kind("rms_norm_backward", (2, 3), ("axis",), row_dims=_axis)
def rms_norm_backward(call: Call) -> Sequence[Kernel]:
    """x, gamma and dy: 7 FLOP per element, 1/rms given: dy gamma 1, its sum with x 2, the rest 4."""
    return _normalised(call, 7.0)


@kind("norm_weight_backward", (2, 2))
def norm_weight_backward(call: Call) -> Sequence[Kernel]:
    """x and dy: the gradient of gamma, the sum over all rows of dy times x normalised: 3 FLOP per element of x."""
    x = call.inputs[0]
    return [
        call.kernel(
            vector_flops=3.0 * x.elements,
            vector_dtype=call.input_dtype,
            tiling=StreamTiling(x.elements, sum(DTYPE_BYTES[each.dtype] for each in call.inputs), len(call.reads)),
            row_elements=max(1, x.elements // max(1, call.output.elements)),
            reduces=True,
        )
    ]


@kind("softmax", (1, 1), ("axis",), row_dims=_axis, backward=_softmax_backward)
def softmax(call: Call) -> Sequence[Kernel]:
    """5 FLOP per element: max, subtract, exp, sum, divide; over the last dim unless `axis=` says otherwise."""
    return _normalised(call, 5.0)


@kind("layer_norm", (1, 3), ("axis",), row_dims=_axis, backward=_norm_backward)
def layer_norm(call: Call) -> Sequence[Kernel]:
    """7 FLOP per element: sum, subtract the mean, square, sum, scale by 1/std, times gamma, plus beta."""
    return _normalised(call, 7.0)


@kind("rms_norm", (1, 2), ("axis",), row_dims=_axis, backward=_norm_backward)
def rms_norm(call: Call) -> Sequence[Kernel]:
    """4 FLOP per element: square, sum, scale by 1/rms, times gamma."""
    return _normalised(call, 4.0)
