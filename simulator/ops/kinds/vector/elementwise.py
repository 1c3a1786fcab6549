"""Op kinds of the vector unit: element-wise ops, and their backward passes.

FLOPs are counted per element of the output, a transcendental (exp, tanh, sqrt, a division) as one. Bytes: every input
once, the output once. These ops are bound by memory on every chip of the catalogue; what matters is their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Tensor
from simulator.ops.adjoint import Adjoint, Backward
from simulator.ops.kernel import Kernel, beside
from simulator.ops.kinds.vector.streams import check_broadcast, streamed
from simulator.ops.registry import Call, kind
from simulator.ops.tiling import StreamTiling

ELEMENTWISE_FLOPS = {
    "relu": (1, 1), "abs": (1, 1), "neg": (1, 1), "square": (1, 1), "exp": (1, 1), "sqrt": (1, 1), "tanh": (1, 1),
    "scale": (1, 1), "clamp": (1, 2), "rsqrt": (1, 2), "sigmoid": (1, 4), "silu": (1, 5), "gelu": (1, 9),
    "dropout": (1, 2), "rope": (1, 3), "add": (2, 1), "sub": (2, 1), "mul": (2, 1), "div": (2, 1), "max": (2, 1),
    "min": (2, 1), "swiglu": (2, 6), "where": (3, 1),
}  # fmt: skip
"""Named element-wise ops: inputs, FLOP per element. clamp: max min; sigmoid: neg exp add div; silu: sigmoid mul; gelu: the
tanh form, x/2 (1 + tanh(c (x + a x^3))); rope: two products and a sum against given sines; swiglu: silu(gate) x up."""

_SUMS = {**dict.fromkeys(("neg", "scale", "add", "sub"), "every"), "mul": "one"}
"""What takes partial sums, of every input or of one: of what it makes these are partial sums, too."""


def _elementwise(call: Call, flops_per_element: float) -> list[Kernel]:
    check_broadcast(call)
    return [
        call.kernel(
            vector_flops=flops_per_element * call.output.elements,
            vector_dtype=call.input_dtype,
            tiling=streamed(call),
            fusable=True,
        )
    ]


def _by_op(kind: str, *, saved: str = "inputs") -> Backward:
    """The gradient of the one input by an op on what was saved, the input or the output, and the output's gradient."""

    def rule(adjoint: Adjoint) -> None:
        known = adjoint.op.inputs if saved == "inputs" else (adjoint.op.output,)
        adjoint.make(0, kind, *known, adjoint.given)

    return rule


def _linear(kind: str) -> Backward:
    """The same op on the gradient."""
    return lambda adjoint: adjoint.make(0, kind, adjoint.given)


def _to_input(adjoint: Adjoint, place: int, found: Tensor) -> None:
    """What has the dims of the output is the gradient of an input; of one that was broadcast it is summed up first, of one
    of another dtype it is cast."""
    like = adjoint.op.inputs[place]
    if [dim.size for dim in found.dims] == [dim.size for dim in like.dims]:
        if found.dtype == like.dtype:
            adjoint.give(place, found)
        else:
            adjoint.make(place, "cast", found)
    else:
        adjoint.make(place, "reduce", found)


def _add_backward(adjoint: Adjoint) -> None:
    for place in (0, 1):
        _to_input(adjoint, place, adjoint.given)


def _sub_backward(adjoint: Adjoint) -> None:
    _to_input(adjoint, 0, adjoint.given)
    if adjoint.wants(1):
        _to_input(adjoint, 1, adjoint.emit("neg", (adjoint.given,), adjoint.op.output))


def _mul_backward(adjoint: Adjoint) -> None:
    for place in (0, 1):
        if adjoint.wants(place):
            other = adjoint.op.inputs[1 - place]
            _to_input(adjoint, place, adjoint.emit("mul", (adjoint.given, other), adjoint.op.output))


