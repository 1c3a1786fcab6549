"""Ops at places along a mesh axis, `on=P@2`, and transfers between such places, `send(x, over=P, from=0, to=1)`.

Laws: a place means the chips that it is made of, and a transfer over an axis is one of two chips for every group over it:
what is written chip by chip takes the same times on the same chips. Folded is unfolded. What one place has in common is
worked out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame, network_record, timeline_frame
from hw import Mesh, RunError, SpecError, System, load_chip, parse_topology
from simulator import Plan, Result, RunOptions, bind, parse_graph, print_items, simulate
from tests.support.strategies import chip_with, many, run

DIMS = {"M": 960, "K": 512, "N": 64}
WIRINGS: Sequence[tuple[Any, dict[str, int]]] = [
    ("torus(4,2)", {"P": 4, "D": 2}),
    ("torus(2,4)", {"D": 2, "P": 4}),
    ("grid(3,2,2)", {"D": 3, "P": 2, "T": 2}),
    ("torus(2,2,2)", {"P": 2, "D": 4}),
    ("switch(6)", {"D": 2, "P": 3}),
    (["switch(4)", "fat_tree(4)"], {"T": 4, "P": 2, "D": 2}),
]


def system_of(wiring: Any, mesh: dict[str, int]) -> System:
    chip = load_chip("tpu_v5p")
    levels = [wiring] if isinstance(wiring, str) else wiring
    return many([f"{each} over ici" for each in levels], mesh, chip)


def at(system: System, place: int) -> list[int]:
    """The chips at a place along P by their coordinates, worked out apart: along each other axis they keep theirs."""
    return sorted(group[place] for group in system.groups("P"))


def chips_by(frame: pd.DataFrame, column: str) -> dict[str, list[int]]:
    """The chips in the rows of each op or tensor."""
    rows = sorted(set(zip(frame[column].tolist(), frame["chip"].tolist(), strict=True)))
    return {name: [chip for each, chip in rows if each == name] for name, _ in rows}


def on_chips(result: Result) -> set[tuple[Any, ...]]:
    """(chip, kind, queue, begin, end) of everything that ran, whatever it is called."""
    frame = timeline_frame(result)
    columns = ("chip", "kind", "queue", "begin", "end", "waiting")
    return set(zip(*(frame[column].tolist() for column in columns), strict=True))


# What is written


def test_places_print_back() -> None:
    lines = [
        "a:bf16[M,K] = relu(x:bf16[M,K], on=P@0)",
        "s:bf16[M,K] = send(a, over=P, from=0, to=1)",
        "r:bf16[M,K] = recv(over=P, from=0, to=1)",
        "b:bf16[M,K] = relu(r, on=P@[1, 2])",
    ]
    assert print_items(parse_graph(lines, DIMS).items) == lines
    assert print_items(parse_graph(["a:bf16[M] = relu(x:bf16[M], on=P @ [1,2])"], DIMS).items) == [
        "a:bf16[M] = relu(x:bf16[M], on=P@[1, 2])"
    ]


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("a:bf16[M] = relu(x:bf16[M], on=Q@0)", 29, "unknown mesh axis 'Q'. Allowed: D, P"),
        ("a:bf16[M] = relu(x:bf16[M], on=P@4)", 29, "there is no place 4 along P, which has places 0 to 3"),
        ("a:bf16[M] = relu(x:bf16[M], on=P@[0, 7])", 29, "there is no place 7 along P, which has places 0 to 3"),
        ("a:bf16[M] = relu(x:bf16[M], on=P@-1)", 29, "'-1' will not do: on= wants 0 or more"),
        ("a:bf16[M] = relu(x:bf16[M], on=p@1)", 29, "places along a mesh axis, a single capital"),
        ("a:bf16[M] = relu(x:bf16[M], on=8)", 29, "there is no chip 8; the system has chips 0 to 7"),
        ("a:bf16[M] = relu(x:bf16[M], onn=P@0)", 29, "did you mean 'on'"),
        ("a:bf16[M] = send(x:bf16[M], over=Q, from=0, to=1)", 29, "unknown mesh axis 'Q'"),
        ("a:bf16[M] = send(x:bf16[M], over=P, from=0, to=4)", 45, "no place 4 along P, which has places 0 to 3"),
        ("a:bf16[M] = send(x:bf16[M], over=P, from=1, to=1)", 45, "send from place 1 along P to itself"),
        ("a:bf16[M] = recv(over=P, from=1)", 13, "recv needs from= and to=, the two places"),
        ("a:bf16[M] = send(x:bf16[M], over=D, from=0, to=3)", 45, "no place 3 along D, which has places 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_told_at_its_place(line: str, column: int, words: str) -> None:
    with pytest.raises(SpecError) as raised:
        run([line], DIMS, system_of("torus(4,2)", {"P": 4, "D": 2}))
    (problem,) = raised.value.problems
    assert problem.mark.column == column
    assert words in problem.message


def test_in_blocks_places_may_be_those_of_the_round() -> None:
    block = {
        "repeat": 3,
        "carry": {"x": "y"},
        "ops": [
            "a:bf16[M,K] = relu(x:bf16[M,K], on=P@round)",
            "s:bf16[M,K] = send(a, over=P, from=round, to=round+1)",
            "y:bf16[M,K] = recv(over=P, from=round, to=round+1)",
            "b:bf16[M,K] = relu(x, on=P@[round, round+1])",
        ],
    }
    # what came to the last place is nowhere else
    with pytest.raises(
        RunError, match=r"z \(relu\) can run nowhere: y\.2 is on chips 6, 7, it is written for chips 0, 1"
    ):
        run([block, "z:bf16[M,K] = relu(y, on=P@0)"], DIMS, system_of("torus(4,2)", {"P": 4, "D": 2}))
    result = run([block, "z:bf16[M,K] = relu(y)"], DIMS, system_of("torus(4,2)", {"P": 4, "D": 2}))
    chips = chips_by(timeline_frame(result), "op")
    for number in range(3):
        assert chips[f"a.{number}"] == chips[f"s.{number}"] == at(result.plan.system, number)
        assert chips[f"y.{number}"] == at(result.plan.system, number + 1)
        assert chips[f"b.{number}"] == (
            at(result.plan.system, 0) + at(result.plan.system, 1) if not number else chips[f"a.{number}"]
        )
    assert chips["z"] == at(result.plan.system, 3)


# A place is the chips that it is made of


@pytest.mark.parametrize(("wiring", "mesh"), WIRINGS)
@pytest.mark.parametrize("fold", [True, False])
def test_a_place_is_its_chips(wiring: Any, mesh: dict[str, int], fold: bool) -> None:
    system = system_of(wiring, mesh)

    def lines(first: str, both: str) -> list[str]:
        return [
            f"a:bf16[M_D,K] = matmul(x:bf16[M_D,N], w:bf16[N,K], on={first})",
            "b:bf16[M,K] = all_gather(a, over=D)",
            f"c:bf16[M,K] = relu(y:bf16[M,K], on={both})",
        ]

    last = mesh["P"] - 1
    chips = [at(system, place) for place in (0, last)]
    places = run(lines("P@0", f"P@[0, {last}]"), DIMS, system, RunOptions(fold=fold))
    listed = run(lines(str(chips[0]), str([*chips[0], *chips[1]])), DIMS, system, RunOptions(fold=fold))
    assert on_chips(places) == on_chips(listed)
    assert places.plan.classes == listed.plan.classes


# A transfer over an axis is one for every group


def transfers(system: System, hops: Sequence[tuple[int, int]], written: bool) -> list[str]:
    """A relu at every sender, hops from place to place, and a relu at every receiver; `written` out chip by chip."""
    lines = []
    for number, (source, target) in enumerate(hops):
        lines.append(f"a{number}:bf16[M,K] = relu(x{number}:bf16[M,K], on=P@{source})")
        if not written:
            lines.append(f"s{number}:bf16[M,K] = send(a{number}, over=P, from={source}, to={target})")
            lines.append(f"r{number}:bf16[M,K] = recv(over=P, from={source}, to={target})")
            lines.append(f"b{number}:bf16[M,K] = gelu(r{number})")
            continue
        for group in system.groups("P"):
            one, two = group[source], group[target]
            tag = f"{number}c{one}"
            lines.append(f"s{tag}:bf16[M,K] = send(a{number}, from={one}, to={two})")
            lines.append(f"r{tag}:bf16[M,K] = recv(from={one}, to={two})")
            lines.append(f"b{tag}:bf16[M,K] = gelu(r{tag})")
    return lines


@settings(max_examples=40)
@given(st.sampled_from(WIRINGS), st.data())
def test_a_transfer_over_an_axis_is_one_for_every_group(wired: tuple[Any, dict[str, int]], data: st.DataObject) -> None:
    system, stages = system_of(*wired), wired[1]["P"]
    places = st.integers(0, stages - 1)
    hop = st.tuples(places, places).filter(lambda ends: ends[0] != ends[1])
    hops = data.draw(st.lists(hop, min_size=1, max_size=4))
    options: dict[str, Any] = {"routing": data.draw(st.sampled_from(["split", "single"])), "overlap": "full"}
    plain = run(transfers(system, hops, written=True), DIMS, system, RunOptions(**options, fold=False))
    for fold in (True, False):
        result = run(transfers(system, hops, written=False), DIMS, system, RunOptions(**options, fold=fold))
        got, want = sorted(on_chips(result)), sorted(on_chips(plain))
        assert [row[:3] for row in got] == [row[:3] for row in want]
        for one, other in zip(got, want, strict=True):
            assert one[3:] == pytest.approx(other[3:], rel=1e-9, abs=1e-11)
        assert result.lower_bound_s == pytest.approx(plain.lower_bound_s, rel=1e-9)
        assert result.lower_bound_s <= result.time_s * (1 + 1e-9)


def test_alike_counterparts_are_one_task() -> None:
    system = system_of("torus(4,16)", {"P": 4, "D": 16})
    result = run(transfers(system, [(0, 1), (1, 2)], written=False), DIMS, system)
    assert result.plan.classes == 4  # a chip for each place: all along D are alike
    program = result.plan.program
    sends = [task for task in range(len(program)) if result.plan.kernels[program.kernel[task]].kernel.kind == "send"]
    assert len(sends) == 2
    wires = sum(time for resource, time in program.shapes[program.shape[sends[0]]].demands if resource >= 0)
    assert wires > 0
    assert [result.plan.kernel_on(sends[0], chip) for chip in program.chips_of(sends[0])] == [1, 2]


def test_both_ends_may_come_in_any_order_and_wait_for_each_other() -> None:
    lines = [
        "r:bf16[M,K] = recv(over=P, from=0, to=1)",
        "b:bf16[M,K] = relu(r)",
        "a:bf16[M,K] = relu(x:bf16[M,K], on=P@0)",
        "s:bf16[M,K] = send(a, over=P, from=0, to=1)",
    ]
    system = system_of("torus(4,2)", {"P": 4, "D": 2})
    results = [run(lines, DIMS, system, RunOptions(fold=fold)) for fold in (True, False)]
    assert on_chips(results[0]) == on_chips(results[1])
    frame = timeline_frame(results[0])
    columns = (frame[column].tolist() for column in ("op", "chip", "begin", "end", "waiting"))
    rows = {(op, chip): times for op, chip, *times in zip(*columns, strict=True)}
    _, relu_ends, _ = rows["a", 0]
    for chip in at(system, 1):
        _, ends, waited = rows["r", chip]
        assert waited == pytest.approx(relu_ends, rel=1e-6)  # the receiver waits as long as the relu takes
        assert rows["b", chip][0] == ends


@pytest.mark.long
def test_collectives_inside_the_stages_may_go_by_messages() -> None:
    lines = [
        "a:bf16[M,K] = all_gather(x:bf16[M_D,K], over=D, on=P@0)",
        "s:bf16[M,K] = send(a, over=P, from=0, to=1)",
        "r:bf16[M,K] = recv(over=P, from=0, to=1)",
        "b:bf16[M_D,K] = relu(r)",
        "c:bf16[M,K] = all_gather(b, over=D)",
    ]
    system = many("torus(2,4)", {"P": 2, "D": 4}, chip_with("tpu_v5e", {"links.ici.latency": 0}))
    task = run(lines, DIMS, system, RunOptions(overlap="full"))
    for fold in (True, False):
        messages = run(lines, DIMS, system, RunOptions(overlap="full", network="messages", fold=fold))
        assert messages.time_s == pytest.approx(task.time_s, rel=0.02)


def test_counterparts_with_unequal_parts_send_their_own() -> None:
    system = system_of("torus(2,2)", {"P": 2, "T": 2})
    lines = [
        "s:bf16[M_T,K] = send(x:bf16[M_T,K], over=P, from=0, to=1)",
        "r:bf16[M_T,K] = recv(over=P, from=0, to=1)",
    ]
    graph = parse_graph(lines, DIMS)
    uneven = type(graph)(graph.dims, graph.items, split={"T": (1, 3)})
    plan: Plan = simulate(uneven, system, RunOptions(fold=False)).plan
    sent = [group.transfer.sent_bytes for group in plan.kernels[0].traffic.groups]
    assert sent == [2 * 240 * 512, 2 * 720 * 512]


# Deadlocks


def test_a_transfer_over_an_axis_needs_both_ends_everywhere() -> None:
    system = system_of("torus(4,2)", {"P": 4, "D": 2})
    recv = "r:bf16[M] = recv(over=P, from=0, to=1)"
    with pytest.raises(RunError, match=r"r \(recv on place 1 of P\) waits for ever"):
        run([recv], DIMS, system)
    with pytest.raises(RunError, match=r"a \(send on place 0 of P\), r \(recv on place 1 of P\) waits for ever"):
        run(["a:bf16[M] = send(x:bf16[M], over=P, from=0, to=2)", recv], DIMS, system)
    absent = at(system, 1)[1]
    with pytest.raises(RunError, match=rf"r \(recv\) waits for ever on chip {absent}: a \(send\) runs on chip 0 alone"):
        run(["a:bf16[M] = send(x:bf16[M], over=P, from=0, to=1, on=0)", recv], DIMS, system)
    with pytest.raises(RunError, match="are one transfer but differ in bytes"):
        run(["a:bf16[K] = send(x:bf16[K], over=P, from=0, to=1)", recv], DIMS, system)


def test_queues_that_wait_for_each_other_are_told() -> None:
    lines = [
        "r:bf16[M] = recv(over=P, from=1, to=0)",
        "a:bf16[M] = send(r, over=P, from=0, to=1)",
        "q:bf16[M] = recv(over=P, from=0, to=1)",
        "b:bf16[M] = send(q, over=P, from=1, to=0)",
    ]
    with pytest.raises(RunError, match=r"deadlock at 0 s: these wait for ever: r \(recv\) on chips 0, 1, 2, 3"):
        run(lines, DIMS, system_of("torus(2,2)", {"P": 2, "D": 2}))


# What is made of it


def test_what_only_one_stage_reads_lies_on_its_chips_alone() -> None:
    system = system_of("torus(4,2)", {"P": 4, "D": 2})
    lines = [
        "a:bf16[M,K] = matmul(x:bf16[M,N], w:bf16[N,K], on=P@0)",
        "s:bf16[M,K] = send(a, over=P, from=0, to=1)",
        "r:bf16[M,K] = recv(over=P, from=0, to=1)",
        "b:bf16[M,K] = matmul(r, v:bf16[K,K])",
    ]
    frame = memory_frame(run(lines, DIMS, system, RunOptions(fold=False)))
    where = chips_by(frame, "tensor")
    assert where["w"] == where["x"] == where["a"] == at(system, 0)
    assert where["v"] == where["r"] == where["b"] == at(system, 1)


def test_transfers_are_no_row_of_the_table_of_collectives() -> None:
    system = system_of("torus(4,2)", {"P": 4, "D": 2})
    assert network_record(run(transfers(system, [(0, 1)], written=False), DIMS, system).plan)["collectives"] == []


def test_named_groups_have_places_too() -> None:
    chip = load_chip("tpu_v5p")
    system = System(chip, parse_topology("ring(8)", chip.links), Mesh({"X": 8}, {"A": [5, 2, 0]}))
    lines = [
        "a:bf16[M] = relu(x:bf16[M], on=A@2)",
        "s:bf16[M] = send(a, over=A, from=2, to=1)",
        "r:bf16[M] = recv(over=A, from=2, to=1)",
    ]
    frame = timeline_frame(run(lines, DIMS, system))
    assert chips_by(frame, "op") == {"a": [0], "s": [0], "r": [2]}
    with pytest.raises(SpecError, match="there is no place 3 along A, which has places 0 to 2"):
        run(["a:bf16[M] = relu(x:bf16[M], on=A@3)"], DIMS, system)


def test_kernels_at_one_place_share_what_is_worked_out_of_its_chips() -> None:
    system = system_of("torus(4,2)", {"P": 4, "D": 2})
    lines = [f"a{number}:bf16[M] = relu(x:bf16[M], on=P@{number % 2})" for number in range(10)]
    ons = {kernel.schedule.on for kernel in bind(parse_graph(lines, DIMS), system)}
    assert len(ons) == 2
    assert system.at("P", 1) is system.at("P", 1)
    plan = run(lines, DIMS, system).plan
    assert len({id(planned.chips) for planned in plan.kernels}) == 2
