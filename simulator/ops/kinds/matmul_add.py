"""A matmul whose product is added to a sum that is there.

`s2:fp32[D,F] = matmul_add(x:bf16[B,D], dy:bf16[B,F], s:fp32[D,F])`
Model: as the matmul of the first two inputs, but that the sum is read and written once, in place, by the same kernel
(beta = 1 of a GEMM): no product stands beside it. It takes its tensors however they are sharded; what the sum and the
product are partial sums over is as written.
Source: BLAS, GEMM (beta); NVIDIA Megatron-LM and Transformer Engine, gradient accumulation fusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.dtypes import widest
from simulator.ops.kernel import Kernel
from simulator.ops.kinds.matmul import RAGGED, contract, contraction
from simulator.ops.registry import Call, ShapeError, kind


@kind("matmul_add", (3, 3), options=RAGGED, as_written=True, partial="own")
def matmul_add(call: Call) -> Sequence[Kernel]:
    """The matmul of the first two inputs, added to the third, in place: 2 x batch x m x n x k FLOP."""
    *factors, total = call.inputs
    if total.whole != call.output.whole or total.dtype != call.output.dtype:
        raise ShapeError(f"matmul_add is in place: its output is as {total.name} is, {total.tensor.type_text}", "out")
    product = replace(call, op=replace(call.op, inputs=call.op.inputs[:2]), inputs=tuple(factors))
    return [
        replace(
            contract(call, contraction(product)),
            matrix_dtype=widest(shaped.dtype for shaped in factors),
            grown=((call.op.name, total.name),),
        )
    ]
