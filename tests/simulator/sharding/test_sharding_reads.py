"""What a chip does and reads of inputs that stand whole, or cut otherwise, beside an output that is sharded.

Law: an output sharded over some chips of inputs that each of them has whole needs no collective; all chips together do
the work of one, and each reads of an input what its part of the output needs. What that is, is counted here element by
element, chip by chip. Assumes: shards are equal blocks, in the order of the chips.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Kernel, RunOptions, bind, parse_graph, simulate
from tests.support.planning import MODES, blocks, kernels, lines_of, problems_of, read_of, system_of
from tests.support.planning import SMALL_DIMS as DIMS
from tests.support.strategies import many, one

# Sequences: positions of queries and of keys are different loops, whatever the dims are called


def parts_of(size: int, weights: Sequence[int]) -> list[range]:
    """The parts of a dim that is cut in proportion to some weights, what is left by largest remainders, then weights."""
    parts = [size * weight // sum(weights) for weight in weights]
    left = sorted(range(len(weights)), key=lambda at: (-(size * weights[at] % sum(weights)), -weights[at], at))
    for at in left[: size - sum(parts)]:
        parts[at] += 1
    cuts = list(itertools.accumulate(parts, initial=0))
    return [range(begin, end) for begin, end in itertools.pairwise(cuts)]


def most_by_size(parts: Sequence[range], counted: Callable[[range], int]) -> list[int]:
    """What is counted for each part; those of one size are alike, and have the most of any of them."""
    return [max(counted(other) for other in parts if len(other) == len(part)) for part in parts]


def hbm_bytes_by_chip(line: str, dims: Mapping[str, int], weights: Sequence[int]) -> list[float]:
    """HBM traffic of each chip of a switch, whose dims over X are cut by weights."""
    graph = replace(parse_graph([line], dims), split={"X": weights})
    plan = simulate(graph, system_of({"X": len(weights)}), RunOptions(overlap="full", fold=False)).plan
    return [sum(plan.variant(each, chip).hbm_bytes for each in plan.kernels) for chip in range(len(weights))]


WEIGHTS = st.lists(st.integers(0, 5), min_size=2, max_size=5).filter(any)


@given(WEIGHTS, st.sampled_from([2, 3, 4]), st.sampled_from([3, 4, 6]))
def test_heads_in_parts_of_any_size_read_the_heads_that_they_need(
    weights: list[int], kv_heads: int, group: int
) -> None:
    """Parts of 4, 3 and 2 of 9 heads: heads 4 to 6 are of two groups of 3, though there are only three of them."""
    parts = parts_of(kv_heads * group, weights)
    needed = most_by_size(parts, lambda part: len({head // group for head in part}))
    line = "o:bf16[B,H_X,S,D] = attention(q:bf16[B,H_X,S,D], k:bf16[B,K,S,D], v:bf16[B,K,S,D])"
    got = hbm_bytes_by_chip(line, DIMS | {"H": kv_heads * group, "K": kv_heads}, weights)
    of_one = DIMS["B"] * DIMS["S"] * DIMS["D"] * 2
    assert got == [2 * of_one * (len(part) + heads) for part, heads in zip(parts, needed, strict=True)]


@given(WEIGHTS, st.integers(1, 12), st.booleans())
def test_queries_in_parts_of_any_size_read_the_keys_in_reach(weights: list[int], window: int, causal: bool) -> None:
    parts = parts_of(24, weights)

    def seen(part: range) -> int:
        near = {key for at in part for key in range(at - window + 1, at + 1 if causal else at + window)}
        return len(near & set(range(24)))

    line = "o:bf16[B,H,T_X,D] = attention(q:bf16[B,H,T_X,D], k:bf16[B,H,S,D], v:bf16[B,H,S,D], "
    got = hbm_bytes_by_chip(f"{line}causal={str(causal).lower()}, window={window})", DIMS | {"T": 24, "S": 24}, weights)
    of_one = 2 * DIMS["B"] * DIMS["H"] * DIMS["D"] * 2
    reached = most_by_size(parts, seen)
    want = [of_one * (len(part) + keys) if part else 0 for part, keys in zip(parts, reached, strict=True)]
    assert got == pytest.approx(want, rel=1e-12)


@given(WEIGHTS, st.integers(1, 3), st.integers(0, 2))
def test_rows_in_parts_of_any_size_read_what_their_windows_cover(weights: list[int], stride: int, pad: int) -> None:
    made = (30 + 2 * pad - 5) // stride + 1
    parts = parts_of(made, weights)

    def covered(part: range) -> int:
        if len(part) == made:
            return 30
        rows = range(part.start * stride - pad, part[-1] * stride - pad + 5) if part else ()
        return sum(0 <= row < 30 for row in rows)

    line = (
        f"y:bf16[2,3,{made}_X,30] = max_pool2d(x:bf16[2,3,30,30], window=[5, 1], stride=[{stride}, 1], pad=[{pad}, 0])"
    )
    got = hbm_bytes_by_chip(line, {}, weights)
    spans = most_by_size(parts, covered)
    assert got == [2 * 3 * 30 * 2 * (len(part) + rows) for part, rows in zip(parts, spans, strict=True)]


@pytest.mark.parametrize("keys", ["S", "T"])
def test_context_parallel_attention_gathers_keys_and_values_alone(keys: str) -> None:
    system = many("switch(4)", {"X": 4}, "h100_sxm")
    rest = f"k:bf16[K,{keys}_X,D], v:bf16[K,{keys}_X,D]"
    assert lines_of(
        f"o:bf16[H,T_X,D] = attention(q:bf16[H,T_X,D], {rest})",
        system=system,
        dims=DIMS,
    ) == [
        f"k.gathered:bf16[K,{keys},D] = all_gather(k:bf16[K,{keys}_X,D], over=X)",
        f"v.gathered:bf16[K,{keys},D] = all_gather(v:bf16[K,{keys}_X,D], over=X)",
        "o:bf16[H,T_X,D] = attention(q:bf16[H,T_X,D], k.gathered, v.gathered)",
    ]


def test_queries_over_fewer_keys_are_refused_however_they_are_sharded() -> None:
    found = problems_of("o:bf16[H,F_X,K] = attention(q:bf16[H,F_X,K], k:bf16[H,V,K], v:bf16[H,V,K], causal=true)")
    assert found == []
    (problem,) = problems_of("o:bf16[H,V_Y,K] = attention(q:bf16[H,V_Y,K], k:bf16[H,F,K], v:bf16[H,F,K], causal=true)")
    assert "1024 queries over 256 keys" in problem


# Convolutions: a chip that makes some rows reads what their windows cover


def rows_covered(size: int, window: int, stride: int, pad: int, chips: int) -> int:
    """Of all chips, the most rows from the first to the last that the windows of one chip's rows touch."""
    made = (size + 2 * pad - window) // stride + 1
    touched = (
        [row for at in block for row in range(at * stride - pad, at * stride - pad + window) if 0 <= row < size]
        for block in blocks(made, chips)
    )
    return max(max(rows) - min(rows) + 1 for rows in touched)


