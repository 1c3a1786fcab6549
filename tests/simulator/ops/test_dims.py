"""Names, sizes, squares and ones: how the dims of an op are written does not change what it costs.

Laws, over every op kind: a size in place of a name costs the same; so does one name for dims of equal size, where places
still say which is which; each dim is sharded by itself; dims of 1 work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from simulator import Kernel, RunOptions
from tests.simulator.ops.test_costs import CASES, DIMS, PAIR
from tests.support.strategies import kernels_of, many, one, run

FULL = RunOptions(overlap="full")
LINES = [case[0] for cases in CASES.values() for case in cases]
AXIS = r"axis=[A-Z]"

Costs = list[tuple[str, float, float, float]]


def sized(line: str, dims: dict[str, int]) -> str:
    """The line with sizes for names."""

    def one_type(match: re.Match[str]) -> str:
        return re.sub(r"\b([A-Z])(?=[,_\]])", lambda name: str(dims[name[1]]), match[0])

    return re.sub(r"\[[^\]=]*\]", one_type, line)


def costs(line: str, dims: dict[str, int], system: Any = PAIR) -> Costs:
    """What a run executes: kinds, FLOPs on either unit, bytes."""
    return figures(planned.kernel for planned in run([line], dims, system, FULL).plan.kernels)


def figures(kernels: Iterable[Kernel]) -> Costs:
    return [(kernel.kind, kernel.matrix_flops, kernel.vector_flops, kernel.hbm_bytes) for kernel in kernels]


@pytest.mark.parametrize("line", [line for line in LINES if not re.search(r"send\(|recv\(", line)])
def test_sizes_cost_what_names_cost(line: str) -> None:
    by_size = re.sub(AXIS, "axis=0", sized(line, DIMS))
    assert costs(by_size, {}) == costs(line, DIMS)


SHARDED = [
    "y:bf16[M_X,K] = relu(x:bf16[M_X,K])",
    "y:bf16[M_X,K] = add(x:bf16[M_X,K], b:bf16[K])",
    "y:bf16[M,K_X] = add(x:bf16[M,K_X], b:bf16[K_X])",
    "y:bf16[M_X,K] = add(x:bf16[M,K], z:bf16[M_X,K])",
    "y:bf16[M,K_X] = relu(x:bf16[M_X,K])",
    "y:bf16[M_X,K] = softmax(x:bf16[M_X,K])",
    "y:bf16[M,K_X] = softmax(x:bf16[M,K_X])",
    "y:bf16[M,K_X] = softmax(x:bf16[M,K_X], axis=0)",
    "y:bf16[M_X,K] = layer_norm(x:bf16[M_X,K], g:bf16[K], b:bf16[K])",
    "y:bf16[M,K] = rms_norm(x:bf16[M,K_X], g:bf16[K_X])",
    "y:bf16[M,K_X] = batch_norm(x:bf16[M,K_X], g:bf16[K_X], b:bf16[K_X], train=true)",
    "y:bf16[M_X] = reduce(x:bf16[M_X,K])",
    "y:bf16[M]{U_X} = reduce(x:bf16[M,K_X])",
    "y:bf16[M] = reduce(x:bf16[M,K_X])",
    "y:bf16[M_X,D] = embedding(t:bf16[K,D], i:int32[M_X])",
    "y:bf16[M,D_X] = embedding(t:bf16[K,D_X], i:int32[M])",
    "y:bf16[M_X,D] = gather(t:bf16[K,D], i:int32[M_X])",
    "y:bf16[M_X,K] = copy(x:bf16[M_X,K])",
    "y:bf16[M_X,K] = matmul(x:bf16[M_X,D], w:bf16[D,K])",
    "y:bf16[M,K] = matmul(x:bf16[M,D_X], w:bf16[D_X,K])",
    "y:bf16[M,K_X] = matmul(x:bf16[M,D_X], w:bf16[D_X,K])",
    "y:bf16[M_X,K] = sparse_matmul(x:bf16[M_X,D], w:bf16[D,K], density=0.5)",
    "o:bf16[M_X,D,K] = attention(q:bf16[M_X,D,K], k:bf16[M_X,D,K], v:bf16[M_X,D,K])",
    "o:bf16[M,D_X,K] = attention(q:bf16[M,D_X,K], k:bf16[M,D_X,K], v:bf16[M,D_X,K])",
    "o:bf16[M,D,K] = attention(q:bf16[M,D,K_X], k:bf16[M,D,K_X], v:bf16[M,D,K])",
    "y:bf16[M_X,D,6,6] = conv2d(x:bf16[M_X,K,8,8], w:bf16[D,K,3,3])",
    "y:bf16[M,D_X,6,6] = conv2d(x:bf16[M,K,8,8], w:bf16[D_X,K,3,3])",
    "y:bf16[M,D,6,6] = conv2d(x:bf16[M,K_X,8,8], w:bf16[D,K_X,3,3])",
    "y:bf16[M,K_X,4,4] = max_pool2d(x:bf16[M,K_X,8,8], window=2)",
    "y:bf16[M_X,16,K] = append(c:bf16[M_X,8,K], n:bf16[M_X,8,K])",
    "y:bf16[M,K] = all_gather(x:bf16[M_X,K], over=X)",
    "y:bf16[M,K_X] = all_to_all(x:bf16[M_X,K], over=X)",
]


@pytest.mark.parametrize("sharding", ["canonical", "auto"])
@pytest.mark.parametrize("line", SHARDED)
def test_sharded_sizes_and_squares_cost_what_sharded_names_cost(line: str, sharding: Any) -> None:
    """All names have one size: as names of their own, as that size, and (where places say which is which) one name."""
    dims = {"M": 64, "K": 64, "D": 64, "N": 64}
    options = RunOptions(overlap="full", sharding=sharding)

    def planned(each: str) -> Costs:
        return figures(part.kernel for part in run([each], dims, PAIR, options).plan.kernels)

    named = planned(line)
    assert planned(sized(line, dims)) == named
    assert planned(re.sub(r"(?<=[\[,])[MKD](?=[,_\]])", "N", line)) == named


ONES = dict.fromkeys(DIMS, 1)


@pytest.mark.parametrize(
    "line", [line for line in LINES if not re.search(r"_X|append|update|dot|[0-9][],]|over=|view|side|= first", line)]
)
def test_dims_of_one_cost_what_ones_cost(line: str) -> None:
    named, ones = (
        figures(kernels_of(re.sub(AXIS, "axis=0", written), system=PAIR, **ONES))
        for written in (line, sized(line, ONES))
    )
    assert named == ones
    *_, (_, _, _, nbytes) = named
    is_time_alone = "time=" in line and "flops=" not in line
    assert (nbytes > 0) is not (is_time_alone or "bytes=0" in line)


@pytest.mark.parametrize(
    ("line", "nbytes"),
    [
        ("y:bf16[M,N] = add(x:bf16[M,N], b:bf16[M,1])", 2 * (60 + 6 + 60)),
        ("y:bf16[M,N] = mul(x:bf16[1,N], b:fp32[M,1])", 2 * 10 + 4 * 6 + 2 * 60),
        ("y:bf16[M,N] = add(x:bf16[6,N], b:bf16[10])", 2 * (60 + 10 + 60)),
        ("y:bf16[B,M,N] = where(c:int8[1,1,N], x:bf16[B,M,N], z:bf16[])", 10 + 2 * 180 + 2 + 2 * 180),
    ],
)
def test_ones_and_sizes_broadcast(line: str, nbytes: float) -> None:
    assert kernels_of(line, **DIMS)[0].hbm_bytes == nbytes


def test_a_size_and_a_name_that_differ_do_not_broadcast() -> None:
    with pytest.raises(ValueError, match="does not broadcast"):
        kernels_of("y:bf16[M,N] = add(x:bf16[M,N], b:bf16[7,N])", **DIMS)


def test_an_axis_by_its_number_is_that_dim() -> None:
    line = "y:bf16[B,M,N] = softmax(x:bf16[B,M,N], axis={})"
    for axis, same in ((0, "B"), (1, "M"), (2, "N"), (-1, "N"), (-3, "B")):
        (by_number,), (by_name,) = (kernels_of(line.format(each), **DIMS) for each in (axis, same))
        assert by_number.row_elements == by_name.row_elements == DIMS[same]
    for wrong in (3, -4):
        with pytest.raises(ValueError, match=f"axis '{wrong}' is not a dim of x"):
            kernels_of(line.format(wrong), **DIMS)


# Random access


@pytest.mark.parametrize(
    ("line", "picked"),
    [
        ("y:bf16[M] = gather(x:bf16[V], i:int32[M], line=32 B)", 6 * 32),
        ("y:bf16[M,D] = gather(x:bf16[V,D], i:int32[M], line=32 B)", 6 * 32),  # 16 elements of 2 bytes
        ("y:bf16[M,E] = embedding(t:bf16[V,E], i:int32[M], line=64 B)", 6 * 64),  # 20 elements
        ("y:fp32[M,E] = embedding(t:fp32[V,E], i:int32[M], line=64 B)", 6 * 128),
        ("y:bf16[M,E] = embedding(t:bf16[V,E], i:int32[M])", 6 * 40),
    ],
)
def test_what_an_index_picks_is_moved_in_whole_lines(line: str, picked: float) -> None:
    table, index = kernels_of(line, **DIMS)[0].reads
    assert (table.nbytes, index.nbytes) == (picked, 6 * 4)


def test_a_table_cut_over_chips_has_its_part_of_what_is_asked_for_whatever_its_size_is_called() -> None:
    """1024 rows of 1024: the rows are shared by four chips, though the columns have their size."""
    four = many("ring(4)", {"X": 4})
    line = "y:bf16[8,1024]{U_X} = embedding(t:bf16[1024_X,1024], i:int32[8])"
    (planned,) = run([line], {}, four, FULL).plan.kernels
    assert planned.kernel.reads[0].nbytes == 8 * 1024 * 2 / 4
    assert one().size == 1
