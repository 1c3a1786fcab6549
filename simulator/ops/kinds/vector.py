"""Op kinds of the vector unit: element-wise ops, reductions, normalisations, dot.

FLOPs are counted per element of the output, a transcendental (exp, tanh, sqrt, a division) as one. Bytes: every input
once, the output once. These ops are bound by memory on every chip of the catalogue; what matters is their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES, widest
from simulator.graph.items import Op, Tensor
from simulator.ops.adjoint import Adjoint, Backward
from simulator.ops.kernel import Kernel, beside
from simulator.ops.loops import from_the_left, line_up, named_loops, reduced_loops
from simulator.ops.registry import Call, Shaped, ShapeError, kind
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


def streamed(call: Call, row: int = 1) -> StreamTiling:
    """The tiling of a kernel that streams its tensors."""
    live = sum(DTYPE_BYTES[shaped.dtype] for shaped in (*call.inputs, call.output))
    elements = max(shaped.elements for shaped in (*call.inputs, call.output))
    return StreamTiling(elements, live, len(call.reads), row)


def _check_broadcast(call: Call, first: int = 0) -> None:
    """The dims of each input (from number `first` on) must line up with those of the output."""
    made = call.output
    for place, shaped in list(enumerate(call.inputs))[first:]:
        places = line_up(shaped.tensor.dims, made.tensor.dims)
        if places is None or any(
            there is not None and made.whole[there] != size for there, size in zip(places, shaped.whole, strict=True)
        ):
            message = f"{shaped.name}:{shaped.tensor.type_text} does not broadcast to {made.tensor.type_text}"
            raise ShapeError(message, f"in{place}")


def _elementwise(call: Call, flops_per_element: float) -> list[Kernel]:
    _check_broadcast(call)
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
    _check_broadcast(call)
    out = call.output
    return [
        call.kernel(
            writes=(out.access, replace(out.access, tensor=beside(out.name, "up"))),
            vector_flops=12.0 * out.elements,
            vector_dtype=call.input_dtype,
            tiling=StreamTiling(out.elements, 5 * DTYPE_BYTES[out.dtype], len(call.reads)),
        )
    ]


def same_shape(call: Call) -> Shaped:
    """The first input, whose dims the output must have. Raises ShapeError."""
    first = call.inputs[0]
    if first.whole != call.output.whole or line_up(first.tensor.dims, call.output.tensor.dims) is None:
        message = f"the output must have the dims of {first.name}:{first.tensor.type_text}"
        raise ShapeError(message, "out")
    _check_broadcast(call, 1)
    return first


def _axis(op: Op) -> Sequence[str]:
    """The loop over a row: that of the dim called `axis=`, or of the last one."""
    place = _place(op)
    return () if place is None else (named_loops(op)[0][place],)


def _place(op: Op) -> int | None:
    """The dim of the first input that `axis=` means, by its name (the last one of that name) or its number, negative from
    the right; without it the last. None if there is no such dim."""
    dims, said = op.inputs[0].dims, op.option("axis") or "-1"
    if said.lstrip("-").isdigit():
        place = int(said)
        return place % len(dims) if -len(dims) <= place < len(dims) else None
    return max((at for at, dim in enumerate(dims) if dim.size == said), default=None)


def _normalised(call: Call, flops_per_element: float) -> list[Kernel]:
    first = same_shape(call)
    if not first.sizes:
        raise ShapeError(f"{call.op.kind} needs a tensor with at least one dim", "in0")
    place = _place(call.op)
    if place is None:
        raise ShapeError(
            f"axis '{call.op.option('axis')}' is not a dim of {first.name}:{first.tensor.type_text}", "axis"
        )
    row = first.sizes[place]
    return [
        call.kernel(
            vector_flops=flops_per_element * first.elements,
            vector_dtype=call.input_dtype,
            tiling=streamed(call, row),
            row_elements=row,
            reduces=True,
        )
    ]


def _softmax_backward(adjoint: Adjoint) -> None:
    options = [(key, raw) for key, raw in adjoint.op.options if key == "axis"]
    adjoint.make(0, "softmax_backward", adjoint.op.output, adjoint.given, options=options)


def _norm_backward(adjoint: Adjoint) -> None:
    """The gradient of what is normalised, then those of gamma and beta, sums over all rows."""
    kind, (x, *weights) = adjoint.op.kind, adjoint.op.inputs
    adjoint.make(0, f"{kind}_backward", x, *weights[:1], adjoint.given)
    if weights:
        adjoint.make(1, "norm_weight_backward", x, adjoint.given)
    if len(weights) > 1:
        adjoint.make(2, "reduce", adjoint.given)


@kind("softmax_backward", (2, 2), ("axis",), row_dims=_axis)
def softmax_backward(call: Call) -> Sequence[Kernel]:
    """y and dy: y (dy - sum(y dy)), 4 FLOP per element."""
    return _normalised(call, 4.0)


@kind("layer_norm_backward", (2, 3), ("axis",), row_dims=_axis)
def layer_norm_backward(call: Call) -> Sequence[Kernel]:
    """x, gamma and dy: 11 FLOP per element, statistics given: x normalised 2, dy gamma 1, two sums 3, the rest 5."""
    return _normalised(call, 11.0)


@kind("rms_norm_backward", (2, 3), ("axis",), row_dims=_axis)
def rms_norm_backward(call: Call) -> Sequence[Kernel]:
    """x, gamma and dy: 7 FLOP per element, 1/rms given: dy gamma 1, its sum with x 2, the rest 4."""
    return _normalised(call, 7.0)


@kind("norm_weight_backward", (2, 2))
def norm_weight_backward(call: Call) -> Sequence[Kernel]:
    """x and dy: the gradient of gamma, the sum over all rows of dy times x normalised: 3 FLOP per element of x."""
    x = call.inputs[0]
    return [
        call.kernel(
            vector_flops=3.0 * x.elements,
            vector_dtype=call.input_dtype,
            tiling=StreamTiling(x.elements, sum(DTYPE_BYTES[each.dtype] for each in call.inputs), len(call.reads)),
            row_elements=max(1, x.elements // max(1, call.output.elements)),
            reduces=True,
        )
    ]


@kind("softmax", (1, 1), ("axis",), row_dims=_axis, backward=_softmax_backward)
def softmax(call: Call) -> Sequence[Kernel]:
    """5 FLOP per element: max, subtract, exp, sum, divide; over the last dim unless `axis=` says otherwise."""
    return _normalised(call, 5.0)


@kind("layer_norm", (1, 3), ("axis",), row_dims=_axis, backward=_norm_backward)
def layer_norm(call: Call) -> Sequence[Kernel]:
    """7 FLOP per element: sum, subtract the mean, square, sum, scale by 1/std, times gamma, plus beta."""
    return _normalised(call, 7.0)


@kind("rms_norm", (1, 2), ("axis",), row_dims=_axis, backward=_norm_backward)
def rms_norm(call: Call) -> Sequence[Kernel]:
    """4 FLOP per element: square, sum, scale by 1/rms, times gamma."""
    return _normalised(call, 4.0)


def _reduce_backward(adjoint: Adjoint) -> None:
    """Every term has the gradient of the sum (times what a mean divides by)."""
    adjoint.make(0, "scale", adjoint.given)


@kind("reduce", (1, 1), partial="every", loops=reduced_loops, backward=_reduce_backward)
def reduce(call: Call) -> Sequence[Kernel]:
    """A sum over the dims that the output lacks (of those called alike, the last): elements in minus elements out FLOP."""
    first = call.inputs[0]
    if from_the_left(call.output.tensor.dims, first.tensor.dims) is None:
        message = f"{call.output.tensor.type_text} is not {first.tensor.type_text} with some dims summed away"
        raise ShapeError(message, "out")
    return [
        call.kernel(
            vector_flops=float(max(0, first.elements - call.output.elements)),
            vector_dtype=call.input_dtype,
            tiling=streamed(call),
            row_elements=max(1, first.elements // max(1, call.output.elements)),
            reduces=True,
        )
    ]


@kind("dot", (2, 2))
def dot(call: Call) -> Sequence[Kernel]:
    """x[N] . y[N] -> s[]: 2N-1 FLOP on the vector unit; there is no matrix to fill a matrix unit."""
    x, y = call.inputs
    if x.sizes != y.sizes or len(x.sizes) != 1 or call.output.sizes:
        raise ShapeError("dot takes two vectors of one length and makes a scalar, as in s:bf16[] = dot(x:bf16[N], y)")
    return [
        call.kernel(
            vector_flops=2.0 * x.elements - 1.0,
            vector_dtype=widest((x.dtype, y.dtype)),
            tiling=streamed(call),
            reduces=True,
        )
    ]
