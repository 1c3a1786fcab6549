"""Folding: chips that cannot be told apart are simulated once, and nothing else changes.

Model: every case runs twice, folded and in full. The folded timeline, expanded to all chips, must be the full one row by
row; so must the words about the whole run. What a partition must be (equitable) is checked by its definition, without
the code that refines.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import simulator.lowering.folding as folding_module
from analysis import Summary, timeline_frame
from hw import Chip, Mesh, System, load_chip, parse_topology
from simulator import (
    Folding,
    Plan,
    Result,
    RunOptions,
    Simulation,
    Traffic,
    Transfer,
    fold,
    parse_graph,
    simulate,
    unfolded,
)
from simulator.collectives.rounds import build as rounds
from simulator.lowering.network import Joined
from tests.support.strategies import chip_with, run


@pytest.fixture(scope="module", autouse=True)
def few_slices() -> Iterator[None]:
    """What streams goes in two slices: full runs by messages stay small, and classes are the same."""
    few: dict[str, Any] = {"SLICES": 2, "MOST_SLICES": 2}
    with patch.multiple(rounds, **few):
        yield


LAWS = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
DIMS = {"M": 1920, "N": 960, "K": 17280, "A": 200, "B": 81, "L": 480}
WORDS = (
    "time",
    "lower_bound",
    "dependency_bound",
    "t_math",
    "t_vector",
    "t_memory",
    "t_network",
    "t_host",
    "t_overhead",
)

V5E, V5P = load_chip("tpu_v5e"), load_chip("tpu_v5p")
H100, V100, A100 = load_chip("h100_sxm"), load_chip("v100_sxm2_32gb"), load_chip("a100_40gb_sxm")
SLOW = {
    "tpu_v5e": chip_with("tpu_v5e", {"hbm.bandwidth": "400 GB/s"}),
    "tpu_v5p": chip_with("tpu_v5p", {"hbm.bandwidth": "900 GB/s"}),
    "h100_sxm": chip_with("h100_sxm", {"hbm.bandwidth": "1 TB/s"}),
    "v100_sxm2_32gb": chip_with("v100_sxm2_32gb", {"hbm.bandwidth": "300 GB/s"}),
}


def system(
    wiring: str | Sequence[str], mesh: Mapping[str, int], chips: Chip | Sequence[Chip] = V5E, size: int = 0
) -> System:
    """Chips under a wiring: all alike, or by number; `size` of them from a pattern that repeats."""
    if isinstance(chips, Chip):
        return System(chips, parse_topology(wiring, chips.links), Mesh(mesh))
    here = tuple(chips[at % len(chips)] for at in range(size or len(chips)))
    return System(here[0], parse_topology(wiring, here[0].links, lambda chip: here[chip].links), Mesh(mesh), here)


def with_straggler(alike: System, at: int) -> System:
    """The same system with one chip of slower memory."""
    chips = [alike.chip] * alike.size
    chips[at] = SLOW[alike.chip.name]
    return replace(alike, chips=tuple(chips))


DGX = ["switch(8) over nvlink", "switch(4) over infiniband"]

SYSTEMS: dict[str, System] = {
    "ring 8": system("ring(8)", {"X": 8}),
    "line 8": system("line(8)", {"X": 8}),
    "ring 24": system("ring(24)", {"X": 24}),
    "torus 4 4": system("torus(4,4)", {"X": 4, "Y": 4}),
    "torus 2 8": system("torus(2,8)", {"X": 2, "Y": 8}),
    "half torus": system("torus(4,4,wrap=[yes,no])", {"X": 4, "Y": 4}),
    "torus 2 2 4": system("torus(2,2,4)", {"X": 2, "Y": 2, "Z": 4}, V5P),
    "torus 4 4 4": system("torus(4,4,4)", {"X": 4, "Y": 4, "Z": 4}, V5P),
    "grid 3 4": system("grid(3,4)", {"X": 3, "Y": 4}),
    "grid 2 2 3": system("grid(2,2,3)", {"X": 2, "Y": 2, "Z": 3}, V5P),
    "switch 8": system("switch(8) over nvlink", {"X": 8}, H100),
    "switch 8 cut": system("switch(8) over nvlink", {"X": 2, "Y": 4}, H100),
    "full 6": system("full(5)", {"X": 5}, V5P),
    "dgx 32": system(DGX, {"X": 8, "Y": 4}, H100),
    "rings on a switch": system(["ring(4) over ici", "switch(3) over dcn"], {"X": 4, "Y": 3}),
    "mixed halves": system("switch(8) over nvlink", {"X": 2, "Y": 4}, (V100,) * 4 + (A100,) * 4),
    "mixed ring": system("ring(8) over nvlink", {"X": 8}, (V100,) * 4 + (A100,) * 4),
    "alternating ring": system("ring(12) over nvlink", {"X": 12}, (V100, A100), 12),
    "alternating torus": system("torus(4,4) over nvlink", {"X": 4, "Y": 4}, (V100, A100), 16),
    "mixed nodes": system(DGX, {"X": 8, "Y": 4}, (V100,) * 16 + (A100,) * 16),
}
SYSTEMS["straggler ring"] = with_straggler(SYSTEMS["ring 8"], 3)
SYSTEMS["straggler torus"] = with_straggler(SYSTEMS["torus 4 4"], 6)
SYSTEMS["straggler dgx"] = with_straggler(SYSTEMS["dgx 32"], 9)
ALIKE = [
    "ring 8", "ring 24", "torus 4 4", "torus 2 8", "torus 2 2 4", "torus 4 4 4", "switch 8", "switch 8 cut",
    "full 6", "dgx 32", "rings on a switch",
]  # fmt: skip


def axes_of(here: System) -> list[str]:
    """Mesh axes one by one, and all together."""
    names = list(here.mesh.axes)
    return [*names, "".join(names)] if len(names) > 1 else names


# Graphs by name: lines for a system


def layers(here: System) -> list[Any]:
    """A chunked matmul and its all-reduce, twice, over the first axis."""
    axis = next(iter(here.mesh.axes))
    ops = [
        f"p:bf16[M,N]{{U_{axis}}} = matmul(h:bf16[M,K_{axis}], w:bf16[K_{axis},N], chunks=4)",
        f"r:bf16[M,N] = all_reduce(p, over={axis}, chunks=4)",
        "v:bf16[M,N] = gelu(r)",
    ]
    return [{"repeat": 2, "ops": ops}, "out:bf16[M,N] = relu(z:bf16[M,N])"]


def contending(here: System) -> list[Any]:
    """Collectives over every set of axes at once, in queues of their own, beside work on the chips."""
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])"]
    for at, axes in enumerate(axes_of(here)):
        after = ", after=a" if at % 2 else ""
        lines.append(f"r{at}:bf16[M,N] = all_reduce(p{at}:bf16[M,N]{{U_{axes}}}, over={axes}, queue=q{at}{after})")
        lines.append(f"s{at}:bf16[M,N] = permute(y{at}:bf16[M,N], over={axes}, shift={at + 1}, queue=s{at})")
    return [*lines, "b:bf16[M,N] = gelu(a)", "c:bf16[M,N] = add(b, r0)"]


def shifts(here: System) -> list[Any]:
    """Permutes of several shifts, one after the other and at once."""
    axes = axes_of(here)[-1]
    count = math.prod(here.mesh.axes[axis] for axis in axes)
    return [
        f"a:bf16[M,N] = permute(x:bf16[M,N], over={axes})",
        f"b:bf16[M,N] = permute(a, over={axes}, shift={count // 2})",
        f"c:bf16[M,N] = permute(x, over={axes}, shift={count - 1}, queue=side)",
        "d:bf16[M,N] = add(b, c)",
    ]


def transfers(here: System) -> list[Any]:
    """Sends between some chips beside an all-reduce of all."""
    axis, last = next(iter(here.mesh.axes)), here.size - 1
    return [
        f"r:bf16[M,N] = all_reduce(p:bf16[M,N]{{U_{axis}}}, over={axis})",
        f"s0:bf16[M,N] = send(x:bf16[M,N], from=0, to={last})",
        f"r0:bf16[M,N] = recv(from=0, to={last})",
        f"t0:bf16[M,N] = send(x, from={last}, to=1)",
        f"u0:bf16[M,N] = recv(from={last}, to=1)",
        "v0:bf16[M,N] = relu(u0)",
        "w:bf16[M,N] = gelu(r)",
    ]


def some_chips(here: System) -> list[Any]:
    """Ops on a few chips, which then come late to a collective."""
    axis = next(iter(here.mesh.axes))
    return [
        "a:bf16[M,N] = softmax(x:bf16[M,N], on=[1,2])",
        f"r:bf16[M,N] = all_reduce(p:bf16[M,N]{{U_{axis}}}, over={axis}, after=a)",
        f"g:bf16[M,N] = all_gather(q:bf16[M_{axis},N], over={axis}, queue=side)",
        "b:bf16[M,N] = add(r, g)",
    ]


GRAPHS = {each.__name__: each for each in (layers, contending, shifts, transfers, some_chips)}


# What is compared


def both(lines: Sequence[Any], here: System, options: RunOptions) -> tuple[Result, Result]:
    """The folded run and the full one."""
    return tuple(run(lines, DIMS, here, replace(options, fold=fold)) for fold in (True, False))  # type: ignore[return-value]


def rows(result: Result, chips: Sequence[int] | None = None) -> Any:
    """The timeline without what happens inside collectives by messages, whose lanes have no names of their own."""
    frame = timeline_frame(result, chips)
    frame = frame.astype(dict.fromkeys(("op", "kind", "queue"), str))
    frame = frame[~frame["queue"].str.contains("/")]
    return frame.sort_values(["op", "chip", "chunk", "queue", "begin"]).reset_index(drop=True)


def slack_s(full: Result) -> float:
    """A billionth, or 1 ps for each task that may stand on a path: one of each kernel and chunk."""
    per_chip = sum(planned.kernel.schedule.chunks * (1 + len(planned.traffic.steps)) for planned in full.plan.kernels)
    return max(1e-9 * full.time_s, 1e-12 * (per_chip + 1))


def assert_same(folded: Result, full: Result) -> None:
    assert full.plan.classes == full.plan.system.size
    ours, theirs = rows(folded), rows(full)
    for column in ("op", "kind", "chip", "chunk", "queue"):
        assert ours[column].tolist() == theirs[column].tolist()
    allowed = slack_s(full)
    for column in ("begin", "end"):
        off = np.abs(ours[column].to_numpy() - theirs[column].to_numpy())
        worst = int(off.argmax())
        assert off[worst] <= allowed, (column, ours.iloc[worst].to_dict(), theirs.iloc[worst].to_dict())
    words = [Summary(each.plan, lambda each=each: each) for each in (folded, full)]  # type: ignore[misc]
    for word in WORDS:
        assert words[0][word] == pytest.approx(words[1][word], rel=1e-9, abs=allowed), word


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


# Random systems and graphs

WIRED = (
    ("ring(8)", (8,)), ("line(9)", (9,)), ("ring(10)", (10,)), ("torus(2,4)", (2, 4)), ("torus(3,4)", (3, 4)),
    ("torus(4,4,wrap=[no,yes])", (4, 4)), ("grid(2,5)", (2, 5)), ("torus(2,2,3)", (2, 2, 3)), ("grid(2,2,2)", (2, 2, 2)),
    ("switch(8)", (2, 4)), ("switch(12)", (12,)), ("full(6)", (6,)),
)  # fmt: skip
PORTS = {f"links.{link}.count": 12 for link in ("nvlink",)}
FAST = chip_with("h100_sxm", PORTS)
LESS = chip_with("h100_sxm", {**PORTS, "hbm.bandwidth": "1.1 TB/s"})
NARROW = chip_with("h100_sxm", {**PORTS, "links.nvlink.bandwidth": "20 GB/s"})


@st.composite
def systems(draw: st.DrawFn) -> System:
    """Alike chips, halves, alternating ones, or any mix of three kinds."""
    levels = draw(st.integers(0, 4)) == 0
    wiring, sizes = draw(st.sampled_from(WIRED))
    text: str | list[str] = f"{wiring} over nvlink"
    if levels:
        count = draw(st.integers(2, 3))
        text, sizes = [str(text), f"switch({count}) over infiniband"], (*sizes, count)
    mesh = dict(zip("XYZW", sizes, strict=False))
    size = math.prod(sizes)
    pattern = draw(st.sampled_from(["alike", "halves", "alternating", "straggler", "any"]))
    other = draw(st.sampled_from([LESS, NARROW]))
    if pattern == "alike":
        return system(text, mesh, FAST)
    if pattern == "halves":
        return system(text, mesh, [FAST] * (size // 2) + [other] * (size - size // 2))
    if pattern == "alternating":
        return system(text, mesh, [FAST, other], size)
    if pattern == "straggler":
        at = draw(st.integers(0, size - 1))
        return system(text, mesh, [other if chip == at else FAST for chip in range(size)])
    return system(text, mesh, draw(st.lists(st.sampled_from([FAST, LESS, NARROW]), min_size=size, max_size=size)))


@dataclass(frozen=True)
class Drawn:
    """A system, lines for it, and how to run them."""

    system: System
    lines: list[Any]
    options: RunOptions


@st.composite
def drawn(draw: st.DrawFn, orders: Sequence[Any] = ("program",)) -> Drawn:  # noqa: C901
    here = draw(systems())
    axes_choice, queues = axes_of(here), ["", ", queue=side", ", queue=third"]
    lines: list[Any] = []
    ended: list[str] = []

    def tail() -> str:
        after = draw(st.lists(st.sampled_from(ended), max_size=2, unique=True)) if ended else []
        return draw(st.sampled_from(queues)) + (f", after=[{', '.join(after)}]" if after else "")

    kinds = [
        "matmul",
        "vector",
        "layer",
        "all_reduce",
        "all_gather",
        "reduce_scatter",
        "permute",
        "some",
        "pair",
        "repeat",
    ]
    for at in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(kinds))
        axes = draw(st.sampled_from(axes_choice))
        rows_ = draw(st.sampled_from(["M", "N", "L"]))
        name = f"t{at}"
        if kind == "matmul":
            lines.append(f"{name}:bf16[A,{rows_}] = matmul(x{at}:bf16[A,K], w{at}:bf16[K,{rows_}]{tail()})")
        elif kind == "vector":
            lines.append(
                f"{name}:bf16[{rows_},77] = gelu(x{at}:bf16[{rows_},77], chunks={draw(st.integers(1, 3))}{tail()})"
            )
        elif kind == "layer":
            chunks = draw(st.integers(1, 3))
            lines.append(
                f"m{at}:bf16[{rows_},B]{{U_{axes}}} = "
                f"matmul(x{at}:bf16[{rows_},K_{axes}], w{at}:bf16[K_{axes},B], chunks={chunks})"
            )
            lines.append(f"{name}:bf16[{rows_},B] = all_reduce(m{at}, over={axes}, chunks={chunks})")
        elif kind == "all_reduce":
            lines.append(f"{name}:bf16[{rows_},8] = all_reduce(p{at}:bf16[{rows_},8]{{U_{axes}}}, over={axes}{tail()})")
        elif kind == "all_gather":
            lines.append(f"{name}:bf16[K,8] = all_gather(p{at}:bf16[K_{axes},8], over={axes}{tail()})")
        elif kind == "reduce_scatter":
            lines.append(f"{name}:bf16[K_{axes},8] = reduce_scatter(p{at}:bf16[K,8]{{U_{axes}}}, over={axes}{tail()})")
        elif kind == "permute":
            shift = draw(st.integers(1, here.mesh.extent(axes) - 1))
            lines.append(f"{name}:bf16[{rows_},9] = permute(p{at}:bf16[{rows_},9], over={axes}, shift={shift}{tail()})")
        elif kind == "some":
            chips = draw(st.lists(st.integers(0, here.size - 1), min_size=1, max_size=3, unique=True))
            lines.append(f"{name}:bf16[{rows_},78] = relu(x{at}:bf16[{rows_},78], on={chips})")
        elif kind == "pair":
            source, target = draw(st.lists(st.integers(0, here.size - 1), min_size=2, max_size=2, unique=True))
            lines.append(f"{name}:bf16[{rows_},7] = send(x{at}:bf16[{rows_},7], from={source}, to={target})")
            lines.append(f"r{at}:bf16[{rows_},7] = recv(from={source}, to={target})")
            lines.append(f"u{at}:bf16[{rows_},7] = relu(r{at})")
        else:
            body = [
                f"a{at}:bf16[{rows_},6] = softmax(c{at}:bf16[{rows_},6])",
                f"b{at}:bf16[{rows_},6] = permute(a{at}, over={axes})",
            ]
            lines.append({"repeat": draw(st.integers(1, 3)), "carry": {f"c{at}": f"b{at}"}, "ops": body})
            continue
        if kind not in ("some", "pair"):
            ended.append(name)
    options = RunOptions(
        overlap=draw(st.sampled_from(["full", "none", "auto"])),
        order=draw(st.sampled_from(orders)),
        routing=draw(st.sampled_from(["split", "single", "minimal", "ecmp"])),
        network=draw(st.sampled_from(["task", "messages"])),
        launch_s=draw(st.sampled_from([0.0, 1e-6])),
        sharding="written",
    )
    return Drawn(here, lines, options)


@LAWS
@given(drawn())
def test_folded_is_full_on_random_systems_and_graphs(case: Drawn) -> None:
    assert_same(*both(case.lines, case.system, case.options))


@LAWS
@given(drawn())
def test_a_run_folds_the_same_every_time(case: Drawn) -> None:
    first, second = (run(case.lines, DIMS, case.system, case.options) for _ in range(2))
    assert first.plan.folding == second.plan.folding
    assert list(first.begin_ps) == list(second.begin_ps)
    assert list(first.end_ps) == list(second.end_ps)


# Refinement by itself


@dataclass(frozen=True)
class Incidence:
    """What `fold` is given."""

    chips: list[int]
    wires: list[int]
    traffics: list[Traffic]


@st.composite
def incidences(draw: st.DrawFn) -> Incidence:
    chips, wires = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    looks = st.integers(0, draw(st.integers(0, 1)))
    traffics = []
    for _ in range(draw(st.integers(0, 3))):
        pair = chips > 1 and draw(st.booleans())
        groups = []
        step = draw(st.integers(1, max(1, chips - 1)))
        for at in range(draw(st.integers(1, chips))):
            if draw(st.integers(0, 5)):  # mostly regular, so that something folds
                members = (at, (at + step) % chips) if pair else tuple(range(at % step, chips, step))
                loads = {at % wires: 8.0}
            else:
                members = tuple(draw(st.permutations(range(chips)))[: 2 if pair else draw(st.integers(1, chips))])
                loads = draw(st.dictionaries(st.integers(0, wires - 1), st.sampled_from([4.0, 8.0]), max_size=3))
            groups.append(Joined(members, Transfer((loads,) if loads else (), draw(st.sampled_from([0.0, 0.0, 1e-6])))))
        traffics.append(Traffic(tuple(groups), pair=pair))
    return Incidence([draw(looks) for _ in range(chips)], [draw(looks) for _ in range(wires)], traffics)


def met_by_chip(case: Incidence, folding: Folding, chip: int) -> Counter[Any]:
    """The classes of groups that a chip is in, with its role."""
    return Counter(
        (at, folding.groups[at][number], place if traffic.pair else 0)
        for at, traffic in enumerate(case.traffics)
        for number, group in enumerate(traffic.groups)
        for place, member in enumerate(group.members)
        if member == chip
    )


def met_by_wire(case: Incidence, folding: Folding, wire: int) -> Counter[Any]:
    """The classes of groups that use a wire, with their bytes."""
    return Counter(
        (at, folding.groups[at][number], group.transfer.wires[wire])
        for at, traffic in enumerate(case.traffics)
        for number, group in enumerate(traffic.groups)
        if wire in group.transfer.wires
    )


def met_by_group(case: Incidence, folding: Folding, at: int, number: int) -> Any:
    """The classes of a group's chips in their roles and of its wires with their bytes, and its latency."""
    traffic = case.traffics[at]
    group = traffic.groups[number]
    return (
        Counter((place if traffic.pair else 0, folding.chip[chip]) for place, chip in enumerate(group.members)),
        Counter((nbytes, folding.wire[wire]) for wire, nbytes in group.transfer.wires.items()),
        group.transfer.latency_s,
    )


