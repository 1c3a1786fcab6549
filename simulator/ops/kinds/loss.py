"""The loss of a language model: cross entropy over a vocabulary, and its gradient.

`loss:fp32[B,S] = cross_entropy(logits:fp32[B,S,V], labels:int32[B,S])`: 5 FLOP a logit (maximum, subtract, exp, sum, the
label's), read once. Where the vocabulary is sharded (`V_T`) each chip has its part of the sums, `{U_T}`, which an
all_reduce of a number a token adds up; the maximum over all chips, another such, is left out.
`dlogits = cross_entropy_backward(logits, labels)`: softmax minus one at the label, 4 FLOP a logit; with `in_place=true`
(also on the loss, for its backward pass) it is written over the logits, as Megatron-LM's is.
With `logprobs=true` the first input holds log-probabilities, made by an op before (PyTorch's log_softmax, then nll_loss):
only the labels' are read, and the gradient is written as zeros but for them.
Where the vocabulary is sharded, that op before is `logprobs:fp32[B,S,V_T] = log_softmax(logits, sums:fp32[B,S])`, given the
sum of exponentials of each token over all chips: 1 FLOP a logit; its backward pass is three kernels, each of which makes a
tensor: exponentials of log-probabilities, their sum with the gradient, and that times the gradient of the loss, until which
log-probabilities and the gradient are held.
Source: Shoeybi et al. 2019 (Megatron-LM), section 3, for the loss over a sharded vocabulary; PyTorch's `loss_parallel`
(torch/distributed/tensor/parallel/loss.py) for its kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Kernel
from simulator.ops.registry import Call, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _backward(adjoint: Adjoint) -> None:
    options = [(key, raw) for key, raw in adjoint.op.options if key in ("in_place", "logprobs")]
    adjoint.make(0, "cross_entropy_backward", *adjoint.op.inputs, options=options)


def _log_softmax_backward(adjoint: Adjoint) -> None:
    made = adjoint.op.output
    chances = adjoint.emit("exp", (made,), made)
    total = adjoint.emit("add", (adjoint.given, chances), made)
    adjoint.make(0, "log_softmax_backward", total, made, adjoint.given)


@kind("log_softmax", (2, 2), backward=_log_softmax_backward)
def log_softmax(call: Call) -> Sequence[Kernel]:
    """x[T...,V] and the sums[T...] of its exponentials make log-probabilities [T...,V], 1 FLOP an element."""
    x, sums = call.inputs
    if call.output.whole != x.whole or x.whole[:-1] != sums.whole:
        raise ShapeError("log_softmax takes x[T,V] and sums[T] and makes logprobs[T,V]")
    live = DTYPE_BYTES[x.dtype] + DTYPE_BYTES[call.output.dtype]
    return [
        call.kernel(
            vector_flops=float(x.elements),
            vector_dtype=x.dtype,
            tiling=StreamTiling(x.elements, live, len(call.reads)),
        )
    ]


@kind("log_softmax_backward", (3, 3))
def log_softmax_backward(call: Call) -> Sequence[Kernel]:
    """The sum of dy and exp(y), with y and dy: times the loss's gradient, 1 FLOP an element; y and dy are held, not read."""
    total, *held = call.inputs
    if any(each.whole != call.output.whole for each in call.inputs):
        raise ShapeError("log_softmax_backward takes three tensors of one shape, and makes a fourth")
    live = DTYPE_BYTES[total.dtype] + DTYPE_BYTES[call.output.dtype]
    return [
        call.kernel(
            reads=(total.access, *(replace(each.access, nbytes=0.0) for each in held)),
            vector_flops=float(total.elements),
            vector_dtype=total.dtype,
            tiling=StreamTiling(total.elements, live, len(call.inputs)),
        )
    ]


@kind("cross_entropy", (2, 2), ("in_place", "logprobs"), backward=_backward)
def cross_entropy(call: Call) -> Sequence[Kernel]:
    """logits[T...,V] and labels[T...] make the loss of every token [T...]."""
    logits, labels = call.inputs
    if call.output.whole != labels.whole or logits.whole[:-1] != labels.whole:
        raise ShapeError("cross_entropy takes logits[T,V] and labels[T] and makes the loss of each token, [T]")
    if call.options.get("logprobs", False):
        seen = replace(logits.access, nbytes=labels.elements * DTYPE_BYTES[logits.dtype])
        return [
            call.kernel(
                reads=(seen, labels.access),
                vector_flops=float(labels.elements),
                vector_dtype=logits.dtype,
                reduces=True,
            )
        ]
    return [
        call.kernel(
            vector_flops=5.0 * logits.elements,
            vector_dtype=logits.dtype,
            tiling=StreamTiling(logits.elements, DTYPE_BYTES[logits.dtype], len(call.reads), logits.sizes[-1]),
            row_elements=logits.sizes[-1],
            reduces=True,
        )
    ]


@kind("cross_entropy_backward", (2, 2), ("in_place", "logprobs"))
def cross_entropy_backward(call: Call) -> Sequence[Kernel]:
    """logits[T...,V] and labels[T...] make the gradient of the logits."""
    logits, labels = call.inputs
    if call.output.whole != logits.whole or logits.whole[:-1] != labels.whole:
        raise ShapeError("cross_entropy_backward takes logits[T,V] and labels[T] and makes dlogits[T,V]")
    live = DTYPE_BYTES[logits.dtype] + DTYPE_BYTES[call.output.dtype]
    over = call.options.get("in_place", False)
    grown = ((call.op.name, logits.name),) if over else ()
    if call.options.get("logprobs", False):
        reads = (replace(logits.access, nbytes=0.0), labels.access)
        return [call.kernel(reads=reads, vector_flops=float(labels.elements), vector_dtype=logits.dtype, grown=grown)]
    return [
        call.kernel(
            vector_flops=4.0 * logits.elements,
            vector_dtype=logits.dtype,
            tiling=StreamTiling(logits.elements, live, len(call.reads)),
            grown=grown,
        )
    ]
