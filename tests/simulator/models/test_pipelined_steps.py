"""Training steps in pipelines: the same work as without one, whatever the schedule, and laws of every run.

Laws: all stages together do the matmuls of the whole model for every microbatch; weights lie on their stage; 1F1B holds
fewer activations than GPipe; zero bubble waits less; folded and unfolded runs are equal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import RunError, SpecError
from simulator import Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import Transformer, parameters
from tests.support.models import EXPERTS, SMALL, system_for
from tests.support.training_steps import SEQ, alone, flops_of_all, peak, step


@settings(max_examples=15, deadline=None)
@given(
    st.builds(
        Parallel,
        pp=st.sampled_from([2, 4]),
        dp=st.sampled_from([1, 2]),
        tp=st.sampled_from([1, 2]),
        zero=st.integers(0, 3),
        schedule=st.sampled_from(["gpipe", "1f1b", "zero_bubble", "paired"]),
    ),
    st.integers(1, 4),
    st.sampled_from(["none", "full"]),
)
def test_a_pipeline_does_the_work_of_the_whole_model(parallel: Parallel, micro: int, recompute: str) -> None:
    result = step(parallel, micro, recompute=recompute)
    assert result.plan.inserted == ()
    assert flops_of_all(result) == pytest.approx(alone(micro) * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize("interleave", [1, 2])
def test_interleaved_chunks_do_it_too(interleave: int) -> None:
    result = step(Parallel(pp=2, interleave=interleave, schedule="interleaved"), 4)
    assert flops_of_all(result) == pytest.approx(alone(4), rel=1e-9)


@pytest.mark.parametrize("layers", [(0, 4), (4, 0), (0, 2, 2, 0)])
def test_ends_without_a_block_have_the_embedding_and_the_head_once(layers: tuple[int, ...]) -> None:
    """Chunks that begin or end where the model does are not its first or last for that."""
    result = step(Parallel(pp=len(layers), layers=layers), 4)
    assert flops_of_all(result) == pytest.approx(alone(4), rel=1e-9)
    kinds = [op.kind for op in result.plan.graph.every_op()]
    assert kinds.count("embedding") == 4


def test_dense_and_expert_blocks_in_one_pipeline() -> None:
    """Chunks whose blocks differ have buffers of their own sizes."""
    parallel = Parallel(pp=3, ep=2)
    graph = train_graph(EXPERTS, parallel, Training(batch=4, seq=SEQ))
    result = simulate(graph, system_for(parallel), RunOptions(overlap="full"))
    whole = simulate(
        train_graph(EXPERTS, Parallel(), Training(batch=1, seq=SEQ)), system_for(Parallel()), RunOptions(overlap="full")
    )
    assert flops_of_all(result) == pytest.approx(4 * flops_of_all(whole), rel=1e-9)


@pytest.mark.parametrize("schedule", ["1f1b", "zero_bubble"])
def test_folded_and_unfolded_steps_are_equal(schedule: Any) -> None:
    parallel = Parallel(pp=2, dp=2, tp=2, zero=1, schedule=schedule)
    graph = train_graph(SMALL, parallel, Training(batch=4, seq=SEQ))
    folded, unfolded = (
        simulate(graph, system_for(parallel), RunOptions(overlap="full", fold=fold)) for fold in (True, False)
    )
    assert len(folded.plan.simulated) == 2
    assert folded.time_s == pytest.approx(unfolded.time_s, rel=1e-9)


WIDE = replace(SMALL, layers=8, d_model=1024, ffn=replace(SMALL.ffn, d_ff=4096))
"""A model in which activations and matmuls count."""


@pytest.mark.long
def test_memory_and_bubbles_of_schedules() -> None:
    def of(schedule: Any, micro: int = 16) -> Result:
        return step(Parallel(pp=4, schedule=schedule, microbatch=8), micro, model=WIDE)

    gpipe, one, zero = of("gpipe"), of("1f1b"), of("zero_bubble")
    assert peak(one) < peak(gpipe)
    assert zero.time_s < one.time_s
    # the same bubble, but for what 1F1B waits for a microbatch that is on its way between stages
    assert one.time_s == pytest.approx(gpipe.time_s, rel=0.01)


def test_weights_lie_on_their_stage() -> None:
    """Stages of one model hold its parameters once, 18 B each, beside activations and gradients of a part."""
    deep = replace(WIDE, layers=16)
    alone_bytes = peak(step(Parallel(), model=deep))
    staged = peak(step(Parallel(pp=4), 4, model=deep))
    assert staged < alone_bytes / 2
    assert parameters(deep).total * 18 < alone_bytes


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"pp": 8}, "parallel.pp"),
        ({"pp": 2, "layers": (1, 1)}, "parallel.layers"),
        ({"pp": 3, "layers": (4, 0, 0)}, "parallel.layers"),
        ({"pp": 2, "interleave": 2, "schedule": "interleaved"}, "parallel.schedule"),
    ],
)
def test_what_cannot_be_a_pipeline(how: dict[str, Any], told: str) -> None:
    model: Transformer = SMALL
    with pytest.raises(SpecError) as caught:
        train_graph(model, Parallel(**how), Training(batch=3, seq=SEQ))
    assert [problem.mark.file for problem in caught.value.problems] == [told]


def test_tasks_are_counted_on_the_stage_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four stages of four chips have no four times as many tasks as they run; both ends of a transfer count."""
    tasks = len(step(Parallel(pp=4), 8).plan.program)
    monkeypatch.setattr("simulator.lowering.lowering.MAX_TASKS", 1.05 * tasks)
    assert len(step(Parallel(pp=4), 8).plan.program) == tasks
    monkeypatch.setattr("simulator.lowering.lowering.MAX_TASKS", tasks - 1)
    with pytest.raises(RunError, match="tasks on 4 chips are too many"):
        step(Parallel(pp=4), 8)