def _cast_backward(adjoint: Adjoint) -> None:
    """A cast back; nothing where the gradient is as wide as the input."""
    if adjoint.given.dtype == adjoint.op.inputs[0].dtype:
        adjoint.give(0, adjoint.given)
    else:
        adjoint.make(0, "cast", adjoint.given)


@kind("cast", (1, 1), ("turned",), partial="every", backward=_cast_backward)
def cast(call: Call) -> Sequence[Kernel]:
    """The same numbers in another format: 1 FLOP an element. `turned=true` writes them twice, the second time with rows and
    columns exchanged: matmuls in fp8 take both operands along the contraction, so that those of the backward pass want
    the other copy."""
    made = call.output.access
    copies = 2.0 if call.options.get("turned") else 1.0
    return [replace(kernel, writes=(replace(made, nbytes=copies * made.nbytes),)) for kernel in _elementwise(call, 1)]


def _swiglu_backward(adjoint: Adjoint) -> None:
    """Both gradients by one kernel."""
    gate, up = adjoint.op.inputs
    made = adjoint.emit("swiglu_backward", (gate, up, adjoint.given), gate)
    adjoint.give(0, made)
    adjoint.take(1, made, "up")


_BACKWARD: dict[str, Backward] = {
    "relu": _by_op("relu_backward", saved="output"),
    "tanh": _by_op("tanh_backward", saved="output"),
    "sigmoid": _by_op("sigmoid_backward", saved="output"),
    "gelu": _by_op("gelu_backward"),
    "silu": _by_op("silu_backward"),
    "exp": _by_op("mul", saved="output"),
    "square": _by_op("mul"),
    "clamp": _by_op("clamp_backward"),
    "neg": _linear("neg"),
    "scale": _linear("scale"),
    "dropout": _linear("dropout"),
    "rope": _linear("rope"),
    "add": _add_backward,
    "sub": _sub_backward,
    "mul": _mul_backward,
    "swiglu": _swiglu_backward,
}

_BACKWARD_FLOPS = {"relu": 1, "clamp": 3, "tanh": 3, "sigmoid": 3, "gelu": 19, "silu": 9}
"""FLOP per element of the gradient: clamp two comparisons and a product; tanh dy (1 - y^2); sigmoid dy y (1 - y); silu
s = sigmoid(x): dy s (1 + x (1 - s)); gelu: dy ((1 + t) / 2 + x / 2 (1 - t^2) c (1 + 3 a x^2)), whose t = tanh(c (x + a x^3))
is made again."""


@kind("elementwise", (1, None), ("flops",))
def elementwise(call: Call) -> Sequence[Kernel]:
    """Any element-wise op of `flops=` FLOP per output element (1 unless said)."""
    return _elementwise(call, call.options.get("flops", 1.0))


def _register_named(name: str, inputs: int, flops: float) -> None:
    @kind(name, (inputs, inputs), partial=_SUMS.get(name, "none"), backward=_BACKWARD.get(name))
    def named(call: Call) -> Sequence[Kernel]:
        return _elementwise(call, flops)


for _name, (_inputs, _flops) in ELEMENTWISE_FLOPS.items():
    _register_named(_name, _inputs, _flops)


for _name, _more in _BACKWARD_FLOPS.items():
    _register_named(f"{_name}_backward", 2, _more)


@kind("swiglu_backward", (3, 3))
def swiglu_backward(call: Call) -> Sequence[Kernel]:
    """gate, up and dy make dgate, and dup beside it (`side(dgate, of=up)`): 12 FLOP an element."""
    check_broadcast(call)
    out = call.output
    return [
        call.kernel(
            writes=(out.access, replace(out.access, tensor=beside(out.name, "up"))),
            vector_flops=12.0 * out.elements,
            vector_dtype=call.input_dtype,
            tiling=StreamTiling(out.elements, 5 * DTYPE_BYTES[out.dtype], len(call.reads)),
        )
    ]
