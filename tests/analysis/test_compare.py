"""The path of a run and the comparison of two: every instant belongs to one task and one cause, and all adds up.

Laws, on random programs and random graphs: the segments tile [0, time] in whole ps; a segment lies in its task's span, or is
held before it; the changes of a comparison sum to the difference of the times exactly.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.runs import CONTENTION, HELD, ONLY_A, ONLY_B, PATH_CAUSES, Segment, compare, path_work_ps, schedule_path
from hw import SpecError, load_chip
from scenarios import compare as compare_scenarios
from scenarios import load_scenario
from scenarios.cli import app
from scenarios.questions.compare import load_both
from simulator import (
    Engine,
    Kernel,
    OpGraph,
    Plan,
    PlannedKernel,
    PlannedKernels,
    Result,
    RunOptions,
    Simulation,
    Traffic,
    parse_graph,
)
from tests.support.programs import Case, cases
from tests.support.strategies import CHAIN_DIMS, chains, many, one, run

LAWS = settings(max_examples=80, deadline=None)
RUNS = settings(max_examples=25, deadline=None)


def assert_tiles(result: Result) -> list[Segment]:
    """The law of the path; returns its segments."""
    segments = schedule_path(result)
    end = max(result.end_ps, default=0)
    edges = [0, *(each.end_ps for each in segments)]
    assert edges[-1] == end
    for edge, each in zip(edges, segments, strict=False):
        assert edge == each.begin_ps < each.end_ps
        assert each.cause in PATH_CAUSES
        begin, finish = result.begin_ps[each.task], result.end_ps[each.task]
        if each.cause == HELD:
            assert each.end_ps <= begin
        else:
            assert begin <= each.begin_ps
            assert each.end_ps <= finish
    return segments


def of_program(case: Case, order: Any) -> Result:
    """A run of a bare program, every task a kernel of its own."""
    program = case.program
    plan = Plan(one(), OpGraph({}, ()), RunOptions(order=order))
    plan.program = program
    planned = []
    for task in range(len(program)):
        program.kernel[task] = task
        kernel = Kernel(name=f"t{task}", ops=(f"t{task}",), kind="custom")
        planned.append(PlannedKernel(kernel, (), Traffic(), 0.0, "q", (0,)))
    plan.kernels = PlannedKernels.listed(planned)
    engine = Engine(program, order=order)
    engine.run()
    return Result(plan, engine.begin, engine.end)


# The path


@LAWS
@given(cases(), st.sampled_from(["program", "ready"]))
def test_segments_tile_the_run_of_any_program(case: Case, order: str) -> None:
    result = of_program(case, order)
    segments = assert_tiles(result)
    assert not any(each.cause == HELD for each in segments), "in a closed program something always explains a start"
    for each in segments:  # no more work of a task on the path than it takes alone
        if each.cause not in ("overhead", CONTENTION):
            shape = case.program.shapes[case.program.shape[each.task]]
            assert each.end_ps - each.begin_ps <= math.ceil(shape.alone_ps) + 2


@RUNS
@given(chains(), st.sampled_from(["full", "none", "auto"]), st.sampled_from(["none", "elementwise"]))
def test_a_chain_on_one_chip_is_all_path(lines: list[str], overlap: Any, fuse: str) -> None:
    """One queue: the path is every task, and nothing contends."""
    result = run(lines, CHAIN_DIMS, one(), RunOptions(overlap=overlap), fuse)
    segments = assert_tiles(result)
    assert {each.task for each in segments} == set(range(len(result.plan.program)))
    assert not {each.cause for each in segments} & {CONTENTION, HELD}


@pytest.mark.parametrize("network", ["task", "messages"])
@pytest.mark.parametrize("order", ["program", "ready"])
@pytest.mark.parametrize("overlap", ["full", "none"])
def test_collectives_that_meet_are_walked(network: Any, order: Any, overlap: Any) -> None:
    lines = [
        "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F], chunks=4)",
        "z:bf16[B,F] = all_reduce(y, over=X, chunks=4)",
        "g:bf16[B,F] = all_gather(k:bf16[B_X,F], over=X, queue=other)",
        "s:bf16[B,F] = add(z, g)",
    ]
    options = RunOptions(network=network, order=order, overlap=overlap, launch_s=2e-6)
    result = run(lines, {"B": 1024, "D": 2048, "F": 2048}, many("ring(4)", {"X": 4}), options)
    segments = assert_tiles(result)
    causes = {each.cause for each in segments}
    assert {"network", "overhead", CONTENTION} <= causes
    assert segments[-1].op == "s"


def test_a_straggler_stands_on_the_path_not_those_who_wait() -> None:
    """Three chips wait for a slow one at the all-reduce: its compute is what takes the time."""
    system = many("ring(4)", {"X": 4})
    slow = load_chip("tpu_v5e").model_copy(update={"hbm": load_chip("tpu_v5e").hbm})
    matrix = slow.matrix_unit.model_copy(
        update={"peak_flops_per_s": {dtype: rate / 2 for dtype, rate in slow.matrix_unit.peak_flops_per_s.items()}}
    )
    mixed = replace(system, chips=(*[system.chip] * 3, slow.model_copy(update={"matrix_unit": matrix})))
    lines = [
        "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
        "z:bf16[B,F] = all_reduce(y, over=X)",
    ]
    dims = {"B": 4096, "D": 8192, "F": 8192}
    even, uneven = (run(lines, dims, each, RunOptions(overlap="full")) for each in (system, mixed))
    matmul = [each for each in assert_tiles(uneven) if each.op == "y"]
    assert {each.chip for each in matmul} == {3}
    found = compare(even, uneven)
    math_ps = round(2 * 4096 * 2048 * 8192 / 1.97e14 * 1e12)
    (change,) = [each for each in found.changes if abs(each.difference_ps) > 4]
    assert (change.op, change.cause) == ("y", "compute")
    assert change.difference_ps == pytest.approx(math_ps, abs=4)


def test_contention_is_what_a_task_takes_beyond_its_own_time() -> None:
    lines = ["a:bf16[N] = copy(x:bf16[N])", "b:bf16[N] = copy(y:bf16[N], queue=other)"]
    result = run(lines, {"N": 10**8}, one(), RunOptions(overlap="full"))
    work = path_work_ps(assert_tiles(result))
    alone = 4e8 / 8.2e11 * 1e12
    assert {cause: ps for (_, cause), ps in work.items()} == pytest.approx({"memory": alone, CONTENTION: alone}, abs=4)


def test_what_a_process_holds_back_is_held() -> None:
    graph = parse_graph(["a:bf16[N] = relu(x:bf16[N])", "b:bf16[N] = relu(a)"], {"N": 10**6})
    simulation = Simulation(graph, one(), RunOptions(overlap="full"))
    let_go = simulation.hold("b")

    def loader() -> Any:
        yield simulation.timeout(1e-3)
        let_go()

    simulation.process(loader())
    result = simulation.run()
    work = path_work_ps(assert_tiles(result))
    assert work["b", HELD] == 10**9 - result.end_ps[0]


def test_pipeline_filling_has_its_own_cause() -> None:
    """T = max + (sum - max)/k: with k = 1 memory and compute stand side by side, with k = 4 a quarter of the smaller."""
    lines = ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], tiles={k})"]
    dims = {"B": 4096, "D": 4096, "F": 4096}
    math_ps, memory_ps = 2 * 4096**3 / 1.97e14 * 1e12, 6 * 4096**2 / 8.2e11 * 1e12
    for k in (1, 4):
        work = path_work_ps(assert_tiles(run([lines[0].format(k=k)], dims, one())))
        assert work == pytest.approx({("y", "memory"): memory_ps / k, ("y", "compute"): math_ps}, abs=2)


# The comparison


def assert_adds_up(a: Result, b: Result) -> None:
    found = compare(a, b)
    want = max(b.end_ps, default=0) - max(a.end_ps, default=0)
    for rows in (found.changes, found.by_cause, found.by_op):
        assert sum(each.difference_ps for each in rows) == want == found.difference_ps
        assert sum(each.a_ps for each in rows) == max(a.end_ps, default=0)
    assert float(found.frame["difference"].sum()) == pytest.approx(want / 1e12, rel=1e-9, abs=1e-15)


@RUNS
@given(cases(), cases())
def test_causes_sum_to_the_difference_of_any_two_programs(one_case: Case, other: Case) -> None:
    assert_adds_up(of_program(one_case, "program"), of_program(other, "ready"))


@RUNS
@given(chains(), chains(), st.sampled_from(["full", "none", "auto"]))
def test_causes_sum_to_the_difference_of_any_two_graphs(lines: list[str], others: list[str], overlap: Any) -> None:
    a = run(lines, CHAIN_DIMS, one(), RunOptions(overlap=overlap))
    b = run(others, CHAIN_DIMS, one("h100_sxm"), RunOptions(launch_s=3e-6), "elementwise")
    assert_adds_up(a, b)
    back = compare(b, a)
    assert {(each.op, each.cause): -each.difference_ps for each in back.changes} == {
        (each.op, each.cause): each.difference_ps for each in compare(a, b).changes
    }


def test_a_run_compared_with_itself_has_moved_nowhere() -> None:
    a = run(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"], {"B": 64, "D": 64, "F": 64}, one())
    assert {each.difference_ps for each in compare(a, a).changes} == {0}


def test_launch_time_is_all_that_moved() -> None:
    """5 us before each of two kernels: 10 us of overhead, and nothing else."""
    lines, dims = ["a:bf16[N] = relu(x:bf16[N])", "b:bf16[N] = relu(a)"], {"N": 10**7}
    a, b = (run(lines, dims, one(), RunOptions(launch_s=launch)) for launch in (0.0, 5e-6))
    moved = {(each.op, each.cause): each.difference_ps for each in compare(a, b).changes if each.difference_ps}
    assert moved == {("a", "overhead"): 5 * 10**6, ("b", "overhead"): 5 * 10**6}


def test_ops_of_one_run_only_say_so() -> None:
    lines, dims = ["a:bf16[N] = relu(x:bf16[N])", "b:bf16[N] = relu(a)", "c:bf16[N] = relu(b)"], {"N": 10**6}
    a, b = run(lines, dims, one()), run(lines, dims, one(), None, [["a", "b"]])
    where = {each.op: each.where for each in compare(a, b).by_op}
    assert where == {"a": ONLY_A, "b": ONLY_A, "a+b": ONLY_B, "c": "both"}
    assert_adds_up(a, b)


def test_the_command_sums_and_says_what_moved(tmp_path: Path) -> None:
    first, second = "library:two_chip_threshold", "library:four_chip_threshold"
    answer = CliRunner().invoke(app, ["compare", first, second, "--json"])
    record = json.loads(answer.stdout)
    for part in ("causes", "ops", "changes"):
        total = sum(row["difference"] for row in record[part])
        assert total == pytest.approx(record["difference"], rel=1e-9)
    assert record["b"]["time"] - record["a"]["time"] == pytest.approx(record["difference"], rel=1e-9)
    shown = CliRunner().invoke(app, ["compare", "library:llama3_8b_block", "--set", "run.overlap=none"])
    assert shown.exit_code == 0
    assert "together" in shown.stdout
    assert "memory" in shown.stdout


def test_one_file_wants_something_to_compare_with() -> None:
    with pytest.raises(SpecError, match="second scenario, or --set"):
        load_both("library:llama3_8b_block", None, [])
    a, b = load_both("library:llama3_8b_block", None, ["run.launch=1 us"])
    found = compare_scenarios(a, b)
    assert found.names == ("llama3-8b-block (A)", "llama3-8b-block (B)")
    kernels = len(found.moves.a.plan.kernels)
    assert found.moves.difference_ps == kernels * 10**6
    assert load_scenario("library:llama3_8b_block").options.launch_s is None


def test_segments_are_in_order() -> None:
    segments = schedule_path(run(["a:bf16[N] = relu(x:bf16[N])", "b:bf16[N] = relu(a)"], {"N": 10**6}, one()))
    assert all(earlier.end_ps == later.begin_ps for earlier, later in pairwise(segments))
    assert schedule_path(Result(Plan(one(), OpGraph({}, ()), RunOptions()), (), ())) == []
