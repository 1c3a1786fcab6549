"""Ops that differ in names only are looked at and bound once, and nothing is told or made otherwise for it.

Laws: every op of a wrong form is told at its own place; what an op waits for is looked at for each; a block with views is
bound as its rounds written out are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from hw import SpecError
from simulator import OpGraph, bind, bind_op, parse_graph
from simulator.passes import bound_graph, placement
from simulator.passes.placement import placements
from tests.support.strategies import many, one

DIMS = {"B": 8, "D": 128}
FIRST = "x0:bf16[B,D] = relu(x:bf16[B,D])"


def told(lines: Sequence[Any], **system: Any) -> list[str]:
    """What is wrong with some ops, problem by problem."""
    with pytest.raises(SpecError) as error:
        bind(parse_graph(list(lines), DIMS), many("ring(4)", {"X": 4}, **system))
    return [str(problem.mark) + ": " + problem.message for problem in error.value.problems]


def test_every_op_of_a_wrong_form_is_told_at_its_place() -> None:
    wrong = [f"y{at}:bf16[B_X,D] = add(x0, b{at}:bf16[B_X,D])" for at in range(3)]
    found = told([FIRST, *wrong])
    assert [each.split(":")[1] for each in found] == ["2", "3", "4"]
    for at, message in enumerate(found):
        assert f"b{at}" in message


def test_what_a_sound_op_waits_for_is_looked_at_for_each() -> None:
    lines = [FIRST, "a:bf16[B,D] = gelu(x0)", "b:bf16[B,D] = gelu(x0, after=aa)", "c:bf16[B,D] = gelu(x0, after=a@)"]
    found = told(lines)
    assert len(found) == 2
    assert "unknown op 'aa', did you mean 'a'?" in found[0]
    assert "expected a round after 'a@'" in found[1]


def test_a_tensor_that_stands_twice_is_another_form() -> None:
    once, other, twice = (
        next(op for op in parse_graph([FIRST, line], DIMS).every_op() if op.kind == "add")
        for line in (
            "y:bf16[B,D] = add(x0, z:bf16[B,D])",
            "q:bf16[B,D] = add(x0, p:bf16[B,D], after=x0)",
            "y:bf16[B,D] = add(x0, x0)",
        )
    )
    assert once.form == other.form
    assert once.form != twice.form


def test_lines_that_are_alike_are_looked_at_and_bound_once() -> None:
    lines = [FIRST, *(f"x{at + 1}:bf16[B,D] = matmul(x{at}, w{at}:bf16[D,D])" for at in range(50))]
    with patch.object(bound_graph, "bind_op", side_effect=bind_op) as bound:
        kernels = bind(parse_graph(lines, DIMS), one())
    assert len(kernels) == 51
    assert bound.call_count == 2  # a relu, and a matmul for all


def test_what_only_binding_shows_is_told_with_all_else() -> None:
    """An unknown axis shows before an op is bound, a dim of two sizes and a peak that chips lack when it is."""
    lines = [
        FIRST,
        "a:bf16[4,16] = matmul(p:bf16[4,8], q:bf16[9,16])",
        "b:bf16[B,D] = relu(x0, over=Y)",
        "c:fp64[B,D] = matmul(e:fp64[B,D], f:fp64[D,D])",
    ]
    each = [told([FIRST, line]) for line in lines[1:]]
    assert [len(found) for found in each] == [1, 1, 1]
    together = [message.split(": ", 1)[1] for message in told(lines)]
    assert together == [found[0].split(": ", 1)[1] for found in each]
    # all but the one that shows before
    assert len(told([FIRST, lines[1], lines[3]])) == 2


VIEWS: dict[str, Sequence[str]] = {
    "a view": ["v:bf16[B,D] = view(x0)", "h:bf16[B,D] = relu(v)", "y:bf16[B,D] = add(h, v)"],
    "a view of a view": ["v:bf16[B,D] = view(x0)", "u:bf16[B,D] = view(v)", "y:bf16[B,D] = add(u, x0)"],
    "several behind one": [
        "h:bf16[B,D] = relu(x0)",
        "v:bf16[2048] = pack(h, x0)",
        "s:bf16[2048] = relu(v)",
        "y:bf16[B,D] = view(s)",
    ],
    "several behind one of two that are alike": [
        "h:bf16[B,D] = relu(x0)",
        "p:bf16[2048] = relu(q:bf16[2048])",
        "v:bf16[2048] = pack(h, x0)",
        "s:bf16[2048] = relu(v)",
        "t:bf16[2048] = add(s, p)",
        "y:bf16[B,D] = view(t)",
    ],
    "made beside": [
        "n:bf16[B,D] = adamw(x0, g:fp32[B,D], m:fp32[B,D], v:fp32[B,D])",
        "k:fp32[B,D] = side(n, of=state0)",
        "y:bf16[B,D] = add(n, k)",
    ],
    "made beside it a round ago": [
        "k:fp32[B,D] = side(x0, of=state1)",
        "h:bf16[B,D] = add(x0, k)",
        "y:bf16[B,D] = adamw(h, g:fp32[B,D], m:fp32[B,D], v:fp32[B,D])",
    ],
    "awaited": ["v:bf16[B,D] = view(x0)", "h:bf16[B,D] = relu(x0)", "y:bf16[B,D] = relu(h, after=[v])"],
    "of the round before": ["v:bf16[B,D] = view(x0)", "h:bf16[B,D] = relu(v)", "y:bf16[B,D] = view(h)"],
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_a_block_with_views_is_bound_as_its_rounds_written_out_are(name: str) -> None:
    graph = parse_graph([FIRST, {"repeat": 4, "carry": {"x0": "y"}, "ops": list(VIEWS[name])}], DIMS)
    kernels = bind(graph, one())
    written_out = bind(OpGraph(graph.dims, graph.flat()), one())
    # but for what says that they stand in rounds
    assert [replace(kernel, written=(), turn=()) for kernel in kernels] == [
        replace(kernel, written=(), turn=()) for kernel in written_out
    ]
    views = {op.name for op in graph.flat() if op.kind in ("view", "pack", "side")}
    assert not views.intersection(access.tensor for kernel in kernels for access in kernel.reads)


PLACED: dict[str, Sequence[str]] = {
    "everywhere": ["a:bf16[B,D] = relu(x0)", "y:bf16[B,D] = add(a, x0)"],
    "as written": ["a:bf16[B,D] = relu(x0, on=X@1)", "y:bf16[B,D] = relu(a, on=X@1)"],
    "where its input is": ["a:bf16[B,D] = relu(x0, on=X@1)", "y:bf16[B,D] = gelu(a)"],
    "where both inputs are": [
        "a:bf16[B,D] = relu(x0, on=X@[1, 2])",
        "b:bf16[B,D] = gelu(x0, on=X@[2, 3])",
        "y:bf16[B,D] = add(a, b)",
    ],
    "on fewer chips than its input": ["a:bf16[B,D] = relu(x0, on=X@[1, 2])", "y:bf16[B,D] = relu(a, on=X@2)"],
}  # fmt: skip


@pytest.mark.parametrize("name", PLACED)
def test_places_that_follow_from_forms_are_those_that_are_walked_through(name: str) -> None:
    system = many("ring(4)", {"X": 4})
    kernels = bind(parse_graph([FIRST, *PLACED[name]], DIMS), system)
    found = [place.chips for place in placements(kernels, system)]
    with patch.object(placement, "_come_together", return_value=False):
        assert found == [place.chips for place in placements(kernels, system)]


def test_a_view_of_an_input_of_which_there_are_more_than_ops() -> None:
    """What reads the view reads the input."""
    inputs = ", ".join(f"a{at}:bf16[D]" for at in range(5))
    lines = [f"y:bf16[D] = custom({inputs}, bytes=64 B)", "v:bf16[D] = view(b:bf16[D,1])", "z:bf16[D] = add(y, v)"]
    kernels = bind(parse_graph(lines, DIMS), one())
    assert [access.tensor for access in kernels[-1].reads] == ["y", "b"]
