"""Op kinds that move data or stand for anything else: embedding, gather, copy, custom.

A copy between memories (`y:bf16[N] = copy(x:bf16[N]@host)`) runs on the copy-in or copy-out queue of the chip, beside
compute; a copy within HBM is a compute kernel that reads and writes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Access, Kernel, beside
from simulator.ops.loops import picked_loops
from simulator.ops.registry import Call, ShapeError, in_lines, kind
from simulator.ops.tiling import StreamTiling

_FAR = ("host", "disk")


def _stream(call: Call) -> StreamTiling:
    return StreamTiling(call.output.elements, 2 * DTYPE_BYTES[call.output.dtype], len(call.reads))


def _rows(call: Call) -> list[Kernel]:
    """What is asked for, and the index. Of a table that several chips share each has, and reads, its part of that:
    indices are spread evenly over it."""
    table, index = call.inputs
    loops = picked_loops(call.op)
    parts = zip(loops[0], table.sizes, table.whole, strict=True)
    here = math.prod(size / whole for loop, size, whole in parts if loop not in loops[-1])
    moved = _in_rows(call, call.output.elements * DTYPE_BYTES[table.dtype]) * here
    reads = (Access(table.name, moved, table.tensor.memory), index.access)
    return [call.kernel(reads=reads, tiling=_stream(call))]


def _in_rows(call: Call, nbytes: float) -> float:
    """What an access to memory moves of `nbytes`: with `line=`, a piece for each index in whole lines."""
    pieces = max(1, call.inputs[1].elements)
    return in_lines(nbytes / pieces, call.options.get("line", 0.0)) * pieces


def _embedding_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "embedding_backward", adjoint.op.inputs[1], adjoint.given)


@kind("embedding", (2, 2), ("line",), loops=picked_loops, backward=_embedding_backward)
def embedding(call: Call) -> Sequence[Kernel]:
    """table[V,D], ids[T...] -> rows[T...,D]: reads only the rows that are asked for, each in whole lines of
    `line=` bytes where that is said. No FLOPs."""
    table, ids = call.inputs
    if len(table.sizes) != 2 or call.output.sizes != (*ids.sizes, table.sizes[1]):
        raise ShapeError("embedding takes table[V,D] and ids[T] and makes rows[T,D]")
    return _rows(call)


@kind("embedding_backward", (2, 2), partial="one")
def embedding_backward(call: Call) -> Sequence[Kernel]:
    """ids[T...], dy[T...,D] -> dtable[V,D]: the gradient of a table, zeroed whole, then rows added where ids say (each read
    and written once). One FLOP an element of dy. Of a table that several chips share each has its part of the rows: ids
    are spread evenly over it, as in the forward pass."""
    ids, rows = call.inputs
    made = call.output
    if rows.whole[: len(ids.whole)] != ids.whole or len(made.sizes) != 2:
        raise ShapeError("embedding_backward takes ids[T] and dy[T,D] and makes dtable[V,D]")
    here = made.sizes[0] / made.whole[0]
    touched = Access(rows.name, 2 * rows.nbytes * here, rows.tensor.memory)
    return [
        call.kernel(
            reads=(ids.access, touched),
            vector_flops=rows.elements * here,
            vector_dtype=rows.dtype,
            tiling=StreamTiling(rows.elements, 2 * DTYPE_BYTES[rows.dtype], 2),
        )
    ]


@kind("gather", (2, 2), ("line",), loops=picked_loops)
def gather(call: Call) -> Sequence[Kernel]:
    """Elements of the first input picked by the second: reads as much as it writes, and the index. No FLOPs.
    With `line=`, what an index picks (out elements over indices) in whole lines of so many bytes: a random access."""
    return _rows(call)


def _copy_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "copy", adjoint.given)


@kind("copy", (1, 1), partial="every", backward=_copy_backward)
def copy(call: Call) -> Sequence[Kernel]:
    """The same tensor again, possibly in another memory or dtype. No FLOPs."""
    source, target = call.inputs[0], call.output
    if source.elements != target.elements:
        raise ShapeError(f"a copy keeps the elements: {source.elements} in, {target.elements} out", "out")
    kernel = call.kernel(tiling=_stream(call))
    if kernel.schedule.queue is None and source.tensor.memory in _FAR:
        return [_on_queue(kernel, "copy_in")]
    if kernel.schedule.queue is None and target.tensor.memory in _FAR:
        return [_on_queue(kernel, "copy_out")]
    return [kernel]


def _on_queue(kernel: Kernel, queue: str) -> Kernel:
    return replace(kernel, schedule=replace(kernel.schedule, queue=queue))


@kind("custom", (0, None), ("flops", "bytes", "time", "delay", "unit"), as_written=True)
def custom(call: Call) -> Sequence[Kernel]:
    """Any kernel by its numbers, those of one chip: `flops=` on `unit=` (vector unless said), `bytes=` of HBM traffic,
    `time=` fixed before the rest. At least one of them is needed. Where `bytes=` says what is moved, tensors are
    dependencies only; with `flops=` alone they are moved as by every kind, inputs once and the output once; `time=` alone
    is all that there is. `delay=` is more of the fixed time: what passes before the kernel itself begins, once all that it
    waits for is there. It takes its tensors however they are sharded; nothing is inserted for it."""
    given = {name: call.options[name] for name in ("flops", "bytes", "time") if name in call.options}
    if not given:
        raise ShapeError("custom needs at least one of flops=, bytes=, time=")
    flops = given.get("flops", 0.0)
    matrix = call.options.get("unit", "vector") == "matrix"
    dtype = call.input_dtype
    kernel = call.kernel(
        matrix_flops=flops if matrix else 0.0,
        matrix_dtype=dtype if matrix else "",
        vector_flops=0.0 if matrix else flops,
        vector_dtype="" if matrix else dtype,
        fixed_s=given.get("time", 0.0) + call.options.get("delay", 0.0),
    )
    if "bytes" not in given and "flops" in given:
        return [kernel]
    waits = tuple(Access(shaped.name, 0.0, shaped.tensor.memory) for shaped in call.inputs)
    said = Access(beside(call.op.name, "bytes"), given.get("bytes", 0.0))
    return [replace(kernel, reads=(*waits, said), writes=(Access(call.op.name, 0.0),))]
