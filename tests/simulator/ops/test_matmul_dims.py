"""What a matmul contracts: by names, by place as Python's `@`, and transposed; square and numeric dims are ordinary.

The oracle is NumPy: the shape that `@` or `einsum` makes, and 2 FLOP for each element of it and each element contracted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import SpecError
from simulator import RunOptions
from tests.support.strategies import kernels_of, many, one, run, show_error

DIMS: dict[str, Any] = {"B": 3, "H": 4, "M": 6, "N": 10, "K": 14, "D": 16}
FULL = RunOptions(overlap="full")


def matrix_flops(line: str, **dims: int) -> float:
    (kernel,) = kernels_of(line, **(dims or DIMS))
    assert not kernel.vector_flops
    return kernel.matrix_flops


@pytest.mark.parametrize(
    ("line", "madds"),
    [
        ("y:bf16[N,N] = matmul(a:bf16[N,N], b:bf16[N,N])", 10**3),
        ("y:bf16[M,N] = matmul(x:bf16[M,N], w:bf16[N,N])", 6 * 10 * 10),
        ("y:bf16[N,M] = matmul(w:bf16[N,N], x:bf16[N,M])", 10 * 10 * 6),
        ("y:bf16[N] = matmul(w:bf16[N,N], v:bf16[N])", 10 * 10),
        ("y:bf16[N] = matmul(v:bf16[N], w:bf16[N,N])", 10 * 10),
        ("y:bf16[M,N] = matmul(x:bf16[N,M], w:bf16[N,N])", 6 * 10 * 10),  # x transposed
        ("s:bf16[N,N] = matmul(q:bf16[N,D], k:bf16[N,D])", 10 * 10 * 16),  # a b^T
        ("s:bf16[B,H,N,N] = matmul(q:bf16[B,H,N,D], k:bf16[B,H,N,D])", 12 * 10 * 10 * 16),
        ("o:bf16[B,H,N,D] = matmul(s:bf16[B,H,N,N], v:bf16[B,H,N,D])", 12 * 10 * 10 * 16),
        ("y:bf16[N,N,N] = matmul(a:bf16[N,N,N], b:bf16[N,N,N])", 10 * 10**3),
        ("y:bf16[N,N,N,N] = matmul(a:bf16[N,N,N,N], b:bf16[N,N,N,N])", 100 * 10**3),
        ("y:bf16[N,N,M] = matmul(a:bf16[N,N,K], b:bf16[N,K,M])", 10 * 10 * 14 * 6),
        ("y:bf16[2048,N] = matmul(x:bf16[2048,K], w:bf16[K,N])", 2048 * 14 * 10),
        ("y:bf16[M,N] = matmul(x:bf16[M,2048], w:bf16[2048,N])", 6 * 2048 * 10),
        ("y:bf16[M,2048] = matmul(x:bf16[M,K], w:bf16[2048,K])", 6 * 14 * 2048),  # w transposed
        ("y:bf16[8,8] = matmul(x:bf16[8,8], w:bf16[8,8])", 512),
        ("y:bf16[8,16] = matmul(x:bf16[8,16], w:bf16[16,16])", 8 * 16 * 16),
        ("y:bf16[1,16] = matmul(x:bf16[1,8], w:bf16[8,16])", 8 * 16),
        ("y:bf16[M,1] = matmul(x:bf16[M,K], w:bf16[K,1])", 6 * 14),
        ("y:bf16[M,N] = matmul(x:bf16[M,1], w:bf16[1,N])", 60),
        ("y:bf16[B,M,N] = matmul(x:bf16[1,M,K], w:bf16[B,K,N])", 3 * 6 * 14 * 10),  # a 1 stands for any size
        ("y:bf16[B,M,N] = matmul(x:bf16[B,M,K], w:bf16[1,K,N])", 3 * 6 * 14 * 10),
        ("y:bf16[B,M,4] = matmul(x:bf16[B,M,14], w:bf16[K,4])", 3 * 6 * 14 * 4),  # a size meets a name
        ("y:bf16[] = matmul(x:bf16[2048], w:bf16[2048])", 2048),
        ("y:fp32[N] = matmul(x:fp32[N,N,K], w:bf16[N,K])", 10 * 10 * 14),
    ],
)
def test_square_and_numeric_dims_are_contracted_by_names_else_by_place(line: str, madds: int) -> None:
    (kernel,) = kernels_of(line, system=one("h100_sxm"), **DIMS)
    print(show_error(line, kernel.matrix_flops, 2 * madds))
    assert kernel.matrix_flops == 2 * madds


sizes = st.integers(1, 5)


@given(st.data())
def test_a_matmul_of_sizes_is_that_of_numpy(data: st.DataObject) -> None:
    m, k, n = data.draw(sizes), data.draw(sizes), data.draw(sizes)
    lead = data.draw(st.lists(sizes, max_size=2))
    shrunk = [tuple(data.draw(st.sampled_from((1, size))) for size in lead) for _ in range(2)]
    cut = [each[data.draw(st.integers(0, len(each))) :] for each in shrunk]
    first, second = (*cut[0], m, k), (*cut[1], k, n)
    if data.draw(st.booleans()):
        first = first[-1:]
    out = (np.ones(first) @ np.ones(second)).shape
    shown = [",".join(map(str, shape)) for shape in (out, first, second)]
    line = "y:bf16[{}] = matmul(a:bf16[{}], b:bf16[{}])".format(*shown)
    assert matrix_flops(line) == 2 * math.prod(out) * k


@given(st.data())
def test_names_in_any_order_are_those_of_einsum(data: st.DataObject) -> None:
    letters = data.draw(st.permutations("MNKHB"))
    groups = [letters[: data.draw(st.integers(0, 1))], letters[1:2], letters[2:3], letters[3:4]]
    batch, rows, columns, summed = ("".join(group) for group in groups)
    first, second, out = (
        "".join(data.draw(st.permutations(names)))
        for names in (batch + rows + summed, batch + summed + columns, batch + rows + columns)
    )
    a, b = (np.ones([DIMS[name] for name in names]) for names in (first, second))
    made = np.einsum(f"{first},{second}->{out}", a, b)
    line = f"y:bf16[{','.join(out)}] = matmul(a:bf16[{','.join(first)}], b:bf16[{','.join(second)}])"
    assert matrix_flops(line) == 2 * made.sum()  # of ones: every multiply-add counts one


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("y:bf16[N_X,N] = matmul(a:bf16[N_X,N], b:bf16[N,N])", ["matmul"]),
        ("y:bf16[N,N_X] = matmul(a:bf16[N,N], b:bf16[N,N_X])", ["matmul"]),
        ("y:bf16[N,N]{U_X} = matmul(a:bf16[N,N_X], b:bf16[N_X,N])", ["matmul"]),
        ("y:bf16[N,N] = matmul(a:bf16[N,N_X], b:bf16[N_X,N])", ["matmul", "all_reduce"]),
        ("y:bf16[N_X,N] = matmul(a:bf16[N,N_X], b:bf16[N_X,N])", ["matmul", "reduce_scatter"]),
        ("y:bf16[2048_X,N] = matmul(a:bf16[2048_X,K], b:bf16[K,N])", ["matmul"]),
        ("y:bf16[M,N]{U_X} = matmul(a:bf16[M,2048_X], b:bf16[2048_X,N])", ["matmul"]),
        ("y:bf16[8_X,8,8] = matmul(a:bf16[8_X,8,8], b:bf16[8_X,8,8])", ["matmul"]),
        ("y:bf16[N,N] = matmul(a:bf16[N_X,N], b:bf16[N,N])", ["matmul", "all_gather"]),
    ],
)
def test_each_dim_of_a_square_is_sharded_by_itself(line: str, kinds: list[str]) -> None:
    two = many("line(2)", {"X": 2})
    kernels = [planned.kernel for planned in run([line], DIMS, two, FULL).plan.kernels]
    whole = matrix_flops(line.replace("_X", "").replace("{U}", ""))
    assert [kernel.kind for kernel in kernels] == kinds
    assert sum(kernel.matrix_flops for kernel in kernels) == whole / 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("y:bf16[M,4] = matmul(x:bf16[M,15], w:bf16[K,4])", "dim K = 14 of w is to be the dim of 15 of x"),
        ("y:bf16[M,M] = matmul(x:bf16[M,N], w:bf16[K,M])", "neither names nor places say how"),
        ("y:bf16[4,4] = matmul(x:bf16[4,5], w:bf16[6,4])", "neither names nor places say how"),
        ("y:bf16[M,7] = matmul(x:bf16[M,K], w:bf16[K,8])", "dim 7 of the output is in neither input"),
    ],
)
def test_what_no_reading_contracts_is_told(line: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        kernels_of(line, **DIMS)
    assert words in str(caught.value)
