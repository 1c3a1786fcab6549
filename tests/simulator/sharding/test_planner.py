"""The sharding planner: what it inserts, by the printed graph, and under which names and options.

Source: "How to Scale Your Model", chapter on sharding: the four cases of a sharded matmul.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hw import System
from simulator import Op, OpGraph, bind_op, parse_graph, plan_sharding, print_items
from tests.support.planning import DIMS, MODES, XY, bytes_cost, lines_of, problems_of
from tests.support.strategies import many

# The textbook's cases

CASES: dict[str, tuple[str, list[str]]] = {
    "1: nothing contracted is sharded": (
        "y:bf16[B_X,F_Y] = matmul(x:bf16[B_X,D], w:bf16[D,F_Y])",
        ["y:bf16[B_X,F_Y] = matmul(x:bf16[B_X,D], w:bf16[D,F_Y])"],
    ),
    "1, and the result is wanted whole": (
        "y:bf16[B,F] = matmul(x:bf16[B_X,D], w:bf16[D,F])",
        [
            "y.local:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F])",
            "y:bf16[B,F] = all_gather(y.local, over=X)",
        ],
    ),
    "2: one input is sharded along the contraction": (
        "y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])",
        [
            "x.gathered:bf16[B,D] = all_gather(x:bf16[B,D_X], over=X)",
            "y:bf16[B,F] = matmul(x.gathered, w:bf16[D,F])",
        ],
    ),
    "2, over two axes": (
        "y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D_XY,F])",
        [
            "w.gathered:bf16[D,F] = all_gather(w:bf16[D_XY,F], over=XY)",
            "y:bf16[B,F] = matmul(x:bf16[B,D], w.gathered)",
        ],
    ),
    "3: both are sharded alike along the contraction": (
        "y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
        [
            "y.partial:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
            "y:bf16[B,F] = all_reduce(y.partial, over=X)",
        ],
    ),
    "3, and the result is wanted sharded": (
        "y:bf16[B,F_X] = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
        [
            "y.partial:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
            "y:bf16[B,F_X] = reduce_scatter(y.partial, over=X)",
        ],
    ),
    "3, and the result is wanted as it is": (
        "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
        ["y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])"],
    ),
    "3, over one axis of two": (
        "y:bf16[B,F_Y]{U_X} = matmul(x:bf16[B,D_XY], w:bf16[D_XY,F])",
        [
            "y.partial:bf16[B,F]{U_XY} = matmul(x:bf16[B,D_XY], w:bf16[D_XY,F])",
            "y:bf16[B,F_Y]{U_X} = reduce_scatter(y.partial, over=Y)",
        ],
    ),
    "4: one axis on both, the output says which": (
        "y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F_X])",
        [
            "w.gathered:bf16[D,F] = all_gather(w:bf16[D,F_X], over=X)",
            "y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w.gathered)",
        ],
    ),
    "4: the output does not say, the smaller is gathered": (
        "y:bf16[B,F] = matmul(x:bf16[B_X,D], w:bf16[D,F_X])",
        [
            "x.gathered:bf16[B,D] = all_gather(x:bf16[B_X,D], over=X)",
            "y.local:bf16[B,F_X] = matmul(x.gathered, w:bf16[D,F_X])",
            "y:bf16[B,F] = all_gather(y.local, over=X)",
        ],
    ),
    "2 over one axis, 3 over the other": (
        "y:bf16[B,F] = matmul(x:bf16[B,D_XY], w:bf16[D_X,F])",
        [
            "x.gathered:bf16[B,D_X] = all_gather(x:bf16[B,D_XY], over=Y)",
            "y.partial:bf16[B,F]{U_X} = matmul(x.gathered, w:bf16[D_X,F])",
            "y:bf16[B,F] = all_reduce(y.partial, over=X)",
        ],
    ),
    "partial sums that nothing sharded makes": (
        "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D], w:bf16[D,F])",
        [
            "x.sliced:bf16[B,D_X] = slice(x:bf16[B,D], over=X)",
            "w.sliced:bf16[D_X,F] = slice(w:bf16[D,F], over=X)",
            "y:bf16[B,F]{U_X} = matmul(x.sliced, w.sliced)",
        ],
    ),
    "a partial sum goes through a product": (
        "y:bf16[B,F] = matmul(x:bf16[B,D]{U_X}, w:bf16[D,F])",
        [
            "y.partial:bf16[B,F]{U_X} = matmul(x:bf16[B,D]{U_X}, w:bf16[D,F])",
            "y:bf16[B,F] = all_reduce(y.partial, over=X)",
        ],
    ),
    "an own slice": (
        "y:bf16[B_X] = relu(x:bf16[B])",
        ["x.sliced:bf16[B_X] = slice(x:bf16[B], over=X)", "y:bf16[B_X] = relu(x.sliced)"],
    ),
    "a row that must be whole": (
        "y:bf16[B_Y,F_X] = softmax(x:bf16[B_Y,F_X])",
        [
            "x.gathered:bf16[B_Y,F] = all_gather(x:bf16[B_Y,F_X], over=X)",
            "y.local:bf16[B_Y,F] = softmax(x.gathered)",
            "y:bf16[B_Y,F_X] = slice(y.local, over=X)",
        ],
    ),
    "partial sums into what is not linear": (
        "y:bf16[B,F] = gelu(x:bf16[B,F]{U_X})",
        ["x.reduced:bf16[B,F] = all_reduce(x:bf16[B,F]{U_X}, over=X)", "y:bf16[B,F] = gelu(x.reduced)"],
    ),
    "partial sums into what is not linear, sharded": (
        "y:bf16[B,F_X] = gelu(x:bf16[B,F]{U_X})",
        ["x.scattered:bf16[B,F_X] = reduce_scatter(x:bf16[B,F]{U_X}, over=X)", "y:bf16[B,F_X] = gelu(x.scattered)"],
    ),
    "sums stay partial as long as they can": (
        "y:bf16[B] = reduce(x:bf16[B,F_X]{U_Y})",
        [
            "y.partial:bf16[B]{U_XY} = reduce(x:bf16[B,F_X]{U_Y})",
            "y:bf16[B] = all_reduce(y.partial, over=XY)",
        ],
    ),
    "an axis moves": (
        "y:bf16[B,F_X] = gelu(x:bf16[B_X,F])",
        ["x.moved:bf16[B,F_X] = all_to_all(x:bf16[B_X,F], over=X)", "y:bf16[B,F_X] = gelu(x.moved)"],
    ),
    "axes change places": (
        "y:bf16[B_Y,F_X] = copy(x:bf16[B_X,F_Y])",
        ["x.moved:bf16[B_Y,F_X] = all_to_all(x:bf16[B_X,F_Y], over=XY)", "y:bf16[B_Y,F_X] = copy(x.moved)"],
    ),
    "the order of axes means nothing": (
        "y:bf16[B_XY] = relu(x:bf16[B_YX])",
        ["y:bf16[B_XY] = relu(x:bf16[B_YX])"],
    ),
    "what broadcasts is sliced": (
        "y:bf16[B_X,F_Y] = add(x:bf16[B_X,F_Y], b:bf16[F])",
        [
            "b.sliced:bf16[F_Y] = slice(b:bf16[F], over=Y)",
            "y:bf16[B_X,F_Y] = add(x:bf16[B_X,F_Y], b.sliced)",
        ],
    ),
    "keys and values are whole rows": (
        "o:bf16[H,T,K] = attention(q:bf16[H,T,K], k:bf16[H,S_X,K], v:bf16[H,S_X,K])",
        [
            "k.gathered:bf16[H,S,K] = all_gather(k:bf16[H,S_X,K], over=X)",
            "v.gathered:bf16[H,S,K] = all_gather(v:bf16[H,S_X,K], over=X)",
            "o:bf16[H,T,K] = attention(q:bf16[H,T,K], k.gathered, v.gathered)",
        ],
    ),
    "a table sharded over the vocabulary": (
        "y:bf16[B,D] = embedding(t:bf16[V_X,D], i:int32[B])",
        [
            "y.partial:bf16[B,D]{U_X} = embedding(t:bf16[V_X,D], i:int32[B])",
            "y:bf16[B,D] = all_reduce(y.partial, over=X)",
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_textbook_choice(case: str) -> None:
    line, wanted = CASES[case]
    assert lines_of(line) == wanted


@pytest.mark.parametrize("case", CASES)
def test_what_is_mended_is_refused_where_nothing_is_inserted(case: str) -> None:
    line, wanted = CASES[case]
    assert problems_of(line) == []
    assert bool(problems_of(line, sharding="written")) == (len(wanted) > 1)


def ring_cost(graph: OpGraph, system: System) -> Callable[[Op], float]:
    """The textbook's seconds on one wrapped axis of a TPU v5p: V over both directions; 4.59e14 FLOP/s."""

    def cost(op: Op) -> float:
        seconds = 0.0
        for kernel in bind_op(op, graph, system):
            sent = kernel.communication
            seconds += kernel.matrix_flops / 4.59e14
            if sent is not None:
                seconds += {"all_reduce": 2, "all_to_all": 1 / 4}.get(sent.kind, 1) * sent.nbytes / 1.8e11
        return seconds

    return cost


