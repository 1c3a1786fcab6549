"""Op kinds of a mixture of experts: route, dispatch, combine, and their backward passes.

`r:fp32[B,S,K] = route(logits:fp32[B,S,E])` scores experts and keeps the best K of each token, with their weights.
`e:bf16[E,C,D] = dispatch(x:bf16[B,S,D], r)` copies each token to its experts' slots: C slots an expert, and with `e`
sharded over the slots each chip fills those of its own tokens; `e:bf16[R,D]` has a row for each expert of a token.
`y:bf16[B,S,D] = combine(e, r)` adds up what the experts of each token made of it, by weight.
Bytes: route its input and output; dispatch and combine a row of x and one of e for every slot, whatever is in it.
FLOPs: route 6 a score (softmax 5, a comparison); combine 2 an element of e.
`one_hot=true`: rows are brought to slots and back by matmuls with a mask that has a 1 where a token has a slot (with the
token's weight in it, on the way back), each sequence by itself: x[B,S,D] and C slots of each of E experts are B matmuls of
[EC/B,S] with [S,D], 2 S E C D FLOP, and as many back; of combine's backward pass two, for rows and for weights. The mask, of
S E C elements, is written and read once for each. Those FLOPs are done, and none of the model's: copies do without.
Assumes: experts are asked for evenly, or C says how unevenly; indices are a few bytes a token and are not counted apart.
Source: Shazeer et al. 2017; Fedus et al. 2021 (capacity); Gale et al. 2023 (MegaBlocks) for permutation by copying rows;
Lepikhin et al. 2021 (GShard, algorithm 1: einsums with masks), as MaxText's dense_matmul has them (layers/moe.py); what it
counts of a model is the router and top_k experts a token (maxtext_utils.py, calculate_tflops_training_per_device).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.adjoint import Adjoint, Options
from simulator.ops.kernel import Access, Contraction, Kernel, beside
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
    if len(slots.sizes) not in (2, 3) or slots.sizes[-1] != tokens.sizes[-1]:
        told = f"{slots.name} is [experts, slots, row], or [rows, row]"
        raise ShapeError(f"{told}, with rows as long as those of {tokens.name}", part)


_ONE_HOT = ("one_hot",)


def _by_masks(call: Call, tokens: Shaped, slots: Shaped, brings: Sequence[str]) -> Kernel:
    """The matmuls with masks: what each makes is `slots`, `tokens` or the `mask`'s weights."""
    sequences = math.prod(tokens.sizes[:-2])
    seq, width = tokens.sizes[-2], tokens.sizes[-1]
    each = -(-slots.sizes[0] * slots.sizes[1] // sequences)
    sizes = {"slots": (each, width, seq), "tokens": (seq, width, each), "mask": (seq, each, width)}
    contractions = tuple(Contraction(sequences, *sizes[name]) for name in brings)
    item = DTYPE_BYTES[tokens.dtype]
    mask = Access(call.inputs[1].name, 2.0 * len(brings) * sequences * seq * each * item, item_bytes=item)
    others = tuple(shaped.access for at, shaped in enumerate(call.inputs) if at != 1)
    return call.kernel(
        reads=(*others, mask),
        matrix_flops=sum(each.flops for each in contractions),
        matrix_dtype=tokens.dtype,
        contractions=contractions,
        # they move rows, and multiply with nothing that the model has
        others_flops=sum(each.flops for each in contractions),
        row_elements=seq,
    )


def _dispatch_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "combine", adjoint.given, adjoint.op.inputs[1], options=_masked(adjoint))


def _masked(adjoint: Adjoint) -> Options:
    return tuple(option for option in adjoint.op.options if option[0] in _ONE_HOT)


@kind("dispatch", (2, 2), options=_ONE_HOT, as_written=True, partial="every", backward=_dispatch_backward)
def dispatch(call: Call) -> Sequence[Kernel]:
    """x[T,D] and the experts of each token make e[E,C,D]: a row read and one written for every slot. No FLOPs."""
    tokens, index = call.inputs
    _check_rows(tokens, call.output, "out")
    if call.options.get("one_hot", False):
        return [_by_masks(call, tokens, call.output, ["slots"])]
    rows = replace(tokens.access, nbytes=call.output.elements * DTYPE_BYTES[tokens.dtype])
    tiling = _stream(call, call.output.elements)
    return [call.kernel(reads=(rows, index.access), tiling=tiling, row_elements=tokens.sizes[-1])]


def _combine_backward(adjoint: Adjoint) -> None:
    """The gradient of the experts' rows, and beside it that of their weights."""
    rows, weights = adjoint.op.inputs
    made = adjoint.emit("combine_backward", (rows, weights, adjoint.given), rows, _masked(adjoint))
    adjoint.give(0, made)
    if adjoint.wants(1):
        # of sums over chips each has its part of the weights' gradient
        adjoint.give(1, adjoint.emit("side", (made,), weights, [("of", "r")], rows.partial))


@kind("combine", (2, 2), options=_ONE_HOT, as_written=True, partial="every", backward=_combine_backward)
def combine(call: Call) -> Sequence[Kernel]:
    """e[E,C,D] and the weights of each token make y[T,D]: every slot read once, 2 FLOP an element of it."""
    rows, _ = call.inputs
    _check_rows(call.output, rows, "in0")
    if call.options.get("one_hot", False):
        return [_by_masks(call, call.output, rows, ["tokens"])]
    return [
        call.kernel(
            vector_flops=2.0 * rows.elements,
            vector_dtype=rows.dtype,
            tiling=_stream(call, rows.elements),
            row_elements=rows.sizes[-1],
        )
    ]


@kind("combine_backward", (3, 3), options=_ONE_HOT, as_written=True, partial="own")
def combine_backward(call: Call) -> Sequence[Kernel]:
    """e, its weights and dy make de, and dr beside it (`side(de, of=r)`): rows of dy read for every slot; 3 FLOP an
    element: times the weight, and a product with what the expert made, added up."""
    rows, weights, given = call.inputs
    if call.options.get("one_hot", False):
        made = _by_masks(call, given, rows, ["slots", "mask"])
        return [replace(made, writes=(call.output.access, replace(weights.access, tensor=beside(call.op.name, "r"))))]
    read = replace(given.access, nbytes=rows.elements * DTYPE_BYTES[given.dtype])
    beside_it = replace(weights.access, tensor=beside(call.op.name, "r"))
    return [
        call.kernel(
            reads=(rows.access, weights.access, read),
            writes=(call.output.access, beside_it),
            vector_flops=3.0 * rows.elements,
            vector_dtype=rows.dtype,
            tiling=_stream(call, rows.elements),
            row_elements=rows.sizes[-1],
        )
    ]
