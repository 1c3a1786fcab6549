"""Attention over one block of keys at a time: what ring attention is made of.

`o = attention_block(q, k, v)` is attention of a chip's own queries over the keys and values that it has, whichever
part of the sequence they are; `attention_block(q, k, v, o)` merges what it finds with `o`, which was found in other blocks.
`causal=true`: queries and keys are at the same places, and no query sees what is behind it; `share=1/2`: of the pairs of
this block half is not masked. `last=true`: nothing is merged behind it, so its output is the attention's.
FLOPs and bytes: those of flash attention over the pairs that are left; merging reads what was found before and scales it, 3
FLOP a number. Backwards as flash attention's backward pass: five matmuls; of the last block it reads what attention made,
too, from which the sums of its rows follow; those of the others travel for nothing.
Source: Liu et al. 2023 (Ring Attention); Dao 2023 (FlashAttention-2) for merging and for the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Kernel
from simulator.ops.kinds.attention.backward import VECTOR_FLOPS, five_matmuls, sides
from simulator.ops.kinds.attention.forward import flash
from simulator.ops.kinds.attention.heads import Heads, attended
from simulator.ops.kinds.attention.mask import Mask
from simulator.ops.options import OPTION_READERS
from simulator.ops.registry import Call, kind

_MERGING_FLOPS = 3.0
_QKV = 3


def _share(raw: str) -> float:
    """A share of pairs, as a number or a fraction."""
    try:
        found = Fraction(raw)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found <= 1:
        raise ValueError(f"'{raw}' will not do: {{key}} wants a share of the pairs, above 0 and up to 1: 1/2")
    return float(found)


_OPTIONS = {"causal": OPTION_READERS["causal"], "share": _share, "last": OPTION_READERS["causal"]}


def _heads(call: Call) -> tuple[Call, Heads]:
    """The call as one of attention over a block, and its sizes on a chip."""
    three = replace(call, inputs=call.inputs[:_QKV], options={})
    found = attended(three)
    covered = call.options.get("share", 1.0)
    if call.options.get("causal"):
        covered = Mask(found.queries, found.keys, causal=True).pairs / (found.queries * found.keys)
    return three, replace(found, covered=covered)


def _block_backward(adjoint: Adjoint) -> None:
    """The gradients of q, k and v by one op; what was found before takes the gradient as it stands."""
    q, k, v, *before = adjoint.op.inputs
    kept = [(name, value) for name, value in adjoint.op.options if name in ("causal", "share")]
    known = (adjoint.op.output,) if adjoint.op.option("last") else ()
    made = adjoint.emit("attention_block_backward", (q, k, v, adjoint.given, *known), q, kept)
    adjoint.give(0, made)
    adjoint.take(1, made, "k")
    adjoint.take(2, made, "v")
    if before:
        adjoint.give(_QKV, adjoint.given)


@kind("attention_block", (3, 4), _OPTIONS, as_written=True, backward=_block_backward)
def attention_block(call: Call) -> Sequence[Kernel]:
    """Flash attention over one block of keys, merged with what was found in others."""
    three, heads = _heads(call)
    (kernel,) = flash(three, heads)
    if len(call.inputs) == _QKV:
        return [kernel]
    before = call.inputs[_QKV]
    merging = _MERGING_FLOPS * call.output.elements
    return [
        replace(
            kernel,
            reads=(*kernel.reads, before.access),
            vector_flops=kernel.vector_flops + merging,
            tiling=None,
        )
    ]


@kind(
    "attention_block_backward",
    (4, 5),
    {"causal": OPTION_READERS["causal"], "share": _share},
    as_written=True,
)
def attention_block_backward(call: Call) -> Sequence[Kernel]:
    """q, k, v, do and, of the last block, o make dq; dk and dv are its side outputs `k` and `v`."""
    given = call.inputs[_QKV]
    _, heads = _heads(replace(call, output=given))
    contractions = five_matmuls(heads)
    beyond = (shaped.access for shaped in call.inputs[_QKV:])
    return [
        call.kernel(
            reads=tuple(dict.fromkeys((*heads.reads, *beyond))),
            writes=(call.output.access, *sides(call)),
            matrix_flops=sum(contraction.flops for contraction in contractions),
            matrix_dtype=call.input_dtype,
            others_flops=contractions[0].flops,
            vector_flops=VECTOR_FLOPS * heads.heads * heads.queries * heads.keys * heads.share,
            vector_dtype=call.output.dtype,
            contractions=contractions,
            row_elements=heads.keys,
        )
    ]
