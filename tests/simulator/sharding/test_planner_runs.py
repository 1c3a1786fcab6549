"""What the sharding planner means for a run: what overlaps, what is refused and where, what the inserted ops cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import scenarios
from hw import Mesh, SpecError, System
from scenarios import load_scenario
from simulator import (
    DTYPE_BYTES,
    GraphBuilder,
    OpGraph,
    RunOptions,
    Sharding,
    bind,
    parse_graph,
    plan_sharding,
    simulate,
)
from tests.support.planning import DIMS, MODES, XY, lines_of, problems_of
from tests.support.strategies import chip_with, many, run

# In a run

WRITTEN = {
    "all_to_all, matmul": "t:bf16[B_X,D] = all_to_all(x:bf16[B,D_X], over=X{chunks}); "
    "y:bf16[B_X,F] = matmul(t, w:bf16[D,F]{chunks})",
    "matmul, all_to_all": "t:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F]{chunks}); "
    "y:bf16[B,F_X] = all_to_all(t, over=X{chunks})",
    "matmul, all_reduce": "t:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F]{chunks}); "
    "y:bf16[B,F] = all_reduce(t, over=X{chunks})",
    "all_gather, matmul": "t:bf16[B,D] = all_gather(x:bf16[B,D_X], over=X{chunks}); "
    "y:bf16[B,F] = matmul(t, w:bf16[D,F]{chunks})",
}
"""A collective and a matmul, as a user writes them, two lines each."""


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F]{chunks})", ["all_gather", "matmul"]),
        ("y:bf16[B,F] = matmul(x:bf16[B_X,D], w:bf16[D,F]{chunks})", ["matmul", "all_gather"]),
        ("y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F]{chunks})", ["matmul", "all_reduce"]),
        ("y:bf16[B_X,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F]{chunks})", ["matmul", "reduce_scatter"]),
        (WRITTEN["all_to_all, matmul"], ["all_to_all", "matmul"]),
        (WRITTEN["matmul, all_to_all"], ["matmul", "all_to_all"]),
        (WRITTEN["matmul, all_reduce"], ["matmul", "all_reduce"]),
        (WRITTEN["all_gather, matmul"], ["all_gather", "matmul"]),
    ],
)
def test_a_chunked_matmul_overlaps_its_collective_in_both_orders(line: str, order: list[str]) -> None:
    """Two stages, n chunks: T = T_long + T_short / n, as long as HBM holds nobody up; inserted or written."""
    system = many("ring(4)", {"X": 4}, chip_with("tpu_v5p", {"links.ici.latency": "0 s"}))
    dims = {"B": 4096, "D": 8192, "F": 8192}

    def seconds(chunks: str) -> tuple[float, list[float]]:
        result = run(line.replace("{chunks}", chunks).split("; "), dims, system, RunOptions(overlap="full"))
        assert [planned.kernel.kind for planned in result.plan.kernels] == order
        alone = [max(*planned.times_s.values(), planned.network_s) for planned in result.plan.kernels]
        return result.time_s, alone

    (apart, alone), (chunked, _) = seconds(""), seconds(", chunks=8")
    assert apart == pytest.approx(sum(alone), rel=1e-6)
    assert chunked == pytest.approx(max(alone) + min(alone) / 8, rel=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_all_that_is_inserted_comes_in_the_chunks_of_its_op(mode: Sharding) -> None:
    system = many("ring(4)", {"X": 4}, "tpu_v5p")
    dims = {"I": 8192, "J": 8192, "K": 32768}
    lines = [
        "y:bf16[I,K] = matmul(a:bf16[I,J_X], b:bf16[J_X,K], chunks=4)",
        "z:bf16[I,K_X] = relu(v:bf16[I_X,K], chunks=2)",
    ]
    plan = run(lines, dims, system, RunOptions(sharding=mode)).plan
    chunks = [(part.kernel.kind, part.kernel.schedule.chunks) for part in plan.kernels]
    assert chunks[-2:] == [("all_to_all", 2), ("relu", 2)]
    kinds = ["matmul", "all_reduce"] if mode == "canonical" else ["all_gather", "all_to_all", "matmul", "all_gather"]
    assert chunks[:-2] == [(kind, 4) for kind in kinds]


def test_a_run_in_auto_is_planned_by_what_its_ops_take() -> None:
    """The book's example again, with the costs of the simulator itself."""
    dims = {"I": 8192, "J": 8192, "K": 32768}
    lines = ["y:bf16[I,K] = matmul(a:bf16[I,J_X], b:bf16[J_X,K])"]
    system = many("ring(4)", {"X": 4}, "tpu_v5p")
    kinds = {
        mode: [planned.kernel.kind for planned in run(lines, dims, system, RunOptions(sharding=mode)).plan.kernels]
        for mode in MODES
    }
    assert kinds == {
        "canonical": ["matmul", "all_reduce"],
        "auto": ["all_gather", "all_to_all", "matmul", "all_gather"],
    }


