"""The laws of DESIGN section 3 on whole op graphs, and what user processes see."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy.events import Event

from hw import Chip, Mesh, RunError, System, load_chip, parse_topology
from scenarios.examples.data_loader import busy_share
from simulator import OpGraph, Result, RunOptions, Simulation, parse_graph, simulate
from tests.support.strategies import faster

LAWS = settings(max_examples=60, deadline=None)
DIMS = {"B": 512, "D": 1024, "F": 2048}


@st.composite
def graphs(draw: st.DrawFn, chips: int = 1) -> OpGraph:
    """Chains and branches of matmuls, vector ops and, on several chips, collectives; some in chunks."""
    lines: list[str] = []
    tensors = ["x"]
    typed = {"x": "x:bf16[B,D]"}
    for at in range(draw(st.integers(1, 6))):
        source = draw(st.sampled_from(tensors))
        given_ = typed.pop(source, source)
        chunks = draw(st.sampled_from([1, 1, 2, 4]))
        queue = draw(st.sampled_from(["", "", ", queue=side"]))
        kind = draw(
            st.sampled_from(["matmul", "vector", "norm", "reduce"] if chips > 1 else ["matmul", "vector", "norm"])
        )
        if kind == "matmul":
            lines.append(f"u{at}:bf16[B,F] = matmul({given_}, w{at}:bf16[D,F], chunks={chunks}{queue})")
            lines.append(f"t{at}:bf16[B,D] = matmul(u{at}, v{at}:bf16[F,D], chunks={chunks})")
        elif kind == "vector":
            lines.append(f"t{at}:bf16[B,D] = gelu({given_}, chunks={chunks}{queue})")
        elif kind == "norm":
            lines.append(f"t{at}:bf16[B,D] = rms_norm({given_})")
        else:
            lines.append(f"r{at}:bf16[B,D] = copy({given_})")
            lines.append(
                f"p{at}:bf16[B,F]{{U_X}} = matmul(a{at}:bf16[B,D_X], b{at}:bf16[D_X,F], after=r{at}, chunks={chunks})"
            )
            lines.append(f"q{at}:bf16[B,F] = all_reduce(p{at}, over=X, chunks={chunks})")
            lines.append(f"t{at}:bf16[B,D] = matmul(q{at}, c{at}:bf16[F,D])")
        tensors.append(f"t{at}")
    return parse_graph(lines, DIMS)


def system(text: str | None = None, chip: Chip | None = None) -> System:
    chip = chip or load_chip("tpu_v5e")
    if text is None:
        return System(chip)
    topology = parse_topology(text, chip.links)
    return System(chip, topology, Mesh({"X": topology.size}))


def slack(result: Result) -> float:
    return max(1e-9 * result.time_s, 1e-12 * len(result.plan.program))


OVERLAPS = st.sampled_from(["full", "none", "auto"])
WIRINGS = st.sampled_from(["line(2)", "ring(4)", "switch(4)"])


@LAWS
@given(graphs(), OVERLAPS)
def test_bounds_on_one_chip(graph: OpGraph, overlap: Any) -> None:
    result = simulate(graph, system(), RunOptions(overlap=overlap))
    assert result.lower_bound_s - slack(result) <= result.time_s <= result.upper_bound_s + slack(result)
    assert result.time_s >= result.dependency_bound_s - slack(result)


@LAWS
@given(graphs(chips=4), OVERLAPS, WIRINGS)
def test_bounds_on_alike_chips(graph: OpGraph, overlap: Any, wiring: str) -> None:
    result = simulate(graph, system(wiring), RunOptions(overlap=overlap, launch_s=1e-6))
    assert result.lower_bound_s - slack(result) <= result.time_s <= result.upper_bound_s + slack(result)
    assert result.time_s >= result.dependency_bound_s - slack(result)
    assert max(result.waiting_ps.values(), default=0) <= len(result.plan.program)  # alike chips arrive together


@LAWS
@given(graphs(chips=4), OVERLAPS, WIRINGS, st.sampled_from([0.5, 2.0, 3.0, 10.0]))
def test_all_rates_times_c_gives_all_times_over_c(graph: OpGraph, overlap: Any, wiring: str, by: float) -> None:
    once = simulate(graph, system(wiring), RunOptions(overlap=overlap, launch_s=3e-6))
    fast = system(wiring, faster(load_chip("tpu_v5e"), by))
    again = simulate(graph, fast, RunOptions(overlap=overlap, launch_s=3e-6 / by))
    for before, after in zip(once.end_ps, again.end_ps, strict=True):
        assert abs(after * by - before) <= max(1e-9 * before, max(1.0, by) * len(once.plan.program))


@LAWS
@given(graphs(chips=4), WIRINGS)
def test_a_program_of_one_queue_is_the_sum_of_its_ops(graph: OpGraph, wiring: str) -> None:
    """upper_bound by hand: every task's fixed time and stages one after the other, chips in lockstep."""
    result = simulate(graph, system(wiring), RunOptions(overlap="none"))
    program = result.plan.program
    chip0 = [task for task in range(len(program)) if 0 in program.chips_of(task)]
    shapes = (program.shapes[program.shape[task]] for task in chip0)
    want = sum(shape.fixed_ps + sum(shape.stage_ps) for shape in shapes) / 1e12
    assert result.upper_bound_s == pytest.approx(want, rel=1e-9, abs=1e-12 * len(program))