def test_auto_finds_what_is_cheaper_than_the_textbook() -> None:
    """An all_reduce of y takes 5965 us; gathering a, moving b's sharding and gathering y 746 + 746 + 2982 = 4474 us."""
    system = many("ring(4)", {"X": 4}, "tpu_v5p")
    graph = parse_graph(["y:bf16[I,K] = matmul(a:bf16[I,J_X], b:bf16[J_X,K])"], {"I": 8192, "J": 8192, "K": 32768})
    cost = ring_cost(graph, system)
    found = {mode: plan_sharding(graph, system, mode, cost) for mode in MODES}
    assert print_items(found["canonical"].items) == [
        "y.partial:bf16[I,K]{U_X} = matmul(a:bf16[I,J_X], b:bf16[J_X,K])",
        "y:bf16[I,K] = all_reduce(y.partial, over=X)",
    ]
    assert print_items(found["auto"].items) == [
        "a.gathered:bf16[I,J] = all_gather(a:bf16[I,J_X], over=X)",
        "b.moved:bf16[J,K_X] = all_to_all(b:bf16[J_X,K], over=X)",
        "y.local:bf16[I,K_X] = matmul(a.gathered, b.moved)",
        "y:bf16[I,K] = all_gather(y.local, over=X)",
    ]
    network = {mode: sum(cost(op) for op in plan.flat() if op.kind != "matmul") * 1e6 for mode, plan in found.items()}
    assert network == pytest.approx({"canonical": 5965.23, "auto": 4473.92}, rel=1e-5)