# What cannot be mended, and what is wrong


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("y:bf16[B,F]{U_X} = relu(x:bf16[B,F])", 1, "nothing that is summed makes the declared partial sums over X"),
        ("y:bf16[B,F]{U_X} = gelu(x:bf16[B,F]{U_X})", 25, "gelu cannot take the partial sums"),
        ("y:bf16[B,F]{U_X} = add(x:bf16[B,F]{U_X}, z:bf16[B,F])", 24, "the planner cannot mend it"),
        ("y:bf16[B,F] = all_reduce(x:bf16[B,F], over=X)", 26, "all_reduce over X wants partial sums"),
        ("y:bf16[B,F] = all_to_all(x:bf16[B,F], over=X)", 26, "all_to_all over X wants a dim sharded over it"),
        ("y:bf16[B,F] = all_to_all(x:bf16[B_X,F], over=X)", 1, "moves X to other dims"),
        ("y:bf16[B_X,F] = all_to_all(x:bf16[B_X,F], over=X)", 1, "moves X to other dims"),
        ("y:fp32[B,F_X] = all_to_all(x:bf16[B_X,F], over=X)", 1, "all_to_all keeps the dtype"),
        ("y:bf16[B_X,F] = slice(x:bf16[B_X,F], over=X)", 23, "slice over X wants a tensor whole over it"),
        ("y:bf16[B_X,F] = slice(x:bf16[B,F]{U_X}, over=X)", 23, "slice over X wants a tensor whole over it"),
        ("y:bf16[B,F] = slice(x:bf16[B,F], over=X)", 1, "shards a dim of it over X"),
        ("y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[H,F])", 15, "dim D is in one input only"),
        ("y:bf16[P_Y] = relu(x:bf16[P])", 1, "uneven shards are refused unless the workload says uneven: pad"),
        ("y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F], tile=2)", 50, "did you mean 'tiles'"),
    ],
)
def test_what_cannot_be_mended_is_refused_at_its_place(line: str, column: int, words: str) -> None:
    (problem,) = problems_of(line)
    assert problem.startswith(f"ops:1:{column}: "), problem
    assert words in problem


def test_every_problem_at_once() -> None:
    found = problems_of(
        "y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])",  # mended
        "z:bf16[B,F]{U_X} = relu(y)",
        "v:bf16[B_Q] = relu(t:bf16[B])",
    )
    assert [problem.split(":")[1] for problem in found] == ["2", "3"]


@pytest.mark.parametrize(
    "lines",
    [
        ["y:bf16[B,F] = matmull(x:bf16[B,D_X], w:bf16[D,F])"],
        ["y:bf16[B,F] = matmul(x:bf16[B,D_Q], w:bf16[D,F])"],
        ["y:bf16[B,Q] = matmul(x:bf16[B,D_X], w:bf16[D,Q])"],
        ["y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D])"],
        ["y:bf16[B,F] = matmul(x:bf16[B,D_X])"],
        ["y:bf16[P_Y] = relu(x:bf16[P])"],
        ["y:bf16[B,F]{U_X} = relu(x:bf16[B,F])"],
    ],
)
def test_the_planner_leaves_what_is_wrong_for_the_binding(lines: list[str]) -> None:
    graph = parse_graph(lines, DIMS)
    assert plan_sharding(graph, XY) is graph
    with pytest.raises(SpecError):
        bind(graph, XY)


def test_a_broken_dim_or_mesh_is_left_for_the_binding() -> None:
    line = "y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])"
    broken = parse_graph([line], {"B": 64, "D": -8, "F": 8})
    assert plan_sharding(broken, XY) is broken
    sound = parse_graph([line], DIMS)
    empty = System(XY.chip, XY.topology, Mesh({"X": 0}))
    assert plan_sharding(sound, empty) is sound


