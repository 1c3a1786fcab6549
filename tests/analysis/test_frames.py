"""DataFrames of a run: their schema, their way through csv and parquet, and the laws of resource usage and memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import (
    Summary,
    as_timeline,
    busy_seconds,
    dependencies_frame,
    memory_at_peak,
    memory_frame,
    memory_levels,
    ops_frame,
    read_timeline,
    read_trace,
    temporal_breakdown,
    timeline_frame,
    usage_frame,
    utilisation,
)
from analysis.timelines import DOES, overlap_fraction, rollup, steps
from analysis.traces import write_trace_file
from hw import Mesh, System, load_chip, parse_topology
from scenarios import run
from scenarios.claims.condition import parse_condition
from simulator import (
    Engine,
    OpGraph,
    Plan,
    Program,
    Queue,
    Resource,
    Result,
    RunOptions,
    Shape,
    Simulation,
    parse_graph,
    simulate,
)
from tests.support.programs import Case, cases
from tests.support.timelines import indexed, records

CHIP = load_chip("tpu_v5e")
TWO = System(CHIP, parse_topology("ring(4)", CHIP.links), Mesh({"X": 4}))
LINES = (
    "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F], chunks=4)",
    "z:bf16[B,F] = all_reduce(y, over=X, chunks=4)",
    "s:bf16[B,F] = softmax(z)",
)
DIMS = {"B": 1024, "D": 4096, "F": 2048}


def small(network: str = "task") -> Result:
    return simulate(parse_graph(LINES, DIMS), TWO, RunOptions(network=network))  # type: ignore[arg-type]


def of_program(program: Program, order: Any = "program") -> Result:
    """A program without a graph, run on one chip's system."""
    engine = Engine(program, order=order)
    engine.run()
    return Result(
        Plan(System(CHIP), OpGraph({}, ()), RunOptions(order=order), program=program), engine.begin, engine.end
    )


def test_the_schema_of_a_timeline() -> None:
    frame = timeline_frame(small())
    assert list(frame.columns) == [
        "task", "op", "kind", "chip", "queue", "chunk", "begin", "end", "waiting", "does", "message",
    ]  # fmt: skip
    assert {name for name in frame.columns if frame[name].dtype == "category"} == {"op", "kind", "queue", "does"}
    assert list(frame["does"].cat.categories) == list(DOES)
    does = frame.drop_duplicates("op").set_index("op")["does"]
    assert does.to_dict() == {"y": "arithmetic", "z": "network", "s": "arithmetic"}
    assert (frame["end"] >= frame["begin"]).all()
    assert len(frame) == 4 * (4 + 4 + 1)


def test_a_copy_is_memory() -> None:
    graph = parse_graph(["c:bf16[B,D] = copy(x:bf16[B,D])"], DIMS)
    frame = timeline_frame(simulate(graph, System(CHIP), RunOptions(launch_s=1e-6)))
    assert frame["does"].tolist() == ["memory"]


def test_ops_join_the_timeline_and_say_what_the_summary_says() -> None:
    result = small()
    ops = ops_frame(result)
    summary = Summary(result.plan, lambda: result)
    assert ops["op"].tolist() == ["y", "z", "s"]
    for row in ops.itertuples():
        for word in ("time", "flops", "hbm_bytes", "network_bytes", "t_math", "t_memory", "t_network", "bound_by"):
            assert getattr(row, word) == summary[f"ops.{row.op}.{word}"]
    joined = timeline_frame(result).merge(ops[["op", "flops"]], on="op")
    assert len(joined) == len(timeline_frame(result))
    assert indexed(ops, "op").loc["z", "intensity"] == 0.0
    assert indexed(ops, "op").loc["y", "flops"] == 2 * 1024 * 4096 * 2048 / 4


def test_dependencies_are_those_of_chunks_and_readers() -> None:
    result = small("task")
    frame, timeline = dependencies_frame(result), timeline_frame(result)
    about = indexed(timeline.drop_duplicates("task"), "task")[["op", "chunk"]]
    found = {
        (about.loc[a, "op"], int(about.loc[a, "chunk"]), about.loc[b, "op"], int(about.loc[b, "chunk"]))
        for a, b in zip(frame["before"], frame["after"], strict=True)
    }
    assert found == {("y", at, "z", at) for at in range(4)} | {("z", at, "s", 0) for at in range(4)}


def test_messages_are_marked_and_lie_inside_their_collective() -> None:
    result = small("messages")
    timeline = timeline_frame(result)
    inner = timeline[timeline["message"]]
    whole = timeline[timeline["queue"] == "net.X"].set_index(["chip", "chunk"])
    assert len(inner)
    for row in records(inner):
        around = whole.loc[(row["chip"], row["chunk"])]
        assert around["begin"] <= row["begin"]
        assert row["end"] <= around["end"]
    after = set(dependencies_frame(result)["after"])
    assert after & set(whole["task"])  # a collective waits for what feeds it, but not for its own messages
    parents = set(whole["task"])
    edges = dependencies_frame(result)
    assert not (edges["before"].isin(set(inner["task"])) & edges["after"].isin(parents)).any()


