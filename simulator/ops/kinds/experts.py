"""Op kinds of a mixture of experts: route, dispatch, combine, and their backward passes.

`r:fp32[B,S,K] = route(logits:fp32[B,S,E])` scores experts and keeps the best K of each token, with their weights.
`e:bf16[E,C,D] = dispatch(x:bf16[B,S,D], r)` copies each token to its experts' slots: C slots an expert, and with `e`
sharded over the slots each chip fills those of its own tokens. `y:bf16[B,S,D] = combine(e, r)` adds up what the experts
of each token made of it, by weight.
Bytes: route its input and output; dispatch and combine a row of x and one of e for every slot, whatever is in it.
FLOPs: route 6 a score (softmax 5, a comparison); combine 2 an element of e.
Assumes: experts are asked for evenly, or C says how unevenly; indices are a few bytes a token and are not counted apart.
Source: Shazeer et al. 2017; Fedus et al. 2021 (capacity); Gale et al. 2023 (MegaBlocks) for permutation by copying rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Kernel, beside
from simulator.ops.registry import Call, Shaped, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _stream(call: Call, elements: int) -> StreamTiling:
    live = sum(DTYPE_BYTES[shaped.dtype] for shaped in (*call.inputs, call.output))
    return StreamTiling(elements, live, len(call.reads))


def _route_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "route_backward", adjoint.op.inputs[0], adjoint.given)


@kind("route", (1, 1), as_written=True, backward=_route_backward)
def route(call: Call) -> Sequence[Kernel]:
    """Scores of experts make the best of them, and their weights: 6 FLOP a score."""
    scores = call.inputs[0]
    if call.output.sizes[:-1] != scores.sizes[:-1] or call.output.sizes[-1] > scores.sizes[-1]:
        raise ShapeError("route takes scores[T,E] and makes the best K of each token, [T,K]", "out")
    return [
        call.kernel(
            vector_flops=6.0 * scores.elements,
            vector_dtype=scores.dtype,
            tiling=_stream(call, scores.elements),
            row_elements=scores.sizes[-1],
            reduces=True,
        )
    ]


@kind("route_backward", (2, 2), as_written=True)
def route_backward(call: Call) -> Sequence[Kernel]:
    """scores[T,E] and dr[T,K] make the gradient of the scores: 4 FLOP a score."""
    scores = call.inputs[0]
    return [
        call.kernel(
            vector_flops=4.0 * scores.elements, vector_dtype=scores.dtype, tiling=_stream(call, scores.elements)
        )
    ]


def _check_rows(tokens: Shaped, slots: Shaped, part: str) -> None:
    if len(slots.sizes) != 3 or slots.sizes[-1] != tokens.sizes[-1]:
        raise ShapeError(f"{slots.name} is [experts, slots, row], with rows as long as those of {tokens.name}", part)


def _dispatch_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "combine", adjoint.given, adjoint.op.inputs[1])


@kind("dispatch", (2, 2), as_written=True, partial="every", backward=_dispatch_backward)
def dispatch(call: Call) -> Sequence[Kernel]:
    """x[T,D] and the experts of each token make e[E,C,D]: a row read and one written for every slot. No FLOPs."""
    tokens, index = call.inputs
    _check_rows(tokens, call.output, "out")
    rows = replace(tokens.access, nbytes=call.output.elements * DTYPE_BYTES[tokens.dtype])
    return [call.kernel(reads=(rows, index.access), tiling=_stream(call, call.output.elements))]


def _combine_backward(adjoint: Adjoint) -> None:
    """The gradient of the experts' rows, and beside it that of their weights."""
    rows, weights = adjoint.op.inputs
    made = adjoint.emit("combine_backward", (rows, weights, adjoint.given), rows)
    adjoint.give(0, made)
    if adjoint.wants(1):
        # of sums over chips each has its part of the weights' gradient
        adjoint.give(1, adjoint.emit("side", (made,), weights, [("of", "r")], rows.partial))


@kind("combine", (2, 2), as_written=True, partial="every", backward=_combine_backward)
def combine(call: Call) -> Sequence[Kernel]:
    """e[E,C,D] and the weights of each token make y[T,D]: every slot read once, 2 FLOP an element of it."""
    rows, _ = call.inputs
    _check_rows(call.output, rows, "in0")
    return [
        call.kernel(
            vector_flops=2.0 * rows.elements,
            vector_dtype=rows.dtype,
            tiling=_stream(call, rows.elements),
        )
    ]


@kind("combine_backward", (3, 3), as_written=True, partial="own")
def combine_backward(call: Call) -> Sequence[Kernel]:
    """e, its weights and dy make de, and dr beside it (`side(de, of=r)`): rows of dy read for every slot; 3 FLOP an
    element: times the weight, and a product with what the expert made, added up."""
    rows, weights, given = call.inputs
    read = replace(given.access, nbytes=rows.elements * DTYPE_BYTES[given.dtype])
    beside_it = replace(weights.access, tensor=beside(call.op.name, "r"))
    return [
        call.kernel(
            reads=(rows.access, weights.access, read),
            writes=(call.output.access, beside_it),
            vector_flops=3.0 * rows.elements,
            vector_dtype=rows.dtype,
            tiling=_stream(call, rows.elements),
        )
    ]