def test_auto_needs_a_cost() -> None:
    graph = parse_graph(["y:bf16[B] = relu(x:bf16[B_X])"], DIMS)
    with pytest.raises(ValueError, match="cost"):
        plan_sharding(graph, XY, "auto")


# Blocks


def test_a_block_prints_with_what_was_inserted() -> None:
    ops = ["h:bf16[B,F_X] = matmul(x:bf16[B,D], w:bf16[D,F_X])", "y:bf16[B,D] = matmul(h, v:bf16[F_X,D])"]
    (block,) = lines_of({"repeat": 2, "carry": {"x": "y"}, "ops": ops})
    assert block["ops"] == [
        "h:bf16[B,F_X] = matmul(x:bf16[B,D], w:bf16[D,F_X])",
        "y.partial:bf16[B,D]{U_X} = matmul(h, v:bf16[F_X,D])",
        "y:bf16[B,D] = all_reduce(y.partial, over=X)",
    ]


def test_a_tensor_is_brought_to_a_layout_once() -> None:
    assert lines_of(
        "y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])",
        {"repeat": 2, "ops": ["z:bf16[B,K] = matmul(x, v:bf16[D,K])"]},
        "u:bf16[B,H] = matmul(x, s:bf16[D,H])",
    ) == [
        "x.gathered:bf16[B,D] = all_gather(x:bf16[B,D_X], over=X)",
        "y:bf16[B,F] = matmul(x.gathered, w:bf16[D,F])",
        {"repeat": 2, "ops": ["z:bf16[B,K] = matmul(x.gathered, v:bf16[D,K])"]},
        "u:bf16[B,H] = matmul(x.gathered, s:bf16[D,H])",
    ]


def test_a_carried_tensor_is_another_one_in_each_round() -> None:
    lines = [
        "y:bf16[B,F] = softmax(x:bf16[B,F_X])",
        {"repeat": 2, "carry": {"x": "v"}, "ops": ["z:bf16[B,F] = softmax(x)", "v:bf16[B,F_X] = relu(z)"]},
        "u:bf16[B,F] = softmax(x)",
    ]
    before, block, after = lines_of(*lines)[0], lines_of(*lines)[2], lines_of(*lines)[-1]
    assert before == "x.gathered:bf16[B,F] = all_gather(x:bf16[B,F_X], over=X)"
    assert block["ops"][:2] == [
        "x.gathered_2:bf16[B,F] = all_gather(x, over=X)",
        "z:bf16[B,F] = softmax(x.gathered_2)",
    ]
    assert after == "u:bf16[B,F] = softmax(x.gathered)"


def test_names_that_are_taken_are_not_given_again() -> None:
    lines = lines_of("x.gathered:bf16[B] = relu(t:bf16[B])", "y:bf16[B,F] = softmax(x:bf16[B,F_X])")
    assert lines[1] == "x.gathered_2:bf16[B,F] = all_gather(x:bf16[B,F_X], over=X)"


# Options


def test_inserted_ops_are_issued_like_the_op_they_serve() -> None:
    options = "tiles=2, chunks=8, priority=3, queue=q, on=[0, 1, 2, 3, 4, 5, 6, 7], after=a"
    assert lines_of("a:bf16[B] = relu(b:bf16[B])", f"y:bf16[B,F_X] = matmul(x:bf16[B,D_XY], w:bf16[D_X,F], {options})")[
        1:
    ] == [
        "x.gathered:bf16[B,D_X] = all_gather(x:bf16[B,D_XY], "
        "over=Y, chunks=8, priority=3, on=[0, 1, 2, 3, 4, 5, 6, 7], after=a)",
        f"y.partial:bf16[B,F]{{U_X}} = matmul(x.gathered, w:bf16[D_X,F], {options})",
        "y:bf16[B,F_X] = reduce_scatter(y.partial, over=X, chunks=8, priority=3, on=[0, 1, 2, 3, 4, 5, 6, 7])",
    ]


def test_what_needs_nothing_is_left_alone() -> None:
    graph = parse_graph(["y:bf16[B_X,F] = gelu(x:bf16[B_X,F])", "z:bf16[B,F] = all_gather(y, over=X)"], DIMS)
    for mode in (*MODES, "written"):
        assert plan_sharding(graph, XY, mode, bytes_cost(graph, XY)) is graph
