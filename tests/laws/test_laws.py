"""Laws 1 to 9 of the model, over random programs on every kind of wiring, folded and full, as tasks and as messages.

Each test says its law; "equal" is 1e-9 or a picosecond a task. That one task and its messages are one thing in two forms
stands in tests/laws/test_algorithm_laws.py, which goes over all that is registered.
Source: DESIGN section 3. That something faster may make a run slower is no breach: Graham 1969, benchmarks/faster_is_slower.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import Summary, timeline_frame, usage_frame
from hw import Mesh, System, Topology
from simulator import Result, RunOptions, Simulation, parse_graph, simulate
from tests.support.wirings import (
    ALGORITHM_NAMES,
    DIMS,
    KERNELS,
    KINDS,
    Case,
    Wired,
    cases,
    chip_of,
    graphs_of_chips,
    slack_s,
    wirings,
)


def laws(examples: int) -> settings:
    """So many cases; making one may take long."""
    return settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])


# Bounds


@laws(300)
@given(cases())
def test_no_run_beats_its_bounds_and_alike_chips_keep_the_upper_one(case: Case) -> None:
    result = case.run()
    assert result.time_s >= result.lower_bound_s - slack_s(result)
    assert result.time_s >= result.dependency_bound_s - slack_s(result)
    grouped = any(f"over={name}" in line for line in case.lines for name in case.wired.groups)
    everywhere = not any("send(" in line for line in case.lines) and not grouped
    if everywhere or result.plan.classes == 1:
        assert result.time_s <= result.upper_bound_s + slack_s(result)


@laws(80)
@given(cases(networks=["messages"]))
def test_no_run_by_messages_beats_its_bounds(case: Case) -> None:
    """The upper one is that of the tasks; filling what streams may come on top."""
    result = case.run()
    assert result.time_s >= result.lower_bound_s - slack_s(result)
    assert result.time_s >= result.dependency_bound_s - slack_s(result)
    if result.plan.classes == 1:
        assert result.time_s <= result.upper_bound_s * 1.05 + slack_s(result)


# Work, order, sameness


@laws(60)
@given(cases(networks=["task", "messages"]))
def test_work_is_conserved_and_no_capacity_exceeded(case: Case) -> None:
    result = case.run(fold=False)
    usage = usage_frame(result)
    if usage.empty:
        return
    assert usage["share"].max() <= 1 + 1e-6
    done = (usage["share"] * (usage["end"] - usage["begin"])).groupby(usage["resource"], observed=True).sum()
    program = result.plan.program
    asked: dict[str, float] = {}
    for resource, work in zip(program.resources, program.work_ps(), strict=True):
        asked[resource.name] = asked.get(resource.name, 0.0) + work  # two links of a pair have one name
    for name, seconds in done.items():
        assert seconds == pytest.approx(asked[str(name)] / 1e12, rel=1e-6, abs=2e-12 * len(program))


@laws(80)
@given(cases(networks=["task", "messages"]))
def test_nothing_starts_before_its_inputs_end_and_no_queue_does_two_things_at_once(case: Case) -> None:
    result = case.run()
    program = result.plan.program
    lanes: dict[int, list[tuple[int, int]]] = {}
    for task in range(len(program)):
        if program.is_inner(task):
            continue
        for after in program.successors[task]:
            assert result.begin_ps[after] >= result.end_ps[task]
        for queue in program.queues_of(task):
            lanes.setdefault(queue, []).append((result.begin_ps[task], result.end_ps[task]))
    for lane in lanes.values():
        assert all(later[0] >= earlier[1] for earlier, later in pairwise(sorted(lane)))


@laws(60)
@given(cases(networks=["task", "messages"]))
def test_the_same_input_in_any_order_gives_the_same_timeline(case: Case) -> None:
    first = case.run()
    graph = parse_graph(list(case.lines), dict(reversed(DIMS.items())))
    here = case.wired.system(case.alpha)
    groups = dict(reversed(case.wired.groups.items()))
    mesh = Mesh(dict(zip("XYZ", case.wired.sizes, strict=False)), groups)
    again = simulate(graph, System(here.chip, here.topology, mesh), RunOptions(**case.options))
    assert (list(first.begin_ps), list(first.end_ps)) == (list(again.begin_ps), list(again.end_ps))


@laws(80)
@given(cases(networks=["task", "messages"]), st.sampled_from([0.5, 3.0]))
def test_all_rates_times_c_gives_all_times_over_c(case: Case, by: float) -> None:
    once = case.run()
    launch = case.options["launch_s"] / by
    lines = [line.replace("time=20 us", f"time={20 / by!r} us") for line in case.lines]
    fast = simulate(
        parse_graph(lines, DIMS),
        case.wired.system(case.alpha, by),
        RunOptions(**{**case.options, "launch_s": launch}),
    )
    if case.options["order"] == "ready":  # who is first there may be decided by a rounded picosecond
        return
    for before, after in zip(once.end_ps, fast.end_ps, strict=True):
        assert abs(after * by - before) <= max(1e-8 * before, 2 * max(1.0, by) * len(once.plan.program))


# Folded is full


@laws(150)
@given(cases(networks=["task", "messages"]))
def test_folded_is_full_task_by_task(case: Case) -> None:
    folded, full = case.run(), case.run(fold=False)
    ends = [
        timeline_frame(each).groupby(["op", "chunk", "chip"], observed=True)["end"].max() for each in (folded, full)
    ]
    allowed = max(1e-9 * full.time_s, 1e-12 * (2 + len(full.plan.program)))
    assert (ends[0] - ends[1]).abs().max() <= allowed


def test_what_is_due_at_half_a_picosecond_is_due_alike_on_alike_chips() -> None:
    """Whom a queue takes first was once decided by the last digit of a rate: 148 us folded and 157 in full."""
    scatter = "y{0}:bf16[E_X,F] = reduce_scatter(x{0}:bf16[E,F]{{U_X}}, over=X, chunks=2, queue={1})"
    lines = (scatter.format(0, "side"), KERNELS[2].format(at=1, more=", queue=third"), scatter.format(2, "third"))
    wired = Wired("fat_tree(8,leaf=2,oversubscription=2) over nvlink", (8,))
    case = Case(wired, 0.0, lines, {"overlap": "full", "network": "messages"})
    folded, full = case.run(), case.run(fold=False)
    assert (folded.plan.classes, full.plan.classes) == (1, 8)
    assert folded.time_s == full.time_s


# One task is its messages


def of_one(wired: Wired, kind: str, over: str, alpha: float, options: dict[str, Any]) -> Result:
    graph = parse_graph([KINDS[kind].format(at=0, o=over, more="")], DIMS)
    return simulate(graph, wired.system(alpha), RunOptions(overlap="full", **options))


SAME = ("lower_bound", "upper_bound", "t_math", "t_vector", "t_memory", "t_network", "t_host", "flops", "hbm_bytes")


@laws(50)
@given(wirings(), st.sampled_from(sorted(KINDS)), st.sampled_from([0.0, 5e-6]))
def test_both_forms_are_told_in_the_same_words(wired: Wired, kind: str, alpha: float) -> None:
    """What follows from the work is equal; what follows from the time differs by no more than the time does."""
    graph = parse_graph(
        [KINDS[kind].format(at=0, o=wired.axes, more=""), "z:bf16[E,F] = gelu(q:bf16[E,F], after=y0)"], DIMS
    )
    words = []
    for network in ("task", "messages"):
        run = Simulation(graph, wired.system(alpha), RunOptions(overlap="full", network=network))
        words.append(Summary(run.plan, run.run))
    task, messages = words
    for word in (*SAME, "network_bytes", "peak_memory"):
        assert messages[word] == pytest.approx(task[word], rel=1e-6), word
    apart = abs(messages.result.time_s - task.result.time_s) + 1e-11
    for word in ("exposed_network", "exposed_memory"):
        assert abs(messages.most(word) - task.most(word)) <= apart, word
    gap = task.result.upper_bound_s - task.result.lower_bound_s
    if gap > 1e-9:
        assert abs(messages.result.eta - task.result.eta) * gap <= apart + 1e-6 * gap
    if apart < 1e-10:
        assert messages["bound_by"] == task["bound_by"]


@laws(100)
@given(wirings(groups=True), st.sampled_from(sorted(KINDS)), st.sampled_from(ALGORITHM_NAMES), st.data())
def test_a_chip_passes_on_only_what_has_come_and_sends_one_message_a_lane(
    wired: Wired, kind: str, algorithm: str, data: st.DataObject
) -> None:
    over = data.draw(st.sampled_from([wired.axes, *wired.groups]))
    options = {"collectives": algorithm, "network": "messages", "fold": False}
    result = of_one(wired, kind, over, 5e-6, options)
    program, steps = result.plan.program, result.plan.kernels[0].traffic.steps
    lane_of = {task: program.queues[program.queue[task]].name for task in range(len(program)) if program.is_inner(task)}
    tasks = iter(task for task, lane in lane_of.items() if not lane.endswith("/gate"))
    came: list[dict[int, int]] = []  # by step and chip, when the last of the step came to it
    lanes: dict[int, list[tuple[int, int]]] = {}  # when a lane has a message; it takes first who comes first
    for step in steps:
        here: dict[int, int] = {}
        for group in step.pattern.groups:
            task, (sender, *targets) = next(tasks), group.members
            brought = [came[before].get(sender, 0) for before in step.after]
            assert result.begin_ps[task] >= max(brought, default=0)
            lanes.setdefault(program.queue[task], []).append((result.begin_ps[task], result.end_ps[task]))
            for chip in targets:
                here[chip] = max(here.get(chip, 0), result.end_ps[task])
        came.append(here)
    assert next(tasks, None) is None
    for lane in lanes.values():
        assert all(later[0] >= earlier[1] for earlier, later in pairwise(sorted(lane)))


@laws(60)
@given(wirings(), st.sampled_from(sorted(KINDS)), st.sampled_from(ALGORITHM_NAMES), st.sampled_from([0.0, 5e-6]))
def test_a_collective_is_launched_once(wired: Wired, kind: str, algorithm: str, alpha: float) -> None:
    """However many messages a chip sends: both forms are late by one launch."""
    launch_s = 3e-6
    for network in ("task", "messages"):
        options = {"collectives": algorithm, "network": network}
        soon, late = (of_one(wired, kind, wired.axes, alpha, {**options, "launch_s": each}) for each in (0.0, launch_s))
        assert late.time_s == pytest.approx(soon.time_s + launch_s, abs=2 * slack_s(late)), network


# Continuity


@laws(120)
@given(
    wirings(),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([1, 500, 50_000, 5_000_000]),
    st.sampled_from([0.0, 5e-6]),
    st.sampled_from(["send", "permute"]),
    st.data(),
)
def test_a_stranger_of_x_bytes_costs_at_most_what_it_takes_itself(
    wired: Wired, kind: str, elements: int, alpha: float, stranger: str, data: st.DataObject
) -> None:
    size = wired.system().size
    ends = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    where = f"from={ends[0]}, to={ends[1]}, queue=b"
    beside = {
        "send": [f"s:bf16[{elements}] = send(v:bf16[{elements}], {where})", f"r:bf16[{elements}] = recv({where})"],
        "permute": [f"s:bf16[{elements}] = permute(v:bf16[{elements}], over={wired.axes}, queue=b)"],
    }[stranger]
    collective = KINDS[kind].format(at=0, o=wired.axes, more="")
    alone, own, both = (
        simulate(parse_graph(lines, DIMS), wired.system(alpha), RunOptions(overlap="full"))
        for lines in ([collective], beside, [collective, *beside])
    )
    assert both.time_s >= max(alone.time_s, own.time_s) - slack_s(both)
    assert both.time_s <= alone.time_s + own.time_s + slack_s(both)


# Fair shares

AMOUNTS = st.sampled_from([1e-6, 7e-6, 40e-6, 300e-6])


@laws(120)
@given(
    st.lists(st.sampled_from(KERNELS), min_size=1, max_size=4),
    st.lists(st.dictionaries(st.sampled_from(["matrix_unit", "vector_unit", "hbm"]), AMOUNTS, min_size=1), max_size=3),
)
def test_of_n_at_work_on_a_chip_none_takes_longer_than_n_times_alone(
    kernels: list[str], users: list[dict[str, float]]
) -> None:
    """Kernels in queues of their own, and users' processes on units (seconds) and HBM (bytes), begin together."""
    chip = chip_of(0.0)
    lines = [text.format(at=at, more=f", queue=q{at}") for at, text in enumerate(kernels)]
    alone = [simulate(parse_graph([line], DIMS), System(chip), RunOptions(overlap="full")).time_s for line in lines]
    simulation = Simulation(parse_graph(lines, DIMS), System(chip), RunOptions(overlap="full"))
    ended: dict[int, float] = {}

    def user(number: int, times: dict[str, float]) -> Any:
        rates = {"matrix_unit": 1.0, "vector_unit": 1.0, "hbm": 3.35e12}
        yield simulation.use({f"chip0.{name}": seconds * rates[name] for name, seconds in times.items()})
        ended[number] = simulation.now

    for number, times in enumerate(users):
        simulation.process(user(number, times))
    result = simulation.run()
    count = len(kernels) + len(users)
    for end, seconds in zip(result.end_ps, alone, strict=True):
        assert end / 1e12 <= count * seconds + 1e-11
    for number, when in ended.items():
        assert when <= count * max(users[number].values()) + 1e-11
    asked = [sum(times.get(unit, 0.0) for times in users) for unit in ("matrix_unit", "vector_unit", "hbm")]
    if len(ended) == len(users):
        assert max([result.time_s, *ended.values()]) >= max(asked) - 1e-11


