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

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hw.rows import distinct
from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op, Tensor
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Access, Contraction, Kernel, beside
from simulator.ops.kinds.attention.mask import Mask
from simulator.ops.kinds.attention.softmax import FORWARD_FLOPS, in_one, op_by_op
from simulator.ops.loops import Loops, named_loops
from simulator.ops.options import OPTION_READERS, count
from simulator.ops.registry import Call, Shaped, ShapeError, kind
from simulator.ops.tiling import FlashTiling, MatmulTiling, StreamTiling


@dataclass(frozen=True, slots=True)
class Heads:
    """The sizes of an attention call on one chip; `kv_heads` are those that its query heads need, as `reads` has them,
    and `reached` the keys in reach of its queries; `covered`: the share of its pairs that is not masked, where said."""

    heads: int
    kv_heads: int
    queries: int
    keys: int
    d: int
    e: int
    mask: Mask
    reached: int
    reads: tuple[Access, ...]
    covered: float | None = None

    @property
    def rows(self) -> int:
        """Queries that one head of k and v serves."""
        return -(-self.heads * self.queries // (self.kv_heads or 1))

    @property
    def share(self) -> float:
        """The share of the pairs that is not masked, over all chips."""
        if self.covered is not None:
            return self.covered
        return self.mask.pairs / (self.mask.queries * self.mask.keys)


def attended(call: Call) -> Heads:
    """The sizes of q, k, v and the output of a call. Raises ShapeError where they do not fit."""
    q, k, v = (shaped.sizes for shaped in call.inputs)
    if min(len(q), len(k), len(v)) < 2:
        raise ShapeError("attention takes q[...,T,d], k[...,S,d], v[...,S,e]: at least a sequence and a head size")
    _check_whole(call)
    e = _value_size(call)
    if call.output.sizes != (*q[:-1], e):
        wanted = ",".join(map(str, (*q[:-1], e)))
        raise ShapeError(f"the output is [{wanted}], not [{','.join(map(str, call.output.sizes))}]", "out")
    needed = [_needed_heads(call, at) for at in (1, 2)]
    reads = (call.inputs[0].access, *map(_part_read, call.inputs[1:], needed))
    mask = _mask(call)
    reached = mask.reached(q[-2], call.inputs[0].begins(len(q) - 2))
    # of keys that chips share each reads its part
    reached = -(-reached * k[-2] // mask.keys)
    return Heads(math.prod(q[:-2]), needed[0], q[-2], k[-2], q[-1], e, mask, reached, tuple(distinct(reads)))


def _value_size(call: Call) -> int:
    """Numbers of a value: all of v's row, or the first ones of a row that is a key, too."""
    _, k, v = call.inputs
    said = call.output.sizes[-1] if call.output.sizes else 0
    return said if k.name == v.name and 0 < said < v.sizes[-1] else v.sizes[-1]


def _mask(call: Call) -> Mask:
    """What is masked, over all chips."""
    q, k = call.inputs[:2]
    causal, window = call.options.get("causal", False), call.options.get("window")
    if window is not None and call.options.get("kind") == "linear":
        raise ShapeError("linear attention keeps no keys and has no window", "window")
    for name, given in (("causal", causal), ("window", window)):
        if given and q.whole[-2] > k.whole[-2]:
            told = f"{name}={call.op.option(name)} with {q.whole[-2]} queries over {k.whole[-2]} keys"
            raise ShapeError(f"{told}: more queries than keys", name)
    return Mask(q.whole[-2], k.whole[-2], causal, window)


def _check_whole(call: Call) -> None:
    """What must fit over all chips together: head sizes, sequences, and how heads share heads."""
    q, k, v = (shaped.whole for shaped in call.inputs)
    heads, kv_heads = math.prod(q[:-2]), math.prod(k[:-2])
    if q[-1] != k[-1]:
        raise ShapeError(f"q has head size {q[-1]}, k has {k[-1]}", "in1")
    if k[-2] != v[-2] or math.prod(v[:-2]) != kv_heads:
        raise ShapeError("k and v must have the same sequence and heads", "in2")
    if heads % kv_heads:
        raise ShapeError(f"{heads} heads of q cannot share {kv_heads} heads of k and v evenly", "in1")


def _part_read(shaped: Shaped, heads: int) -> Access:
    """Some heads of k or v, read once."""
    whole = shaped.access
    return replace(whole, nbytes=whole.nbytes / (math.prod(shaped.sizes[:-2]) or 1) * heads)


def _needed_heads(call: Call, at: int) -> int:
    """How many heads of k or v (input number `at`) the query heads of one chip need; of unlike chips, the most."""
    q, kv = call.inputs[0], call.inputs[at]
    partners = _partners(q.tensor, kv.tensor)
    needed = 1
    for place, size in enumerate(kv.sizes[:-2]):
        partner = partners[place]
        if partner is None or q.whole[partner] % kv.whole[place]:
            needed *= size
            continue
        group = q.whole[partner] // kv.whole[place]
        if size < kv.whole[place] != kv.padded[place] and q.sizes[partner] != group * size:
            # parts of unlike sizes: the heads that some chip needs may be on the next one
            message = f"{kv.whole[place]} heads of {kv.name} are not cut over chips where {q.whole[partner]} of q are"
            raise ShapeError(f"{message}; keep them whole", f"in{at}")
        needed *= min(size, _groups_met(q, partner, group))
    return needed


def _groups_met(q: Shaped, place: int, group: int) -> int:
    """How many groups of `group` heads the heads of a chip fall on; of all chips that have as many, the most."""
    block, begins = q.sizes[place], q.begins(place)
    if not block:
        return 0
    if isinstance(begins, range):
        begins = begins[:group]  # after `group` equal blocks they fall alike again
    lasts = [min(begin + block, q.whole[place]) - 1 for begin in begins]
    return max(last // group - begin // group + 1 for begin, last in zip(begins, lasts, strict=True))


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


def _partners(first: Tensor, other: Tensor) -> list[int | None]:
    """For each head or batch dim of k or v the place of the dim of q that runs with it: the one of its name; the others
    one by one, if as many are left on both sides."""
    names = [dim.size for dim in first.dims[:-2]]
    found: list[int | None] = [
        names.index(dim.size) if isinstance(dim.size, str) and dim.size in names else None for dim in other.dims[:-2]
    ]
    left = [place for place in range(len(names)) if place not in found]
    open_places = [at for at, place in enumerate(found) if place is None]
    if len(left) == len(open_places):
        for at, place in zip(open_places, left, strict=True):
            found[at] = place
    return found


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
        [f"head dim {at} of its own" if place is None else lead[place] for at, place in enumerate(_partners(q, tensor))]
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
        for place, partner in enumerate(_partners(q, tensor))
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
