"""The backward pass of attention: q, k, v, o and do make dq, and dk and dv beside it.

Flash reads q, k, v, o and do once and makes the scores again: five matmuls of the pairs that are not masked, against two
of the forward pass (2TS(3d + 2e) FLOP a head: scores, do v, and dv, dq, dk), 2.5 times its FLOPs. Standard has saved its
weights: four matmuls of all pairs (2TS(2d + 2e)), and the T x S matrices through HBM: weights read twice, the gradients
of weights and of scores written, read twice more. Linear: twice the FLOPs of its forward pass, all tensors once.
Source: Dao 2023 (FlashAttention-2), section 2.3.2 and algorithm 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw.rows import distinct
from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op
from simulator.ops.kernel import Access, Contraction, Kernel, beside
from simulator.ops.kinds.attention.forward import (
    ATTENTION_OPTIONS,
    attention_loops,
    dropped_weights,
    grouped,
    must_be_whole,
)
from simulator.ops.kinds.attention.heads import Heads, attended
from simulator.ops.kinds.attention.softmax import BACKWARD_FLOPS, in_one, kept_wide, op_by_op_back
from simulator.ops.loops import Loops
from simulator.ops.registry import Call, kind
from simulator.ops.tiling import FlashTiling


def _forward(op: Op) -> Op:
    """The op of the forward pass: q, k, v and o."""
    return replace(op, inputs=op.inputs[:3], output=op.inputs[3] if len(op.inputs) > 3 else op.output)


def _loops(op: Op) -> Loops:
    """As in the forward pass; do has the loops of o, and dq those of q."""
    if len(op.inputs) != 5:
        return attention_loops(op)
    q, k, v, o = attention_loops(_forward(op))
    return [q, k, v, o, o, q]


def sides(call: Call) -> tuple[Access, Access]:
    """dk and dv: as large as k and v on the chip."""
    k, v = call.inputs[1:3]
    name = call.op.name
    return (
        replace(k.access, tensor=beside(name, "k"), memory=call.output.tensor.memory),
        replace(v.access, tensor=beside(name, "v"), memory=call.output.tensor.memory),
    )


def _matmuls(h: Heads, *sizes: tuple[int, int]) -> tuple[Contraction, ...]:
    """Matmuls of the queries of every head, each given as (n, k)."""
    return tuple(Contraction(h.heads, h.queries, n, k, h.share) for n, k in sizes)


def _of_all_pairs(h: Heads, *sizes: tuple[int, int]) -> tuple[Contraction, ...]:
    """The same, with what a mask hides computed as well."""
    return tuple(replace(each, share=1.0) for each in _matmuls(h, *sizes))


def five_matmuls(h: Heads) -> tuple[Contraction, ...]:
    """Scores again, the first of them, which no model asks for; do v, and dv, dq, dk."""
    scores, *others = _matmuls(h, (h.keys, h.d), (h.keys, h.e), (h.e, h.keys), (h.d, h.keys), (h.d, h.keys))
    return replace(scores, window=h.mask.near), *others


def _flash(call: Call, h: Heads) -> list[Kernel]:
    """One kernel; scores are made again on chip."""
    q, k, v, o, do = call.inputs
    contractions = five_matmuls(h)
    item = DTYPE_BYTES[q.dtype]
    # beside queries, keys and values: their gradients, and those of the output
    tiling = FlashTiling(
        h.kv_heads, h.rows, h.reached, 2 * h.d * item, 2 * h.e * item, h.mask.span, h.rows / (h.queries or 1), extra=2
    )
    seen = {each.name: h.reached / h.keys for each in (k, v) if each.name != q.name}
    near = (replace(access, nbytes=access.nbytes * seen.get(access.tensor, 1.0)) for access in h.reads)
    reads = tuple(distinct((*near, o.access, do.access)))
    return [
        call.kernel(
            reads=reads,
            writes=(call.output.access, *sides(call)),
            matrix_flops=sum(contraction.flops for contraction in contractions),
            matrix_dtype=call.input_dtype,
            others_flops=contractions[0].flops,
            vector_flops=VECTOR_FLOPS * h.heads * h.queries * h.keys * h.share,
            vector_dtype=call.output.dtype,
            contractions=contractions,
            tiling=tiling if len(reads) == _ALL_READS else None,
            row_elements=h.keys,
        )
    ]


def _standard(call: Call, h: Heads, softmax_kind: str = "attention_backward") -> list[Kernel]:
    """The gradients of the weights, of the scores, and of k, v and q, each through HBM; where weights were dropped, their
    gradients are as well. `softmax_kind`: the kind of the kernel between; none where a script does what it would."""
    q, k, v, o, do = call.inputs
    name, item = call.op.name, DTYPE_BYTES[call.output.dtype]
    pairs = h.heads * h.queries * h.keys
    weights = Access(beside(o.name, "weights"), pairs * item, item_bytes=item)
    dweights = replace(weights, tensor=beside(name, "weights"))
    dscores = replace(weights, tensor=beside(name, "scores"))
    dk, dv = sides(call)
    dtype = call.input_dtype

    def matmuls(part: str, reads: tuple[Access, ...], writes: tuple[Access, ...], *of: Contraction) -> Kernel:
        return call.kernel(
            name=beside(name, part),
            reads=reads,
            writes=writes,
            matrix_flops=sum(each.flops for each in of),
            matrix_dtype=dtype,
            contractions=of,
        )

    first = _of_all_pairs(h, (h.keys, h.e), (h.e, h.keys))
    last = _of_all_pairs(h, (h.d, h.keys), (h.d, h.keys))
    dropped, read = dropped_weights(call, weights, beside(o.name, "dropped"), pairs)
    undone, of_kept = dropped_weights(call, dweights, beside(name, "dropped"), pairs)
    if softmax_kind:
        between = [in_one(call, softmax_kind, (weights, of_kept), dscores, h.keys, BACKWARD_FLOPS * pairs)]
    else:
        between = op_by_op_back(call, kept_wide(weights, o.name), of_kept, dscores, h.keys)
    return [
        # the library keeps what it dropped, and makes no kernel to drop it again
        matmuls("values", (read if dropped else weights, v.access, do.access), (dweights, dv), *first),
        *undone,
        *between,
        matmuls("queries", (dscores, q.access, k.access), (call.output.access, dk), *last),
    ]


def _fused_softmax(call: Call, h: Heads) -> list[Kernel]:
    """As standard; scale, mask and softmax are one kernel."""
    return _standard(call, h, "softmax_backward")


def _scripted_softmax(call: Call, h: Heads) -> list[Kernel]:
    """As standard; what the script's ops did is undone by an op each."""
    return _standard(call, h, "")