def test_more_chips_than_key_value_heads_need_nothing() -> None:
    """Four chips share two key-value heads that each of them has: its 8 query heads of 32 are served by one of them."""
    line = "o:bf16[H_Y,T,K] = attention(q:bf16[H_Y,T,K], k:bf16[2,S,K], v:bf16[2,S,K])"
    assert lines_of(line) == [line]
    (kernel,) = bind(parse_graph([line], DIMS), XY)
    assert [access.nbytes for access in kernel.reads] == [8 * 16 * 64 * 2, 16 * 64 * 2, 16 * 64 * 2]
    assert kernel.flops == 8 * 16 * 16 * (4 * 64 + 5)


def test_a_dim_that_does_not_divide_on_the_way_is_gathered_first() -> None:
    dims = {"B": 4, "F": 8}
    assert lines_of("y:bf16[B_Y,F] = relu(x:bf16[B_X,F])", dims=dims) == [
        "x.gathered:bf16[B,F] = all_gather(x:bf16[B_X,F], over=X)",
        "x.sliced:bf16[B_Y,F] = slice(x.gathered, over=Y)",
        "y:bf16[B_Y,F] = relu(x.sliced)",
    ]


# What the new ops cost


def test_an_all_to_all_moves_its_bytes() -> None:
    graph = parse_graph(
        ["y:bf16[B_X,F_Y] = slice(x:bf16[B,F_Y], over=X)", "z:bf16[B_Y,F_X] = all_to_all(y, over=XY)"], DIMS
    )
    (exchange,) = bind(graph, XY)
    local = 64 * 256 * DTYPE_BYTES["bf16"] / 8
    assert exchange.hbm_bytes == 2 * local
    assert exchange.communication is not None
    assert (exchange.communication.kind, exchange.communication.axes) == ("all_to_all", "XY")
    assert exchange.communication.nbytes == 8 * local  # the array of all chips of the group


@pytest.mark.parametrize("kind", ["slice", "all_to_all"])
def test_a_resharding_needs_its_axes(kind: str) -> None:
    assert f"{kind} needs over=" in problems_of(f"y:bf16[B] = {kind}(x:bf16[B])")[0]


SCENARIO = """\
name: uneven
about: Ten rows over four chips.
system: {chip: h100_sxm, topology: switch(4), mesh: {X: 4}}
workload:
  uneven: %s
  dims: {B: 10, D: 128, F: 256}
  ops:
    - y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F])
expect: {flops: 196608}
"""


def test_a_scenario_says_what_becomes_of_uneven_shards(tmp_path: Path) -> None:
    path = tmp_path / "uneven.yaml"
    path.write_text(SCENARIO % "pad")
    assert load_scenario(str(path)).graph.uneven == "pad"
    assert scenarios.run(str(path)).summary["flops"] == 2 * 3 * 128 * 256
    for word, message in (
        ("refuse", "8:30: dim B = 10 does not divide over the 4 chips of X; uneven shards are refused unless"),
        ("round", "5:11: "),
    ):
        path.write_text(SCENARIO % word)
        with pytest.raises(SpecError, match=re.escape(message)):
            load_scenario(str(path))


@pytest.mark.parametrize(
    ("line", "elements"),
    [
        # P is 10: 3 elements on each of the 4 chips of Y, 2 on each of all 8
        ("y:bf16[P] = all_gather(x:bf16[P_Y], over=Y)", 4 * 3),
        ("y:bf16[P] = all_gather(x:bf16[P_XY], over=XY)", 8 * 2),
        ("y:bf16[P_Y] = all_gather(x:bf16[P_XY], over=X)", 2 * 2),
        ("y:bf16[P,B] = all_gather(x:bf16[P_Y,B], over=Y)", 4 * 3 * 64),
        ("y:bf16[B,P] = all_gather(x:bf16[B_X,P_Y], over=XY)", 4 * 3 * 64),
        ("y:bf16[P_Y] = reduce_scatter(x:bf16[P]{U_Y}, over=Y)", 4 * 3),
        ("y:bf16[P_Y,B] = reduce_scatter(x:bf16[P,B]{U_Y}, over=Y)", 4 * 3 * 64),
        ("y:bf16[P] = gather_to(x:bf16[P_Y], over=Y)", 4 * 3),
        ("y:bf16[P_Y] = scatter(x:bf16[P], over=Y)", 4 * 3),
        # 3 x 64/4 elements to each, 16 times; then 3 x 3, since the other dim is padded too
        ("y:bf16[P,B_Y] = all_to_all(x:bf16[P_Y,B], over=Y)", 16 * 3 * 16),
        ("y:bf16[10,P_Y] = all_to_all(x:bf16[10_Y,P], over=Y)", 16 * 3 * 3),
        # on the chips of X alone: 2 x 5 elements of the 3 x 10 of each; padded to 4 x 10 in all
        ("y:bf16[P_Y,10_X] = all_to_all(x:bf16[P_XY,10], over=X)", 2 * 2 * 2 * 5),
        # an array that is summed is not cut by dims
        ("y:bf16[P] = all_reduce(x:bf16[P]{U_Y}, over=Y)", 10),
        # what divides is not padded
        ("y:bf16[B] = all_gather(x:bf16[B_Y], over=Y)", 64),
    ],
)
def test_padded_shards_move_whole(line: str, elements: int) -> None:
    graph = parse_graph([line], DIMS)
    (kernel,) = bind(OpGraph(graph.dims, graph.items, uneven="pad"), XY)
    assert kernel.communication is not None
    assert kernel.communication.nbytes == elements * 2


