"""Cases that once gave a wrong number, a false deadlock or a traceback. Each want is worked out by hand in its test."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy.events import Event

from analysis import Summary, timeline_frame
from hw import Mesh, SpecError, System, load_chip, parse_topology
from scenarios import load_scenario, run
from simulator import GraphBuilder, OpGraph, Result, RunOptions, Simulation, parse_graph, simulate
from tests.laws.test_graph_laws import slack

V5E = load_chip("tpu_v5e")
BIG, WIRE, HOP = 450_000_000, 4.5e10, 1e-6
ONE = (2 * BIG) / WIRE + HOP  # a transfer of BIG bf16 numbers: 20.001 ms
FULL = RunOptions(overlap="full")


def many(text: str, mesh: dict[str, int] | None = None, chip: Any = V5E) -> System:
    topology = parse_topology(text, chip.links)
    return System(chip, topology, Mesh(mesh or {"X": topology.size}))


def words(result: Result) -> Summary:
    return Summary(result.plan, lambda: result)


def test_transfers_close_in_the_order_of_the_program() -> None:
    """Chip 1 receives from chip 2, then sends on to chip 0, whose recv was written first."""
    lines = [
        "b:bf16[N] = recv(from=1, to=0)",
        "t1:bf16[1] = send(x:bf16[N], from=2, to=1)",
        "c:bf16[N] = recv(from=2, to=1)",
        "t2:bf16[1] = send(c, from=1, to=0)",
    ]
    result = simulate(parse_graph(lines, {"N": BIG}), many("line(3)"), FULL)
    assert result.time_s == pytest.approx(2 * ONE, rel=1e-9)
    assert result.upper_bound_s >= result.time_s


def test_a_queue_of_transfers_keeps_its_own_program_order() -> None:
    """Chip 1 receives the small tensor first, though the large one was sent first."""
    lines = [
        "s2:bf16[1] = send(x:bf16[N], from=2, to=1)",
        "s0:bf16[1] = send(v:bf16[M], from=0, to=1)",
        "r0:bf16[M] = recv(from=0, to=1)",
        "r2:bf16[N] = recv(from=2, to=1)",
        "z:bf16[M] = relu(r0)",
    ]
    result = simulate(parse_graph(lines, {"N": BIG, "M": BIG // 10}), many("line(3)"), FULL)
    assert result.time_s == pytest.approx(2 * BIG / 10 / WIRE + HOP + ONE, rel=1e-9)


def test_the_upper_bound_of_transfers_on_queues_of_their_own() -> None:
    """One queue a chip must still be an order in which the run can happen."""
    lines = [
        "b:bf16[N] = recv(from=1, to=0, queue=in)",
        "t1:bf16[1] = send(x:bf16[N], from=0, to=1, queue=out)",
        "c:bf16[N] = recv(from=0, to=1)",
        "d:bf16[N] = relu(c)",
        "t2:bf16[1] = send(d, from=1, to=0)",
    ]
    result = simulate(parse_graph(lines, {"N": BIG}), many("line(2)"), FULL)
    assert result.lower_bound_s < result.time_s <= result.upper_bound_s


def test_a_transfer_is_not_cut_into_chunks() -> None:
    lines = ["t:bf16[1] = send(x:bf16[N], from=0, to=1, chunks=4)", "y:bf16[N] = recv(from=0, to=1)"]
    graph = parse_graph(lines, {"N": BIG})
    with pytest.raises(SpecError, match="not cut into chunks"):
        simulate(graph, many("line(2)"))


@st.composite
def collectives(draw: st.DrawFn) -> OpGraph:
    """Matmuls and collectives on queues of their own: many flows on the same wires."""
    lines = []
    for at in range(draw(st.integers(2, 10))):
        queue = draw(st.sampled_from(["", ", queue=q1", ", queue=q2"]))
        chunks = draw(st.sampled_from([1, 2, 3]))
        if draw(st.booleans()):
            lines.append(f"p{at}:bf16[B,F]{{U_X}} = matmul(i{at}:bf16[B,D_X], w{at}:bf16[D_X,F])")
            lines.append(f"t{at}:bf16[B,F] = all_reduce(p{at}, over=X, chunks={chunks}{queue})")
        else:
            lines.append(f"t{at}:bf16[B,D] = all_gather(i{at}:bf16[B,D_X], over=X, chunks={chunks}{queue})")
    return parse_graph(lines, {"B": 64, "D": 8192, "F": 128})


@settings(max_examples=150, deadline=None)
@given(collectives(), st.sampled_from(["ring(4)", "line(4)", "switch(4)"]))
def test_crowded_wires_never_break_the_solver(graph: OpGraph, wiring: str) -> None:
    result = simulate(graph, many(wiring, chip=load_chip("h100_sxm")), FULL)
    assert result.lower_bound_s - slack(result) <= result.time_s <= result.upper_bound_s + slack(result)


def test_fused_members_keep_their_own_dtypes() -> None:
    lines = ["a:bf16[B,F] = matmul(x:int8[B,D], w:int8[D,F])", "b:bf16[B,G] = matmul(a, v:bf16[F,G])"]
    graph = parse_graph(lines, {"B": 4096, "D": 8192, "F": 8192, "G": 128})
    want = 2 * 4096 * 8192 * 8192 / 3.94e14 + 2 * 4096 * 8192 * 128 / 1.97e14
    for fuse in ("none", [["a", "b"]]):
        got = words(simulate(replace(graph, fuse=fuse), System(V5E), FULL))["t_math"]
        assert got == pytest.approx(want, rel=1e-12)


def test_causal_attention_keeps_its_flops_when_the_queries_are_sharded() -> None:
    line = "o:bf16[H,{0},D] = attention(q:bf16[H,{0},D], k:bf16[H,S,D], v:bf16[H,S,D], causal=true)"
    dims = {"H": 8, "T": 4096, "S": 4096, "D": 128}
    whole = words(simulate(parse_graph([line.format("T")], dims), System(V5E), FULL))["flops"]
    shard = words(simulate(parse_graph([line.format("T_X")], dims), many("ring(4)"), FULL))["flops"]
    assert 4 * float(shard or 0) == pytest.approx(float(whole or 0), rel=1e-12)


def test_a_pipeline_has_the_bubble_of_gpipe() -> None:
    """Two stages, M microbatches, each stage on its own chip (`on=`): (M + S - 1) stage times and the transfers between."""
    microbatches, build = 8, GraphBuilder(B=1024, D=8192, A=8192)
    for at in range(microbatches):
        build.matmul(f"x{at}:bf16[B,D]", "w0:bf16[D,A]" if not at else "w0", out=f"a{at}:bf16[B,A]", on=0)
        build.send(f"a{at}", out=f"s{at}:bf16[1]", from_=0, to=1)
        build.recv(out=f"r{at}:bf16[B,A]", from_=0, to=1)
        build.matmul(f"r{at}", "w1:bf16[A,D]" if not at else "w1", out=f"z{at}:bf16[B,D]")
    fast = V5E.model_copy(update={"links": {"ici": V5E.links["ici"].model_copy(update={"latency_s": 0.0})}})
    result = simulate(build.graph(), many("line(2)", chip=fast), FULL)
    stage = 2 * 1024 * 8192 * 8192 / 1.97e14
    transfer = 2 * 1024 * 8192 / WIRE
    assert transfer < stage
    want = (microbatches + 1) * stage + transfer
    print(f"pipeline {result.time_s:.9f} s, by hand {want:.9f} s")
    assert result.time_s == pytest.approx(want, rel=1e-9)
    assert {planned.chips for planned in result.plan.kernels if planned.kernel.name[0] == "a"} == {(0,)}


def test_after_waits_for_the_whole_op_whatever_the_chunks() -> None:
    lines = ["y:bf16[N] = copy(h:bf16[N]@host, chunks=4)", "z:bf16[M] = relu(u:bf16[M], chunks=4, after=y)"]
    result = simulate(parse_graph(lines, {"N": 32_000_000, "M": 410_000_000}), System(V5E), FULL)
    assert result.time_s == pytest.approx(2 * 32e6 / 1.6e10 + 4 * 410e6 / 8.2e11, rel=1e-9)


@pytest.mark.parametrize("name", ["y", "x", "later"])
def test_after_names_an_earlier_op(name: str) -> None:
    lines = [f"y:bf16[N] = relu(x:bf16[N], after={name})", "later:bf16[N] = relu(y)"]
    with pytest.raises(SpecError, match=r"unknown op .* before this one"):
        simulate(parse_graph(lines, {"N": 8}), System(V5E))


def test_what_custom_makes_takes_memory() -> None:
    lines = ["y:bf16[N] = custom(x:bf16[4], time=1 ms)", "z:bf16[N] = relu(y)"]
    result = simulate(parse_graph(lines, {"N": 10**9}), System(V5E), FULL)
    assert words(result)["peak_memory"] == 8 + 2 * 2e9


def test_a_fixed_time_moves_nothing() -> None:
    result = simulate(parse_graph(["y:bf16[4] = custom(time=1 ms)"], {}), System(V5E))
    assert words(result)["exposed_memory"] == 0.0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("y:fp32[N] = all_gather(x:bf16[N_X], over=X)", "keeps the dtype"),
        ("y:fp32[N] = all_reduce(x:bf16[N]{U_X}, over=X)", "keeps the dtype"),
    ],
)
def test_what_would_need_more_than_it_says_is_refused(line: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        simulate(parse_graph([line], {"N": 8, "C": 8, "H": 8, "W": 8, "K": 8}), many("ring(2)"))
    assert said in str(caught.value)


def test_windows_over_a_sharded_edge_are_gathered_first() -> None:
    line = "y:bf16[N,K,H_X,W] = conv2d(x:bf16[N,C,H_X,W], w:bf16[K,C,3,3], pad=1)"
    graph = parse_graph([line], {"N": 8, "C": 8, "H": 8, "W": 8, "K": 8})
    kinds = [planned.kernel.kind for planned in simulate(graph, many("ring(2)")).plan.kernels]
    assert kinds[0] == "all_gather"
    with pytest.raises(SpecError, match=r"all_gather\(x, over=X\)"):
        simulate(graph, many("ring(2)"), RunOptions(sharding="written"))


def test_blocks_and_fusion_from_python_are_those_of_the_text() -> None:
    build = GraphBuilder(N=1024)
    with build.repeat(3, x="b"):
        build.relu("x:bf16[N]", out="a:bf16[N]")
        build.add("a", "p:bf16[N]", out="b:bf16[N]")
    block = {"repeat": 3, "carry": {"x": "b"}, "ops": ["a:bf16[N] = relu(x:bf16[N])", "b:bf16[N] = add(a, p:bf16[N])"]}
    graph = build.graph(fuse=[["a", "b"]])
    assert graph == OpGraph({"N": 1024}, parse_graph([block], {"N": 1024}).items, [["a", "b"]])
    names = [planned.kernel.name for planned in simulate(graph, System(V5E)).plan.kernels]
    assert names == ["a.0+b.0", "a.1+b.1", "a.2+b.2"]


def test_a_group_across_the_edge_of_a_block_is_refused() -> None:
    block = {"repeat": 2, "ops": ["b:bf16[N] = relu(a)"]}
    graph = parse_graph(["a:bf16[N] = relu(x:bf16[N])", block], {"N": 8})
    with pytest.raises(SpecError, match="do not stand in one block"):
        simulate(replace(graph, fuse=[["a", "b"]]), System(V5E))


# User processes

RELU = parse_graph(["y:bf16[N] = relu(x:bf16[N])"], {"N": 410_000_000})  # 2 ms alone


def stream(sim: Simulation) -> Generator[Event, Any, None]:
    yield sim.use({"chip0.hbm": 1.64e9})


def test_every_way_to_share_is_seen() -> None:
    """2 ms of relu and 2 ms of a stream on one HBM take 4 ms."""
    before, mixed, direct = (Simulation(RELU, System(V5E), FULL) for _ in range(3))
    before.use({"chip0.hbm": 1.64e9})
    mixed.use({"chip0.hbm": 0.82e9})
    mixed.use({"chip0.hbm": 0.82e9})
    direct.env.process(stream(direct))
    assert [sim.run().time_s for sim in (before, direct)] == [pytest.approx(4e-3, rel=1e-6)] * 2
    assert mixed.run().time_s == pytest.approx(4e-3, rel=1e-6)


def test_a_monitor_put_straight_into_the_environment_does_not_keep_the_run_alive() -> None:
    sim = Simulation(RELU, System(V5E), FULL)

    def monitor() -> Generator[Event, Any, None]:
        while True:
            yield sim.timeout(1e-4)

    sim.env.process(monitor())
    assert sim.run().time_s == pytest.approx(2e-3, rel=1e-6)


def test_hold_and_release_at_any_time() -> None:
    early = Simulation(RELU, System(V5E), FULL)
    go = early.hold("y")
    go()
    go()
    assert early.run().time_s == pytest.approx(2e-3, rel=1e-6)
    inside = Simulation(parse_graph(["a:bf16[4] = custom(time=1 ms)", "y:bf16[4] = relu(a)"], {}), System(V5E), FULL)

    def holder() -> Generator[Event, Any, None]:
        let_go = inside.hold("y")
        yield inside.timeout(5e-3)
        let_go()

    inside.process(holder())
    assert inside.run().time_s == pytest.approx(5e-3, rel=1e-3)


def test_an_error_in_a_process_is_the_users_own() -> None:
    sim = Simulation(RELU, System(V5E), FULL)

    def broken() -> Generator[Event, Any, None]:
        yield sim.timeout(1e-3)
        raise RuntimeError("boom")

    sim.process(broken())
    with pytest.raises(RuntimeError, match="boom"):
        sim.run()


def test_waiting_for_what_has_ended_goes_on_at_once() -> None:
    sim = Simulation(
        parse_graph(["a:bf16[4] = custom(time=1 ms)", "y:bf16[4] = custom(a, time=9 ms)"], {}), System(V5E)
    )
    seen: list[float] = []

    def late() -> Generator[Event, Any, None]:
        yield sim.timeout(5e-3)
        yield sim.ended("a")
        seen.append(sim.now)

    sim.process(late())
    sim.run()
    assert seen == [pytest.approx(5e-3)]


@pytest.mark.parametrize("amount", [-5.0, float("nan"), float("inf")])
def test_amounts_and_times_are_checked(amount: float) -> None:
    sim = Simulation(RELU, System(V5E))
    with pytest.raises(ValueError, match="0 or more"):
        sim.use({"chip0.hbm": amount})
    with pytest.raises(ValueError, match="0 or more"):
        sim.timeout(amount)


@pytest.mark.parametrize(
    "options",
    [
        {"overlap": "ful"},
        {"order": "redy"},
        {"efficiency": {"hbm": 0.0}},
        {"launch_s": -1.0},
        {"launch_s": float("inf")},
    ],
)
def test_run_options_are_checked(options: Any) -> None:
    with pytest.raises(SpecError):
        RunOptions(**options)


# Scenario files

PAIR = """\
name: pair
system: {chip: tpu_v5e, topology: ring(4), mesh: {X: 4}}
workload:
  dims: {B: 8, D: 8}
  ops: ["y:bf16[B,D] = all_gather(x:bf16[B_X,D], over=X)"]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("topology", "topolgy", "did you mean 'system.topology'"),
        ("tpu_v5e", "tpu_v5", "unknown chip"),
        ("ring(4)", "rng(4)", "unknown topology"),
    ],
)
def test_one_mistake_in_the_system_is_one_message(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(PAIR.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_scenario(str(path))
    assert len(caught.value.problems) == 1
    assert said in str(caught.value)


def test_a_wrong_figure_of_the_chip_hides_no_mistake_in_the_ops(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(PAIR.replace("mesh: {X: 4}", "set: {links.ici.latency: 5 m}").replace("B: 8", "B: 6"))
    with pytest.raises(SpecError) as caught:
        load_scenario(str(path))
    said = [problem.message for problem in caught.value.problems]
    assert len(said) == 2
    assert "unknown unit 'm'" in said[0]
    assert "dim B = 6 does not divide over the 4 chips of X" in said[1]


@pytest.mark.parametrize(
    ("study", "said"),
    [
        ("{find: {smallest: workload.dims.Q, from: 1, to: 4, where: time > 1 s}}", "unknown dim 'Q'"),
        (
            "{find: {smallest: workload.dims.B, from: 1, to: 1000000000000, where: time > 1 s}}",
            "values are more than 1000000",
        ),
        ("{vary: {workload.dims.Q: [1, 2]}}", "unknown dim 'Q'"),
        ("{vary: {workload.dims.B: []}}", "wants a list of values"),
        ("{vary: {workload.dims.B: [4, null]}}", "value 2 is null; every row wants a value"),
    ],
)
def test_studies_of_what_is_not_there_are_refused(tmp_path: Path, study: str, said: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"{PAIR}study: {study}\n")
    with pytest.raises(SpecError, match=said):
        load_scenario(str(path))


def test_a_chip_file_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    chip = "name: toy\nmatrix_unit: {peak: {bf16: 1 TFLOP/s}}\nvector_unit: {peak: {fp32: 1 TFLOP/s}}\n"
    (tmp_path / "a" / "my.yaml").write_text(chip + "hbm: {capacity: 1 GB, bandwidth: 1 GB/s}\n")
    ops = 'workload: {ops: ["y:bf16[1000] = relu(x:bf16[1000])"]}\n'
    (tmp_path / "a" / "base.yaml").write_text(f"name: base\nsystem: {{chip: ./my.yaml}}\n{ops}")
    (tmp_path / "b" / "top.yaml").write_text("extends: ../a/base.yaml\nname: top\n")
    assert run(str(tmp_path / "b" / "top.yaml")).scenario.system.chip.name == "toy"


def test_nested_blocks_have_an_end(tmp_path: Path) -> None:
    block = "- repeat: 100000\n      ops:\n        - repeat: 100000\n          ops: ['y:bf16[4] = relu(x:bf16[4])']"
    path = tmp_path / "deep.yaml"
    path.write_text(f"name: deep\nsystem: {{chip: tpu_v5e}}\nworkload:\n  ops:\n    {block}\n")
    with pytest.raises(SpecError, match="10000000000 ops"):
        load_scenario(str(path))


@pytest.mark.parametrize("value", ["1e308 s", "1e-300 s"])
def test_numbers_beyond_all_reason_are_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "far.yaml"
    path.write_text(f"{PAIR}run: {{launch: {value}}}\n")
    with pytest.raises(SpecError, match="beyond all reason"):
        load_scenario(str(path))


def test_after_waits_for_an_op_on_another_chip() -> None:
    lines = [
        "a:bf16[N] = custom(x:bf16[N], time=1 ms, on=0)",
        "b:bf16[N] = custom(u:bf16[N], time=1 ms, on=1, after=[a])",
        "c:bf16[N] = custom(v:bf16[N], time=1 ms, on=[2, 3])",
        "d:bf16[N] = custom(w:bf16[N], time=1 ms, queue=q, after=[b, c])",
    ]
    for fold in (True, False):
        options = RunOptions(overlap="full", fold=fold)
        result = simulate(parse_graph(lines, {"N": 1}), many("ring(4)", {"X": 4}), options)
        begins = {row.op: row.begin for row in timeline_frame(result).itertuples() if row.chip in (1, 2)}
        assert begins["b"] == pytest.approx(1e-3)
        assert begins["d"] == pytest.approx(2e-3)


def test_an_unknown_algorithm_is_refused_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "name: a\nsystem: {chip: tpu_v5e, topology: ring(4), mesh: {X: 4}}\nrun: {collectives: tre}\nworkload:\n"
        "  dims: {B: 64}\n  ops:\n    - y:bf16[B] = all_gather(x:bf16[B_X], over=X, algorithm=rng)\n"
    )
    with pytest.raises(SpecError) as caught:
        load_scenario(str(path))
    said = [str(each) for each in caught.value.problems]
    assert len(said) == 2
    assert "a.yaml:3:20: unknown run.collectives 'tre', did you mean 'tree'?" in said[0]
    assert "a.yaml:7:" in said[1]
    assert "unknown algorithm 'rng', did you mean 'ring'?" in said[1]
