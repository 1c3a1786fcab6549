"""What stands between the matmuls of attention whose scores lie in memory: one kernel, or one for each op of a script.

Model: a library's kernel reads scores and writes weights; backwards it reads weights and their gradients and writes those
of scores. Where it cannot be used Megatron-LM's script does it op by op, in fp32: scores are widened, scaled, masked where
they are, made weights, and narrowed again; backwards the same the other way round, and what is kept are weights in fp32.
With b < 4 bytes a number that is (2b + 32) bytes a pair of a query and a key in place of 2b, backwards (2b + 36) in place of
3b, four kernels more each way. What is in fp32 anyway is not cast.
Assumes: a mask, which all heads share, is read for nothing, and filled in beside the scores (the script does it in place,
which moves as many bytes; a pass before and one behind it hold as much); a layer's number scales its scores, as these models
had it.
Source: NVIDIA Megatron-LM, megatron/model/fused_softmax.py (forward_torch_softmax), its mask function and PyTorch's rules
for the gradients of these ops.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.kernel import Access, Kernel, beside
from simulator.ops.registry import Call
from simulator.ops.tiling import StreamTiling

FORWARD_FLOPS, BACKWARD_FLOPS = 5.0, 4.0
"""Of a pair on the vector unit: maximum, difference, exp, sum, quotient; a product, its sum, a difference, a product."""

_WIDE = "fp32"
_WIDE_BYTES = DTYPE_BYTES[_WIDE]


def in_one(call: Call, kind: str, read: tuple[Access, ...], made: Access, keys: int, flops: float) -> Kernel:
    """The kernel of a library; `flops`: of all pairs."""
    pairs = round(made.nbytes / made.item_bytes)
    live = sum(each.item_bytes for each in (*read, made))
    return call.kernel(
        name=beside(call.op.name, "softmax"),
        kind=kind,
        reads=read,
        writes=(made,),
        vector_flops=flops,
        vector_dtype=call.output.dtype,
        tiling=StreamTiling(pairs, live, len(read), keys),
        row_elements=keys,
    )


def op_by_op(call: Call, scores: Access, weights: Access, keys: int) -> list[Kernel]:
    """From scores to weights."""
    name = call.op.name
    wide, scaled, masked = (_wide(scores, beside(name, what)) for what in ("wide", "scaled", "masked"))
    kept = kept_wide(weights, name)
    narrow = scores.item_bytes < _WIDE_BYTES
    return [
        *([_passed(call, "cast", scores, wide)] if narrow else []),
        _passed(call, "scale", wide if narrow else scores, scaled),
        _passed(call, "where", scaled, masked),
        in_one(call, "softmax", (masked,), kept, keys, FORWARD_FLOPS * kept.nbytes / _WIDE_BYTES),
        *([_passed(call, "cast", kept, weights)] if narrow else []),
    ]


def op_by_op_back(call: Call, kept: Access, of_weights: Access, of_scores: Access, keys: int) -> list[Kernel]:
    """From the gradients of weights to those of scores; `kept`: the weights in fp32."""
    name = call.op.name
    wide, unmade, masked, scaled = (
        _wide(of_weights, beside(name, what)) for what in ("wide", "unmade", "masked", "scaled")
    )
    narrow = of_weights.item_bytes < _WIDE_BYTES
    given = wide if narrow else of_weights
    return [
        *([_passed(call, "cast", of_weights, wide)] if narrow else []),
        in_one(call, "softmax_backward", (kept, given), unmade, keys, BACKWARD_FLOPS * kept.nbytes / _WIDE_BYTES),
        _passed(call, "where", unmade, masked),
        _passed(call, "scale", masked, scaled if narrow else of_scores),
        *([_passed(call, "cast", scaled, of_scores)] if narrow else []),
    ]


def kept_wide(weights: Access, made_by: str) -> Access:
    """The weights in fp32 that an op leaves for its backward pass: what it makes, if that is as wide."""
    if weights.item_bytes >= _WIDE_BYTES:
        return weights
    return _wide(weights, beside(made_by, "wideweights"))


def _wide(like: Access, name: str) -> Access:
    """As many numbers in fp32."""
    return replace(like, tensor=name, nbytes=like.nbytes / like.item_bytes * _WIDE_BYTES, item_bytes=_WIDE_BYTES)


def _passed(call: Call, kind: str, read: Access, made: Access) -> Kernel:
    """A kernel that goes once over all pairs."""
    pairs = round(made.nbytes / made.item_bytes)
    return call.kernel(
        name=made.tensor,
        kind=kind,
        reads=(read,),
        writes=(made,),
        vector_flops=pairs,
        vector_dtype=_WIDE,
        tiling=StreamTiling(pairs, read.item_bytes + made.item_bytes, 1),
    )
