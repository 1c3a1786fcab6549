"""What an op makes beside its output is told by the kind that made it: nothing is read off a name.

Law: kernels that are stamped out for ops alike read what each op's own kernels read, whatever tensors are called.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

import pytest

from simulator import KINDS, Call, Dim, Kernel, Op, OpGraph, Tensor, bind, bind_op, kind, parse_graph
from simulator.models.estimates.places import round_of
from simulator.ops.kernel import Access, beside, maker_of
from tests.support.strategies import one

DIMS = {"B": 8}


@pytest.fixture(autouse=True)
def kinds() -> Iterator[None]:
    """Kinds of somebody's own."""

    @kind("makes", (1, 1))
    def makes(call: Call) -> Sequence[Kernel]:
        own, more = call.output.access, Access(beside(call.op.name, "k"), 8.0)
        return [call.kernel(writes=(own, more))]

    @kind("reads", (2, 2))
    def reads(call: Call) -> Sequence[Kernel]:
        return [call.kernel(reads=(*call.reads, Access(beside(call.inputs[0].name, "k"), 8.0)))]

    @kind("looks_up", (1, 1))
    def looks_up(call: Call) -> Sequence[Kernel]:
        return [call.kernel(reads=(*call.reads, Access("table", 8.0)))]

    yield
    for name in ("makes", "reads", "looks_up"):
        del KINDS[name]


def reads_of(graph: OpGraph) -> tuple[list[list[str]], list[list[str]]]:
    """What kernels read: stamped out, and of each op by itself."""
    alone = [kernel for op in graph.flat() for kernel in bind_op(op, graph, one())]
    return _tensors(bind(graph, one())), _tensors(alone)


def _tensors(kernels: Iterable[Kernel]) -> list[list[str]]:
    return [[each.tensor for each in kernel.reads] for kernel in kernels]


def test_a_tensor_that_is_called_as_an_op_begins_is_not_its() -> None:
    """`table` begins like the op `t`, which stands first of those that read it."""
    stamped, alone = reads_of(parse_graph(["t:bf16[B] = looks_up(x:bf16[B])", "u:bf16[B] = looks_up(x)"], DIMS))
    assert stamped == alone == [["x", "table"], ["x", "table"]]


def named(name: str) -> Tensor:
    return Tensor(name, "bf16", (Dim("B"),))


def test_what_was_made_beside_one_input_is_not_beside_another_with_a_shorter_name() -> None:
    ops = [Op(named("a"), "makes", (named("x"),)), Op(named("a/b"), "makes", (named("a"),))]
    ops += [Op(named(f"y{at}"), "reads", (named("a/b"), named("a"))) for at in range(2)]
    stamped, alone = reads_of(OpGraph(DIMS, tuple(ops)))
    assert stamped == alone
    assert stamped[-1] == ["a/b", "a", "a/b/k"]


def test_a_round_is_that_of_the_maker() -> None:
    rounds = {"w": 1, "w/x": 2}
    assert round_of(beside("w", "k"), rounds) == 1
    assert round_of(beside("w/x", "k"), rounds) == 2
    # a tensor of the user's that is called like it
    assert round_of("w/k", rounds) is None


def test_a_name_knows_its_maker_wherever_it_goes() -> None:
    name = beside("y", "k")
    assert name == "y/k"
    for each in (name, pickle.loads(pickle.dumps(name)), deepcopy(name)):
        assert (each, maker_of(each)) == ("y/k", ("y", "k"))
    assert maker_of("y/k") == ("y/k", "")