@LAWS
@given(graphs(), st.sampled_from(["hbm", "matrix_unit", "vector_unit"]), st.floats(1.01, 8.0))
def test_a_faster_resource_never_slows_one_queue(graph: OpGraph, resource: str, by: float) -> None:
    """Monotone where no scheduling anomaly is possible: one queue, nothing to reorder."""
    lines = [replace(op, options=tuple(o for o in op.options if o[0] != "queue")) for op in graph.every_op()]
    graph = replace(graph, items=tuple(lines))
    once = simulate(graph, system(), RunOptions(overlap="full"))
    again = simulate(graph, system(), RunOptions(overlap="full", efficiency={resource: by}))
    assert again.time_s <= once.time_s + slack(once)


def test_overlap_orders_the_three_modes() -> None:
    graph = parse_graph(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"], DIMS)
    full, auto, none = (simulate(graph, system(), RunOptions(overlap=o)).time_s for o in ("full", "auto", "none"))
    assert full <= auto <= none


# User processes

MATMUL = ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])", "z:bf16[B,F] = relu(y)"]


def test_a_loader_starves_the_chip() -> None:
    for ratio in (0.5, 1.25, 2.0, 4.0):
        steps = 40
        got, exact = busy_share(ratio, steps), steps / (ratio + 1 + (steps - 1) * max(1.0, ratio))
        print(f"loader at {ratio} steps a batch: busy {got:.6f}, closed form {exact:.6f}")
        assert got == pytest.approx(exact, rel=1e-6)


def test_a_process_shares_hbm_fairly_with_the_ops() -> None:
    """A memory-bound op and an equally large stream of a user's process halve each other's rate."""
    graph = parse_graph(["z:bf16[B,F] = relu(y:bf16[B,F])"], DIMS)
    nbytes = 2 * 2 * DIMS["B"] * DIMS["F"]
    alone = simulate(graph, system(), RunOptions(overlap="full")).time_s
    sim = Simulation(graph, system(), RunOptions(overlap="full"))
    seen: list[float] = []

    def stream() -> Generator[Event, Any, None]:
        yield sim.use({"chip0.hbm": nbytes})
        seen.append(sim.now)

    sim.process(stream())
    result = sim.run()
    assert result.time_s == pytest.approx(2 * alone, rel=1e-6)
    assert seen == [pytest.approx(2 * alone, rel=1e-6)]


def test_a_flow_begun_before_the_run_shares_too() -> None:
    graph = parse_graph(["z:bf16[B,F] = relu(y:bf16[B,F])"], DIMS)
    alone = simulate(graph, system(), RunOptions(overlap="full")).time_s
    sim = Simulation(graph, system(), RunOptions(overlap="full"))
    sim.use({"chip0.hbm": 2 * 2 * DIMS["B"] * DIMS["F"]})
    assert sim.run().time_s == pytest.approx(2 * alone, rel=1e-6)


def test_a_process_may_wait_for_an_op_and_run_after_it() -> None:
    graph = parse_graph(MATMUL, DIMS)
    sim = Simulation(graph, system())
    log: list[float] = []

    def monitor() -> Generator[Event, Any, None]:
        yield sim.ended("y")
        log.append(sim.now)

    sim.process(monitor())
    result = sim.run()
    assert log == [pytest.approx(result.end_ps[0] / 1e12, abs=1e-12)]