@laws(120)
@given(wirings(), st.sampled_from([0.0, 5e-6]), st.data())
def test_of_n_flows_on_a_wire_each_gets_its_part(wired: Wired, alpha: float, data: st.DataObject) -> None:
    """Sends in queues of their own, each one way: the wire that gives it least, divided by all that use that wire."""
    size = wired.system().size
    pairs = data.draw(
        st.lists(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True), min_size=1, max_size=7)
    )
    lines = []
    for at, (source, target) in enumerate(pairs):
        elements = data.draw(st.sampled_from([1000, 200_000, 1_000_000]))
        ends = f"from={source}, to={target}, queue=q{at}"
        lines += [f"s{at}:bf16[{elements}] = send(x{at}:bf16[{elements}], {ends})"]
        lines += [f"r{at}:bf16[{elements}] = recv({ends})"]
    result = simulate(parse_graph(lines, DIMS), wired.system(alpha), RunOptions(overlap="full", routing="single"))
    transfers = {
        number: planned.traffic.groups[0].transfer
        for number, planned in enumerate(result.plan.kernels)
        if planned.kernel.kind == "send"
    }
    flows: dict[int, int] = {}
    for transfer in transfers.values():
        for wire in transfer.wires:
            flows[wire] = flows.get(wire, 0) + 1
    wires = wired.topology(alpha).wires
    for task, number in enumerate(result.plan.program.kernel):
        transfer = transfers[number]
        worst = max(nbytes * flows[wire] / wires[wire].bytes_per_s for wire, nbytes in transfer.wires.items())
        hbm = transfer.sent_bytes * len(pairs) / 3.35e12
        assert result.end_ps[task] / 1e12 <= transfer.latency_s + max(worst, hbm) + 1e-11


