"""Attention: standard (three ops through HBM), flash and linear (one fused op each).

q[..., T, d], k[..., S, d], v[..., S, e] -> o[..., T, e]: the last dim is the head, the one before it the sequence, the
others heads or batch; fewer heads in k and v is grouped-query attention (GQA). Heads of k and v may stand whole, or cut
more coarsely than those of q, on chips that share the heads of q: a chip reads those that its own query heads need.
Bytes per head with T = S and b bytes per element: standard (2Td + T^2)b + 2 T^2 b + (T^2 + 2Td)b; flash and linear 4Tdb.
FLOPs per head: 2TS(d + e) on the matrix unit and 5TS of softmax on the vector unit; linear 4Tde.
Masks (`causal=`, `window=`: `simulator.ops.kinds.attention.mask`): flash skips what is masked, pair by pair, and reads
only keys and values in reach of a window; standard computes all pairs and masks them; linear costs the same causal, and
has no window. Where queries are sharded FLOPs are the mean over the chips: that with the first has less to do than that
with the last.
`fused_softmax` is standard with the softmax kernel of a library that scales and masks in it, `scripted_softmax` with the ops
of the script that does it where that kernel cannot (`simulator.ops.kinds.attention.softmax`). `dropout=`: of standard a
kernel more, that drops weights (their gradients, backwards), T^2 read and written; in a fused kernel it is for nothing.
Keys sharded over X make partial sums over X, where the output says so (`{U_X}`): each chip attends over the keys that it
has, and a reduction merges what they found. One tensor may be keys and values: its first e numbers a row are the values
if the output has e of them (the latent of MLA, absorbed), and it is read once.
Assumes: the two numbers a row by which parts of a softmax are merged travel with them for nothing.
Source: Dao et al. 2022 (FlashAttention); Katharopoulos et al. 2020 (linear attention); Dao et al. 2023 (Flash-Decoding:
parts of the keys); DeepSeek-AI 2024 (DeepSeek-V2, absorbed matrices).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Access, Contraction, Kernel, beside
from simulator.ops.kinds.attention.heads import Heads, attended, partners_of
from simulator.ops.kinds.attention.softmax import FORWARD_FLOPS, in_one, op_by_op
from simulator.ops.loops import Loops, named_loops
from simulator.ops.options import OPTION_READERS, count
from simulator.ops.registry import Call, kind
from simulator.ops.tiling import FlashTiling, MatmulTiling, StreamTiling


def _standard(call: Call, h: Heads, softmax: str = "attention") -> list[Kernel]:
    """Scores, softmax and context as three kernels; the T x S matrix goes through HBM four times, and twice more where
    weights are dropped. `softmax`: the kind of the kernel between; none where a script does what it would."""
    q, k, v = call.inputs
    b = DTYPE_BYTES[call.output.dtype]
    name, dtype, pairs = call.op.name, call.input_dtype, h.heads * h.queries * h.keys
    scores = Access(beside(name, "scores"), pairs * b, item_bytes=b)
    weights = Access(beside(name, "weights"), pairs * b, item_bytes=b)
    first = Contraction(h.heads, h.queries, h.keys, h.d)
    last = Contraction(h.heads, h.queries, h.e, h.keys)
    dropped, read = dropped_weights(call, weights, beside(name, "dropped"), pairs)
    if softmax:
        between = [in_one(call, softmax, (scores,), weights, h.keys, FORWARD_FLOPS * pairs)]
    else:
        between = op_by_op(call, scores, weights, h.keys)
    return [
        call.kernel(
            name=beside(name, "scores"),
            reads=tuple(access for access in h.reads if access.tensor in (q.name, k.name)),
            writes=(scores,),
            matrix_flops=first.flops,
            matrix_dtype=dtype,
            contractions=(first,),
            tiling=MatmulTiling(h.heads, h.queries, h.keys, h.d, DTYPE_BYTES[q.dtype], DTYPE_BYTES[k.dtype])
            if q.name != k.name
            else None,
        ),
        *between,
        *dropped,
        call.kernel(
            name=beside(name, "context"),
            reads=(read, next(access for access in h.reads if access.tensor == v.name)),
            matrix_flops=last.flops,
            matrix_dtype=dtype,
            contractions=(last,),
            tiling=MatmulTiling(h.heads, h.queries, h.e, h.keys, b, DTYPE_BYTES[v.dtype]),
        ),
    ]


def _fused_softmax(call: Call, h: Heads) -> list[Kernel]:
    """As standard; scale, mask and softmax are one kernel."""
    return _standard(call, h, "softmax")


def _scripted_softmax(call: Call, h: Heads) -> list[Kernel]:
    """As standard; scale, mask and softmax are a script's ops."""
    return _standard(call, h, "")


def dropped_weights(call: Call, weights: Access, made_name: str, pairs: int) -> tuple[list[Kernel], Access]:
    """The kernel that drops weights (or their gradients), if any are, and what it leaves of them."""
    if not call.options.get("dropout", False):
        return [], weights
    made = replace(weights, tensor=made_name)
    kernel = call.kernel(
        name=made.tensor,
        kind="dropout",
        reads=(weights,),
        writes=(made,),
        vector_flops=2.0 * pairs,
        vector_dtype=call.output.dtype,
        tiling=StreamTiling(pairs, 2 * weights.item_bytes, 1),
    )
    return [kernel], made


