"""What kinds of the vector unit share: tensors that are streamed, lined up with what is made of them.

Model: a kernel streams its inputs and its output through on-chip memory, in rows where it needs whole rows. Dims of an input
line up with those of the output by name, or, where an input lacks some, by what is said of it.
"""

from __future__ import annotations

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.loops import line_up
from simulator.ops.registry import Call, Shaped, ShapeError
from simulator.ops.tiling import StreamTiling


def streamed(call: Call, row: int = 1) -> StreamTiling:
    """The tiling of a kernel that streams its tensors."""
    live = sum(DTYPE_BYTES[shaped.dtype] for shaped in (*call.inputs, call.output))
    elements = max(shaped.elements for shaped in (*call.inputs, call.output))
    return StreamTiling(elements, live, len(call.reads), row)


def check_broadcast(call: Call, first: int = 0) -> None:
    """The dims of each input (from number `first` on) must line up with those of the output."""
    made = call.output
    for place, shaped in list(enumerate(call.inputs))[first:]:
        places = line_up(shaped.tensor.dims, made.tensor.dims)
        if places is None or any(
            there is not None and made.whole[there] != size for there, size in zip(places, shaped.whole, strict=True)
        ):
            message = f"{shaped.name}:{shaped.tensor.type_text} does not broadcast to {made.tensor.type_text}"
            raise ShapeError(message, f"in{place}")


def same_shape(call: Call) -> Shaped:
    """The first input, whose dims the output must have. Raises ShapeError."""
    first = call.inputs[0]
    if first.whole != call.output.whole or line_up(first.tensor.dims, call.output.tensor.dims) is None:
        message = f"the output must have the dims of {first.name}:{first.tensor.type_text}"
        raise ShapeError(message, "out")
    check_broadcast(call, 1)
    return first
