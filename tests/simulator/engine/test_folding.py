"""Folding: chips that cannot be told apart are simulated once, and nothing else changes.

Model: every case runs twice, folded and in full. The folded timeline, expanded to all chips, must be the full one row by
row; so must the words about the whole run. What a partition must be (equitable) is checked by its definition, without
the code that refines.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import pytest

from hw import System
from simulator import (
    Plan,
    RunOptions,
    Simulation,
    parse_graph,
    simulate,
)
from tests.support.folding import (
    ALIKE,
    DIMS,
    GRAPHS,
    SYSTEMS,
    assert_same,
    both,
    contending,
    layers,
    rows,
    shifts,
    some_chips,
    system,
)

pytestmark = pytest.mark.usefixtures("few_slices")


# Listed cases


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_folded_is_full(name: str, graph: str) -> None:
    here = SYSTEMS[name]
    assert_same(*both(GRAPHS[graph](here), here, RunOptions()))


@pytest.mark.parametrize("order", ["program", "ready"])
@pytest.mark.parametrize("overlap", ["full", "none", "auto"])
@pytest.mark.parametrize("name", ["ring 8", "torus 4 4", "mixed halves", "straggler dgx"])
def test_folded_is_full_however_it_runs(name: str, overlap: Any, order: Any) -> None:
    here = SYSTEMS[name]
    assert_same(*both(contending(here), here, RunOptions(overlap=overlap, order=order, launch_s=2e-6)))


@pytest.mark.parametrize("routing", ["split", "single", "ecmp", "minimal"])
@pytest.mark.parametrize("name", ["torus 4 4", "grid 3 4", "dgx 32", "alternating ring"])
def test_folded_is_full_however_messages_go(name: str, routing: Any) -> None:
    here = SYSTEMS[name]
    assert_same(*both([*shifts(here), *contending(here)[1:3]], here, RunOptions(routing=routing, network_share=0.1)))


@pytest.mark.parametrize("network", ["task", "messages"])
@pytest.mark.parametrize(
    "name", ["ring 8", "line 8", "torus 4 4", "switch 8 cut", "alternating ring", "straggler torus"]
)
def test_folded_is_full_in_both_forms(name: str, network: Any) -> None:
    here = SYSTEMS[name]
    for graph in (layers, shifts, some_chips):
        assert_same(*both(graph(here), here, RunOptions(network=network)))


# What the classes are


def plan_of(here: System, lines: Sequence[Any], options: RunOptions | None = None) -> Plan:
    return Simulation(parse_graph(lines, DIMS), here, options).plan


@pytest.mark.parametrize("name", ALIKE)
def test_alike_chips_are_one_class(name: str) -> None:
    here = SYSTEMS[name]
    for graph in (layers, shifts):
        plan = plan_of(here, graph(here), RunOptions(network="task"))
        assert plan.classes == 1
        assert plan.members(0) == list(range(here.size))


@pytest.mark.parametrize("name", ["ring 8", "ring 24", "torus 4 4", "torus 4 4 4", "switch 8", "dgx 32"])
def test_alike_chips_are_one_class_message_by_message(name: str) -> None:
    here = SYSTEMS[name]
    plan = plan_of(here, layers(here), RunOptions(network="messages"))
    assert plan.kernels[1].traffic.form == "messages"
    assert plan.classes == 1


def test_a_line_folds_onto_its_middle_or_not_at_all() -> None:
    """Each chip of a line is like its mirror image only."""
    plan = plan_of(SYSTEMS["line 8"], layers(SYSTEMS["line 8"]), RunOptions(network="messages"))
    assert plan.folding is not None
    for members in plan.folding.members.values():
        assert len(members) == 1 or (len(members) == 2 and sum(members) == 7)


@pytest.mark.parametrize(("name", "at"), [("straggler ring", 3), ("straggler torus", 6), ("straggler dgx", 9)])
def test_a_straggler_is_alone_in_its_class(name: str, at: int) -> None:
    here = SYSTEMS[name]
    for graph in (layers, contending):
        folding = plan_of(here, graph(here)).folding
        assert folding is not None
        assert folding.members[at] == [at]
        assert folding.chip[at] == at


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("name", [name for name, here in SYSTEMS.items() if len(here.kinds) > 1])
def test_a_class_never_mixes_hardware(name: str, graph: str) -> None:
    here = SYSTEMS[name]
    folding = plan_of(here, GRAPHS[graph](here)).folding
    assert folding is not None
    assert sorted(chip for members in folding.members.values() for chip in members) == list(range(here.size))
    for members in folding.members.values():
        assert len({id(here.chip_at(chip)) for chip in members}) == 1


def test_alternating_hardware_is_two_classes() -> None:
    here = SYSTEMS["alternating ring"]
    folding = plan_of(here, layers(here)).folding
    assert folding is not None
    assert folding.members == {0: list(range(0, 12, 2)), 1: list(range(1, 12, 2))}


def test_chips_that_send_or_run_alone_are_no_part_of_a_class() -> None:
    here = SYSTEMS["switch 8"]
    folding = plan_of(here, ["s:bf16[M] = send(x:bf16[M], from=2, to=5)", "r:bf16[M] = recv(from=2, to=5)"]).folding
    assert folding is not None
    assert folding.members[2] == [2]
    assert folding.members[5] == [5]
    assert folding.members[0] == [0, 1, 3, 4, 6, 7]
    folding = plan_of(here, ["a:bf16[M] = relu(x:bf16[M], on=[1,4])"]).folding
    assert folding is not None
    assert folding.members == {0: [0, 2, 3, 5, 6, 7], 1: [1, 4]}


@pytest.mark.parametrize("routing", ["single", "split", "ecmp"])
def test_antipodes_of_a_ring_of_four(routing: Any) -> None:
    """Shift 2 goes one way round under `single`: every wire of that way carries two messages, and no other any."""
    here = system("ring(4)", {"X": 4})
    lines = ["a:bf16[M,N] = permute(x:bf16[M,N], over=X, shift=2)", "b:bf16[M,N] = permute(a, over=X, queue=side)"]
    folded, full = both(lines, here, RunOptions(routing=routing, overlap="full"))
    assert_same(folded, full)
    if routing != "ecmp":
        assert folded.plan.classes == 1
        nbytes = DIMS["M"] * DIMS["N"] * 2
        per_wire = (2 if routing == "single" else 1) * nbytes / 4.5e10
        first = rows(folded)[lambda frame: frame["op"] == "a"].iloc[0]
        assert first["end"] - first["begin"] == pytest.approx(per_wire + 2e-6, rel=1e-9)


def test_a_chip_alone_and_no_ops_that_meet() -> None:
    here = SYSTEMS["mixed halves"]
    folded, full = both(["a:bf16[M,N] = relu(x:bf16[M,N])"], here, RunOptions())
    assert folded.plan.classes == 2
    assert_same(folded, full)


# The doors: user processes, and one chip of many


def test_a_user_process_unfolds() -> None:
    here = SYSTEMS["ring 8"]
    graph = parse_graph(layers(here), DIMS)
    sim = Simulation(graph, here)
    assert sim.plan.classes == 1

    def reader() -> Generator[Any, Any, None]:
        yield sim.use({"chip3.hbm": 1e9})

    sim.process(reader())
    result = sim.run()
    assert result.plan.classes == 8
    own = Simulation(graph, here, RunOptions(fold=False))
    own.use({"chip3.hbm": 1e9})
    assert result.time_s == pytest.approx(own.run().time_s, rel=1e-9)
    assert result.time_s > simulate(graph, here).time_s


@pytest.mark.parametrize("door", ["resources", "hold", "ended", "use", "timeout"])
def test_whoever_comes_in_sees_every_chip(door: str) -> None:
    here = SYSTEMS["ring 8"]
    sim = Simulation(parse_graph(layers(here), DIMS), here)
    if door == "resources":
        assert {f"chip{chip}.hbm" for chip in range(8)} <= set(sim.resources)
    elif door == "hold":
        sim.hold("out")()
    elif door == "ended":
        sim.ended("out")
    elif door == "use":
        sim.use({"chip7.hbm": 1e6})
    else:
        sim.timeout(1e-6)
    result = sim.run()
    assert result.plan.classes == 8
    assert result.time_s == pytest.approx(simulate(parse_graph(layers(here), DIMS), here).time_s, rel=1e-2)


@pytest.mark.parametrize("name", ["ring 8", "torus 4 4", "alternating ring", "straggler torus", "dgx 32"])
def test_a_timeline_of_one_chip_has_exactly_its_rows(name: str) -> None:
    here = SYSTEMS[name]
    lines = [*layers(here), *shifts(here)]
    folded, full = both(lines, here, RunOptions())
    for result in (folded, full):
        whole = rows(result)
        mine = rows(result, [5])
        assert len(mine) > 0
        for column in mine.columns:
            assert mine[column].tolist() == whole[whole["chip"] == 5][column].tolist()
        assert set(rows(result, [5, 1])["chip"]) == {1, 5}
    assert rows(folded, [])["chip"].tolist() == []
