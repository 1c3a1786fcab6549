"""Heads of keys and values that query heads share: what a chip reads of them is what its query heads need."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError
from simulator import OpGraph, RunOptions, bind, parse_graph, plan_sharding, simulate
from tests.support.annotations import MESHES, annotated
from tests.support.planning import MODES, blocks, bytes_cost, kernels, lines_of, problems_of, read_of, system_of
from tests.support.planning import SMALL_DIMS as DIMS
from tests.support.strategies import many, run


def most_heads(heads: int, kv_heads: int, chips: int) -> int:
    """Of all chips, the most heads of k that the query heads of one are served by: query head h by h // (heads / kv)."""
    group = heads // kv_heads
    return max(len({head // group for head in block}) for block in blocks(heads, chips))


def test_sixteen_chips_share_eight_key_value_heads_that_each_of_them_has() -> None:
    """4 query heads a chip, all of one group of 8: 4 (S (S + 1) / 2) pairs of 4 D + 5 FLOP, at 989 TFLOP/s for 4 D."""
    system = many(["switch(8) over nvlink", "switch(2) over infiniband"], {"X": 16}, "h100_sxm")
    line = "o:bf16[B,H_X,S,D] = attention(q:bf16[B,H_X,S,D], k:bf16[B,K,S,D], v:bf16[B,K,S,D], kind=flash, causal=true)"
    result = run([line], {"B": 1, "S": 2048, "H": 64, "K": 8, "D": 128}, system, RunOptions(overlap="full"))
    (planned,) = result.plan.kernels
    pairs = 4 * 2048 * 2049 / 2
    assert planned.kernel.flops == pytest.approx(pairs * (4 * 128 + 5), rel=1e-12)
    assert planned.kernel.flops == pytest.approx(4.339e9, rel=1e-4)
    assert planned.hbm_bytes == 2 * 2048 * 128 * (4 + 4 + 1 + 1)
    assert result.time_s == pytest.approx(pairs * 4 * 128 / 989e12, rel=1e-6)


@settings(max_examples=200)
@given(
    kv_heads=st.sampled_from([1, 2, 3, 4, 6, 8, 12]),
    group=st.sampled_from([1, 2, 3, 4, 6, 8]),
    chips=st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16]),
    kind=st.sampled_from(["flash", "standard", "linear"]),
    mode=st.sampled_from(MODES),
)
def test_a_chip_reads_the_key_value_heads_that_its_query_heads_need(
    kv_heads: int, group: int, chips: int, kind: str, mode: str
) -> None:
    """Whole on every chip, for any numbers of heads and chips that divide the query heads."""
    heads = kv_heads * group * chips // math.gcd(kv_heads * group, chips)
    line = f"o:bf16[B,H_X,T,D] = attention(q:bf16[B,H_X,T,D], k:bf16[B,K,S,D], v:bf16[B,K,S,E], kind={kind})"
    line = line.replace("o:bf16[B,H_X,T,D]", "o:bf16[B,H_X,T,E]")
    made = kernels(line, {"X": chips}, mode, {**DIMS, "H": heads, "K": kv_heads})
    assert all(kernel.communication is None for kernel in made)
    needed = 2 * 8 * 64 * 16 * most_heads(heads, kv_heads, chips)
    assert sum(read_of(kernel, "k") for kernel in made) == needed
    assert sum(read_of(kernel, "v") for kernel in made) == needed
    if kind != "linear":
        assert sum(kernel.flops for kernel in made) * chips == 8 * heads * 64 * 64 * (2 * (16 + 16) + 5)


@pytest.mark.parametrize(
    ("q", "k", "needed"),
    [
        ("B,H_X,T,D", "B,1,S,D", 8 * 1),  # a single head, as a dim of 1
        ("B,H_X,T,D", "B,S,D", 8),  # or as no dim at all
        ("B_Y,H_X,T,D", "B_Y,K,S,D", 4 * 2),  # 8 query heads of 32 on each of 4 chips: 2 of 8
        ("B_Y,H_X,T,D", "B,K,S,D", 4 * 2),  # a batch that stands whole too
        ("B,H_XY,T,D", "B,K_X,S,D", 8 * 1),  # two key-value heads a chip, and its 4 query heads are of one of them
        ("B,H_YX,T,D", "B,K_X,S,D", 8 * 1),  # the mesh says which axis is major, not the order of writing
        ("B,H_XY,T,D", "B,K_XY,S,D", 8 * 1),
        ("B,K,H_X,T,D", "B,K,S,D", 8 * 8),  # each group of query heads a dim of its own
        ("H_X,B,T,D", "B,K,S,D", 8 * 2),  # dims go by their names, the rest by their order
    ],
)
def test_key_value_heads_are_read_as_they_are_shared(q: str, k: str, needed: int) -> None:
    line = f"o:bf16[{q}] = attention(q:bf16[{q}], k:bf16[{k}], v:bf16[{k}])"
    (kernel,) = kernels(line, {"X": 4, "Y": 2})
    assert kernel.communication is None
    assert read_of(kernel, "k") == read_of(kernel, "v") == 2 * 64 * 16 * needed


def block_of(size: int, axes: str, place: Mapping[str, int], mesh: Mapping[str, int]) -> range:
    """The part of a dim that a chip has: equal blocks, the mesh's first axis major."""
    at, parts = 0, 1
    for axis, extent in mesh.items():
        if axis in axes:
            at, parts = at * extent + place[axis], parts * extent
    return range(at * size // parts, (at + 1) * size // parts)


def chips_of(mesh: Mapping[str, int]) -> Iterator[dict[str, int]]:
    for places in itertools.product(*(range(extent) for extent in mesh.values())):
        yield dict(zip(mesh, places, strict=True))


@st.composite
def attentions(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """Grouped attention, all of its tensors sharded at random; the mesh."""
    mesh = draw(st.sampled_from([mesh for mesh in MESHES if 1 < math.prod(mesh.values()) <= 16]))
    axes = "".join(mesh)
    q, k, v, o = (
        draw(annotated(name, dims, axes, partial=False))
        for name, dims in (("q", "BHTD"), ("k", "BKSD"), ("v", "BKSD"), ("o", "BHTD"))
    )
    return f"{o} = attention({q}, {k}, {v})".replace("fp32", "bf16"), mesh


@settings(max_examples=200)
@given(attentions(), st.sampled_from(MODES))
def test_whatever_is_planned_a_chip_has_the_heads_that_its_query_heads_need(
    case: tuple[str, dict[str, int]], mode: str
) -> None:
    line, mesh = case
    sizes = {"B": 144, "H": 288, "K": 144, "T": 144, "S": 144, "D": 144}
    system, graph = system_of(mesh), parse_graph([line], sizes)
    made = plan_sharding(graph, system, mode, bytes_cost(graph, system))  # type: ignore[arg-type]
    (op,) = (each for each in made.flat() if each.kind == "attention")
    (kernel,) = (each for each in bind(made, system) if each.kind == "attention")
    needs = []
    for place in chips_of(mesh):
        q, k, v, o = (
            [block_of(sizes[str(dim.size)], dim.axes, place, mesh) for dim in tensor.dims]
            for tensor in (*op.inputs, op.output)
        )
        heads = {head // 2 for head in q[1]}
        for tensor in (k, v):
            assert heads <= set(tensor[1])
            assert tensor[0] == q[0]
            assert len(tensor[2]) == 144
        assert o[:3] == q[:3]
        needs.append(len(heads) * len(q[0]) * len(v[3]))
    assert kernel.reads[2].nbytes == 2 * max(needs) * 144


def test_key_value_heads_that_lie_on_other_chips_are_gathered() -> None:
    """X is the major axis of H_XY: heads of k cut over Y alone are not where the query heads are that need them."""
    system = many("switch(8)", {"X": 4, "Y": 2}, "h100_sxm")
    line = "o:bf16[B,H_XY,T,D] = attention(q:bf16[B,H_XY,T,D], k:bf16[B,K_Y,S,D], v:bf16[B,K_X,S,D])"
    assert lines_of(line, system=system, dims=DIMS) == [
        "k.gathered:bf16[B,K,S,D] = all_gather(k:bf16[B,K_Y,S,D], over=Y)",
        "o:bf16[B,H_XY,T,D] = attention(q:bf16[B,H_XY,T,D], k.gathered, v:bf16[B,K_X,S,D])",
    ]
    (problem,) = problems_of(
        "o:bf16[H_XY,T,K] = attention(q:bf16[H_XY,T,K], k:bf16[8_Y,S,K], v:bf16[8,S,K])", sharding="written"
    )
    assert "8_Y in k is shared by H_XY in q" in problem
    assert "all_gather(k, over=Y)" in problem


@pytest.mark.parametrize(("heads", "kv_heads", "chips", "needed"), [(10, 2, 4, 2), (12, 4, 5, 1), (9, 3, 4, 1)])
def test_padded_query_heads_read_the_heads_that_they_need(heads: int, kv_heads: int, chips: int, needed: int) -> None:
    """10 query heads over 4 chips, 3 on each: heads 3 to 5 are of 2 of the groups of 5. 12 over 5 are groups of 3 whole."""
    line = f"o:bf16[P_X,T,D] = attention(q:bf16[P_X,T,D], k:bf16[{kv_heads},S,D], v:bf16[{kv_heads},S,D])"
    graph = parse_graph([line], {**DIMS, "P": heads})
    system = system_of({"X": chips})
    padded = type(graph)(graph.dims, graph.items, uneven="pad")
    (kernel,) = bind(plan_sharding(padded, system), system)
    assert read_of(kernel, "k") == 2 * needed * 64 * 16
    assert kernel.matrix_flops == 3 * 64 * 64 * 4 * 16


def test_heads_of_unlike_chips_are_cut_where_those_of_keys_and_values_are() -> None:
    """Shares of 3 to 1 give 24 and 8 of 32 query heads, 6 and 2 of 8: all of their own groups. Shares of 2 to 1 cut the
    query heads at 21, within the group of the 6th head of k, which is on one chip alone."""
    system = many("switch(2)", {"X": 2}, "h100_sxm")
    graph = parse_graph(["o:bf16[H_X,T,D] = attention(q:bf16[H_X,T,D], k:bf16[K_X,S,D], v:bf16[K_X,S,D])"], DIMS)
    shared = {name: OpGraph(graph.dims, graph.items, split={"X": name}) for name in ((3, 1), (2, 1))}
    result = simulate(shared[3, 1], system, RunOptions(overlap="full"))
    kernel = result.plan.kernels[0]
    assert [read_of(variant.kernel, "k") for variant in kernel.variants] == [2 * 64 * 16 * heads for heads in (6, 2)]
    with pytest.raises(
        SpecError, match=r"ops:1:\d+: 8 heads of k are not cut over chips where 32 of q are; keep them whole"
    ):
        simulate(shared[2, 1], system, RunOptions(overlap="full"))