@pytest.mark.parametrize(
    "line",
    [
        "y:bf16[P,B] = matmul(x:bf16[P_Y,D], w:bf16[D,B])",  # all_gather
        "y:bf16[P_Y,B] = matmul(x:bf16[P,D_Y], w:bf16[D_Y,B])",  # reduce_scatter
    ],
)
def test_what_is_inserted_moves_padded_shards_too(line: str) -> None:
    """Ten rows of 2^21 bf16 in four: 3 rows a chip, so a port carries 3/4 of 12 rows, at 450 GB/s."""
    dims = {**DIMS, "D": 4, "B": 2**21}
    system = many("switch(4)", {"Y": 4}, chip_with("h100_sxm", {"links.nvlink.latency": "0 s"}))
    graph = parse_graph([line], dims)
    result = simulate(OpGraph(graph.dims, graph.items, uneven="pad"), system, RunOptions(overlap="full"))
    collective = next(part for part in result.plan.kernels if part.kernel.communication)
    assert collective.network_s == pytest.approx(3 / 4 * 12 * 2**22 / 450e9, rel=1e-12)


def test_graphs_from_python_say_so_too() -> None:
    build = GraphBuilder(P=10, D=128, F=256)
    build.matmul("x:bf16[P_Y,D]", "w:bf16[D,F]", out="y:bf16[P_Y,F]")
    system = many("switch(4)", {"Y": 4}, "h100_sxm")
    assert bind(build.graph(uneven="pad"), system)[0].flops == 2 * 3 * 128 * 256
    with pytest.raises(SpecError, match="uneven shards are refused"):
        bind(build.graph(), system)
    with pytest.raises(SpecError, match="uneven:1:1: unknown rule 'padded', did you mean 'pad'"):
        build.graph(uneven="padded")  # type: ignore[arg-type]


def test_what_is_cut_by_weights_is_scattered_and_viewed_but_not_passed_on() -> None:
    """A permute moves equal shards; a view of one's own part is no collective."""
    build = GraphBuilder(B=16, F=64)
    build.reduce_scatter("x:bf16[B,F]{U_Y}", out="y:bf16[B_Y,F]", over="Y")
    build.slice("v:bf16[B,F]", out="s:bf16[B_Y,F]", over="Y")
    build.relu("s", out="z:bf16[B_Y,F]")
    build.permute("z", out="q:bf16[B_Y,F]", over="Y")
    with pytest.raises(SpecError) as caught:
        bind(build.graph(split={"Y": [3, 1, 1, 1]}), many("switch(4)", {"Y": 4}, "h100_sxm"))
    assert str(caught.value).splitlines() == ["ops:4:25: permute moves equal shards, z is cut unevenly over Y"]


NOTHING_INSERTED = """\
name: written
about: The partial sums of y are nowhere reduced, and z is no op kind.
system: {chip: h100_sxm, topology: switch(4), mesh: {X: 4}}
workload:
  dims: {B: 16, D: 128, F: 256}
  ops:
    - y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F])
    - z:bf16[B,F] = reluu(y)
run: {sharding: %s}
"""


def test_where_nothing_is_inserted_a_missing_collective_is_refused_before_the_run(tmp_path: Path) -> None:
    path = tmp_path / "written.yaml"
    for mode, places in (("written", ["7:7", "8:21"]), ("canonical", ["8:21"]), ("auto", ["8:21"])):
        path.write_text(NOTHING_INSERTED % mode)
        with pytest.raises(SpecError) as caught:
            load_scenario(str(path))
        found = [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]
        assert [":".join(problem.split(":")[:2]) for problem in found] == places
        if mode == "written":
            assert "the output is a partial sum over X" in found[0]