# Names


@laws(80)
@given(graphs_of_chips(), st.sampled_from(sorted(KINDS)), st.sampled_from(ALGORITHM_NAMES), st.data())
def test_renaming_the_chips_of_a_graph_changes_no_time(
    wired: Wired, kind: str, algorithm: str, data: st.DataObject
) -> None:
    size = wired.sizes[0]
    new = data.draw(st.permutations(range(size)))
    source, target = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    if kind == "permute":
        kind = "all_to_all"  # a shift is by the numbers that are written
    times = []
    for names in (list(range(size)), new):
        graph = nx.relabel_nodes(wired.written, dict(enumerate(names)))
        ordered = type(graph)()
        ordered.add_nodes_from(sorted(graph))
        ordered.add_edges_from(graph.edges(data=True))
        renamed = Wired(ordered, wired.sizes)
        place = list(renamed.system().groups("X")[0]).index(names[1])  # places follow the wires, not the names
        ends = f"from={names[source]}, to={names[target]}, after=[y0]"
        lines = [
            KINDS[kind].replace("root=1", f"root={place}").format(at=0, o="X", more=""),
            f"s:bf16[E] = send(v:bf16[E], {ends})",
            f"r:bf16[E] = recv({ends})",
        ]
        options = RunOptions(overlap="full", collectives=algorithm)
        times.append(simulate(parse_graph(lines, DIMS), renamed.system(1e-6), options).time_s)
    assert times[1] == pytest.approx(times[0], rel=1e-9, abs=1e-11)