def _linear(call: Call, h: Heads) -> list[Kernel]:
    """Both products of the forward pass, each differentiated by both its operands."""
    state = Contraction(h.kv_heads, h.d, h.e, h.keys)
    context = Contraction(h.heads, h.queries, h.e, h.d)
    contractions = (state, state, context, context)
    return [
        call.kernel(
            writes=(call.output.access, *sides(call)),
            matrix_flops=sum(contraction.flops for contraction in contractions),
            matrix_dtype=call.input_dtype,
            contractions=contractions,
            row_elements=h.d,
        )
    ]


VECTOR_FLOPS = 5.0
"""A pair: its weight again (subtract the given logarithm of the row's sum, exp), 2; the gradient of its score (subtract the
row's sum of do o, times the weight, scale), 3."""

_ALL_READS = 5
"""Distinct tensors; where two are one there is no tile of which the traffic is known."""

_VARIANTS = {
    "standard": _standard,
    "fused_softmax": _fused_softmax,
    "scripted_softmax": _scripted_softmax,
    "flash": _flash,
    "linear": _linear,
}


def _whole(op: Op) -> list[str]:
    return must_be_whole(_forward(op))


@kind("attention_backward", (5, 5), ATTENTION_OPTIONS, row_dims=_whole, loops=_loops, coarse=grouped)
def attention_backward(call: Call) -> Sequence[Kernel]:
    """q, k, v, o and do make dq; dk and dv are its side outputs `k` and `v`; options as in the forward pass."""
    forward = replace(call, op=_forward(call.op), inputs=call.inputs[:3], output=call.inputs[3])
    return _VARIANTS[call.options.get("kind", "flash")](call, attended(forward))
