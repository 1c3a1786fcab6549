"""The matmul, and what every contraction on the matrix unit is made of.

FLOPs of a contraction: 2 per multiply-add. Bytes: both operands once, the output once, plus what the tile re-reads
(`simulator.ops.tiling`). The peak is that of the widest input dtype: int8 weights with bf16 activations compute in
bf16. `ragged=slots`: of that dim each place of a batch has as many as it happens to have, one behind the other, of which the
size is the mean (jax.lax.ragged_dot); what a library's tiles make of it `simulator.measured.matmul` says. `filled=40 %`: so
many of the rows hold something of the model; time and FLOPs are those of all, MFU and HFU count what is filled.
Source: "How to Scale Your Model", chapters on rooflines and transformers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from simulator.graph.dtypes import DTYPE_BYTES, is_narrow
from simulator.graph.items import Op, Tensor
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Contraction, Kernel
from simulator.ops.kinds.matmul_loops import matmul_loops, read_loops
from simulator.ops.loops import Loops
from simulator.ops.registry import Call, ShapeError, kind
from simulator.ops.tiling import MatmulTiling


def _check_sizes(call: Call, loops: Loops) -> None:
    """Raises ShapeError for dims of one loop that differ in size."""
    first: dict[str, tuple[int, int]] = {}
    shaped = (*call.inputs, call.output)
    for at, names in enumerate(loops):
        for place, name in enumerate(names):
            other, before = first.setdefault(name, (at, place))
            here, there = shaped[at].whole[place], shaped[other].whole[before]
            if here != there:
                one, two = shaped[at].tensor.dims[place].size, shaped[other].tensor.dims[before].size
                message = (
                    f"{_shown(one, here)} of {shaped[at].name} is to be {_shown(two, there)} of {shaped[other].name}"
                )
                raise ShapeError(message, f"in{at}" if at < len(call.inputs) else "out")


def _shown(dim: str | int, size: int) -> str:
    return f"dim {dim} = {size}" if isinstance(dim, str) else f"the dim of {size}"


def _loops(call: Call) -> Loops:
    loops = read_loops(call.op)
    if loops is not None:
        return loops
    a, b, out = ([dim.size for dim in shaped.tensor.dims] for shaped in (*call.inputs, call.output))
    for name in out if len(set(out)) == len(out) else ():
        if name not in a and name not in b:
            raise ShapeError(f"dim {name} of the output is in neither input", "out")
    if all(len(set(names)) == len(names) for names in (a, b, out)):
        lone = next(name for name in (*a, *b) if name not in out and not (name in a and name in b))
        raise ShapeError(f"dim {lone} is in one input only and not in the output: nothing contracts it")
    shown = " and ".join(f"{shaped.name}:{shaped.tensor.type_text}" for shaped in call.inputs)
    raise ShapeError(
        f"neither names nor places say how {shown} make {call.output.tensor.type_text}; by place, as Python's @, "
        "a[...,m,k] and b[...,k,n] make [...,m,n]"
    )


RAGGED = ("ragged", "filled")
"""The options of a matmul."""


def _matmul_backward(adjoint: Adjoint) -> None:
    """Two matmuls, each as large as that of the forward pass, in the format of that one's operands."""
    a, b = adjoint.op.inputs
    given = _as_operand(adjoint, a, b)
    ragged = tuple(option for option in adjoint.op.options if option[0] in RAGGED)
    adjoint.make(0, "matmul", given, b, options=ragged)
    adjoint.make(1, "matmul", a, given, options=ragged)


def _as_operand(adjoint: Adjoint, a: Tensor, b: Tensor) -> Tensor:
    """The gradient of the output as the backward matmuls take it: cast where both operands are in one narrow format."""
    given = adjoint.given
    if a.dtype != b.dtype or not is_narrow(a.dtype) or a.dtype == given.dtype:
        return given
    name = adjoint.named(adjoint.op.output)
    narrow = replace(given, name=name, dtype=a.dtype, rounds=(), written="")
    adjoint.ops.append(Op(narrow, "cast", (given,)))
    return narrow


@kind("matmul", (2, 2), options=RAGGED, partial="one", loops=matmul_loops, backward=_matmul_backward)
def matmul(call: Call) -> Sequence[Kernel]:
    """Sum over the dims that both inputs have and the output lacks; dims in all three are batch. 2 x batch x m x n x k
    FLOP. Order of dims does not matter; where names cannot say it, places do (`simulator.ops.kinds.matmul_loops`). With
    padding, it is the dims of the second operand that are rounded up: that one is held in the unit, the first streams
    past it."""
    return [contract(call, contraction(call))]


def contraction(call: Call) -> Contraction:
    """The sizes of a matmul on one chip."""
    loops = _loops(call)
    _check_sizes(call, loops)
    a, b, out = loops
    batch = math.prod(size for name, size in zip(out, call.output.sizes, strict=True) if name in a and name in b)
    m = math.prod(size for name, size in zip(a, call.inputs[0].sizes, strict=True) if name not in b)
    n = math.prod(size for name, size in zip(b, call.inputs[1].sizes, strict=True) if name not in a)
    k = math.prod(size for name, size in zip(a, call.inputs[0].sizes, strict=True) if name in b and name not in out)
    return Contraction(batch, m, n, k, ragged=_ragged(call, loops), filled=call.options.get("filled", 1.0))


def _ragged(call: Call, loops: Loops) -> Literal["", "m", "n", "k"]:
    """Which size of the matrices is a mean. Raises ShapeError for a dim that none of them has."""
    named = call.options.get("ragged")
    if named is None:
        return ""
    shaped = (*call.inputs, call.output)
    places = (
        (at, place) for at, each in enumerate(shaped) for place, dim in enumerate(each.tensor.dims) if dim.size == named
    )
    found = next((loops[at][place] for at, place in places), None)
    a, b, out = ([*names] for names in loops)
    if found is None or (found in a and found in b and found in out):
        raise ShapeError(f"ragged= names a dim that is no batch of {call.op.kind}; '{named}' is none", "ragged")
    if found not in out:
        return "k"
    return "m" if found in a else "n"


def contract(call: Call, part: Contraction, covered: float = 1.0) -> Kernel:
    """The kernel of a contraction of its first two inputs; of the first it reads the share that is `covered`."""
    first, second = call.inputs[0], call.inputs[1]
    reads, whole = call.reads, first.access
    seen = replace(whole, nbytes=first.nbytes * covered)
    tiling = MatmulTiling(
        part.batch,
        part.m,
        part.n,
        part.k,
        DTYPE_BYTES[first.dtype],
        DTYPE_BYTES[second.dtype],
        extra=len(reads) - 2,
    )
    return call.kernel(
        reads=tuple(seen if access == whole else access for access in reads),
        matrix_flops=part.flops,
        matrix_dtype=call.input_dtype,
        contractions=(part,),
        tiling=tiling if len(reads) >= 2 else None,
        row_elements=part.k,
    )
