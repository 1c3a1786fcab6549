"""The word `bubble`: what a pipeline leaves empty on its busiest stage."""

from __future__ import annotations

import pytest

from analysis import bubble
from tests.support.pipelines import Lasting, lasting_run


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@pytest.mark.parametrize(("stages", "microbatches"), [(1, 3), (2, 2), (4, 8), (5, 31), (8, 16)])
def test_equal_stages_leave_what_the_closed_form_says(schedule: str, stages: int, microbatches: int) -> None:
    result = lasting_run([Lasting()] * stages, stages, microbatches, schedule)
    assert bubble(result) == pytest.approx((stages - 1) / (microbatches + stages - 1), rel=1e-6, abs=1e-9)


def test_the_busiest_stage_is_the_one_that_counts() -> None:
    """GPipe with stages that last 1, 3 and 2 ms: sum + (M - 1) x longest a pass, of which the longest is at work M times."""
    passes = [Lasting(each * 1e-3, each * 1e-3) for each in (1, 3, 2)]
    result = lasting_run(passes, 3, 4, "gpipe")
    whole = 2 * (6e-3 + 3 * 3e-3)
    assert result.time_s == pytest.approx(whole, rel=1e-6)
    assert bubble(result) == pytest.approx(1 - 2 * 4 * 3e-3 / whole, rel=1e-6)