@laws(60)
@given(cases(networks=["task", "messages"]))
def test_renaming_ops_and_dims_changes_no_time(case: Case) -> None:
    renamed = []
    for line in case.lines:
        for old, new in (("y", "zeta"), ("x", "alpha"), ("r", "rho")):
            for at in range(8):
                line = line.replace(f"{old}{at}", f"{new}{7 - at}")
        renamed.append(re.sub(r"(?<![A-Za-z])([EF])(?![A-Za-z])", lambda dim: {"E": "G", "F": "H"}[dim[1]], line))
    graph = parse_graph(renamed, {"H": DIMS["F"], "G": DIMS["E"]})
    again = simulate(graph, case.wired.system(case.alpha), RunOptions(**case.options))
    first = case.run()
    assert (list(first.begin_ps), list(first.end_ps)) == (list(again.begin_ps), list(again.end_ps))


def test_a_topology_knows_what_a_graph_is() -> None:
    """The generator's one-way rings are told as such: N-1 hops of alpha + V/(N W)."""
    ring = nx.DiGraph()
    for at in range(4):
        ring.add_edge(at, (at + 1) % 4, bandwidth=50e9, latency=1e-6)
    system = System(chip_of(0.0), Topology.from_networkx(ring), Mesh({"X": 4}))
    graph = parse_graph([KINDS["all_gather"].format(at=0, o="X", more="")], DIMS)
    nbytes = 2 * DIMS["E"] * DIMS["F"]
    got = simulate(graph, system, RunOptions(overlap="full")).time_s
    assert got == pytest.approx(3 * (1e-6 + nbytes / 4 / 50e9), rel=1e-9)
