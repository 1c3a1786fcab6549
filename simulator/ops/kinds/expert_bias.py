"""Op kinds that add the biases of experts to their rows where the matmul's own kernel does not.

`r:bf16[E,C,D] = expert_rows(b:bf16[E,D])` gives each row the bias of its expert, which is read and written as often as there
are rows; going back, rows are added up one after the other into those of their experts.
`y:bf16[E,C,D] = expert_bias(x:bf16[E,C,D], b:bf16[E,D])` goes from expert to expert with PyTorch's ops: the bias times what
each token's router gave it, in fp32; the sum, in fp32; all of them one behind the other; and in the format of x again.
Bytes of an element of x with i of them: 24 + 2i forward (4 product; i + 4 + 4 sum; 8 one behind the other; 4 + i), and back
32 + 4i (i + 4 to fp32; 4 + i for x; twice a product with the gradient, 8, and its sum, 4; 2i one behind the other).
Kernels: 2 E + 2 forward (product and sum of each expert), 6 E + 3 back (a cast, two products, two sums, the cast of a sum).
Source: AI-Hypercomputer/maxtext src/maxtext/layers/moe.py (`transform_bias`: `bias[experts_index]`); NVIDIA/Megatron-LM
megatron/core/transformer/moe/experts.py (`_apply_bias`: `torch.cat([t + b * p ...])` over the experts of a chip).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Access, Kernel, beside
from simulator.ops.loops import reduced_loops
from simulator.ops.registry import Call, Shaped, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _check(rows: Shaped, bias: Shaped, part: str) -> None:
    if len(rows.whole) != 3 or bias.whole != (rows.whole[0], rows.whole[2]):
        raise ShapeError(f"rows are [experts, slots, row], and {bias.name} has a row for each expert", part)


def _stream(call: Call, rows: Shaped) -> StreamTiling:
    return StreamTiling(rows.elements, 2 * DTYPE_BYTES[rows.dtype], len(call.reads), rows.sizes[-1])


def _rows_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "expert_rows_backward", adjoint.given)


@kind("expert_rows", (1, 1), backward=_rows_backward)
def expert_rows(call: Call) -> Sequence[Kernel]:
    """b[E,D] makes [E,C,D], the bias of its expert for every row: read and written for each. No FLOPs."""
    bias, made = call.inputs[0], call.output
    _check(made, bias, "out")
    read = replace(bias.access, nbytes=made.elements * DTYPE_BYTES[bias.dtype])
    return [call.kernel(reads=(read,), tiling=_stream(call, made), row_elements=made.sizes[-1])]


@kind("expert_rows_backward", (1, 1), loops=reduced_loops)
def expert_rows_backward(call: Call) -> Sequence[Kernel]:
    """dy[E,C,D] makes db[E,D]: each row is added to that of its expert, 1 FLOP an element."""
    given = call.inputs[0]
    _check(given, call.output, "out")
    return [
        call.kernel(
            vector_flops=float(given.elements),
            vector_dtype=given.dtype,
            tiling=_stream(call, given),
            row_elements=given.sizes[-1],
        )
    ]


def _bias_backward(adjoint: Adjoint) -> None:
    rows, bias = adjoint.op.inputs
    made = adjoint.emit("expert_bias_backward", (adjoint.given, bias), rows)
    adjoint.give(0, made)
    adjoint.take(1, made, "bias")


@kind("expert_bias", (2, 2), backward=_bias_backward)
def expert_bias(call: Call) -> Sequence[Kernel]:
    """x[E,C,D] and b[E,D] make x + b p, expert by expert in PyTorch's ops: 24 + 2i bytes an element, 2 E + 2 kernels."""
    rows, bias = call.inputs
    _check(rows, bias, "in1")
    item = DTYPE_BYTES[rows.dtype]
    read, written = replace(rows.access, nbytes=(12.0 + item) * rows.elements), call.output.access
    between = replace(written, nbytes=(12.0 + item) * rows.elements)
    return [_in_pieces(call, rows, (read, bias.access), (between,), (2, 2))]


@kind("expert_bias_backward", (2, 2))
def expert_bias_backward(call: Call) -> Sequence[Kernel]:
    """dy[E,C,D] and b[E,D] make dx, and db beside it (`side(dx, of=bias)`): 32 + 4i bytes an element, 6 E + 3 kernels."""
    given, bias = call.inputs
    _check(given, bias, "in1")
    item = DTYPE_BYTES[given.dtype]
    read = replace(given.access, nbytes=(20.0 + 2 * item) * given.elements)
    between = replace(call.output.access, nbytes=(12.0 + 2 * item) * given.elements)
    sums = replace(bias.access, tensor=beside(call.op.name, "bias"), memory=call.output.tensor.memory)
    return [_in_pieces(call, given, (read, bias.access), (between, sums), (6, 3))]


def _in_pieces(
    call: Call, rows: Shaped, reads: tuple[Access, ...], writes: tuple[Access, ...], kernels: tuple[int, int]
) -> Kernel:
    """Passes over rows by expert, with so many kernels for each expert, and so many more."""
    each, more = kernels
    return call.kernel(
        reads=reads,
        writes=writes,
        vector_flops=2.0 * rows.elements,
        vector_dtype="fp32",
        tiling=_stream(call, rows),
        row_elements=rows.sizes[-1],
        launches=each * rows.sizes[0] + more,
    )
