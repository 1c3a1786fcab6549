"""Op kinds of a training step's end: adding up gradients, and the optimizer's step, in place.

`g2 = accumulate(g, new)` adds a microbatch's gradient to the sum of those before it, `g2 = rescale(g)` multiplies one by a
number. `w2 = adamw(w, g, m, v)` and
`w2 = sgd(w, g, momentum)` step all weights of a buffer; with one input more, the master weights in fp32, those are
stepped and the weights are written from them.
Bytes: every input read and every state written once: with bf16 weights, fp32 gradients, moments and masters AdamW moves
4 x 4 + 3 x 4 + 2 = 30 B a parameter. FLOPs per element: AdamW 13 (two moments 3 + 4, a root, a division, a sum, the
step 2, weight decay 1), SGD with momentum 4.
Memory: all states are updated where they are; `side(w2, of=state0)` is the first of them.
Source: Loshchilov, Hutter 2019 (AdamW); Micikevicius et al. 2018 (master weights); PyTorch's fused implementations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.kernel import Kernel, beside
from simulator.ops.registry import Call, Shaped, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _alike(call: Call) -> None:
    """Raise ShapeError unless all inputs have as many elements on a chip as the output."""
    for place, shaped in enumerate(call.inputs):
        if shaped.elements != call.output.elements:
            message = (
                f"{shaped.name} has {shaped.elements} elements on a chip, {call.output.name} {call.output.elements}"
            )
            raise ShapeError(message, f"in{place}")


def _in_place(call: Call, states: Sequence[Shaped], flops: float, master: bool = False) -> list[Kernel]:
    """A kernel that writes the first input and some states where they are; with a `master` the first is not read."""
    first, out = call.inputs[0], call.output
    if out.dtype != first.dtype or out.tensor.memory != first.tensor.memory:
        there = f"{first.dtype} in {first.tensor.memory}"
        raise ShapeError(f"{call.op.kind} is in place: its output is {there}, as {first.name} is", "out")
    written = [replace(state.access, tensor=beside(call.op.name, f"state{at}")) for at, state in enumerate(states)]
    grown = [(access.tensor, state.name) for access, state in zip(written, states, strict=True)]
    live = sum(DTYPE_BYTES[shaped.dtype] for shaped in call.inputs)
    unread = replace(first.access, nbytes=0.0)
    reads = tuple(unread if master and access == first.access else access for access in call.reads)
    return [
        call.kernel(
            reads=reads,
            writes=(out.access, *written),
            grown=((call.op.name, first.name), *grown),
            vector_flops=flops * out.elements,
            vector_dtype=call.input_dtype,
            tiling=StreamTiling(out.elements, live, len(call.reads)),
        )
    ]


@kind("accumulate", (2, 2), partial="every")
def accumulate(call: Call) -> Sequence[Kernel]:
    """The second input added to the first, in place: one FLOP an element."""
    _alike(call)
    return _in_place(call, (), 1.0)


@kind("rescale", (1, 2), partial="every")
def rescale(call: Call) -> Sequence[Kernel]:
    """All of the first input multiplied by a number, in place: one FLOP an element. The number may be a second input."""
    return _in_place(call, (), 1.0)


@kind("adamw", (4, 5))
def adamw(call: Call) -> Sequence[Kernel]:
    """Weights, gradient, first and second moment, and master weights if there are any: a step of AdamW."""
    _alike(call)
    return _in_place(call, call.inputs[2:], 13.0, master=len(call.inputs) == 5)


@kind("sgd", (3, 4))
def sgd(call: Call) -> Sequence[Kernel]:
    """Weights, gradient, momentum, and master weights if there are any: a step of SGD with momentum."""
    _alike(call)
    return _in_place(call, call.inputs[2:], 4.0, master=len(call.inputs) == 4)
