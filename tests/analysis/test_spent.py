"""Where the time of the busiest chip goes: every instant once, by the first cause that applies."""

from __future__ import annotations

import pytest

from analysis.runs import SPENT, spent_ps
from analysis.words import bubble
from simulator import Parallel, Result, RunOptions, Training, simulate, train_graph
from tests.support.models import SMALL, system_for


def step(parallel: Parallel, overlap: str = "full", **how: str) -> Result:
    training = Training(batch=8, seq=256, **how)  # type: ignore[arg-type]
    options = RunOptions(overlap=overlap)  # type: ignore[arg-type]
    return simulate(train_graph(SMALL, parallel, training), system_for(parallel), options)


@pytest.mark.parametrize("overlap", ["full", "none"])
@pytest.mark.parametrize("parallel", [Parallel(), Parallel(tp=2, pp=2), Parallel(dp=4, zero=3)])
def test_causes_add_up_to_the_time(parallel: Parallel, overlap: str) -> None:
    result = step(parallel, overlap)
    found = spent_ps(result)
    assert list(found) == list(SPENT)
    assert min(found.values()) >= 0
    assert sum(found.values()) == max(result.end_ps)
    assert found["bubble"] / max(result.end_ps) == pytest.approx(bubble(result), abs=1e-12)
    assert (found["exposed_network"] > 0) is (parallel.chips > 1)
    assert found["recompute"] == 0


def test_what_is_made_again_is_told_apart() -> None:
    plain, again = (spent_ps(step(Parallel(), recompute=how)) for how in ("none", "full"))
    assert again["compute"] == pytest.approx(plain["compute"], rel=0.01)
    # a forward pass is about a third of a step's arithmetic, that of the blocks less
    arithmetic = sum(again[cause] for cause in ("compute", "vector", "memory"))
    assert 0.1 * arithmetic < again["recompute"] < arithmetic / 3
