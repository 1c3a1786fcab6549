"""Fusion of ops that the planner gave collectives: a group means the op itself, what was inserted is no part of it.

Law: kernels, and so FLOPs and HBM bytes, are those of the same program with its collectives written out by hand; a
collective at an end of a group stays outside; one in between cannot be fused across, and is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from scenarios import load_scenario, summarise
from simulator import Kernel, OpGraph, RunOptions, parse_graph, simulate
from tests.support.planning import DIMS
from tests.support.strategies import many

RING = many("ring(4)", {"X": 4})


def kernels(lines: Sequence[Any], fuse: Any) -> list[Kernel]:
    graph = parse_graph(lines, DIMS)
    result = simulate(OpGraph(graph.dims, graph.items, fuse), RING, RunOptions(overlap="full"))
    return [planned.kernel for planned in result.plan.kernels]


def names(lines: Sequence[Any], fuse: Any) -> list[str]:
    return [kernel.name for kernel in kernels(lines, fuse)]


@pytest.mark.parametrize(
    ("lines", "group", "wanted"),
    [
        # what is inserted after the last one
        (["a:bf16[B,D_X] = relu(x:bf16[B,D_X])", "y:bf16[B,F] = matmul(a, w:bf16[D_X,F])"],
         ["a", "y"], ["a+y.partial", "y"]),
        (["a:bf16[B,D_X] = relu(x:bf16[B,D_X])", "y:bf16[B_X,F] = matmul(a, w:bf16[D_X,F])", "z:bf16[B_X,F] = relu(y)"],
         ["a", "y"], ["a+y.partial", "y", "z"]),
        # what is inserted before the first one
        (["y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])", "z:bf16[B,F] = relu(y)"],
         ["y", "z"], ["x.gathered", "y+z"]),
        # what is inserted for another input
        (["a:bf16[B,D] = relu(x:bf16[B,D])", "y:bf16[B,F] = matmul(a, w:bf16[D_X,F])"],
         ["a", "y"], ["w.gathered", "a+y"]),
        # the own shard is a view, which separates nothing
        (["a:bf16[B,F] = relu(x:bf16[B,F])", "y:bf16[B_X,F] = gelu(a)"], ["a", "y"], ["a+y"]),
    ],
)  # fmt: skip
def test_what_is_inserted_at_an_end_stays_outside(lines: list[str], group: list[str], wanted: list[str]) -> None:
    assert names(lines, [group]) == wanted


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F])", "z:bf16[B,F] = relu(y)"],
         "fuse: y.partial, z cannot be one kernel, y (all_reduce over X, as written or inserted by the planner) stands"),
        (["y:bf16[B_X,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F])", "z:bf16[B_X,F] = relu(y)"],
         "fuse: y.partial, z cannot be one kernel, y (reduce_scatter over X"),
        (["y:bf16[B,D_X] = relu(x:bf16[B,D_X])", "z:bf16[B,F] = matmul(y, w:bf16[D,F])"],
         "fuse: y, z cannot be one kernel, y.gathered (all_gather over X"),
        (["y:bf16[B_X,F] = relu(x:bf16[B_X,F])", "z:bf16[B,F_X] = gelu(y)"],
         "fuse: y, z cannot be one kernel, y.moved (all_to_all over X"),
    ],
)  # fmt: skip
def test_a_collective_in_between_is_named(lines: list[str], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        kernels(lines, [["y", "z"]])
    assert words in str(caught.value)


def test_each_round_of_a_block_is_fused_beside_its_collective() -> None:
    ops = ["a:bf16[B,D_X] = relu(x)", "y:bf16[B,D_X] = matmul(a, w:bf16[D_X,H])"]
    ops = [
        "a:bf16[B,D_X] = relu(x)",
        "y:bf16[B,H] = matmul(a, w:bf16[D_X,H])",
        "z:bf16[B,D_X] = matmul(y, v:bf16[H,D_X])",
    ]
    lines = ["x:bf16[B,D_X] = copy(i:bf16[B,D_X])", {"repeat": 2, "carry": {"x": "z"}, "ops": ops}]
    rounds = [name for at in range(2) for name in (f"a.{at}+y.partial.{at}", f"y.{at}", f"z.{at}")]
    assert names(lines, [["a", "y"]]) == ["x", *rounds]


def test_it_is_the_program_with_its_collectives_written_out() -> None:
    short = ["a:bf16[B,D_X] = relu(x:bf16[B,D_X])", "y:bf16[B,F] = matmul(a, w:bf16[D_X,F])", "z:bf16[B,F] = relu(y)"]
    written = [
        short[0],
        "y.partial:bf16[B,F]{U_X} = matmul(a, w:bf16[D_X,F])",
        "y:bf16[B,F] = all_reduce(y.partial, over=X)",
        short[2],
    ]
    got = kernels(short, [["a", "y"]])
    assert got == kernels(written, [["a", "y.partial"]])
    fused, reduced, _ = got
    shard = 2 * 32  # D is 128, in four
    assert fused.hbm_bytes == shard * 64 + shard * 256 + 2 * 64 * 256
    assert fused.flops == 2 * 64 * 32 * 256 + 64 * 32
    assert reduced.communication is not None


def test_a_refused_group_is_shown_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        "name: f\nsystem: {chip: tpu_v5e}\nworkload:\n  dims: {B: 64}\n  fuse: [[y, z], [y, w]]\n  ops:\n"
        "    - y:bf16[B] = relu(x:bf16[B])\n    - z:bf16[B] = relu(y)\n    - w:bf16[B] = relu(z)\n"
    )
    with pytest.raises(SpecError) as caught:
        summarise(load_scenario(str(path)))
    assert [str(each).endswith("f.yaml:5:18: fuse: an op stands in two groups") for each in caught.value.problems] == [
        True
    ]
