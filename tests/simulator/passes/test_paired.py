"""Pipelines in which two passes go on beside each other: what one sends lies behind what the other computes.

Source: NVIDIA Megatron-LM, core/pipeline_parallel/combined_1f1b.py; DeepSeek-AI 2024, section 3.2.1.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis import timeline_frame
from simulator import (
    OpGraph,
    Pipeline,
    PipelineChunk,
    Result,
    RunOptions,
    parse_graph,
    pipelined,
    schedule,
    simulate,
)
from simulator.passes.pipeline.schedules import StagePass
from tests.simulator.passes.test_pipeline import held, layered, stages_of_four
from tests.support.pipelines import HELD, Lasting, lasting_chunks, line_of, work

SIZES = [(2, 2, 1), (2, 9, 1), (4, 4, 1), (4, 12, 1), (3, 7, 1), (2, 8, 2), (4, 12, 2), (3, 6, 3)]
READY = RunOptions(overlap="full", order="ready")


def exchanging(stages: int, interleave: int, forward: float, backward: float, sent: float) -> list[PipelineChunk]:
    """Chunks whose passes compute half of what they do, exchange for `sent` times as long as all of it, and do the rest."""
    chunks, count = [], stages * interleave
    for number in range(count):
        first, last = number == 0, number == count - 1
        net = "bytes=0, queue=net"
        lines = [
            f"a:bf16[1] = custom({'ids:bf16[1]' if first else 'x:bf16[1]'}, w:bf16[1], {work(forward / 2)})",
            f"e:bf16[1] = custom(a, time={sent * forward!r} s, {net})",
            f"y:bf16[1] = custom(e, {work(forward / 2)})",
            "held:bf16[N] = custom(y, w, time=0 s, bytes=0)",
            f"b:bf16[1] = custom({'y' if last else 'dy:bf16[1]'}, held, w, {work(backward / 2)})",
            f"f:bf16[1] = custom(b, time={sent * backward!r} s, {net})",
            f"dx:bf16[1] = custom(f, {work(backward / 2)})",
        ]
        items = parse_graph(lines, {}).items
        chunks.append(
            PipelineChunk(
                forward=items[:4],
                backward=items[4:],
                takes=() if first else ("x",),
                makes=() if last else ("y",),
                takes_back=() if last else ("dy",),
                makes_back=() if first else ("dx",),
                shared=frozenset({"w"}),
            )
        )
    return chunks


def run_of(
    name: str, sizes: tuple[int, int, int], sent: float = 0.0, options: RunOptions = READY, backward: float = 2e-3
) -> Result:
    stages, microbatches, interleave = sizes
    chunks = exchanging(stages, interleave, 1e-3, backward, sent)
    made = pipelined(chunks, Pipeline(stages=stages, microbatches=microbatches, schedule=name))
    return simulate(OpGraph({"N": HELD}, made.items), line_of(stages), options)


def lasting(sizes: tuple[int, int, int]) -> Result:
    """A run of chunks that exchange nothing."""
    stages, microbatches, interleave = sizes
    chunks = lasting_chunks([Lasting()] * stages * interleave)
    made = pipelined(chunks, Pipeline(stages=stages, microbatches=microbatches, schedule="paired"))
    return simulate(OpGraph({"N": HELD}, made.items), line_of(stages), READY)


@pytest.mark.parametrize("sizes", SIZES)
def test_with_nothing_to_hide_the_bubble_is_that_of_interleaved(sizes: tuple[int, int, int]) -> None:
    stages, microbatches, interleave = sizes
    run = run_of("paired", sizes)
    assert run.time_s == pytest.approx((microbatches * interleave + stages - 1) * 3e-3, rel=1e-6)
    assert lasting(sizes).time_s == pytest.approx(run.time_s, rel=1e-6)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_stage_holds_what_goes_there_and_back_in_turns(sizes: tuple[int, int, int]) -> None:
    stages, microbatches, interleave = sizes
    most = [2 * (stages - stage) + (interleave - 1) * stages for stage in range(stages)]
    assert held(lasting(sizes)) == [min(each, microbatches * interleave) for each in most]


@pytest.mark.parametrize(("stages", "sent"), [(2, 0.5), (3, 0.25), (4, 0.5), (4, 1.0)])
def test_exchanges_lie_behind_the_other_pass(stages: int, sent: float) -> None:
    """Passes of 1 ms: one more microbatch takes what a stage computes of it, or two exchanges between the halves of passes,
    whichever is longer; without turns what is exchanged comes on top."""

    def of_one_more(name: str, options: RunOptions = READY) -> float:
        few, many = (run_of(name, (stages, times * stages, 1), sent, options, backward=1e-3) for times in (4, 8))
        return (many.time_s - few.time_s) / (4 * stages)

    alone = 2e-3 * (1 + sent)
    for name in ("1f1b", "paired"):
        assert of_one_more(name, RunOptions(overlap="full")) == pytest.approx(alone, rel=1e-3)
    assert of_one_more("paired") == pytest.approx(max(2e-3, 1e-3 + 2 * sent * 1e-3), rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(SIZES), st.sampled_from([0.0, 0.5, 2.0]), st.integers(1, 5))
@example((4, 12, 1), 0.5, 3)
def test_a_turn_begins_when_the_one_before_is_over(sizes: tuple[int, int, int], sent: float, backward: int) -> None:
    stages, microbatches, interleave = sizes
    run = run_of("paired", sizes, sent, backward=backward * 1e-3)
    begins, ends = times_of(run)
    for order in schedule("paired", stages, microbatches, interleave):
        before: list[StagePass] = []
        turn: list[StagePass] = []
        for step in order:
            if not (step.does == "backward" and [each.does for each in turn] == ["forward"]):
                before, turn = turn, []
            turn.append(step)
            assert all(begins[step] >= ends[each] - 1e-11 for each in before)


def times_of(run: Result) -> tuple[dict[StagePass, float], dict[StagePass, float]]:
    """When the kernels of each pass begin and when they end."""
    begins: dict[StagePass, float] = {}
    ends: dict[StagePass, float] = {}
    frame = timeline_frame(run)
    frame = frame[frame["queue"] == "compute"]
    columns = (frame[name].tolist() for name in ("op", "begin", "end"))
    for op, begin, end in zip(*columns, strict=True):
        name, _, rest = str(op).partition(".s")
        chunk, _, microbatch = rest.partition(".m")
        step = StagePass("forward" if name in ("a", "y", "held") else "backward", int(microbatch), int(chunk))
        begins[step] = min(begins.get(step, begin), begin)
        ends[step] = max(ends.get(step, end), end)
    return begins, ends


@pytest.mark.parametrize("chunks", [3, 6])
def test_sharded_layers_do_the_same_work_in_turns(chunks: int) -> None:
    stages, microbatches, layers = 3, 6, 2
    graphs: dict[str, Any] = {
        name: layered(stages, microbatches, layers, name, chunks) for name in ("interleaved", "paired")
    }
    runs = {name: simulate(graph, stages_of_four(stages), READY) for name, graph in graphs.items()}
    flops = {name: sum(each.kernel.matrix_flops for each in run.plan.kernels) for name, run in runs.items()}
    assert flops["paired"] == pytest.approx(flops["interleaved"], rel=1e-12)
    full = simulate(graphs["paired"], stages_of_four(stages), RunOptions(overlap="full", order="ready", fold=False))
    assert runs["paired"].time_s == pytest.approx(full.time_s, rel=1e-9)
    assert runs["paired"].lower_bound_s <= runs["paired"].time_s