def test_messages_come_back_from_a_trace_of_ours(tmp_path: Path) -> None:
    result = small("messages")
    write_trace_file(result, tmp_path / "trace.json")
    timeline, back = timeline_frame(result), read_trace(tmp_path / "trace.json")
    assert back["message"].sum() == timeline["message"].sum() > 0
    for by in ("op", "base", "does"):
        ours, theirs = (indexed(rollup(each, by), by).sort_index() for each in (timeline, back))
        assert theirs["tasks"].to_dict() == ours["tasks"].to_dict()
        assert theirs["busy"].to_dict() == pytest.approx(ours["busy"].to_dict(), rel=1e-9)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_timeline_comes_back_as_it_was(suffix: str, tmp_path: Path) -> None:
    timeline = timeline_frame(small())
    path = tmp_path / f"timeline{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
        timeline.to_parquet(path)
    else:
        timeline.to_csv(path, index=False)
    back = read_timeline(path)
    assert list(back.columns) == list(timeline.columns)
    for name in timeline.columns:
        if name == "waiting":  # seven digits are kept
            assert back[name].tolist() == pytest.approx(timeline[name].tolist(), rel=1e-6)
        else:
            assert back[name].tolist() == timeline[name].tolist()
    pd.testing.assert_frame_equal(
        temporal_breakdown(back), temporal_breakdown(timeline), check_dtype=False, rtol=0, atol=0
    )
    # a frame that pandas has read by itself will do as well
    if suffix == ".csv":
        plain = temporal_breakdown(pd.read_csv(path))
        assert plain["arithmetic"].tolist() == pytest.approx(temporal_breakdown(timeline)["arithmetic"].tolist())


def test_what_is_no_timeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no op, queue, begin, does"):
        as_timeline(pd.DataFrame({"chip": [0], "end": [1.0]}))
    odd = timeline_frame(small()).assign(does="dances")
    with pytest.raises(ValueError, match="'dances'"):
        as_timeline(odd)
    with pytest.raises(ValueError, match="a timeline wants the columns"):
        temporal_breakdown(odd.drop(columns="does"))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="a timeline wants the columns"):
        read_timeline(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("begin", math.nan, "'begin' of row 3 is nan, not a number of seconds"),
        ("end", math.inf, "'end' of row 3 is inf, not a number of seconds"),
        ("begin", -1e-3, "'begin' of row 3 is -0.001, times start at 0"),
        ("end", 0.0, "'end' of row 3 is 0 s, before its 'begin'"),
        ("begin", "soon", "'begin' of row 3 is 'soon', not a number of seconds"),
        ("end", None, "'end' of row 3 is .*, not a number of seconds"),
    ],
)
def test_times_that_are_none_are_refused(column: str, value: Any, message: str, tmp_path: Path) -> None:
    plain = timeline_frame(small()).query("begin > 0").reset_index(drop=True)  # so that an end of 0 is too early
    bad = plain.assign(**{column: [value if at == 3 else each for at, each in enumerate(plain[column])]})
    bad.to_csv(tmp_path / "bad.csv", index=False)
    for analysis in (temporal_breakdown, overlap_fraction, lambda frame: frame.overlapse.breakdown()):
        with pytest.raises(ValueError, match=message):
            analysis(bad)
    with pytest.raises(ValueError, match=rf"'{column}' of row 3 is "):
        read_timeline(tmp_path / "bad.csv")
    assert "overlapse" in dir(bad)


def test_memory_says_for_how_many_chips_a_row_stands() -> None:
    graph = parse_graph(LINES, DIMS)
    folded, full = (memory_frame(simulate(graph, TWO, RunOptions(fold=fold))) for fold in (True, False))
    assert set(folded["alike"]) == {4}
    assert set(full["alike"]) == {1}
    assert (folded["bytes"] * folded["alike"]).sum() == pytest.approx(full["bytes"].sum())


def test_a_condition_names_two_things_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match=r"compares different things: amount of arithmetic with time$"):
        parse_condition("flops > time")


def test_outcome_has_the_four_frames() -> None:
    outcome = run("library:chunked_all_reduce")
    assert len(outcome.timeline) == len(timeline_frame(outcome.result))
    assert outcome.ops["op"].tolist() == ["y", "z"]
    assert outcome.usage["share"].max() <= 1 + 1e-9
    assert outcome.memory["bytes"].sum() > 0


# --- steps


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(0, 6), st.integers(1, 5)), max_size=20))
def test_steps_are_the_sums_at_every_instant(given_: list[tuple[int, int, int, int]]) -> None:
    columns = np.asarray(given_, dtype=np.int64).reshape(-1, 4)
    group, begin, last, amount = columns.T
    end = begin + last
    found = steps(group, begin.astype(float), end.astype(float), amount[:, None])
    for number in set(group.tolist()):
        for at in range(20):
            want = sum(a for g, b, n, a in given_ if g == number and b <= at < b + n)
            chosen = (found.group == number) & (found.begin <= at) & (found.end > at)
            assert found.level[chosen, 0].sum() == want


# --- usage


