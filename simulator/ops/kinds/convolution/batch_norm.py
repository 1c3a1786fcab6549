"""Batch norm, and its gradient: each channel, the second dim, over the batch and all places.

Model: `batch_norm(x, gamma, beta[, mean, variance])` with known statistics is element-wise; `train=true` makes them from
the batch of one chip first, as data-parallel training does unless it is told to exchange them. The gradient needs two sums
a channel, of dy and of dy times x normalised, before the first element of dx; they are the gradients of beta and gamma.
Assumes: statistics and weights, some numbers a channel, cost nothing beside the tensor.
Source: Ioffe & Szegedy 2015; PyTorch's BatchNorm2d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw.rows import distinct
from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Access, Kernel, beside
from simulator.ops.kinds.vector.streams import same_shape, streamed
from simulator.ops.loops import Loops, named_loops
from simulator.ops.registry import Call, Shaped, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _channels(op: Op) -> Loops:
    """What is given for each channel has the loop of the second dim, whatever else has its size."""
    loops = list(named_loops(op))
    if len(op.inputs[0].dims) > 1:
        channel = op.inputs[0].dims[1].size
        for at, tensor in enumerate(op.inputs[1:], start=1):
            if [dim.size for dim in tensor.dims] == [channel]:
                loops[at] = [loops[0][1]]
    return loops


def _backward(adjoint: Adjoint) -> None:
    """The gradient of what is normalised; those of gamma and beta beside it."""
    x, *weights = adjoint.op.inputs[:3]
    made = adjoint.emit("batch_norm_backward", (x, *weights[:1], adjoint.given), x)
    adjoint.give(0, made)
    for place, name in enumerate(("gamma", "beta")[: len(weights)], start=1):
        adjoint.take(place, made, name)


@kind("batch_norm", (1, 5), ("train",), loops=_channels, backward=_backward)
def batch_norm(call: Call) -> Sequence[Kernel]:
    """2 FLOP per element (scale and shift with known statistics). `train=true`: 3 more (sum, subtract, square) for the
    statistics, a reduction over the whole batch that must end before the first output, and so a pass of its own.

    Passes over the tensor: alone 3 (read for the statistics, read to normalise, write); with known statistics 2. Fused
    with its neighbours it is two kernels: whatever makes the input writes it and adds up the statistics on the way, and
    what follows begins with normalising: the input is written once and read once, the output stays on chip. The
    statistics, some numbers a channel, are not counted."""
    first = same_shape(call)
    if not call.options.get("train", False):
        return [_normalising(call, first)]
    statistics = Access(beside(call.op.name, "statistics"), 0.0)
    counting = call.kernel(
        name=statistics.tensor,
        reads=(first.access,),
        writes=(statistics,),
        vector_flops=3.0 * first.elements,
        vector_dtype=call.input_dtype,
        tiling=StreamTiling(first.elements, DTYPE_BYTES[first.dtype], 1),
        reduces=True,
    )
    normalising = _normalising(call, first)
    whole = replace(
        normalising,
        reads=(replace(first.access, nbytes=2 * first.nbytes), *call.reads[1:]),
        vector_flops=counting.vector_flops + normalising.vector_flops,
        fusable=False,
        reduces=True,
        parts=(counting, _after(normalising, statistics)),
    )
    return [whole]


def _after(kernel: Kernel, first: Access) -> Kernel:
    """An element-wise kernel that waits for one thing more."""
    tiling = kernel.tiling
    assert isinstance(tiling, StreamTiling), "element-wise kernels are streams"
    return replace(kernel, reads=(*kernel.reads, first), tiling=replace(tiling, reads=tiling.reads + 1))


def _normalising(call: Call, first: Shaped) -> Kernel:
    """Scale and shift with statistics that are known."""
    return call.kernel(
        vector_flops=2.0 * first.elements, vector_dtype=call.input_dtype, tiling=streamed(call), fusable=True
    )


@kind("batch_norm_backward", (2, 3), loops=_channels)
def batch_norm_backward(call: Call) -> Sequence[Kernel]:
    """x, gamma and dy make dx, and the gradients of gamma and beta beside it: 9 FLOP per element, statistics given (x
    normalised 2, the two sums 3, dx 4). x and dy are read twice, once for the sums."""
    x, given = call.inputs[0], call.inputs[-1]
    if given.whole != x.whole or call.output.whole != x.whole:
        raise ShapeError("batch_norm_backward takes x, gamma and dy, and makes dx with the dims of x", "out")
    channels = call.output.sizes[1] if len(call.output.sizes) > 1 else 1
    weight = call.inputs[1].dtype if len(call.inputs) == 3 else "fp32"
    sides = [
        Access(beside(call.op.name, name), channels * DTYPE_BYTES[weight], item_bytes=DTYPE_BYTES[weight])
        for name in ("gamma", "beta")
    ]
    twice = [replace(each.access, nbytes=2 * each.nbytes) for each in (x, given)]
    return [
        call.kernel(
            reads=tuple(distinct((*twice, *(each.access for each in call.inputs[1:-1])))),
            writes=(call.output.access, *sides),
            vector_flops=9.0 * x.elements,
            vector_dtype=call.input_dtype,
            tiling=streamed(call),
            reduces=True,
        )
    ]
