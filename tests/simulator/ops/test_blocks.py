"""Blocks: as many rounds as a dim says, walked backwards, tensors of other rounds, waiting for an earlier round.

What a block means is compared with the same program written out line by line.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis import op_figures
from hw import SpecError
from scenarios import Outcome, load_scenario
from scenarios.cli import app
from simulator import GraphBuilder, OpGraph, RunOptions, parse_graph, print_items, simulate
from tests.support.strategies import many, one

DIMS = {"B": 512, "D": 1024, "F": 4096, "L": 2}
START = "x:bf16[B,D] = copy(t:bf16[B,D])"
FORWARD: dict[str, Any] = {
    "repeat": "L",
    "carry": {"x": "y"},
    "ops": ["h:bf16[B,F] = matmul(x, w:bf16[D,F])", "y:bf16[B,D] = matmul(h, v:bf16[F,D])"],
}
TURN = "dy:bf16[B,D] = copy(y)"
BACKWARD: dict[str, Any] = {
    "repeat": "L",
    "reverse": True,
    "carry": {"dy": "dx"},
    "ops": [
        "dh:bf16[B,F] = matmul(dy, v@round)",
        "dv:bf16[F,D] = matmul(h@round, dy)",
        "dw:bf16[D,F] = matmul(x@round, dh)",
        "dx:bf16[B,D] = matmul(dh, w@round)",
    ],
}
TRAINING = [START, FORWARD, TURN, BACKWARD]
BY_HAND = [
    START,
    "h.0:bf16[B,F] = matmul(x, w.0:bf16[D,F])",
    "y.0:bf16[B,D] = matmul(h.0, v.0:bf16[F,D])",
    "h.1:bf16[B,F] = matmul(y.0, w.1:bf16[D,F])",
    "y.1:bf16[B,D] = matmul(h.1, v.1:bf16[F,D])",
    "dy:bf16[B,D] = copy(y.1)",
    "dh.1:bf16[B,F] = matmul(dy, v.1)",
    "dv.1:bf16[F,D] = matmul(h.1, dy)",
    "dw.1:bf16[D,F] = matmul(y.0, dh.1)",
    "dx.1:bf16[B,D] = matmul(dh.1, w.1)",
    "dh.0:bf16[B,F] = matmul(dx.1, v.0)",
    "dv.0:bf16[F,D] = matmul(h.0, dx.1)",
    "dw.0:bf16[D,F] = matmul(x, dh.0)",
    "dx.0:bf16[B,D] = matmul(dh.0, w.0)",
]


def flat(*items: Any, **dims: int) -> list[Any]:
    return print_items(parse_graph(list(items), {**DIMS, **dims}).flat())


def problem(*items: Any, **dims: int) -> str:
    """All that is wrong with some items, on one chip."""
    with pytest.raises(SpecError) as error:
        simulate(parse_graph(list(items), {**DIMS, **dims}), one())
    return str(error.value)


def test_a_backward_pass_is_a_block_walked_backwards() -> None:
    assert flat(*TRAINING) == BY_HAND


def test_blocks_print_back_in_the_words_they_were_read_from() -> None:
    graph = parse_graph(TRAINING, DIMS)
    assert print_items(graph.items) == TRAINING
    assert parse_graph(print_items(graph.items), DIMS) == graph


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_blocks_run_as_their_lines_do(layers: int) -> None:
    """So much arithmetic: two matmuls of 2BDF forward and four backward in each layer."""
    graph = parse_graph(TRAINING, {**DIMS, "L": layers})
    result = simulate(graph, one(), RunOptions(overlap="full"))
    by_hand = simulate(OpGraph(graph.dims, graph.flat()), one(), RunOptions(overlap="full"))
    assert (result.begin_ps, result.end_ps) == (by_hand.begin_ps, by_hand.end_ps)
    flops = sum(planned.kernel.matrix_flops for planned in result.plan.kernels)
    assert flops == layers * 6 * 2 * DIMS["B"] * DIMS["D"] * DIMS["F"]


def test_a_round_of_a_block_is_within_reach_after_it() -> None:
    lines = flat(START, FORWARD, "s:bf16[B,D] = add(y@0, y@1)", "z:bf16[B,D] = add(s, x@1)", L=3)
    assert lines[-2:] == ["s:bf16[B,D] = add(y.0, y.1)", "z:bf16[B,D] = add(s, y.0)"]


def test_without_a_round_a_name_is_what_the_last_turn_made() -> None:
    assert flat(*TRAINING, "z:bf16[B,D] = relu(dx)")[-1] == "z:bf16[B,D] = relu(dx.0)"


def test_ops_wait_for_an_earlier_round_where_there_is_one() -> None:
    """At most two copies at once: the copy of a round waits for what used the copy of two rounds before."""
    block = {
        "repeat": 4,
        "ops": [
            "c:bf16[B] = copy(p:bf16[B]@host, queue=in, after=[u@round-2])",
            "u:bf16[B] = relu(c)",
        ],
    }
    waits = [line.partition("queue=in")[2] for line in flat(block) if "copy" in line]
    assert waits == [")", ")", ", after=[u.0])", ", after=[u.1])"]


def test_backwards_the_earlier_round_has_the_higher_number() -> None:
    block = {"repeat": 3, "reverse": True, "ops": ["a:bf16[B] = relu(p:bf16[B], after=a@round+1)"]}
    assert flat(block) == [
        "a.2:bf16[B] = relu(p.2:bf16[B])",
        "a.1:bf16[B] = relu(p.1:bf16[B], after=a.2)",
        "a.0:bf16[B] = relu(p.0:bf16[B], after=a.1)",
    ]


def test_rounds_within_rounds() -> None:
    """Two microbatches of two layers each: the backward layers of a microbatch use its own forward layers."""
    forward = {"repeat": 2, "carry": {"x": "y"}, "ops": ["y:bf16[B] = relu(x)"]}
    backward = {"repeat": 2, "reverse": True, "carry": {"g": "d"}, "ops": ["d:bf16[B] = add(g, y@round)"]}
    micro = {"repeat": 2, "ops": ["x:bf16[B] = copy(t:bf16[B])", forward, "g:bf16[B] = copy(y)", backward]}
    lines = flat(micro, "z:bf16[B] = add(d@0.1, y@1)")
    assert lines[4:6] == ["d.0.1:bf16[B] = add(g.0, y.0.1)", "d.0.0:bf16[B] = add(d.0.1, y.0.0)"]
    assert lines[10:] == [
        "d.1.1:bf16[B] = add(g.1, y.1.1)",
        "d.1.0:bf16[B] = add(d.1.1, y.1.0)",
        "z:bf16[B] = add(d.0.1, y.1.1)",
    ]


def test_a_round_stands_for_the_block_that_both_ops_are_in() -> None:
    inner = {"repeat": 2, "ops": ["b:bf16[B] = relu(q:bf16[B], after=a@round-1)"]}
    block = {"repeat": 2, "ops": ["a:bf16[B] = relu(p:bf16[B])", inner]}
    assert [line for line in flat(block) if "after" in line] == [
        "b.1.0:bf16[B] = relu(q.1.0:bf16[B], after=a.0)",
        "b.1.1:bf16[B] = relu(q.1.1:bf16[B], after=a.0)",
    ]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("z:bf16[B,D] = relu(y@2)", "ops:3:20: y@2: there is no round 2 of 'y', its rounds are 0 to 1"),
        (
            "z:bf16[B,D] = relu(y@round)",
            "ops:3:20: y@round: 'round' is that of a block around the op, and there is none",
        ),
        ("z:bf16[B,D] = relu(t@0)", "ops:3:20: t@0: 't' stands in no block, so it has no rounds"),
        ("z:bf16[B,D] = relu(y@0.1)", "ops:3:20: y@0.1: 'y' stands in 1 block, not in 2"),
        ("z:bf16[B,D] = relu(y@)", "ops:3:21: expected a round after 'y@': a number, round, round-1 or round+1"),
        ("z:bf16[B,D] = relu(y@last)", "ops:3:21: expected a round after 'y@'"),
        ("z@0:bf16[B,D] = relu(y)", "ops:3:1: an op makes 'z' in every round; only inputs are of a round"),
        ("z:bf16[B,D] = relu(y, after=h@7)", "h@7: there is no round 7 of 'h'"),
        ("z:bf16[B,D] = relu(y, after=hh@0)", "unknown op 'hh', did you mean 'h'?"),
        ("z:bf16[B,D] = relu(y, after=h@)", "after= wants names of ops; expected a round after 'h@'"),
    ],
)
def test_a_round_that_is_not_there_is_told_at_its_place(item: str, message: str) -> None:
    assert message in problem(START, FORWARD, item)


def test_what_comes_later_cannot_be_used() -> None:
    block = {"repeat": 3, "ops": ["a:bf16[B] = relu(p:bf16[B])", "b:bf16[B] = relu(a@round+1)"]}
    found = problem(block)
    assert "a@round+1: 'a' of round 1 is made later than round 0 asks for it" in found
    assert "a@round+1: there is no round 3 of 'a', its rounds are 0 to 2" in found
    both = problem({"repeat": 2, "ops": ["a:bf16[B] = relu(p:bf16[B], after=b@round)", "b:bf16[B] = relu(a)"]})
    assert "b@round: 'b' of round 0 is made later than round 0 asks for it" in both


def test_rounds_by_a_dim_that_is_not_there() -> None:
    assert "unknown dim 'LL', did you mean 'L'?" in problem(START, {**FORWARD, "repeat": "LL"})
    assert "more than 100000 rounds are refused" in problem(START, FORWARD, L=100_001)
    assert "the block has 1200000 ops; more than 1000000 are refused" in problem(
        {"repeat": "L", "ops": [{"repeat": "D", "ops": ["a:bf16[B] = relu(p:bf16[B])"]}]}, L=1000, D=1200
    )
    for count in (0, -1, True, 2.5, "2*L", "", None, [2]):
        assert "repeat wants a whole number from 1 to 100000, or the name of a dim" in problem(
            START, {**FORWARD, "repeat": count}
        )
    assert "reverse wants true or false" in problem(START, {**FORWARD, "reverse": "yes"})


def test_from_python_as_in_a_file() -> None:
    g = GraphBuilder(**DIMS)
    g.copy("t:bf16[B,D]", out="x:bf16[B,D]")
    with g.repeat("L", x="y"):
        g.matmul("x", "w:bf16[D,F]", out="h:bf16[B,F]")
        g.matmul("h", "v:bf16[F,D]", out="y:bf16[B,D]")
    g.copy("y", out="dy:bf16[B,D]")
    with g.repeat("L", reverse=True, dy="dx"):
        g.matmul("dy", "v@round", out="dh:bf16[B,F]")
        g.matmul("h@round", "dy", out="dv:bf16[F,D]")
        g.matmul("x@round", "dh", out="dw:bf16[D,F]")
        g.matmul("dh", "w@round", out="dx:bf16[B,D]")
    assert g.graph() == parse_graph(TRAINING, DIMS)


def test_a_forward_activation_is_gathered_in_each_round_for_itself() -> None:
    """The matmul needs all of D of y, which is sharded: an all-gather a round, and the second block has its own."""
    forward = {"repeat": 2, "carry": {"x": "y"}, "ops": ["y:bf16[B,D_X] = relu(x)"]}
    first, second = (
        {"repeat": 2, "reverse": True, "ops": [f"{name}:bf16[B,F_X] = matmul(y@round, {weights})"]}
        for name, weights in (("g", "u:bf16[D,F_X]"), ("k", "u"))
    )
    graph = parse_graph(["x:bf16[B,D_X] = copy(t:bf16[B,D_X])", forward, first, second], DIMS)
    result = simulate(graph, many("ring(4)", {"X": 4}))
    gathers = {op.name: op.inputs[0].name for op in result.plan.graph.flat() if op.kind == "all_gather"}
    readers = {op.name: gathers[op.inputs[0].name] for op in result.plan.graph.flat() if op.kind == "matmul"}
    assert readers == {"g.1": "y.1", "g.0": "y.0", "k.1": "y.1", "k.0": "y.0"}
    assert len(gathers) == 4


@given(st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_every_round_of_every_block_is_there_once(outer: int, inner: int, reverse: bool) -> None:
    block = {"repeat": "F", "reverse": reverse, "ops": ["a:bf16[B] = relu(p:bf16[B])"]}
    names = [line.partition(":")[0] for line in flat({"repeat": "D", "ops": [block]}, D=outer, F=inner)]
    turns = range(inner)[:: -1 if reverse else 1]
    assert names == [f"a.{i}.{j}" for i in range(outer) for j in turns]


@given(st.integers(1, 4), st.sampled_from(["none", "elementwise"]))
def test_names_asked_for_alone_are_those_of_ops_and_kernels(rounds: int, fuse: str) -> None:
    """So are the tensors that are taken in, and all of a kernel that is no name."""
    graph = replace(parse_graph(TRAINING, {**DIMS, "L": rounds}), fuse=fuse)
    ops, made = graph.flat(), graph.unrolled
    assert list(made.names()) == [op.name for op in ops]
    read = {tensor.name: tensor for op in ops for tensor in op.inputs}
    assert {each.name: each for each in made.taken()} == {
        name: tensor for name, tensor in read.items() if name not in set(made.names())
    }
    kernels = simulate(graph, one(), RunOptions(overlap="full")).plan.kernels
    assert list(kernels.names()) == [each.kernel.name for each in kernels]
    assert list(kernels.bases()) == [each.kernel.base for each in kernels]
    told = [(each.kernel.kind, each.queue, each.times_s, each.chips) for each in kernels]
    assert [(each.kernel.kind, each.queue, each.times_s, each.chips) for each in kernels.every_sort()] == told


def pipeline(stages: int, microbatches: int) -> list[str]:
    """GPipe written out, a line for every stage of every microbatch."""
    lines = []
    work = "flops=4e11 FLOP, unit=matrix"
    for m in range(microbatches):
        for s in range(stages):
            x = f"x.{m}:bf16[1]" if not s else f"r{s}.{m}"
            if s:
                hop = f"from={s - 1}, to={s}, queue="
                lines.append(f"s{s}.{m}:bf16[1] = send(f{s - 1}.{m}, {hop}out)")
                lines.append(f"r{s}.{m}:bf16[1] = recv({hop}in)")
            lines.append(f"f{s}.{m}:bf16[1] = custom({x}, {work}, on={s})")
    for m in reversed(range(microbatches)):
        for s in reversed(range(stages)):
            x = f"f{s}.{m}" if s == stages - 1 else f"q{s}.{m}"
            if s < stages - 1:
                hop = f"from={s + 1}, to={s}, queue="
                lines.append(f"t{s}.{m}:bf16[1] = send(b{s + 1}.{m}, {hop}out)")
                lines.append(f"q{s}.{m}:bf16[1] = recv({hop}in)")
            lines.append(f"b{s}.{m}:bf16[1] = custom({x}, {work}, on={s})")
    return lines


@pytest.mark.parametrize(("stages", "microbatches"), [(2, 1), (3, 4), (4, 2)])
def test_a_pipeline_there_and_back_is_two_blocks_of_hops(stages: int, microbatches: int) -> None:
    work = "flops=4e11 FLOP, unit=matrix"
    there = {
        "repeat": "H",
        "carry": {"first": "f"},
        "ops": [
            "s:bf16[1] = send(first, from=round, to=round+1, queue=out)",
            "r:bf16[1] = recv(from=round, to=round+1, queue=in)",
            f"f:bf16[1] = custom(r, {work}, on=round+1)",
        ],
    }
    back = {
        "repeat": "H",
        "reverse": True,
        "carry": {"last": "b"},
        "ops": [
            "t:bf16[1] = send(last, from=round+1, to=round, queue=out)",
            "q:bf16[1] = recv(from=round+1, to=round, queue=in)",
            f"b:bf16[1] = custom(q, {work}, on=round)",
        ],
    }
    items = [
        {"repeat": microbatches, "ops": [f"first:bf16[1] = custom(x:bf16[1], {work}, on=0)", there]},
        {
            "repeat": microbatches,
            "reverse": True,
            "ops": [f"last:bf16[1] = custom(f@round.{stages - 2}, {work}, on={stages - 1})", back],
        },
    ]
    system = many(f"line({stages})", {"P": stages}, "tpu_v5p")
    blocks = simulate(parse_graph(items, {"H": stages - 1}), system)
    lines = simulate(parse_graph(pipeline(stages, microbatches), {}), system)
    assert (blocks.begin_ps, blocks.end_ps) == (lines.begin_ps, lines.end_ps)
    assert print_items(parse_graph(items, {}).items) == items


def test_options_that_are_numbers_may_say_which_round() -> None:
    block = {"repeat": 3, "ops": ["a:bf16[1] = custom(x:bf16[1], time=1 ms, on=[round, round+1], priority=round-1)"]}
    said = [line.partition("time=1 ms, ")[2] for line in flat(block)]
    assert said == [f"on=[{at}, {at + 1}], priority={at - 1})" for at in range(3)]
    names = {"repeat": 1, "ops": ["round:bf16[1] = custom(x:bf16[1], time=1 ms, queue=round)"]}
    assert flat(names) == ["round.0:bf16[1] = custom(x.0:bf16[1], time=1 ms, queue=round)"]  # names are names


def test_a_round_that_leads_out_of_the_system_is_told() -> None:
    block = {"repeat": 4, "ops": ["a:bf16[1] = custom(x:bf16[1], time=1 ms, on=round+1)"]}
    with pytest.raises(SpecError, match="there is no chip 4; the system has chips 0 to 3"):
        simulate(parse_graph([block], {}), many("line(4)", {"P": 4}))
    before = {"repeat": 2, "ops": ["a:bf16[1] = custom(x:bf16[1], time=1 ms, on=round-1)"]}
    with pytest.raises(SpecError, match="'-1' will not do: on= wants 0 or more"):
        simulate(parse_graph([before], {}), many("line(4)", {"P": 4}))
    assert "'round' will not do: on= wants a whole number" in problem(
        "a:bf16[1] = custom(x:bf16[1], time=1 ms, on=round)"
    )


def test_what_is_called_like_a_round_is_none() -> None:
    """Rounds are known from their block, not from dots in names: a.1 is a name like any other."""
    lines = [
        "a.1:bf16[B] = relu(x:bf16[B])",
        "a:bf16[B] = relu(a.1)",
        "b:bf16[B] = gelu(a)",
        "a.2:bf16[B] = relu(b)",
    ]
    graph = replace(parse_graph(lines, DIMS), fuse=[["a", "b"]])
    rows = op_figures(simulate(graph, one()))
    assert [(row.name, row.base) for row in rows] == [("a.1", "a.1"), ("a+b", "a+b"), ("a.2", "a.2")]
    block = {"repeat": 2, "carry": {"x": "b"}, "ops": ["a:bf16[B] = relu(x:bf16[B])", "b:bf16[B] = gelu(a)"]}
    graph = replace(parse_graph([block, "c.0:bf16[B] = relu(b)"], DIMS), fuse=[["a", "b"]])
    rows = op_figures(simulate(graph, one()))
    assert [(row.name, row.base) for row in rows] == [("a.0+b.0", "a+b"), ("a.1+b.1", "a+b"), ("c.0", "c.0")]


SCENARIO = """\
name: layers
system: {chip: tpu_v5e}
workload:
  dims: {B: 512, D: 1024, F: 1024, L: 2}
  ops:
    - repeat: L
      carry: {x: y}
      ops:
        - h:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])
        - y:bf16[B,D] = matmul(h, v:bf16[F,D])