@pytest.mark.parametrize(("stride", "pad", "window"), [(1, 0, 1), (1, 1, 3), (1, 2, 5), (2, 3, 7), (4, 0, 4)])
@pytest.mark.parametrize("axes", ["X", "XY"])
@pytest.mark.parametrize("at", [2, 3])
def test_a_convolution_makes_its_own_rows_of_a_whole_image(
    stride: int, pad: int, window: int, axes: str, at: int
) -> None:
    chips = {"X": 2, "XY": 8}[axes]
    size = 64 * stride + window - 2 * pad - stride
    dims = [f"{64}_{axes}" if place == at else str(64) for place in (2, 3)]
    image, made = f"N,C,{size},{size}", f"N,O,{','.join(dims)}"
    line = f"y:bf16[{made}] = conv2d(x:bf16[{image}], w:bf16[O,C,{window},{window}], stride={stride}, pad={pad})"
    (kernel,) = kernels(line, {"X": 2, "Y": 4})
    (alone,) = bind(parse_graph([line.replace(f"_{axes}", "")], DIMS), one("h100_sxm"))
    assert kernel.flops * chips == alone.flops
    covered = rows_covered(size, window, stride, pad, chips)
    assert read_of(kernel, "x") == pytest.approx(2 * 8 * 16 * covered * size, rel=1e-12)
    assert read_of(kernel, "w") == 2 * 32 * 16 * window * window


def test_an_image_in_strips_is_gathered_and_each_chip_makes_its_strip() -> None:
    system = many("switch(4)", {"X": 4}, "h100_sxm")
    assert lines_of(
        "y:bf16[N,O,T_X,S] = conv2d(x:bf16[N,C,T_X,S], w:bf16[O,C,3,3], pad=1)", system=system, dims=DIMS
    ) == [
        "x.gathered:bf16[N,C,T,S] = all_gather(x:bf16[N,C,T_X,S], over=X)",
        "y:bf16[N,O,T_X,S] = conv2d(x.gathered, w:bf16[O,C,3,3], pad=1)",
    ]


