"""Op kinds of the matrix unit: matmul and conv2d.

FLOPs of a contraction: 2 per multiply-add. Bytes: both operands once, the output once, plus what the tile re-reads
(`simulator.tiling`). The peak is that of the widest input dtype: int8 weights with bf16 activations compute in bf16.
Source: "How to Scale Your Model", chapters on rooflines and transformers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from simulator.dtypes import DTYPE_BYTES
from simulator.graph import Op
from simulator.kernel import Contraction, Kernel
from simulator.kinds import Call, Loops, Shaped, ShapeError, kind
from simulator.tiling import MatmulTiling


def _named(shaped: Shaped, part: str) -> dict[str, int]:
    names = [dim.size for dim in shaped.tensor.dims]
    if any(isinstance(name, int) for name in names):
        raise ShapeError(f"the dims of a matmul are names, unlike in {shaped.tensor.type_text}", part)
    if len(set(names)) < len(names):
        raise ShapeError(f"a dim stands twice in {shaped.name}:{shaped.tensor.type_text}", part)
    return shaped.by_name()


@kind("matmul", (2, 2), partial="one")
def matmul(call: Call) -> Sequence[Kernel]:
    """Sum over the dims that both inputs have and the output lacks; dims in all three are batch. 2 x batch x m x n x k
    FLOP. Order of dims does not matter. With padding, it is the dims of the second operand that are rounded up: that one
    is held in the unit, the first streams past it."""
    a, b = _named(call.inputs[0], "in0"), _named(call.inputs[1], "in1")
    out = _named(call.output, "out")
    for name in out:
        if name not in a and name not in b:
            raise ShapeError(f"dim {name} of the output is in neither input", "out")
    for name in {**a, **b}:
        if name not in out and not (name in a and name in b):
            raise ShapeError(f"dim {name} is in one input only and not in the output: nothing contracts it")
    batch = math.prod(size for name, size in out.items() if name in a and name in b)
    m = math.prod(size for name, size in a.items() if name not in b)
    n = math.prod(size for name, size in b.items() if name not in a)
    k = math.prod(size for name, size in a.items() if name not in out)
    return [_contract(call, Contraction(batch, m, n, k))]


def _contract(call: Call, contraction: Contraction, covered: float = 1.0) -> Kernel:
    """The kernel of a contraction; of its first input it reads the share that is `covered`."""
    first, second = call.inputs[0], call.inputs[1]
    part = replace(first.access, nbytes=first.nbytes * covered)
    tiling = MatmulTiling(
        contraction.batch,
        contraction.m,
        contraction.n,
        contraction.k,
        DTYPE_BYTES[first.dtype],
        DTYPE_BYTES[second.dtype],
        extra=len(call.reads) - 2,
    )
    return call.kernel(
        reads=tuple(part if access == first.access else access for access in call.reads),
        matrix_flops=contraction.flops,
        matrix_dtype=call.input_dtype,
        contractions=(contraction,),
        tiling=tiling if len(call.reads) >= 2 else None,
        row_elements=contraction.k,
    )


def _spatial(_op: Op) -> Sequence[str]:
    """Windows reach over the edges of a shard: rows and columns of x, and the window, must be whole on a chip."""
    return "HWRS"


def _windows(op: Op) -> Loops:
    """The loops of a convolution by place: the batch, channels in and out, positions, the window."""
    return ["NCHW", "KCRS", *(["K"] if len(op.inputs) == 3 else []), "NKPQ"]


@kind("conv2d", (2, 3), ("stride", "pad"), row_dims=_spatial, loops=_windows)
def conv2d(call: Call) -> Sequence[Kernel]:
    """x[N,C,H,W] with w[K,C,R,S] -> y[N,K,P,Q], optional bias[K]: 2 N K P Q C R S FLOP, as an implicit matmul of
    [NPQ, CRS] with [CRS, K]. `stride=` (1) and `pad=` (0): P = (H + 2 pad - R) / stride + 1, rounded down. A chip that
    makes some rows or columns of y reads what their windows cover of x."""
    x, w, y = call.inputs[0].sizes, call.inputs[1].sizes, call.output.sizes
    if not len(x) == len(w) == len(y) == 4:
        raise ShapeError("conv2d takes x[N,C,H,W] and w[K,C,R,S] and makes y[N,K,P,Q]")
    stride, pad = call.options.get("stride", 1), call.options.get("pad", 0)
    spatial = tuple((x[at] + 2 * pad - w[at]) // stride + 1 for at in (2, 3))
    wanted = (x[0], w[0], *spatial)
    made = (*y[:2], *call.output.whole[2:])
    if x[1] != w[1]:
        raise ShapeError(f"x has {x[1]} channels, w wants {w[1]}", "in1")
    if min(spatial) < 1 or made != wanted:
        shown = ",".join(map(str, wanted))
        raise ShapeError(
            f"with stride={stride} and pad={pad} the output is [{shown}], not [{','.join(map(str, made))}]", "out"
        )
    if len(call.inputs) == 3 and call.inputs[2].sizes != (w[0],):
        raise ShapeError(f"the bias has one element per channel of the output, [{w[0]}]", "in2")
    contraction = Contraction(1, y[0] * y[2] * y[3], w[0], w[1] * w[2] * w[3])
    covered = math.prod(_covered(y[at], spatial[at - 2], x[at], w[at], stride, pad) / x[at] for at in (2, 3))
    return [_contract(call, contraction, covered)]


def _covered(made: int, whole: int, size: int, window: int, stride: int, pad: int) -> int:
    """How many of `size` rows the windows of a chip that makes `made` of the `whole` rows cover; of all chips, the most.
    A chip that makes them all reads them all."""
    if made == whole:
        return size
    spans = (
        min(size, (min(start + made, whole) - 1) * stride - pad + window) - max(0, start * stride - pad)
        for start in range(0, whole, made)
    )
    return max(spans)
