"""Sparse matrices: the sparse matmul, by a known density, and the sum over neighbours in a graph, by a list of edges.

Model: `sparse_matmul(a, b, density=1 %)` is a matmul of which only density x elements of a are kept, as in CSR: a value
of a's dtype and a column index of 4 bytes each, and 4 bytes a row for where it begins. FLOPs: 2 a kept element and column
of b. They run on the vector unit, since scattered elements fill no matrix unit; `unit=matrix` says that a's elements
stand in blocks that do.
`access=once` (the default): b is read once, as if it stayed on chip. `access=random`: every kept element of a fetches its
row of b from memory, in whole lines of `line=` bytes (32 B unless said: a burst of HBM, 64 bit x 4).
`aggregate(edges, h[, weights])` is the same by a list, `edges:int32[E]`: y[N,F] is a sum over neighbours, rows of
h[M,F], each times its weight where weights:[E] are given: 1 FLOP an edge and column, 2 with weights, on the vector unit.
A chip has the edges into the nodes that it makes: it takes its tensors as they lie.
Assumes: kept elements are spread evenly, also over chips; the output is dense.
Source: Williams et al. 2009, "Optimization of sparse matrix-vector multiplication"; JEDEC JESD235 (HBM's burst).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw import RunError
from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Access, Contraction, Kernel
from simulator.ops.kinds.matmul import contraction
from simulator.ops.kinds.matmul_loops import matmul_loops
from simulator.ops.registry import Call, ShapeError, in_lines, kind
from simulator.ops.tiling import StreamTiling

INDEX_BYTES = 4.0
LINE_BYTES = 32.0
"""What one access to HBM moves at least: a pseudo-channel of 64 bit, a burst of 4."""


def _backward(adjoint: Adjoint) -> None:
    """The transposed matrix times the gradient, as much work again; that of the sparse matrix itself has no rule."""
    if adjoint.wants(0):
        raise RunError(f"{adjoint.op.name}: {adjoint.op.inputs[0].name} is sparse, and has no gradient")
    adjoint.make(1, "sparse_matmul", adjoint.op.inputs[0], adjoint.given, options=adjoint.op.options)


@kind(
    "sparse_matmul",
    (2, 2),
    ("density", "unit", "access", "line"),
    partial="one",
    loops=matmul_loops,
    backward=_backward,
)
def sparse_matmul(call: Call) -> Sequence[Kernel]:
    """a, of which `density=` is kept, times b: 2 FLOP a kept element and column of b; see the module for the bytes."""
    density = call.options.get("density")
    if density is None:
        raise ShapeError("sparse_matmul needs density=, the share of the first input's elements that are kept")
    sizes = contraction(call)
    kept = density * call.inputs[0].elements
    matrix = call.options.get("unit", "vector") == "matrix"
    part = Contraction(sizes.batch, sizes.m, sizes.n, sizes.k, density)
    reads = (_compressed(call, kept, sizes), _dense(call, kept, sizes))
    return [
        call.kernel(
            reads=reads,
            matrix_flops=part.flops if matrix else 0.0,
            matrix_dtype=call.input_dtype if matrix else "",
            contractions=(part,) if matrix else (),
            vector_flops=0.0 if matrix else part.flops,
            vector_dtype="" if matrix else call.input_dtype,
            tiling=StreamTiling(max(1, round(kept)), DTYPE_BYTES[call.inputs[0].dtype] + INDEX_BYTES, len(reads)),
        )
    ]


def _compressed(call: Call, kept: float, sizes: Contraction) -> Access:
    """The sparse input: values, columns, and where rows begin."""
    sparse = call.inputs[0]
    rows = sizes.batch * (sizes.m + 1)
    nbytes = kept * (DTYPE_BYTES[sparse.dtype] + INDEX_BYTES) + rows * INDEX_BYTES
    return Access(sparse.name, nbytes, sparse.tensor.memory, DTYPE_BYTES[sparse.dtype])


def _dense(call: Call, kept: float, sizes: Contraction) -> Access:
    """The dense input: read once, or a row for every element that is kept."""
    dense = call.inputs[1]
    if call.options.get("access", "once") == "once":
        return dense.access
    row = in_lines(sizes.n * DTYPE_BYTES[dense.dtype], call.options.get("line", LINE_BYTES))
    return Access(dense.name, kept * row, dense.tensor.memory, DTYPE_BYTES[dense.dtype])


def _aggregate_backward(adjoint: Adjoint) -> None:
    """Along the same edges, the other way."""
    edges, _, *weights = adjoint.op.inputs
    if any(adjoint.wants(place) for place in (0, 2)[: 1 + len(weights)]):
        raise RunError(f"{adjoint.op.name}: only what is summed over neighbours has a gradient, no edges or weights")
    adjoint.make(1, "aggregate", edges, adjoint.given, *weights, options=adjoint.op.options)


@kind("aggregate", (2, 3), ("access", "line"), as_written=True, backward=_aggregate_backward)
def aggregate(call: Call) -> Sequence[Kernel]:
    """Sums of rows of h over the edges of a graph; see the module for FLOPs. `access=` and `line=` as in sparse_matmul."""
    edges, rows, *weights = call.inputs
    made = call.output
    if len(edges.sizes) != 1 or len(rows.sizes) != 2 or len(made.sizes) != 2 or rows.sizes[1] != made.sizes[1]:
        raise ShapeError("aggregate takes edges[E] and rows[M,F] and makes sums[N,F]")
    if weights and weights[0].sizes != edges.sizes:
        raise ShapeError(f"{edges.sizes[0]} edges have as many weights, not {weights[0].sizes}", "in2")
    count, width = edges.sizes[0], made.sizes[1]
    fetched = rows.access
    if call.options.get("access", "once") == "random":
        row = in_lines(width * DTYPE_BYTES[rows.dtype], call.options.get("line", LINE_BYTES))
        fetched = replace(fetched, nbytes=count * row)
    reads = (edges.access, fetched, *(each.access for each in weights))
    return [
        call.kernel(
            reads=reads,
            vector_flops=float((2 if weights else 1) * count * width),
            vector_dtype=rows.dtype,
            tiling=StreamTiling(max(1, count), DTYPE_BYTES[edges.dtype] + width * DTYPE_BYTES[rows.dtype], len(reads)),
        )
    ]
