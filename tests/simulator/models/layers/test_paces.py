"""Stages, and whole models, fetch weights no further ahead than `prefetch` says, also before a pass begins.

Law: of layers whose weights are gathered late a chip has no more at once than the last `prefetch` of a pass, and of the next
one its first and as many ahead of that, 2 prefetch + 1, however many microbatches wait. Source: see
`simulator.passes.pipeline.paces`.
"""

from __future__ import annotations

from typing import Any

import pytest

from analysis.frames import memory_frame, memory_levels
from simulator import Parallel, Result
from tests.support.models import SMALL
from tests.support.training_steps import step

LAYERS_OF_A_CHUNK = {
    "gpipe": Parallel(pp=2, dp=2, tp=2, zero=3, prefetch=2, schedule="gpipe"),
    "1f1b": Parallel(pp=2, dp=2, zero=3, prefetch=1, schedule="1f1b"),
    "one stage": Parallel(dp=2, tp=2, zero=3, prefetch=2, interleave=2, schedule="interleaved"),
    "one layer": Parallel(pp=2, dp=2, zero=3, prefetch=1, interleave=2, schedule="interleaved"),
}
"""Of few layers: all of a chunk are among those that no layer before holds up."""

MODELS: dict[str, tuple[Parallel, dict[str, Any]]] = {
    "as many layers": (Parallel(dp=2, zero=3, prefetch=3), {}),
    "tensor": (Parallel(dp=2, tp=2, zero=3, prefetch=5), {"recompute": "full"}),
    "two short runs": (Parallel(dp=2, zero=3, prefetch=1), {"recompute": 2}),
    "two short runs of a stage": (Parallel(pp=2, dp=2, zero=3, prefetch=1), {"recompute": 1}),
    "one after the other": (Parallel(dp=2, zero=3, prefetch=0), {}),
}
"""In no run of blocks are there more layers than are fetched ahead."""


def gathered_at_once(result: Result) -> tuple[float, int]:
    """How many layers a chip has gathered at once at the most, and how many it gathers in all."""
    frame = memory_frame(result)
    first = frame["chip"] == frame["chip"].min()
    gathered = frame[first & frame["tensor"].astype(str).str.match(r"r?wL") & ~frame["given"]]
    return float(memory_levels(gathered)["bytes"].max() / gathered["bytes"].max()), len(gathered)


@pytest.mark.parametrize("name", LAYERS_OF_A_CHUNK)
def test_a_stage_fetches_no_further_ahead_than_its_prefetch(name: str) -> None:
    parallel = LAYERS_OF_A_CHUNK[name]
    microbatches = 6
    most, gathers = gathered_at_once(step(parallel, microbatches))
    assert gathers == 2 * microbatches * SMALL.layers // parallel.pp
    assert most <= 2 * parallel.prefetch + 1


@pytest.mark.parametrize("name", MODELS)
def test_short_runs_fetch_no_further_ahead_than_its_prefetch(name: str) -> None:
    parallel, how = MODELS[name]
    for microbatches in (1, 6):
        most, gathers = gathered_at_once(step(parallel, microbatches, **how))
        assert gathers == 2 * microbatches * SMALL.layers // parallel.pp
        assert most <= 2 * parallel.prefetch + 1