# Every kind

WHOLE_INPUTS = [
    "y:bf16[B_X,F] = relu(x:bf16[B,F])",
    "y:fp8[B_X,F_Y] = cast(x:bf16[B,F], turned=true)",
    "y:bf16[B_X,F_Y] = add(x:bf16[B,F], b:bf16[F])",
    "y:bf16[B,F_X] = mul(x:bf16[B,F], s:bf16[B])",
    "y:bf16[B_X,F] = relu(x:bf16[F])",  # a dim that the input has not got
    "y:bf16[B_X,F] = where(m:bf16[B,F], x:bf16[B,F], z:bf16[F])",
    "y:bf16[B_X,F] = softmax(x:bf16[B,F])",
    "y:bf16[B,F_X] = softmax(x:bf16[B,F], axis=B)",
    "y:bf16[B_X,F] = layer_norm(x:bf16[B,F], g:bf16[F], b:bf16[F])",
    "y:bf16[B_XY,F] = rms_norm(x:bf16[B,F], g:bf16[F])",
    "y:bf16[N,C_X,T] = batch_norm(x:bf16[N,C,T], g:bf16[C], b:bf16[C])",
    "y:bf16[B_X] = reduce(x:bf16[B,F])",
    "y:bf16[B_X,F_Y] = matmul(x:bf16[B,D], w:bf16[D,F])",
    "y:bf16[N_X,B,F_Y] = matmul(x:bf16[N,B,D], w:bf16[N,D,F])",
    "y:bf16[B,S_X,D_Y] = embedding(t:bf16[V,D], i:int32[B,S])",
    "y:bf16[B_X,D] = gather(t:bf16[V,D], i:int32[B])",
    "y:bf16[B_X,F_Y] = copy(x:bf16[B,F])",
    "y:bf16[N_X,O_Y,S,T] = conv2d(x:bf16[N,C,S,T], w:bf16[O,C,1,1], b:bf16[O])",
    "y:bf16[N,O,S_X,T_Y] = conv2d(x:bf16[N,C,S,T], w:bf16[O,C,3,3], pad=1)",
    "o:bf16[B_Y,H_X,T,D] = attention(q:bf16[B,H,T,D], k:bf16[B,K,S,D], v:bf16[B,K,S,D])",
    "o:bf16[B,H,T_XY,D] = attention(q:bf16[B,H,T,D], k:bf16[B,K,T,D], v:bf16[B,K,T,D], causal=true)",
    "y:bf16[N,O_Y,S,T_X] = conv2d(x:bf16[N,C,S,T], w:bf16[O,4,3,3], pad=1, groups=4)",
    "y:bf16[N_X,C_Y,H,H] = max_pool2d(x:bf16[N,C,S,T], window=2)",
    "y:bf16[N,C,H_X,H_Y] = avg_pool2d(x:bf16[N,C,S,T], window=2)",
    "y:bf16[B_X,F_Y] = sparse_matmul(x:bf16[B,D], w:bf16[D,F], density=0.5)",
    "y:bf16[B_Y,K_X,65,D] = append(c:bf16[B,K,S,D], n:bf16[B,K,1,D])",
    "y:bf16[B_Y,K_X,S,D] = update(c:bf16[B,K,S,D], n:bf16[B,K,1,D])",
    "y:bf16[64_X,64] = softmax(x:bf16[64,64])",  # dims of one size are two dims
    "y:bf16[B_X,F] = elementwise(x:bf16[B,F], z:bf16[B,F], flops=3)",
    "d:bf16[B_X,F_Y] = relu_backward(y:bf16[B,F], g:bf16[B,F])",
    "d:bf16[B_X,F_Y] = swiglu_backward(g:bf16[B,F], u:bf16[B,F], e:bf16[B,F])",
    "d:bf16[B_X,F] = softmax_backward(y:bf16[B,F], g:bf16[B,F])",
    "d:bf16[B_X,F] = layer_norm_backward(x:bf16[B,F], g:bf16[F], e:bf16[B,F])",
    "d:bf16[B_X,F] = rms_norm_backward(x:bf16[B,F], g:bf16[F], e:bf16[B,F])",
    "d:fp32[F_X] = norm_weight_backward(x:bf16[B,F], e:bf16[B,F])",
    "d:bf16[V,D_X] = embedding_backward(i:int32[B,S], e:bf16[B,S,D])",
    "d:bf16[V_X,D] = embedding_backward(i:int32[B,S], e:bf16[B,S,D])",
    "d:bf16[V_X,D_Y] = embedding_backward(i:int32[B,S], e:bf16[B,S,D])",
    "d:bf16[N_X,C_Y,S,T] = conv2d_backward_input(e:bf16[N,O,S,T], w:bf16[O,C,3,3], pad=1)",
    "d:bf16[N_X,C_Y,S,T] = conv2d_backward_input(e:bf16[N,O,S,T], w:bf16[O,4,3,3], pad=1, groups=4)",
    "d:bf16[O_X,C_Y,3,3] = conv2d_backward_weight(x:bf16[N,C,S,T], e:bf16[N,O,S,T], pad=1)",
    "d:bf16[N_X,C_Y,S,T] = max_pool2d_backward(x:bf16[N,C,S,T], e:bf16[N,C,H,H], window=2)",
    "d:bf16[N_X,C_Y,S,T] = max_pool2d_backward(i:int64[N,C,H,H], e:bf16[N,C,H,H], window=2, indices=true)",
    "d:bf16[N_X,C_Y,S,T] = avg_pool2d_backward(e:bf16[N,C,H,H], window=2)",
    "d:bf16[N_X,C_Y,T] = batch_norm_backward(x:bf16[N,C,T], g:bf16[C], e:bf16[N,C,T])",
    "d:bf16[B_Y,H_X,T,D] = attention_backward(q:bf16[B,H,T,D], k:bf16[B,K,S,D], v:bf16[B,K,S,D], "
    "o:bf16[B,H,T,D], e:bf16[B,H,T,D])",
    "l:fp32[B_X] = cross_entropy(x:fp32[B,F], i:int32[B])",
    "d:bf16[B_X,F_Y] = cross_entropy_backward(x:fp32[B,F], i:int32[B])",
    "l:fp32[B_X,F_Y] = log_softmax(x:fp32[B,F], s:fp32[B])",
    "d:fp32[B_X,F_Y] = log_softmax_backward(t:fp32[B,F], y:fp32[B,F], e:fp32[B,F])",
    "d:fp32[B_X,F_Y] = accumulate(a:fp32[B,F], e:bf16[B,F])",
    "d:fp32[B_X,F_Y] = rescale(a:fp32[B,F])",
    "r:bf16[N_X,B,D_Y] = expert_rows(b:bf16[N,D])",
    "d:bf16[N_X,D_Y] = expert_rows_backward(e:bf16[N,B,D])",
    "y:bf16[N_X,B,D_Y] = expert_bias(x:bf16[N,B,D], b:bf16[N,D])",
    "d:bf16[N_X,B,D_Y] = expert_bias_backward(e:bf16[N,B,D], b:bf16[N,D])",
    "d:bf16[B_X,F_Y] = sgd(w:bf16[B,F], g:fp32[B,F], m:fp32[B,F])",
    "d:bf16[B_X,F_Y] = adamw(w:bf16[B,F], g:fp32[B,F], m:fp32[B,F], v:fp32[B,F])",
]