@settings(max_examples=40, deadline=None)
@given(cases(most=8, groups=False), st.sampled_from(["program", "ready"]))
def test_usage_integrates_to_the_work_and_never_exceeds_capacity(case: Case, order: Any) -> None:
    result = of_program(case.program, order)
    usage = usage_frame(result)
    assert usage.attrs["exact"]
    assert usage["share"].max() <= 1 + 1e-9 if len(usage) else True
    busy = busy_seconds(usage)
    for resource, work in zip(case.program.resources, case.program.work_ps(), strict=True):
        got = 1e12 * float(busy.get(resource.name, 0.0))
        assert got == pytest.approx(work, rel=1e-9, abs=len(case.program) * 2)
    bins = utilisation(usage, end=result.time_s, bins=7)
    sums = (bins["share"] * (bins["end"] - bins["begin"])).groupby(bins["resource"], observed=True).sum()
    for name, seconds in busy.to_dict().items():
        assert sums[str(name)] == pytest.approx(seconds, rel=1e-9, abs=1e-15)


def test_rates_that_change_half_way_are_seen() -> None:
    # 10 and 30 us of r, in bytes/s alike: half of r each until the first has ended at 20 us, then all of it for the other;
    # beside it the first takes 10 us of p, the second 15 us of q
    program = Program(
        resources=[Resource(name, "memory", 1.0, 0) for name in "rp"], queues=[Queue(0, "a"), Queue(0, "b")]
    )
    program.resources.append(Resource("q", "network", 1.0))
    for queue, (us, other, beside) in enumerate(((10, 1, 10), (30, 2, 15))):
        stages = [[(0, us * 1e6)], [(other, beside * 1e6)]]
        program.add([queue], program.intern(Shape.of(0, stages, math.inf, us)), ())
    usage = usage_frame(of_program(program))
    found = usage[["begin", "end", "share"]].to_numpy().tolist()
    assert usage["resource"].tolist() == ["r", "p", "q", "q"]
    assert [at for row in found for at in row] == pytest.approx(
        [0.0, 40e-6, 1.0, 0.0, 20e-6, 0.5, 0.0, 20e-6, 0.25, 20e-6, 40e-6, 0.5]
    )
    assert usage["chip"].tolist() == [0, 0, -1, -1]


def test_a_user_process_makes_rates_means_and_says_so() -> None:
    sim = Simulation(parse_graph(["y:bf16[B,D] = copy(x:bf16[B,D])"], DIMS), System(CHIP))

    def beside() -> Any:
        yield sim.use({"chip0.hbm": 1e6})

    sim.process(beside())
    result = sim.run()
    usage = usage_frame(result)
    assert not usage.attrs["exact"]
    work = {
        each.name: ps for each, ps in zip(result.plan.program.resources, result.plan.program.work_ps(), strict=True)
    }
    assert 1e12 * busy_seconds(usage)["chip0.hbm"] == pytest.approx(work["chip0.hbm"], rel=1e-9)


def test_folded_resources_say_for_how_many_they_stand() -> None:
    folded, full = (
        usage_frame(simulate(parse_graph(LINES, DIMS), TWO, RunOptions(fold=fold))) for fold in (True, False)
    )
    assert set(folded[folded["chip"] >= 0]["alike"]) == {4}
    whole = (folded["alike"] * (folded["end"] - folded["begin"]) * folded["share"]).groupby(
        folded["cause"], observed=True
    )
    alone = ((full["end"] - full["begin"]) * full["share"]).groupby(full["cause"], observed=True)
    for cause, seconds in alone.sum().to_dict().items():
        assert whole.sum()[str(cause)] == pytest.approx(seconds, rel=1e-9)


# --- memory


def test_memory_levels_and_peak_are_those_of_the_summary() -> None:
    for name in ("library:chunked_all_reduce", "library:prefetch_from_host", "library:stack_of_four"):
        outcome = run(name)
        memory = memory_frame(outcome.result)
        levels = memory_levels(memory)
        assert levels["bytes"].max() == pytest.approx(outcome.summary["peak_memory"])
        top = memory_at_peak(memory)
        assert top["bytes"].sum() == pytest.approx(outcome.summary["peak_memory"])
        assert top["chip"].nunique() == 1
        assert top["bytes"].is_monotonic_decreasing
        work = (memory["end"] - memory["begin"]) * memory["bytes"]
        area = (levels["end"] - levels["begin"]) * levels["bytes"]
        assert area.sum() == pytest.approx(work.sum())


def test_memory_by_hand() -> None:
    memory = pd.DataFrame(
        {
            "tensor": ["w", "a", "b"],
            "chip": [0, 0, 0],
            "bytes": [5.0, 3.0, 4.0],
            "begin": [0.0, 1.0, 2.0],
            "end": [4.0, 2.0, 4.0],
        }
    )
    assert memory_levels(memory)[["begin", "end", "bytes"]].to_numpy().tolist() == [[0, 1, 5], [1, 2, 8], [2, 4, 9]]
    assert memory_at_peak(memory)[["tensor", "at"]].to_numpy().tolist() == [["w", 2.0], ["b", 2.0]]
