"""The own shard of a whole dim is a view: no kernel, no time, no launch, no memory, and no say in what waits for what.

Law: a program with a view takes as long, and holds as much, as the same program whose ops read that much of the tensor
behind it; what reads a view waits for who made the tensor, on the chips that have it.
"""

from __future__ import annotations

import pytest

from analysis.runs import holdings, memory_peaks
from simulator import RunOptions, bind, bind_op, parse_graph, plan_sharding, print_items
from tests.support.planning import DIMS, XY, lines_of, planned, problems_of
from tests.support.strategies import many, run

RING = many("ring(4)", {"X": 4})
LINES = [
    "a:bf16[B,F] = relu(x:bf16[B,F])",
    "s:bf16[B_X,F] = slice(a, over=X)",
    "y:bf16[B_X,F] = gelu(s)",
]


@pytest.mark.parametrize("launch_s", [0.0, 3e-6])
def test_a_view_takes_no_time_and_no_launch(launch_s: float) -> None:
    """Reading and writing 64 x 256 in bf16, then a quarter of it, at 8.2e11 B/s; one launch each."""
    result = run(LINES, DIMS, RING, RunOptions(overlap="full", launch_s=launch_s))
    assert [planned.kernel.name for planned in result.plan.kernels] == ["a", "y"]
    nbytes = 2 * 64 * 256 * 2
    want = (nbytes + nbytes / 4) / RING.chip.hbm.bytes_per_s + 2 * launch_s
    assert result.time_s == pytest.approx(want, abs=2e-12)


def test_what_reads_a_view_reads_its_own_bytes_of_the_tensor_behind() -> None:
    first, second = bind(parse_graph(LINES, DIMS), RING)
    assert [access.tensor for access in (*first.reads, *first.writes)] == ["x", "a"]
    (access,) = second.reads
    assert (access.tensor, access.nbytes) == ("a", 2 * 64 * 256 / 4)


def test_a_view_of_a_view_is_one_of_the_first_tensor() -> None:
    lines = [*LINES[:2], "t:bf16[B_XY,F] = slice(s, over=Y)", "y:bf16[B_XY,F] = gelu(t, after=[t])"]
    _, last = bind(parse_graph(lines, DIMS), XY)
    assert [access.tensor for access in last.reads] == ["a"]
    assert last.schedule.after == ("a",)


def test_a_tensor_lives_as_long_as_its_views_and_they_hold_nothing() -> None:
    """b comes between a and the reader of its shard: a is still there, and is counted once."""
    lines = [*LINES[:2], "b:bf16[B,F] = relu(v:bf16[B,F])", "y:bf16[B_X,F] = add(s, c:bf16[B_X,F], after=[b])"]
    result = run(lines, DIMS, RING, RunOptions(overlap="full"))
    held = {hold.tensor: hold for hold in holdings(result) if hold.chip == 0}
    assert set(held) == {"x", "v", "c", "a", "b", "y"}
    assert held["a"].end_s == result.time_s
    whole = 2 * 64 * 256
    assert memory_peaks(result)[0] == 2 * whole + whole / 4 + 2 * whole + whole / 4  # inputs, a and b, y


def test_a_view_runs_where_its_tensor_is() -> None:
    lines = [
        "t:bf16[B,F] = send(x:bf16[B,F], from=0, to=2)",
        "r:bf16[B,F] = recv(from=0, to=2)",
        "s:bf16[B_X,F] = slice(r, over=X)",
        "y:bf16[B_X,F] = gelu(s)",
    ]
    result = run(lines, DIMS, RING, RunOptions(overlap="full"))
    assert result.plan.kernels[-1].chips == (2,)
    ends = {planned.kernel.name: result.end_ps[at] for at, planned in enumerate(result.plan.kernels[:1])}
    assert min(result.begin_ps[1:]) >= ends["t"]


def test_a_carried_view_is_seen_through_in_every_round() -> None:
    block = {
        "repeat": 3,
        "carry": {"x": "y"},
        "ops": ["s:bf16[B_X,F] = slice(x, over=X)", "y:bf16[B,F] = all_gather(s, over=X)"],
    }
    kernels = bind(parse_graph(["x:bf16[B,F] = copy(i:bf16[B,F])", block], DIMS), RING)
    assert [kernel.name for kernel in kernels] == ["x", "y.0", "y.1", "y.2"]
    assert [kernel.reads[0].tensor for kernel in kernels] == ["i", "x", "y.0", "y.1"]


def test_an_inserted_view_has_no_options_and_what_comes_after_it_waits() -> None:
    """z is sliced over X and gathered over Y, which the softmax wants whole: of the two the gather waits for a."""
    lines = [
        "a:bf16[B,F] = relu(x:bf16[B,F])",
        "y:bf16[B_X,F] = softmax(z:bf16[B,F_Y], after=a, chunks=2, priority=3, on=[0, 1, 2, 3, 4, 5, 6, 7])",
    ]
    view, gather, last = lines_of(*lines)[1:]
    assert view == "z.sliced:bf16[B_X,F_Y] = slice(z:bf16[B,F_Y], over=X)"
    issued = "after=a, chunks=2, priority=3, on=[0, 1, 2, 3, 4, 5, 6, 7]"
    assert gather == f"z.gathered:bf16[B_X,F] = all_gather(z.sliced, over=Y, {issued})"
    assert last == f"y:bf16[B_X,F] = softmax(z.gathered, {issued})"


def test_a_view_costs_the_planner_nothing() -> None:
    graph = parse_graph(LINES, DIMS)
    view = graph.flat()[1]
    assert bind_op(view, graph, RING) == []
    lines = ["y:bf16[B_X,F] = relu(x:bf16[B,F])"]
    for mode in ("canonical", "auto"):
        made = plan_sharding(parse_graph(lines, DIMS), RING, mode, lambda _op: 1.0)
        assert print_items(made.items)[0] == "x.sliced:bf16[B_X,F] = slice(x:bf16[B,F], over=X)"
    assert len(bind(planned(parse_graph(lines, DIMS)), XY)) == 1


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("y:bf16[B_X,F] = slice(x:bf16[B,F], over=X, on=0)", 44, "on= belongs to the op that reads it"),
        ("y:bf16[B_X,F] = slice(x:bf16[B,F], over=X, queue=q)", 44, "queue= belongs to the op that reads it"),
        ("y:bf16[B_X,F] = slice(x:bf16[B,F]@host, over=X)", 1, "a view and stays where x is, @host"),
        ("y:bf16[B_X,F] = slice(x:bf16[B,F])", 17, "slice needs over="),
    ],
)
def test_what_a_view_cannot_do_is_refused(line: str, column: int, words: str) -> None:
    (problem,) = problems_of(line)
    assert problem.startswith(f"ops:1:{column}: "), problem
    assert words in problem
