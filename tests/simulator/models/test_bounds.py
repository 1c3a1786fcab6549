"""What no run is below, of many configurations at once: the bounds of estimates, and sharp where gradients are held up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw import SpecError
from simulator import Bounded, Estimate, Estimator, Parallel, Training, simulate, train_graph
from simulator.models.estimates import stages
from tests.support.models import SMALL, system_for

WIDE = replace(
    SMALL,
    d_model=1024,
    attention=replace(SMALL.attention, heads=16, kv_heads=16, head_dim=64),
    ffn=replace(SMALL.ffn, d_ff=4096),
)


def test_bounds_are_those_of_estimates_and_times_only_where_there_is_room() -> None:
    asked = [
        (Parallel(pp=pp, dp=4 // pp, zero=zero, schedule=schedule), Training(batch=24, seq=256, recompute=recompute))  # type: ignore[arg-type]
        for pp, schedule in ((1, "1f1b"), (2, "1f1b"), (2, "zero_bubble"), (4, "gpipe"))
        for zero in (0, 3)
        for recompute in ("none", "full")[: 1 if zero else 2]
    ]
    asked.append((Parallel(pp=4, interleave=2, schedule="interleaved"), Training(batch=24, seq=256)))
    system = system_for(Parallel(dp=4), node=2)
    estimates = Estimator(SMALL, system).estimates(asked)
    whole = Estimator(SMALL, system).bounds(asked)
    assert [type(each) for each in whole] == [
        SpecError if isinstance(each, SpecError) else Bounded for each in estimates
    ]
    assert isinstance(whole[-1], SpecError)
    held = sorted(each.least_memory for each in estimates if isinstance(each, Estimate))
    room = held[len(held) // 2]
    some = Estimator(SMALL, system).bounds(asked, room)
    for estimate, all_of_it, part in zip(estimates[:-1], whole, some, strict=False):
        assert isinstance(estimate, Estimate)
        expected = Bounded(estimate.least_memory, estimate.lower_bound, estimate.earliest)
        assert all_of_it == expected
        assert part == (expected if estimate.least_memory <= room else Bounded(estimate.least_memory))


@pytest.mark.parametrize(
    ("parallel", "least", "resources"),
    [
        (Parallel(pp=2, dp=4, zero=2, schedule="gpipe"), 0.93, 0.87),
        (Parallel(dp=8, zero=2), 0.99, 0.98),
    ],
    ids=["pipeline", "data"],
)
def test_gradients_that_wait_for_one_another_are_counted(parallel: Parallel, least: float, resources: float) -> None:
    """Backward passes make gradients faster than nodes reduce them, and are held up: compute alone takes far less, and so
    does what the busiest resource has to do in a pipeline, whose transfers beside that are not counted."""
    training, system = Training(batch=48, seq=256), system_for(parallel, node=2)
    found = Estimator(WIDE, system).estimate(parallel, training)
    run = simulate(train_graph(WIDE, parallel, training), system)
    assert found.earliest <= run.time_s * (1 + 1e-9)
    assert found.earliest >= least * run.time_s
    assert found.lower_bound < resources * run.time_s


@pytest.mark.parametrize("seq", [256, 2048])
def test_what_is_left_out_of_a_long_pipeline_is_no_less(monkeypatch: pytest.MonkeyPatch, seq: int) -> None:
    """Microbatches that go on in the same way are not gone through: with the busiest queue held up, and without."""
    parallel = Parallel(pp=2, dp=8, zero=2, schedule="zero_bubble")
    training, system = Training(batch=8 * 40, seq=seq), system_for(parallel, node=2)
    short = Estimator(WIDE, system).estimate(parallel, training)
    monkeypatch.setattr(stages.Pipe, "walked", lambda pipe: pipe.microbatches)
    whole = Estimator(WIDE, system).estimate(parallel, training)
    assert short.earliest <= whole.earliest * (1 + 1e-9)
    assert short.earliest >= whole.earliest * 0.97