def amounts(made: Sequence[Kernel]) -> tuple[float, float]:
    """FLOPs on all units, and bytes read and written, where nothing is exchanged."""
    computing = [kernel for kernel in made if kernel.communication is None]
    return sum(kernel.flops for kernel in computing), sum(kernel.hbm_bytes for kernel in computing)


@pytest.mark.parametrize("line", WHOLE_INPUTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_sharded_output_of_whole_inputs_needs_no_collective_and_no_work_twice(line: str, mode: str) -> None:
    """All chips together do the work of one chip; bytes are at most what one chip moves, and less of the output."""
    mesh = {"X": 2, "Y": 4}
    made = kernels(line, mesh, mode)
    assert [kernel.kind for kernel in made if kernel.communication] == []
    bare = line.replace("_XY", "").replace("_X", "").replace("_Y", "")
    parts = math.prod(mesh[axis] for axis in "XY" if axis in line)
    flops, moved = amounts(made)
    flops_alone, moved_alone = amounts(bind(parse_graph([bare], DIMS), one("h100_sxm")))
    if "reduce" not in line:  # a sum is of one fewer addition than it has terms, on each chip too
        assert flops * parts == pytest.approx(flops_alone, rel=1e-12)
    assert moved_alone / parts <= moved < moved_alone


def test_a_dim_that_no_input_has_is_split_all_the_same() -> None:
    """Sums over X are added up first; then the rows of y that a chip makes are its own, not all of them."""
    line = "y:bf16[B_X,F_Y] = mul(x:bf16[F]{U_X}, z:bf16[F]{U_X})"
    *_, last = kernels(line, {"X": 2, "Y": 4})
    assert last.flops == 8 / 2 * 64 / 4


@pytest.mark.parametrize("kind", ["embedding", "gather"])
def test_a_chip_reads_the_rows_that_its_part_of_a_table_has(kind: str) -> None:
    """Four chips share the vocabulary: of 8 x 64 rows that are asked for, each has a quarter, and all are summed."""
    made = kernels(f"y:bf16[B,S,D]{{U_X}} = {kind}(t:bf16[V_X,D], i:int32[B,S])", {"X": 4})
    (kernel,) = made
    assert read_of(kernel, "t") == 2 * 8 * 64 * 16 / 4
    assert read_of(kernel, "i") == 4 * 8 * 64
    assert kernel.writes[0].nbytes == 2 * 8 * 64 * 16


def test_a_row_is_one_dim_and_not_every_dim_of_its_size() -> None:
    system = many("switch(4)", {"X": 4}, "h100_sxm")
    for square, named in (("64_X,64", "B_X,F"), ("64,64_X", "B,F_X")):
        found = [
            [line.split("=")[1] for line in lines_of(f"y:bf16[{dims}] = softmax(x:bf16[{dims}])", system=system)]
            for dims in (square, named)
        ]
        assert [text.replace("64_X,64", "B_X,F").replace("64,64_X", "B,F_X") for text in found[0]] == found[1]


# What is given by its numbers

CUSTOM = [
    "y:bf16[B_X] = custom(x:bf16[B_X,F_Y], flops=1e9)",
    "y:bf16[B] = custom(x:bf16[B_X,F_Y], flops=1e9)",
    "y:bf16[B_X,D_Y] = custom(x:bf16[B_X,F_Y], w:bf16[F_X,D_Y], flops=1e9)",
    "y:bf16[B_X,F] = custom(x:bf16[B,F_X], z:bf16[B_Y,F], flops=1e9)",
    "y:bf16[B]{U_X} = custom(x:bf16[B]{U_X}, flops=1e9)",
    "y:bf16[B]{U_X} = custom(x:bf16[B], flops=1e9)",
    "y:bf16[1] = custom(x:bf16[B_XY], flops=1e9)",
]


@pytest.mark.parametrize("line", CUSTOM)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_inserted_for_what_is_given_by_its_numbers(line: str, mode: str) -> None:
    (kernel,) = kernels(line, {"X": 2, "Y": 4}, mode)
    assert kernel.communication is None
    assert kernel.flops == 1e9
    assert problems_of(line, sharding="written") == []


def test_partial_sums_are_added_up_before_what_does_not_say_that_it_keeps_them() -> None:
    assert lines_of("y:bf16[B_X]{U_Y} = custom(x:bf16[B,F_Y]{U_X}, z:bf16[F]{U_Y}, flops=1e9)", dims=DIMS) == [
        "x.reduced:bf16[B,F_Y] = all_reduce(x:bf16[B,F_Y]{U_X}, over=X)",
        "y:bf16[B_X]{U_Y} = custom(x.reduced, z:bf16[F]{U_Y}, flops=1e9)",
    ]


def test_all_kinds_that_compute_stand_in_the_cases() -> None:
    """A new kind gets a line above, or a reason here why its output cannot be sharded by itself."""
    from simulator import KINDS
    from simulator.ops.kinds.vector.elementwise import ELEMENTWISE_FLOPS

    alike = {*ELEMENTWISE_FLOPS, *(f"{name}_backward" for name in ELEMENTWISE_FLOPS)}  # one rule for all of them
    no_kernel = {"view", "side", "pack"}
    no_dim_left = {"dot"}
    # what they say of shapes is of one chip's: nothing is inserted for them
    by_numbers = {name for name, kind in KINDS.items() if kind.as_written}
    seen = {line.split(" = ")[1].split("(")[0] for line in WHOLE_INPUTS}
    computing = {name for name, kind in KINDS.items() if not kind.network}
    assert computing - alike - no_kernel - no_dim_left - by_numbers - seen == set()
