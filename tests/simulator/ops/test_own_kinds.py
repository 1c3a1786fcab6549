"""Kinds, algorithms and wirings of a user's own that cannot be: told where they are added, or at the op that asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from hw import Mesh, RunError, SpecError, System, load_chip, parse_topology
from hw.network import Wiring, add_wiring
from simulator import (
    ALGORITHMS,
    CANONICAL,
    KINDS,
    Algorithm,
    Form,
    Message,
    RunOptions,
    Transfer,
    add_algorithm,
    kind,
    parse_graph,
    simulate,
    staged,
)
from simulator.collectives.request import COLLECTIVES

DIMS = {"B": 64, "D": 128}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    kinds, algorithms = dict(KINDS), dict(ALGORITHMS)
    yield
    tables: list[tuple[dict[str, Any], dict[str, Any]]] = [(KINDS, kinds), (ALGORITHMS, algorithms)]
    for table, before in tables:
        for name in set(table) - set(before):
            del table[name]


@pytest.mark.parametrize(
    ("arguments", "rules", "told"),
    [
        (("two words", (1, 1)), {}, "op kind 'two words': a name is letters"),
        ((5, (1, 1)), {}, "op kind 5: a name is letters"),
        (("mine", 1), {}, r"takes 1 inputs: \(least, most\) is wanted"),
        (("mine", (2, 1)), {}, r"\(least, most\) is wanted"),
        (("mine", (1, 1)), {"row_dim": None}, "'row_dim', did you mean 'row_dims'"),
    ],
)
def test_kinds_that_cannot_be_are_refused_where_they_are_added(arguments: Any, rules: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        kind(*arguments, **rules)(lambda call: [])


@pytest.mark.parametrize("function", [lambda: [], lambda a, b: [], "no function"])
def test_the_function_of_a_kind_is_called_with_a_call(function: Any) -> None:
    with pytest.raises(ValueError, match="the function of op kind 'mine' is called with a call"):
        kind("mine", (1, 1))(function)
    assert "mine" not in KINDS


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda call: None, "gives null: a list of kernels is wanted"),
        (lambda call: call.kernel(), "gives a Kernel: a list of kernels is wanted"),
        (lambda call: [None], "gives null in its list"),
        (lambda call: [call.kernel(vector_flops=-5.0, vector_dtype="fp32")], "gives vector_flops=-5.0"),
        (lambda call: [call.kernel(matrix_flops=float("nan"), matrix_dtype="bf16")], "gives matrix_flops=nan"),
        (lambda call: [call.kernel(fixed_s=float("inf"))], "gives fixed_s=inf"),
        (lambda call: [call.kernel(vector_flops="many", vector_dtype="fp32")], "gives vector_flops='many': a number"),
        (lambda call: [call.kernel(vector_flops=5.0, vector_dtype="fp23")], "vector_dtype='fp23'.*did you mean 'fp32'"),
        (lambda call: [call.kernel(matrix_flops=5.0)], "gives matrix_dtype='': unknown dtype ''"),
    ],
)
def test_what_a_kind_gives_is_told_at_its_op(function: Callable[[Any], Any], told: str) -> None:
    kind("mine", (1, 1))(function)
    graph = parse_graph(["a:fp32[B,D] = relu(x:fp32[B,D])", "y:fp32[B,D] = mine(a)"], DIMS)
    with pytest.raises(SpecError, match=told) as raised:
        simulate(graph, System(load_chip("h100_sxm")), RunOptions())
    assert [problem.mark.line for problem in raised.value.problems] == [2]


def test_every_kind_of_collective_has_the_textbooks_way() -> None:
    assert sorted(CANONICAL) == sorted(COLLECTIVES)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "two words"}, "a name is letters"),
        ({"name": "auto"}, "means something already"),
        ({"kinds": "all_gather"}, "kinds of collectives are wanted"),
        ({"kinds": ("all_gathr",)}, "did you mean 'all_gather'"),
        ({"form": lambda group, request: []}, "a Form is wanted"),
        ({"fits": lambda: True}, "`fits` of algorithm 'mine' is called with a group"),
    ],
)
def test_algorithms_that_cannot_be_are_refused_where_they_are_added(fields: dict[str, Any], told: str) -> None:
    whole: dict[str, Any] = {
        "name": "mine",
        "kinds": ("all_gather",),
        "form": staged(lambda group, request: []),
    } | fields
    with pytest.raises(ValueError, match=told):
        add_algorithm(Algorithm(**whole))


def test_forms_are_called_with_a_group_and_a_request() -> None:
    makers: list[Any] = [staged, Form]
    for make in makers:
        with pytest.raises(ValueError, match="is called with a group and a request"):
            make(lambda group: [])


def stages(*messages: Any) -> Form:
    return staged(lambda group, request: [list(messages)])


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (stages(Message(0, 1, -5.0)), "sends -5.0 bytes"),
        (stages(Message(0, 1, float("nan"))), "sends nan bytes"),
        (stages(Message(0, 9, 1.0)), "not both are chips of the group"),
        (stages(None), "Message.* is wanted"),
        (staged(lambda group, request: None), "a list of stages is wanted"),  # type: ignore[arg-type,return-value]
        (Form(lambda group, request: None), "a Transfer is wanted"),  # type: ignore[arg-type,return-value]
        (Form(lambda group, request: Transfer(({0: 1.0},), -1.0, 1.0)), "seconds and bytes from 0 on are wanted"),
    ],
)
@pytest.mark.parametrize("network", ["task", "messages"])
def test_what_an_algorithm_gives_is_told(form: Form, told: str, network: str) -> None:
    add_algorithm(Algorithm(name="mine", kinds=("all_gather",), form=form))
    chip = load_chip("h100_sxm")
    system = System(chip, parse_topology("ring(4) over nvlink", chip.links), Mesh({"X": 4}))
    graph = parse_graph(["y:bf16[B,D] = all_gather(x:bf16[B_X,D], over=X, algorithm=mine)"], DIMS)
    with pytest.raises(RunError, match=told):
        simulate(graph, system, RunOptions(network=network))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "build", "told"),
    [
        ("two words", lambda site, shape: None, "a name is letters"),
        ("mine", lambda site: None, "`build` of wiring 'mine' is called with a site and a shape"),
    ],
)
def test_wirings_that_cannot_be_are_refused_where_they_are_added(
    name: str, build: Callable[..., Sequence[Any]], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        add_wiring(Wiring(name=name, build=build, ports=lambda shape: 1))  # type: ignore[arg-type]
