"""A matmul of rows of which each meets one of several matrices, as rows of tokens meet those of their experts.

`y:bf16[R,F] = grouped_matmul(x:bf16[R,D], w:bf16[E,D,F], met=0.25)`; a third input b[E,F] is added by the same kernel.
Model: rows lie one behind the other, those of one matrix together. `met` is the share of the matrices that some row meets,
as expected (all of them, where it is not said): of the others nothing is read. Each that is met has as many rows as others
on average, which may be a fraction. `filled=40 %`: so many of the rows hold tokens, as of `simulator.ops.kinds.matmul`.
FLOPs: 2 R D F, of a bias R F on the vector unit. Bytes: rows and what they make once, `met` of the matrices.
It takes its tensors however they are sharded; what the product is a partial sum over is as written.
Source: Gale et al. 2023 (MegaBlocks), jax.lax.ragged_dot and CUTLASS's grouped GEMM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.ops.kernel import Contraction, Kernel
from simulator.ops.kinds.matmul import contract
from simulator.ops.registry import Call, ShapeError, kind


@kind("grouped_matmul", (2, 3), options=("met", "filled"), as_written=True, partial="own")
def grouped_matmul(call: Call) -> Sequence[Kernel]:
    """Rows, each times the matrix of its group: 2 x rows x depth x columns FLOP; of matrices the share `met=` is read."""
    rows, matrices, *biases = call.inputs
    if len(rows.sizes) != 2 or len(matrices.sizes) != 3 or rows.sizes[1] != matrices.sizes[1]:
        raise ShapeError("grouped_matmul takes rows[R,D] and matrices[E,D,F] and makes [R,F]", "in1")
    groups, depth, columns = matrices.sizes
    if call.output.sizes != (rows.sizes[0], columns):
        raise ShapeError(f"grouped_matmul makes [R,F] of {rows.name} and {matrices.name}", "out")
    if biases and biases[0].sizes != (groups, columns):
        raise ShapeError(f"a bias of grouped_matmul is [E,F], a row for each of {matrices.name}", "in2")
    met = call.options.get("met", 1.0)
    share = {each.name: met for each in (matrices, *biases)}
    part = _contraction(rows.sizes[0], groups * met, depth, columns)
    kernel = contract(call, replace(part, filled=call.options.get("filled", 1.0)))
    reads = tuple(replace(access, nbytes=access.nbytes * share.get(access.tensor, 1.0)) for access in kernel.reads)
    added = call.output.elements if biases else 0
    return [replace(kernel, reads=reads, vector_flops=float(added), vector_dtype=call.output.dtype)]


def _contraction(rows: int, met: float, depth: int, columns: int) -> Contraction:
    """As many matrices as are met, as near as whole numbers come, of as many rows, of which a `share` is there."""
    batch = min(max(1, round(met)), max(1, rows))
    each = -(-rows // batch)
    return Contraction(batch, each, columns, depth, share=rows / (batch * each) if rows else 0.0, ragged="m")
