"""Pipelines put together and run: bubbles, memory, tensors of the right microbatch, and the laws of every run.

Source: Huang et al. 2019 (GPipe); Narayanan et al. 2021 (1F1B, interleaving); Qi et al. 2023 (zero bubble).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Summary, memory_frame, timeline_frame, usage_frame
from analysis.runs import memory_peaks
from simulator import (
    OpGraph,
    Pipeline,
    PipelineChunk,
    Result,
    RunOptions,
    parse_graph,
    pipelined,
    print_items,
    read_items,
    simulate,
)
from tests.support.pipelines import HELD, Lasting, lasting_chunks, lasting_run, layered_chunks
from tests.support.strategies import chip_with, many
from tests.support.wirings import slack_s

# Bubbles


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize(
    ("stages", "microbatches"), [(2, 2), (2, 64), (3, 7), (4, 4), (5, 31), (8, 16), (12, 13), (16, 16), (16, 64)]
)
def test_the_bubble_of_equal_stages(schedule: str, stages: int, microbatches: int) -> None:
    result = lasting_run([Lasting()] * stages, stages, microbatches, schedule)
    bubble = 1 - microbatches * 3e-3 / result.time_s
    assert bubble == pytest.approx((stages - 1) / (microbatches + stages - 1), rel=1e-6)
    assert Summary(result.plan, lambda: result)["mfu"] == pytest.approx(1 - bubble, rel=1e-6)


@pytest.mark.parametrize(
    ("stages", "microbatches", "interleave"), [(8, 32, 2), (4, 8, 2), (4, 4, 3), (2, 6, 4), (8, 8, 4)]
)
def test_interleaving_divides_the_bubble(stages: int, microbatches: int, interleave: int) -> None:
    part = Lasting(1e-3 / interleave, 2e-3 / interleave)
    result = lasting_run([part] * stages * interleave, stages, microbatches, "interleaved")
    assert result.time_s - microbatches * 3e-3 == pytest.approx((stages - 1) * 3e-3 / interleave, rel=1e-6)
    if (stages, microbatches, interleave) == (8, 32, 2):
        assert 1 - microbatches * 3e-3 / result.time_s == pytest.approx(0.0986, abs=5e-5)


@pytest.mark.parametrize(("stages", "microbatches"), [(2, 2), (4, 4), (4, 12), (8, 16)])
def test_zero_bubble_waits_less(stages: int, microbatches: int) -> None:
    lasts = [Lasting(1e-3, 1e-3, 1e-3)] * stages
    zero = lasting_run(lasts, stages, microbatches, "zero_bubble")
    plain = lasting_run(lasts, stages, microbatches, "1f1b")
    assert zero.time_s < plain.time_s
    assert zero.time_s - microbatches * 3e-3 == pytest.approx((stages - 1) * 1e-3, rel=1e-6)
    assert plain.time_s - microbatches * 3e-3 == pytest.approx((stages - 1) * 3e-3, rel=1e-6)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=6), st.integers(1, 8))
def test_stages_of_unlike_length_wait_for_the_longest(lengths: list[tuple[int, int]], microbatches: int) -> None:
    """GPipe is two flow shops of equal jobs, one after the other: sum of all stages + (M - 1) times the longest."""
    lasts = [Lasting(forward * 1e-4, backward * 1e-4) for forward, backward in lengths]
    result = lasting_run(lasts, len(lasts), microbatches, "gpipe")
    passes = ([each.forward for each in lasts], [each.backward for each in lasts])
    assert result.time_s == pytest.approx(sum(sum(each) + (microbatches - 1) * max(each) for each in passes), rel=1e-6)
    other = lasting_run(lasts, len(lasts), microbatches, "1f1b")
    assert other.time_s >= microbatches * max(each.forward + each.backward for each in lasts) * (1 - 1e-9)


# Memory


def held(result: Result) -> list[int]:
    """By chip, the most microbatches whose activations it holds at once."""
    frame = memory_frame(result)
    frame = frame[frame["bytes"] == 2 * HELD]
    peaks = []
    for chip in range(result.plan.system.size):
        mine = frame[frame["chip"] == chip]
        changes = [(end, -1) for end in mine["end"].tolist()] + [(begin, 1) for begin in mine["begin"].tolist()]
        level = peak = 0
        for _, change in sorted(changes):
            level += change
            peak = max(peak, level)
        peaks.append(peak)
    return peaks


@pytest.mark.parametrize(("stages", "microbatches"), [(4, 4), (4, 12), (6, 9)])
def test_one_forward_one_backward_holds_as_many_microbatches_as_stages(stages: int, microbatches: int) -> None:
    lasts = [Lasting(1e-3, 1e-3, 1e-3)] * stages
    by_schedule = {name: lasting_run(lasts, stages, microbatches, name) for name in ("gpipe", "1f1b", "zero_bubble")}
    assert held(by_schedule["1f1b"]) == [stages - stage for stage in range(stages)]
    assert held(by_schedule["gpipe"]) == [microbatches] * stages
    assert held(by_schedule["zero_bubble"]) == [stages] * stages
    for name, most in (("1f1b", stages), ("gpipe", microbatches), ("zero_bubble", stages)):
        assert max(memory_peaks(by_schedule[name]).values()) == pytest.approx(most * 2 * HELD, rel=1e-3)


# What a stage does


def layered(stages: int, microbatches: int, layers: int, schedule: str = "1f1b", chunks: int = 0) -> OpGraph:
    made = pipelined(
        layered_chunks(chunks or stages, layers),
        Pipeline(stages=stages, microbatches=microbatches, schedule=schedule),
    )
    return OpGraph({"B": 64, "H": 256, "F": 512}, made.items)


def stages_of_four(stages: int) -> Any:
    return many(f"grid({stages},2,2)", {"P": stages, "T": 2, "D": 2}, "tpu_v5p")


@pytest.mark.parametrize(("schedule", "chunks"), [("1f1b", 3), ("gpipe", 3), ("interleaved", 6)])
def test_a_stage_of_four_chips_shards_its_ops(schedule: str, chunks: int) -> None:
    stages, microbatches, layers = 3, 6, 2
    graph = layered(stages, microbatches, layers, schedule, chunks)
    folded, full = (simulate(graph, stages_of_four(stages), RunOptions(fold=fold)) for fold in (True, False))
    assert folded.plan.classes == stages
    assert folded.time_s == pytest.approx(full.time_s, rel=1e-9)
    ends = [timeline_frame(each).groupby(["op", "chip"], observed=True)["end"].max() for each in (folded, full)]
    assert (ends[0] - ends[1]).abs().max() <= 1e-9 * full.time_s
    layer = 3 * 2 * 2 * 64 * 256 * 512 / 4  # two matmuls, forward and both gradients, a quarter on each chip
    matrix = sum(planned.kernel.matrix_flops for planned in folded.plan.kernels)
    assert matrix == pytest.approx(chunks * layers * microbatches * layer)


def test_a_pipeline_prints_and_reads_back() -> None:
    graph = layered(2, 3, 2)
    again = OpGraph(graph.dims, read_items(print_items(graph.items)))
    assert again.items == graph.items
    system = stages_of_four(2)
    assert simulate(again, system).end_ps == simulate(graph, system).end_ps


def test_a_microbatch_meets_its_own_tensors_and_all_meet_the_same_weights() -> None:
    stages, microbatches, layers = 2, 3, 2
    flat = layered(stages, microbatches, layers).flat()
    by_name = {op.name: op for op in flat}
    for stage in range(stages):
        for number in range(microbatches):
            for layer in range(layers):
                tag = f"s{stage}.m{number}.{layer}"
                reads = [tensor.name for tensor in by_name[f"dv.{tag}"].inputs]
                assert reads[0] == f"h.{tag}"
                assert [tensor.name for tensor in by_name[f"h.{tag}"].inputs][1] == f"w.s{stage}.{layer}"
                assert [tensor.name for tensor in by_name[f"dp.{tag}"].inputs][1] == f"w.s{stage}.{layer}"
                before = f"sw.s{stage}.m{number - 1}.{layer}" if number else f"aw.s{stage}.{layer}"
                assert by_name[f"sw.{tag}"].inputs[0].name == before
                assert (f"gw.{tag}" in by_name) == (number == microbatches - 1)
    for stage in range(stages):
        for layer in range(layers):
            stepped = by_name[f"nw.s{stage}.{layer}"]
            assert [tensor.name for tensor in stepped.inputs] == [
                f"w.s{stage}.{layer}",
                f"gw.s{stage}.m{microbatches - 1}.{layer}",
            ]
    assert {op.output.base for op in flat if "." in op.name} >= {"h", "y", "dx", "nw"}


def test_ops_of_all_copies_are_one_row() -> None:
    result = simulate(layered(2, 3, 2), stages_of_four(2))
    bases = {planned.kernel.base for planned in result.plan.kernels}
    passes = {"h", "p", "y", "dh", "dv", "sv", "dw", "sw", "dp", "dx"}
    assert bases == passes | {"y.sent", "x", "dx.sent", "dy"} | {"gv", "gw", "nw", "nv"}


def test_one_stage_is_the_chunks_one_after_the_other() -> None:
    made = pipelined(layered_chunks(2, 2), Pipeline(stages=1, microbatches=2, schedule="interleaved"))
    graph = OpGraph({"B": 64, "H": 256, "F": 512}, made.items)
    result = simulate(graph, many("grid(2,2)", {"T": 2, "D": 2}, "tpu_v5p"))
    kinds = {planned.kernel.kind for planned in result.plan.kernels}
    assert "send" not in kinds
    assert result.plan.classes == 1
    assert result.lower_bound_s <= result.time_s <= result.upper_bound_s + slack_s(result)


def test_a_forward_pipeline_has_no_way_back() -> None:
    chunks = [
        replace(chunk, backward=(), last={}, end=(), takes_back=(), makes_back=()) for chunk in layered_chunks(3, 1)
    ]
    made = pipelined(chunks, Pipeline(stages=3, microbatches=4))
    result = simulate(OpGraph({"B": 64, "H": 256, "F": 512}, made.items), stages_of_four(3))
    assert sum(planned.kernel.kind == "matmul" for planned in result.plan.kernels) == 3 * 4 * 2


def test_groups_to_fuse_are_those_of_every_copy() -> None:
    lines = ["a:bf16[B] = relu(x:bf16[B])", "y:bf16[B] = gelu(a)"]
    chunks = [
        PipelineChunk(
            forward=parse_graph(lines, {}).items,
            takes=("x",) if number else (),
            makes=() if number else ("y",),
            fuse=(("a", "y"),),
        )
        for number in range(2)
    ]
    made = pipelined(chunks, Pipeline(stages=2, microbatches=3))
    assert sorted(made.fuse) == sorted((f"a.s{s}.m{m}", f"y.s{s}.m{m}") for s in range(2) for m in range(3))
    graph = OpGraph({"B": 4096}, made.items, fuse=made.fuse)
    fused = simulate(graph, many("line(2)", {"P": 2})).plan.kernels
    assert sum(len(planned.kernel.ops) == 2 for planned in fused) == 6


# Transfers


def test_transfers_hide_behind_the_next_microbatch_unless_they_block() -> None:
    chunks = lasting_chunks([Lasting()] * 4)
    times = {}
    for latency, blocking in ((0.0, False), (1e-4, False), (1e-4, True)):
        made = pipelined(chunks, Pipeline(stages=4, microbatches=32, schedule="gpipe", blocking=blocking))
        system = many("line(4)", {"P": 4}, chip_with("tpu_v5p", {"links.ici.latency": latency}))
        times[latency, blocking] = simulate(OpGraph({"N": 1}, made.items), system, RunOptions(overlap="full")).time_s
    free = 35 * 3e-3
    assert times[0.0, False] == pytest.approx(free, rel=1e-6)
    assert times[1e-4, False] == pytest.approx(free + 2 * 3 * 1e-4, rel=1e-6)  # three hops there and three back
    # each stage but the last waits for each of its sends, there and back: as if every pass were longer
    assert times[1e-4, True] == pytest.approx(free + 2 * (3 + 31) * 1e-4, rel=1e-6)


# Laws


@st.composite
def runs(draw: st.DrawFn) -> tuple[OpGraph, Any, tuple[int, int, int]]:
    """Small pipelines of stages of one, two or four chips, and how many stages, microbatches and chunks they have."""
    name = draw(st.sampled_from(["gpipe", "1f1b", "interleaved"]))
    stages, interleave = draw(st.integers(1, 4)), draw(st.integers(1, 2)) if name == "interleaved" else 1
    microbatches = draw(st.integers(1, 2)) * stages if interleave > 1 else draw(st.integers(1, 5))
    layers = draw(st.integers(1, 2))
    graph = layered(stages, microbatches, layers, name, stages * interleave)
    tensor, data = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2]))
    wiring = draw(st.sampled_from(["torus", "grid", "switch"]))
    latency = draw(st.sampled_from([0.0, 1e-6]))
    mesh = {"P": stages, "T": tensor, "D": data}
    text = f"switch({stages * tensor * data})" if wiring == "switch" else f"{wiring}({stages},{tensor},{data})"
    system = many(f"{text} over ici", mesh, chip_with("tpu_v5p", {"links.ici.latency": latency}))
    return graph, system, (stages, microbatches, layers * interleave)


@settings(max_examples=40)
@given(runs(), st.sampled_from(["full", "none", "auto"]))
def test_laws_hold_for_pipelines(case: tuple[OpGraph, Any, tuple[int, int, int]], overlap: Any) -> None:
    graph, system, (stages, microbatches, layers) = case
    result = simulate(graph, system, RunOptions(overlap=overlap))
    full = simulate(graph, system, RunOptions(overlap=overlap, fold=False))
    slack = slack_s(result)
    # bounds
    assert result.time_s >= result.lower_bound_s - slack
    assert result.time_s >= result.dependency_bound_s - slack
    if result.plan.classes == 1:
        assert result.time_s <= result.upper_bound_s + slack
    # folded is full
    ends = [timeline_frame(each).groupby(["op", "chip"], observed=True)["end"].max() for each in (result, full)]
    assert (ends[0] - ends[1]).abs().max() <= max(1e-9 * full.time_s, slack)
    # all FLOPs are there, whatever the schedule and the chips of a stage
    chips = system.size // stages
    matrix = sum(planned.kernel.matrix_flops for planned in result.plan.kernels)
    assert matrix * chips == pytest.approx(stages * microbatches * layers * 3 * 2 * 2 * 64 * 256 * 512)
    _check_order(result)
    _check_conserved(full)


def _check_order(result: Result) -> None:
    """Nothing starts before its inputs end, no queue does two things at once, every forward pass is over before its
    backward pass."""
    program = result.plan.program
    lanes: dict[int, list[tuple[int, int]]] = {}
    for task in range(len(program)):
        assert all(result.begin_ps[after] >= result.end_ps[task] for after in program.successors[task])
        for queue in program.queues_of(task):
            lanes.setdefault(queue, []).append((result.begin_ps[task], result.end_ps[task]))
    for lane in lanes.values():
        assert all(later[0] >= earlier[1] for earlier, later in pairwise(sorted(lane)))
    frame = timeline_frame(result)
    begins = frame.groupby("op", observed=True)["begin"].min().to_dict()
    ends = frame.groupby("op", observed=True)["end"].max().to_dict()
    for name, begin in begins.items():
        base, _, tag = str(name).partition(".")
        if base == "dh":
            assert begin >= ends[f"h.{tag}"]


def _check_conserved(result: Result) -> None:
    """The work done on each resource is what was asked of it, and never more at once than it can."""
    usage, program = usage_frame(result), result.plan.program
    assert usage["share"].max() <= 1 + 1e-6
    done = (usage["share"] * (usage["end"] - usage["begin"])).groupby(usage["resource"], observed=True).sum()
    asked: dict[str, float] = {}
    for resource, wanted in zip(program.resources, program.work_ps(), strict=True):
        asked[resource.name] = asked.get(resource.name, 0.0) + wanted
    for name, seconds in done.items():
        assert seconds == pytest.approx(asked[str(name)] / 1e12, rel=1e-6, abs=2e-12 * len(program))


# Mistakes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"makes": ()}, "chunks 0 and 1: nothing is made where x is taken"),
        ({"makes": ("h",)}, r"chunks 0 and 1: h:bf16\[B_D,F_T\] is sent as x:bf16\[B_D,H\]"),
        ({"makes": ("q",)}, "no op of the chunk takes or makes 'q'"),
        ({"shared": frozenset({"x"})}, "'x' is carried from round to round of a block"),
    ],
)
def test_chunks_that_do_not_fit_are_told(change: dict[str, Any], words: str) -> None:
    chunks = layered_chunks(2, 2)
    with pytest.raises(ValueError, match=words):
        pipelined([replace(chunks[0], **change), chunks[1]], Pipeline(stages=2, microbatches=2))


def test_ops_that_name_their_chips_and_chunks_that_do_not_divide_are_told() -> None:
    chunks = layered_chunks(3, 1)
    with pytest.raises(ValueError, match="3 chunks are no multiple of 2 stages"):
        pipelined(chunks, Pipeline(stages=2, microbatches=2))
    named = parse_graph(["y:bf16[B] = relu(x:bf16[B], on=0)"], {}).items
    with pytest.raises(ValueError, match="y: on= is the pipeline's to say"):
        pipelined(
            [PipelineChunk(forward=named, makes=("y",)), PipelineChunk(forward=named, takes=("x",))],
            Pipeline(stages=2, microbatches=2),
        )