run: {overlap: full}
study: {vary: {workload.dims.L: [1, 2, 8]}}
expect: {flops: 4294967296 FLOP}     # 2 layers of 2 x 2BDF
"""


def test_a_study_changes_how_many_rounds_there_are(tmp_path: Path) -> None:
    file = tmp_path / "layers.yaml"
    file.write_text(SCENARIO)
    outcome = Outcome(load_scenario(str(file)))
    assert {verdict.holds for verdict in outcome.verdicts} == {True}
    flops = [row.words["flops"] for row in outcome.rows]
    assert flops == [layers * 4 * 512 * 1024 * 1024 for layers in (1, 2, 8)]
    found = CliRunner().invoke(app, ["run", str(file), "--set", "workload.dims.L=0"])
    assert found.exit_code == 2
    assert found.stderr.splitlines() == ["--set:1:17: dim L is 0; it must be from 1 to 1e+15"]  # told once


def test_the_graph_is_explained_in_the_words_of_the_language(tmp_path: Path) -> None:
    file = tmp_path / "back.yaml"
    head, _, _ = SCENARIO.replace("carry: {x: y}", "reverse: true").partition("study:")
    file.write_text(head.replace("v:bf16[F,D])", "v:bf16[F,D], after=h@round+1)"))
    shown = CliRunner().invoke(app, ["explain", str(file)]).stdout
    assert "repeat L, from the last round to the first:" in shown
    assert "after=h@round+1" in shown


def test_a_block_that_is_open_is_no_graph_yet() -> None:
    """What stands outside it would be missing, and only what is inside would run."""
    g = GraphBuilder(B=8, D=8)
    g.relu("x:bf16[B,D]", out="a:bf16[B,D]")
    with g.repeat(3, a="b"):
        g.gelu("a", out="b:bf16[B,D]")
        with pytest.raises(SpecError, match="a block of repeat is open"):
            g.graph()
    with pytest.raises(KeyError), g.repeat(2):
        raise KeyError("a mistake of the user's ends the block")
    assert len(g.graph().items) == 2


def test_what_is_carried_is_told_how_to_be_written() -> None:
    g = GraphBuilder(B=8, D=8)
    wrong: dict[str, Any] = {"carry": {"x": "y"}}
    told = r"carry=\{'x': 'y'\}: what is carried is written repeat\(3, x='y'\)"
    with pytest.raises(SpecError, match=told), g.repeat(3, **wrong):
        pass
    assert repr(g) == "GraphBuilder(0 lines, B=8, D=8)"
