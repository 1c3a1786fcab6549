"""Laws of the sharding planner, for any annotations.

A planned graph, run on numpy blocks by chips that see only their own and what a collective brings, makes the whole result;
it demands nothing more (no findings, planning it again changes nothing) and prints and reads back as itself; FLOPs of all
chips together are those of the whole times the replication that is left; auto is never dearer than canonical; padding
changes no result.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw import Mesh
from simulator import OpGraph, Repeat, Sharding, bind, parse_graph, plan_sharding
from tests.support.annotations import einsums, programs
from tests.support.executor import Spmd, einsum, whole_value
from tests.support.planning import DIMS, MODES, XY, bytes_cost, planned, problems_of, system_of, unsharded

# The planned program computes what the unsharded one does


@settings(max_examples=300)
@given(einsums(), st.sampled_from(MODES))
def test_any_sharded_einsum_makes_the_whole_result(
    case: tuple[str, dict[str, int], dict[str, int]], mode: Sharding
) -> None:
    line, mesh, dims = case
    system, graph = system_of(mesh), parse_graph([line], dims)
    made = planned(graph, system, mode)
    (op,) = graph.flat()
    values = [whole_value(tensor.name, [dims[str(dim.size)] for dim in tensor.dims]) for tensor in op.inputs]
    chips = Spmd(system.mesh, dims).run(made)
    assert chips.types["y"] == op.output
    np.testing.assert_array_equal(chips.whole("y"), einsum(op, values))

    (matmul,) = (op for op in made.flat() if op.kind == "matmul")
    split = {axis for tensor in matmul.inputs for axis in tensor.axes}
    replicas = math.prod(size for axis, size in mesh.items() if axis not in split)
    flops = sum(kernel.matrix_flops for kernel in bind(made, system))
    loops = {str(dim.size) for tensor in op.inputs for dim in tensor.dims}
    assert flops * system.size == 2 * math.prod(dims[loop] for loop in loops) * replicas


@settings(max_examples=60)
@given(einsums())
def test_auto_is_never_dearer_than_the_textbook(case: tuple[str, dict[str, int], dict[str, int]]) -> None:
    line, mesh, dims = case
    system, graph = system_of(mesh), parse_graph([line], dims)
    cost = bytes_cost(graph, system)
    canonical, auto = (sum(map(cost, planned(graph, system, mode).flat())) for mode in MODES)
    assert auto <= canonical * (1 + 1e-9)


@settings(max_examples=100)
@given(programs(), st.sampled_from(MODES))
def test_programs_of_vector_ops_make_the_whole_result(
    case: tuple[list[str], dict[str, int], dict[str, int]], mode: Sharding
) -> None:
    lines, mesh, dims = case
    system, graph = system_of(mesh), parse_graph(lines, dims)
    sharded = Spmd(system.mesh, dims).run(planned(graph, system, mode))
    alone = Spmd(Mesh({}), dims).run(unsharded(graph))
    for op in graph.flat():
        assert sharded.types[op.name] == op.output
        np.testing.assert_allclose(sharded.whole(op.name), alone.whole(op.name), rtol=1e-9, atol=1e-9, err_msg=op.name)


MLP = [
    "h:fp32[B,F_X] = matmul(x:fp32[B,D], w:fp32[D,F_X])",
    {
        "repeat": 3,
        "carry": {"h": "v"},
        "ops": [
            "u:fp32[B,D] = matmul(h, a:fp32[F_X,D])",
            "s:fp32[B,D] = add(u, c:fp32[B_Y,D])",
            "g:fp32[B,D] = mul(s, c)",
            "v:fp32[B,F_X] = matmul(g, w)",
            "n:fp32[B,F] = neg(h)",
        ],
    },
    "y:fp32[B,F] = add(v, b:fp32[F_Y])",
    "z:fp32[B,F] = mul(y, n)",
]


@pytest.mark.parametrize("mode", MODES)
def test_blocks_are_planned_inside_and_carried_tensors_anew_each_round(mode: Sharding) -> None:
    dims = {"B": 8, "D": 16, "F": 16}
    graph = parse_graph(MLP, dims)
    made = planned(graph, mode=mode)
    block = made.items[1]
    assert isinstance(block, Repeat)
    assert block.carry == (("h", "v"),)
    sharded, alone = Spmd(XY.mesh, dims).run(made), Spmd(Mesh({}), dims).run(unsharded(graph))
    for op in graph.flat():
        np.testing.assert_allclose(sharded.whole(op.name), alone.whole(op.name), rtol=1e-9, err_msg=op.name)


def padded(graph: OpGraph) -> OpGraph:
    return OpGraph(graph.dims, graph.items, uneven="pad")


def test_padded_shards_are_as_large_as_the_first() -> None:
    """10 rows over 4 chips: three on each, two of them for nothing."""
    graph = padded(parse_graph(["y:bf16[P_Y,F] = matmul(x:bf16[P_Y,D], w:bf16[D,F])"], DIMS))
    (kernel,) = bind(graph, XY)
    assert kernel.matrix_flops == 2 * 3 * 128 * 256
    assert kernel.hbm_bytes == 2 * (3 * 128 + 128 * 256 + 3 * 256)
    assert problems_of("y:bf16[P_Y] = relu(x:bf16[P_Y])", uneven="pad") == []


@pytest.mark.parametrize("mode", MODES)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=30)
@example(1, 1, 1)
@example(3, 5, 7)
def test_padding_changes_no_result(mode: Sharding, b: int, d: int, f: int) -> None:
    dims = {"B": b, "D": d, "F": f}
    graph = padded(parse_graph(["y:fp32[B_Y,F] = matmul(x:fp32[B,D_X], w:fp32[D_XY,F])"], dims))
    made = plan_sharding(graph, XY, mode, bytes_cost(graph, XY))
    assert bind(made, XY)
    whole = whole_value("x", (b, d)) @ whole_value("w", (d, f))
    np.testing.assert_array_equal(Spmd(XY.mesh, dims).run(made).whole("y"), whole)
