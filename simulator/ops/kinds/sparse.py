"""The sparse matmul: a sparse matrix of a known density times a dense one.

Model: `sparse_matmul(a, b, density=1 %)` is a matmul of which only density x elements of a are kept, as in CSR: a value
of a's dtype and a column index of 4 bytes each, and 4 bytes a row for where it begins. FLOPs: 2 a kept element and column
of b. They run on the vector unit, since scattered elements fill no matrix unit; `unit=matrix` says that a's elements
stand in blocks that do.
`access=once` (the default): b is read once, as if it stayed on chip. `access=random`: every kept element of a fetches its
row of b from memory, in whole lines of `line=` bytes (32 B unless said: a burst of HBM, 64 bit x 4).
Assumes: kept elements are spread evenly, also over chips; the output is dense.
Source: Williams et al. 2009, "Optimization of sparse matrix-vector multiplication"; JEDEC JESD235 (HBM's burst).
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.ops.kernel import Access, Contraction, Kernel
from simulator.ops.kinds.matmul import contraction
from simulator.ops.kinds.matmul_loops import matmul_loops
from simulator.ops.registry import Call, ShapeError, in_lines, kind
from simulator.ops.tiling import StreamTiling

INDEX_BYTES = 4.0
LINE_BYTES = 32.0
"""What one access to HBM moves at least: a pseudo-channel of 64 bit, a burst of 4."""


@kind("sparse_matmul", (2, 2), ("density", "unit", "access", "line"), partial="one", loops=matmul_loops)
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