def assert_equitable(case: Incidence, folding: Folding) -> None:
    """The definition: equals in a class are equal on their own, and meet equally many of every class."""
    for chip, first in enumerate(folding.chip):
        assert case.chips[chip] == case.chips[first]
        assert met_by_chip(case, folding, chip) == met_by_chip(case, folding, first)
    for wire, first in enumerate(folding.wire):
        assert case.wires[wire] == case.wires[first]
        assert met_by_wire(case, folding, wire) == met_by_wire(case, folding, first)
    for at, classes in enumerate(folding.groups):
        for number, first in enumerate(classes):
            assert met_by_group(case, folding, at, number) == met_by_group(case, folding, at, first)


@settings(LAWS, max_examples=100)
@given(incidences())
def test_the_classes_are_equitable(case: Incidence) -> None:
    folding = fold(case.chips, case.wires, case.traffics)
    assert_equitable(case, folding)
    for classes in (folding.chip, folding.wire, *folding.groups):
        assert all(first <= at and classes[first] == first for at, first in enumerate(classes))


@settings(LAWS, max_examples=60)
@given(incidences(), st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(case: Incidence, rng: random.Random) -> None:
    shuffled = [replace(each, groups=tuple(rng.sample(each.groups, len(each.groups)))) for each in case.traffics]
    before, after = fold(case.chips, case.wires, case.traffics), fold(case.chips, case.wires, shuffled)
    assert list(before.chip) == list(after.chip)
    assert_equitable(replace(case, traffics=shuffled), after)


def test_unfolded_is_equitable_and_every_chip_for_itself() -> None:
    case = Incidence([0] * 3, [0] * 2, [Traffic((Joined((0, 1, 2), Transfer(({0: 1.0, 1: 1.0},))),))])
    assert_equitable(case, unfolded(3, 2, case.traffics))
    assert unfolded(3, 2, case.traffics).members == {0: [0], 1: [1], 2: [2]}


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize("name", ["ring 8", "straggler ring", "grid 3 4"])
def test_giving_up_is_right_too(name: str, rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    here = SYSTEMS[name]
    wanted = run(contending(here), DIMS, here, RunOptions(fold=False))
    monkeypatch.setattr(folding_module, "MAX_ROUNDS", rounds)
    got = run(contending(here), DIMS, here)
    if not rounds:
        assert got.plan.classes == here.size
    assert_same(got, wanted)