def flash(call: Call, h: Heads) -> list[Kernel]:
    """One kernel: scores stay on chip. The query heads of a group share their keys, so their rows are one tall block."""
    q, k, v = call.inputs
    contractions = (
        Contraction(h.heads, h.queries, h.keys, h.d, h.share, window=h.mask.near),
        Contraction(h.heads, h.queries, h.e, h.keys, h.share),
    )
    apart = k.name != v.name
    head_bytes, value_bytes = h.d * DTYPE_BYTES[q.dtype], h.e * DTYPE_BYTES[v.dtype] if apart else 0.0
    tiling = FlashTiling(h.kv_heads, h.rows, h.reached, head_bytes, value_bytes, h.mask.span, h.rows / (h.queries or 1))
    seen = {each.name: h.reached / h.keys for each in (k, v) if each.name != q.name}
    return [
        call.kernel(
            reads=tuple(replace(access, nbytes=access.nbytes * seen.get(access.tensor, 1.0)) for access in h.reads),
            matrix_flops=sum(contraction.flops for contraction in contractions),
            matrix_dtype=call.input_dtype,
            vector_flops=5.0 * h.heads * h.queries * h.keys * h.share,
            vector_dtype=call.output.dtype,
            contractions=contractions,
            tiling=tiling if len(h.reads) == 2 + apart else None,
            row_elements=h.keys,
        )
    ]


def _linear(call: Call, h: Heads) -> list[Kernel]:
    """o = phi(q) (phi(k)^T v): a d x e state per head instead of a T x S matrix; 4Tde FLOP per head. Chips that need the
    same head of k and v each make its state."""
    contractions = (
        Contraction(h.kv_heads, h.d, h.e, h.keys),
        Contraction(h.heads, h.queries, h.e, h.d),
    )
    return [
        call.kernel(
            reads=h.reads,
            matrix_flops=sum(contraction.flops for contraction in contractions),
            matrix_dtype=call.input_dtype,
            contractions=contractions,
            tiling=StreamTiling(
                max(shaped.elements for shaped in call.inputs), 4.0 * DTYPE_BYTES[call.output.dtype], len(h.reads)
            ),
            row_elements=h.d,
        )
    ]


_VARIANTS = {
    "standard": _standard,
    "fused_softmax": _fused_softmax,
    "scripted_softmax": _scripted_softmax,
    "flash": flash,
    "linear": _linear,
}


_QUERIES, _KEYS, _HEAD, _VALUE = "query positions", "key positions", "head size", "value size"
"""The loops of sequences and head sizes; no dim has a name with a blank."""


def attention_loops(op: Op) -> Loops:
    """Heads and batch are the loops of q's dims; sequences and head sizes go by place, whatever their names."""
    if len(op.inputs) != 3 or min(len(tensor.dims) for tensor in op.inputs) < 2:
        return named_loops(op)
    q, k, v = op.inputs
    if len(op.output.dims) != len(q.dims):
        return named_loops(op)
    lead = [dim.size if isinstance(dim.size, str) else f"head dim {at}" for at, dim in enumerate(q.dims[:-2])]
    shared = [
        [
            f"head dim {at} of its own" if place is None else lead[place]
            for at, place in enumerate(partners_of(q, tensor))
        ]
        for tensor in (k, v)
    ]
    return [
        [*lead, _QUERIES, _HEAD],
        [*shared[0], _KEYS, _HEAD],
        [*shared[1], _KEYS, _VALUE],
        [*lead, _QUERIES, _VALUE],
    ]


def must_be_whole(op: Op) -> list[str]:
    """What must be whole on a chip: the head size, heads of k and v that are not q's, and the sequence of keys, unless the
    output is said to be sums over those chips."""
    loops = attention_loops(op)
    made = set(loops[-1])
    if _KEYS in loops[1] and op.output.partial and set(op.inputs[1].dims[-2].axes) == set(op.output.partial):
        made.add(_KEYS)
    return sorted({name for names in loops[:-1] for name in names if name not in made})


def grouped(op: Op) -> list[tuple[int, int]]:
    """The dims of k and v that are fewer heads than those of q which share them."""
    q = op.inputs[0]
    return [
        (at, place)
        for at, tensor in enumerate(op.inputs[1:3], start=1)
        for place, partner in enumerate(partners_of(q, tensor))
        if partner is not None and tensor.dims[place].size != q.dims[partner].size
    ]


ATTENTION_OPTIONS = {
    "kind": OPTION_READERS["kind"],
    "causal": OPTION_READERS["causal"],
    "window": count,
    "dropout": OPTION_READERS["dropout"],
}


def _attention_backward(adjoint: Adjoint) -> None:
    """The gradients of q, k and v by one op; of k and v they are side outputs."""
    q, k, v = adjoint.op.inputs
    made = adjoint.emit("attention_backward", (q, k, v, adjoint.op.output, adjoint.given), q, adjoint.op.options)
    adjoint.give(0, made)
    adjoint.take(1, made, "k")
    adjoint.take(2, made, "v")


@kind(
    "attention",
    (3, 3),
    ATTENTION_OPTIONS,
    row_dims=must_be_whole,
    loops=attention_loops,
    coarse=grouped,
    backward=_attention_backward,
)
def attention(call: Call) -> Sequence[Kernel]:
    """`kind=standard` (three kernels), `flash` (the default) or `linear`; see the module for FLOPs and bytes."""
    return _VARIANTS[call.options.get("kind", "flash")](call, attended(call))
