"""Rounds of a block are bound once and stamped out: their kernels are those that binding each op by itself makes.

Law: whatever a block holds, the kernels are equal, name by name and number by number; and no kind is bound once for every
round.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from hw import System
from simulator import bind, bind_op, parse_graph
from simulator.passes import bound_graph
from tests.support.strategies import many, one

DIMS = {"B": 8, "S": 64, "N": 8, "H": 16, "D": 128, "F": 512}
BLOCKS: dict[str, list[str]] = {
    "matmuls": ["h:bf16[B,F] = matmul(x, w:bf16[D,F])", "y:bf16[B,D] = matmul(h, u:bf16[F,D], chunks=2, tiles=4)"],
    "the same tensor twice": ["h:bf16[B,D] = add(x, x)", "y:bf16[B,D] = add(h, x)"],
    "several kernels": ["h:bf16[B,D] = softmax(x)", "y:bf16[B,D] = layer_norm(h)"],
    "after": ["h:bf16[B,D] = relu(x)", "y:bf16[B,D] = gelu(h, after=[h], queue=side, recompute=true)"],
    "numbers of rounds": ["h:bf16[B,D] = relu(x, priority=round)", "y:bf16[B,D] = relu(h)"],
    "attention": [
        "q:bf16[B,N,S,H] = elementwise(k:bf16[B,N,S,H], flops=1)",
        "o:bf16[B,N,S,H] = attention(q, k, v:bf16[B,N,S,H], kind=standard)",
        "y:bf16[B,D] = add(x, z:bf16[B,D])",
    ],
    "collectives": ["h:bf16[B,D]{U_X} = matmul(x, w:bf16[D_X,D])", "y:bf16[B,D] = all_reduce(h, over=X)"],
}


def graph_of(name: str, rounds: int = 5) -> Any:
    block = {"repeat": rounds, "carry": {"x": "y"}, "ops": BLOCKS[name]}
    return parse_graph(["x:bf16[B,D] = relu(start:bf16[B,D])", block], DIMS)


def system_of(name: str) -> System:
    return many("ring(4)", {"X": 4}) if name == "collectives" else one()


@pytest.mark.parametrize("name", BLOCKS)
def test_kernels_of_rounds_are_those_of_their_ops(name: str) -> None:
    graph, system = graph_of(name), system_of(name)
    if name == "collectives":
        graph = parse_graph(
            [
                "x:bf16[B,D_X] = relu(start:bf16[B,D_X])",
                {
                    "repeat": 5,
                    "carry": {"x": "y"},
                    "ops": [
                        "h:bf16[B,D]{U_X} = matmul(x, w:bf16[D_X,D])",
                        "y:bf16[B,D_X] = reduce_scatter(h, over=X)",
                    ],
                },
            ],
            DIMS,
        )
    want = [kernel for op in graph.flat() for kernel in bind_op(op, graph, system)]
    assert bind(graph, system) == want


@pytest.mark.parametrize("name", ["matmuls", "the same tensor twice"])
def test_a_block_is_bound_once(name: str) -> None:
    graph = graph_of(name, rounds=50)
    with patch.object(bound_graph, "bind_op", side_effect=bind_op) as bound:
        bind(graph, one())
    ops = 1 + len(BLOCKS[name])
    print(f"{name}: {bound.call_count} of {1 + 50 * len(BLOCKS[name])} ops bound")
    assert 0 < bound.call_count <= ops
