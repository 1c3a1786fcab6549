"""Transfers that meet on a wire: closed forms, and random graphs of transfers against the exact oracle, task by task.

Law: a wire that is never idle lasts as long as all bytes on it: whoever ends last ends then. Streams are fair in bytes/s,
so equal ones that meet at one port end together, and a long way through n wires, each with a stranger, gets half of each.
Assumes: random graphs are short; queues are given to the oracle as dependencies on whoever stands before.
Source: max-min fairness as in Bertsekas and Gallager, "Data Networks", 2nd edition, section 6.5.2 (incast, parking lot).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Chip, RunError, System
from simulator import OpGraph, Program, Result, RunOptions, Simulation, parse_graph, simulate
from simulator.collectives import rounds
from tests.support import oracle
from tests.support.drawing import among, between, shuffled
from tests.support.oracle import OracleTask
from tests.support.strategies import chip_with, many, show_error

W_RING, W_SWITCH = 4.5e10, 18 * 25e9
MACRO = RunOptions(overlap="full", network="task")


def tpu(alpha: float = 0.0) -> Chip:
    return chip_with("tpu_v5e", {"links.ici.latency": alpha, "hbm.bandwidth": 5e12})


def gpu(alpha: float = 0.0) -> Chip:
    return chip_with("h100_sxm", {"links.nvlink.latency": alpha, "hbm.bandwidth": 5e12})


def graph_of(lines: Sequence[str], **dims: int) -> OpGraph:
    graph = parse_graph(lines, dims)
    return OpGraph(graph.dims, graph.items, "none")


def send(name: str, source: int, target: int, elements: int) -> list[str]:
    """A transfer in queues of its own."""
    ends = f"from={source}, to={target}, queue={name}"
    return [
        f"s{name}:bf16[{elements}] = send(x{name}:bf16[{elements}], {ends})",
        f"y{name}:bf16[{elements}] = recv({ends})",
    ]


def ends_of(result: Result) -> dict[str, float]:
    """When each op ended on its last chip."""
    found: dict[str, float] = {}
    for task, end in enumerate(result.end_ps):
        name = result.plan.kernels[result.plan.program.kernel[task]].kernel.name
        found[name] = max(found.get(name, 0.0), end / 1e12)
    return found


def check(what: str, got: float, want: float) -> None:
    print(show_error(f"{what}, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=4e-12)


# Closed forms


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 1e-6])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_an_all_gather_shares_a_wire_with_a_stranger(share: float, alpha: float, fold: bool) -> None:
    """Ring of four: half of V on the wire beside the stranger's bytes, half of the wire each until one ends. Both begin to
    work after a latency: two hops, and one."""
    elements = 4 * 10**6
    gathered, sent = 2.0 * elements, 2.0 * int(elements * share)
    lines = [f"g:bf16[{elements}] = all_gather(a:bf16[{elements}_X], over=X)", *send("q", 0, 1, int(elements * share))]
    options = RunOptions(overlap="full", network="task", fold=fold)
    got = ends_of(simulate(graph_of(lines), many("ring(4)", {"X": 4}, tpu(alpha)), options))
    left = sent - alpha * W_RING  # what the stranger has not moved when the gather comes
    check("the stranger", got["sq"], 2 * alpha + (left + min(left, gathered / 2)) / W_RING)
    check("the all-gather", got["g"], 2 * alpha + (gathered / 2 + min(left, gathered / 2)) / W_RING)


@pytest.mark.parametrize("fold", [True, False])
def test_groups_of_one_gather_that_share_a_nic_take_as_long_as_both(fold: bool) -> None:
    """Four nodes of two chips with one NIC each, gathered from node to node: 3/4 V a chip, two chips behind a NIC. One
    after the other, the upper bound, are that and V + V/4 in HBM."""
    chip = chip_with("h100_sxm", {"links.infiniband.latency": 0.0})
    system = many(["switch(2) over nvlink", "switch(4,nics=1) over infiniband"], {"X": 2, "Y": 4}, chip)
    lines = ["y:bf16[I,J] = all_gather(x:bf16[I_Y,J], over=Y)"]
    result = simulate(parse_graph(lines, {"I": 4096, "J": 4096}), system, RunOptions(fold=fold))
    nbytes = 2 * 4096**2
    nic_s = 2 * nbytes * 3 / 4 / chip.links["infiniband"].bytes_per_s
    assert result.time_s == pytest.approx(nic_s, rel=1e-9)
    assert result.upper_bound_s == pytest.approx(nic_s + 1.25 * nbytes / chip.hbm.bytes_per_s, rel=1e-9)


def test_a_collective_is_one_task_beside_a_stranger_and_goes_by_messages_by_name_only() -> None:
    lines = ["g:bf16[4000000] = all_gather(a:bf16[4000000_X], over=X)", *send("q", 0, 1, 10**6)]
    system = many("ring(4)", {"X": 4}, tpu())
    forms = [
        simulate(graph_of(lines), system, options).plan.kernels[0].traffic.form
        for options in (RunOptions(), RunOptions(network="task"), RunOptions(network="messages"))
    ]
    assert forms == ["task", "task", "messages"]


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 3), (5, 2), (1, 8)])
def test_two_groups_share_the_ports_of_their_chips(one: int, other: int, fold: bool) -> None:
    """Switch of eight as 2 x 4: every port carries V/2 of one gather and 3/4 of the other."""
    sizes = 8 * 10**6 * one, 8 * 10**6 * other
    lines = [
        f"g:bf16[{sizes[0]}] = all_gather(a:bf16[{sizes[0]}_X], over=X)",
        f"h:bf16[{sizes[1]}] = all_gather(b:bf16[{sizes[1]}_Y], over=Y)",
    ]
    options = RunOptions(overlap="full", network="task", fold=fold)
    got = simulate(graph_of(lines), many("switch(8)", {"X": 2, "Y": 4}, gpu()), options)
    check(f"{one} and {other} parts", got.time_s, (2 * sizes[0] / 2 + 2 * sizes[1] * 3 / 4) / W_SWITCH)


@pytest.mark.parametrize("alpha", [0.0, 1e-6])
@pytest.mark.parametrize("sizes", [[4] * 7, [1, 2, 3, 4, 5, 6, 7], [1, 1, 1, 9, 9, 9, 9]])
def test_incast_shares_the_port_of_the_receiver(sizes: list[int], alpha: float) -> None:
    """Each of k streams that are left gets W/k: the j-th smallest ends when all have sent as much, or all they had."""
    lines = [line for at, size in enumerate(sizes) for line in send(f"q{at + 1}", at + 1, 0, size * 10**6)]
    got = ends_of(simulate(graph_of(lines), many("switch(8)", {"X": 8}, gpu(alpha)), MACRO))
    for at, size in enumerate(sizes):
        sent = sum(min(each, size) for each in sizes) * 2e6
        check(f"{size} MB of {sizes}", got[f"sq{at + 1}"], alpha + sent / W_SWITCH)


def test_incast_in_one_queue_takes_turns() -> None:
    lines = [line.split(", queue=")[0] + ")" for at in range(1, 8) for line in send(f"q{at}", at, 0, 10**6)]
    got = ends_of(simulate(graph_of(lines), many("switch(8)", {"X": 8}, gpu(1e-6)), MACRO))
    for at in range(1, 8):
        check(f"turn {at}", got[f"sq{at}"], at * (1e-6 + 2e6 / W_SWITCH))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("long", [1, 5, 20])
def test_a_parking_lot(n: int, long: int) -> None:
    """A stream over all wires of a line and a stranger of its own on each: halves, until the strangers are gone."""
    strangers = [1 + (3 * at) % 5 for at in range(n - 1)]
    lines = send("long", 0, n - 1, long * 10**6)
    for at, size in enumerate(strangers):
        lines += send(f"q{at}", at, at + 1, size * 10**6)
    got = ends_of(simulate(graph_of(lines), many(f"line({n})", {"X": n}, tpu()), MACRO))
    beside = min(long, max(strangers))
    check("the long way", got["slong"], (long + beside) * 2e6 / W_RING)
    for at, size in enumerate(strangers):
        check(f"stranger {at}", got[f"sq{at}"], (size + min(long, size)) * 2e6 / W_RING)


# Random graphs

WIRINGS: list[tuple[str, dict[str, int]]] = [
    ("ring(2)", {"X": 2}), ("ring(4)", {"X": 4}), ("ring(5)", {"X": 5}), ("line(3)", {"X": 3}), ("line(4)", {"X": 4}),
    ("torus(2,3)", {"X": 2, "Y": 3}), ("torus(4,2)", {"X": 4, "Y": 2}), ("grid(2,3)", {"X": 2, "Y": 3}),
    ("switch(4)", {"X": 4}), ("switch(6)", {"X": 2, "Y": 3}),
]  # fmt: skip
ANY_WIRING = st.sampled_from(WIRINGS)
COLLECTIVES = {
    "all_gather": "{y}:bf16[E,F] = all_gather({x}:bf16[E_{o},F], over={o}{more})",
    "reduce_scatter": "{y}:bf16[E_{o},F] = reduce_scatter({x}:bf16[E,F]{{U_{o}}}, over={o}{more})",
    "all_reduce": "{y}:bf16[E,F] = all_reduce({x}:bf16[E,F]{{U_{o}}}, over={o}{more})",
    "all_to_all": "{y}:bf16[E,F_{o}] = all_to_all({x}:bf16[E_{o},F], over={o}{more})",
    "broadcast": "{y}:bf16[E,F] = broadcast({x}:bf16[E,F], over={o}, root=1{more})",
    "gather_to": "{y}:bf16[E,F] = gather_to({x}:bf16[E_{o},F], over={o}{more})",
    "permute": "{y}:bf16[E,F] = permute({x}:bf16[E,F], over={o}{more})",
}


@st.composite
def traffics(draw: st.DrawFn, networks: Sequence[str]) -> tuple[System, OpGraph, RunOptions]:
    """A few collectives and transfers in a few queues, some after others; a recv may come some lines after its send."""
    topology, mesh = draw(ANY_WIRING)
    alpha = draw(among([0.0, 1e-6, 3e-7]))
    system = many(topology, mesh, gpu(alpha) if "switch" in topology else tpu(alpha))
    lines: list[str] = []
    names: list[str] = []
    open_recvs: list[str] = []

    def more() -> str:
        queue = draw(among(["", ", queue=a", ", queue=b", ", queue=c"]))
        after = draw(among(names)) if names and draw(between(0, 2)) == 0 else ""
        return queue + (f", after=[{after}]" if after else "")

    for at in range(draw(between(2, 6))):
        for _ in range(draw(between(0, len(open_recvs)))):
            lines.append(open_recvs.pop(0))
        if draw(st.booleans()):
            source, target = draw(shuffled(range(system.size)))[:2]
            size = draw(among([30_000, 100_000, 300_000]))
            lines.append(f"s{at}:bf16[{size}] = send(x{at}:bf16[{size}], from={source}, to={target}{more()})")
            names.append(f"s{at}")
            open_recvs.append(f"r{at}:bf16[{size}] = recv(from={source}, to={target}{more()})")
        else:
            over = draw(among([*mesh, "".join(mesh)]))
            options = more() + draw(among(["", "", ", chunks=2"]))
            line = COLLECTIVES[draw(among(sorted(COLLECTIVES)))]
            lines.append(line.format(y=f"y{at}", x=f"x{at}", o=over, more=options))
            names.append(f"y{at}")
    lines += open_recvs
    network: Any = draw(among(networks))
    run = RunOptions(overlap="full", network=network, fold=False)
    return system, graph_of(lines, E=120, F=240 * draw(among([1, 4]))), run


def for_the_oracle(program: Program) -> tuple[list[OracleTask], list[Fraction]]:
    """The same tasks, in ps on capacities of 1, for the oracle's order "ready"; one that lasts longer than its demands also
    has a resource of its own.

    Queues are told as dependencies on whoever stands before. A message is two tasks: its latency, and what flows when
    its lane is free. What stands for its messages opens as one task, and ends as another.
    """
    number: dict[int, int] = {}
    after: list[set[int]] = [set() for _ in range(len(program))]
    for task, successors in enumerate(program.successors):
        for each in successors:
            after[each].add(task)
    for queue, lane in zip(program.queues, program.lanes(), strict=True):
        for before, task in pairwise(() if queue.inner else lane):
            after[task].add(before)
    used = [program.shapes[shape] for shape in program.shape]
    for shape in used:
        for resource, _ in shape.demands:
            number.setdefault(resource, len(number))
    count = len(program)
    extra: list[OracleTask] = []
    for task, (heads, _) in program.parts.items():
        parts = {each for each in after[task] if program.is_inner(each)}
        opening = count + len(extra)
        extra.append(OracleTask(queues=(opening,), deps=tuple(sorted(after[task] - parts)), amounts={}))
        after[task] = parts | {opening}
        for head in heads:
            after[head].add(opening)
    tasks: list[OracleTask] = []
    own = len(number)
    for task, shape in enumerate(used):
        amounts = {} if shape.opens else {number[resource]: Fraction(time) for resource, time in shape.demands}
        if not shape.opens and shape.alone_ps > max(amounts.values(), default=Fraction(0)):
            amounts[own] = Fraction(shape.alone_ps)
            own += 1
        lane_of, deps = task, tuple(sorted(after[task]))
        if program.is_inner(task):
            lane_of = 10**9 + program.queue[task]
            early = OracleTask(queues=(count + len(extra),), deps=deps, fixed=Fraction(shape.early_ps), amounts={})
            deps = (count + len(extra),)
            extra.append(early)
        fixed = Fraction(0 if shape.opens else shape.fixed_ps)
        weight = Fraction(shape.weight if amounts else 1)
        tasks.append(OracleTask(queues=(lane_of,), deps=deps, fixed=fixed, amounts=amounts, weight=weight))
    return tasks + extra, [Fraction(1)] * own


def close(got: float, want: Fraction | None, tasks: int) -> bool:
    """Within 1e-9 and 1 ps a task: the end of each is a whole ps, and moves whoever follows it or shared with it."""
    return want is not None and abs(got - float(want)) <= max(2, tasks) + 1e-9 * float(want)


@given(traffics(["task"]))
@settings(max_examples=500)
def test_random_transfers_begin_and_end_when_the_oracle_says_folded_or_not(
    case: tuple[System, OpGraph, RunOptions],
) -> None:
    compare(*case)


@given(traffics(["messages"]))
@settings(max_examples=40)
def test_random_transfers_by_messages_begin_and_end_when_the_oracle_says(
    case: tuple[System, OpGraph, RunOptions],
) -> None:
    """Fewer, and uncut: the oracle is slow on many messages, and slices that come in one instant go in any order."""
    with patch.multiple(rounds, SLICES=1, MOST_SLICES=1):
        compare(*case)


def compare(system: System, graph: OpGraph, options: RunOptions) -> None:
    """Task by task against the oracle; then folded, kernel by kernel."""
    open_run = Simulation(graph, system, options)
    program = open_run.plan.program
    tasks, capacities = for_the_oracle(program)
    want = oracle.simulate(tasks, capacities, order="ready")
    if None in want.end:
        with pytest.raises(RunError, match="deadlock"):
            open_run.run()
        return
    got = open_run.run()
    opens = dict(zip(program.parts, range(len(program), len(tasks)), strict=False))
    for task in range(len(program)):
        opening = opens.get(task, task)
        assert close(got.begin_ps[task], want.begin[opening], len(tasks)), task
        assert close(got.end_ps[task], want.end[task], len(tasks)), task
    folded = simulate(graph, system, RunOptions(overlap="full", network=options.network))
    for begun, other in zip(spans(got), spans(folded), strict=True):
        assert begun == pytest.approx(other, rel=1e-9, abs=2.0 * len(tasks))


def spans(result: Result) -> list[tuple[int, int]]:
    """When each kernel first began and last ended."""
    found: dict[int, tuple[int, int]] = {}
    for task, kernel in enumerate(result.plan.program.kernel):
        begin, end = found.get(kernel, (result.begin_ps[task], 0))
        found[kernel] = min(begin, result.begin_ps[task]), max(end, result.end_ps[task])
    return [found[kernel] for kernel in sorted(found)]