def test_a_monitor_that_never_ends_does_not_keep_the_run_alive() -> None:
    sim = Simulation(parse_graph(MATMUL, DIMS), system())

    def monitor() -> Generator[Event, Any, None]:
        while True:
            yield sim.timeout(1e-6)

    sim.process(monitor())
    assert sim.run().time_s == simulate(parse_graph(MATMUL, DIMS), system()).time_s


def test_an_op_that_is_never_released_is_a_deadlock_with_names() -> None:
    sim = Simulation(parse_graph(MATMUL, DIMS), system())
    sim.hold("y")
    with pytest.raises(RunError, match=r"deadlock.*y \(matmul\) on chip 0; z \(relu\)"):
        sim.run()


def test_an_idle_process_with_a_held_op_is_a_deadlock_too() -> None:
    sim = Simulation(parse_graph(MATMUL, DIMS), system())
    sim.hold("z")

    def short() -> Generator[Event, Any, None]:
        yield sim.timeout(1e-3)

    sim.process(short())
    with pytest.raises(RunError, match=r"z \(relu\)"):
        sim.run()


def test_unknown_names_are_answered_with_the_nearest() -> None:
    sim = Simulation(parse_graph(MATMUL, DIMS), system())
    with pytest.raises(KeyError, match=r"did you mean 'chip0\.hbm'"):
        sim.use({"chip0.hmb": 1.0})
    with pytest.raises(KeyError, match="unknown op"):
        sim.hold("nope")


# Several chips


def test_send_and_recv_meet_and_only_the_receiver_goes_on() -> None:
    chip = load_chip("tpu_v5e")
    lines = [
        "s:bf16[B,F] = send(x:bf16[B,F], from=0, to=1)",
        "r:bf16[B,F] = recv(from=0, to=1)",
        "z:bf16[B,F] = relu(r)",
    ]
    result = simulate(parse_graph(lines, DIMS), system("line(2)"), RunOptions(overlap="full"))
    nbytes = 2 * DIMS["B"] * DIMS["F"]
    wire = chip.links["ici"]
    want = wire.latency_s + nbytes / wire.bytes_per_s + 2 * nbytes / chip.hbm.bytes_per_s
    assert result.time_s == pytest.approx(want, rel=1e-9)
    assert result.plan.kernels[2].chips == (1,)


def test_a_send_without_its_recv_is_a_deadlock_with_names() -> None:
    graph = parse_graph(["s:bf16[B,F] = send(x:bf16[B,F], from=0, to=1)"], DIMS)
    with pytest.raises(RunError, match=r"s \(send on chip 0\)"):
        simulate(graph, system("line(2)"))


def test_transfers_in_opposite_orders_deadlock_with_names() -> None:
    """Chip 0 first sends, then receives; chip 1 does so too: each waits for the other's second step."""
    lines = [
        "a:bf16[B,F] = send(x:bf16[B,F], from=0, to=1)",
        "b:bf16[B,F] = send(x, from=1, to=0)",
        "c:bf16[B,F] = recv(from=1, to=0)",
        "d:bf16[B,F] = recv(from=0, to=1)",
    ]
    with pytest.raises(RunError, match=r"deadlock.*a \(send\)"):
        simulate(parse_graph(lines, DIMS), system("line(2)"))


def test_a_group_without_a_member_is_a_deadlock_with_names() -> None:
    """The tensor came to chip 1 only; chip 0 never enters the all-gather."""
    lines = [
        "s:bf16[B_X,F] = send(x:bf16[B_X,F], from=0, to=1)",
        "r:bf16[B_X,F] = recv(from=0, to=1)",
        "g:bf16[B,F] = all_gather(r, over=X)",
    ]
    with pytest.raises(RunError, match=r"g \(all_gather over X\) waits for ever on chips 1: chips 0 of the group"):
        simulate(parse_graph(lines, DIMS), system("line(2)"))


@pytest.mark.parametrize("priority", [0, 5])
def test_ready_order_takes_the_highest_priority(priority: int) -> None:
    lines = [
        "a:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])",
        "b:bf16[B,F] = relu(p:bf16[B,F])",
        f"c:bf16[B,F] = gelu(q:bf16[B,F], priority={priority})",
    ]
    result = simulate(parse_graph(lines, DIMS), system(), RunOptions(order="ready"))
    order = sorted(range(3), key=lambda task: result.begin_ps[task])
    assert order == ([2, 0, 1] if priority else [0, 1, 2])
