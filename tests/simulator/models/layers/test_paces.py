"""Stages, and whole models, fetch weights no further ahead than `prefetch` says, also before a pass begins.

Law: of layers whose weights are gathered late a chip has no more at once than the last `prefetch` of a pass, and of the next
one its first and as many ahead of that, 2 prefetch + 1, however many microbatches wait. Source: see
`simulator.passes.pipeline.paces`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.frames import memory_frame, memory_levels, timeline_frame
from hw import Mesh, System, load_chip, parse_topology
from simulator import Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import Moe, Transformer
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


SPARSE = replace(SMALL, layers=7, moe=Moe(experts=4, top_k=2, d_expert=128, first_dense=3))
"""Two unlike runs of layers."""


@pytest.mark.parametrize("prefetch", [0, 1, 2, 3, 5])
@pytest.mark.parametrize(
    ("model", "recompute"), [(replace(SMALL, layers=9), 4), (replace(SMALL, layers=9), 1), (SPARSE, 0)]
)
def test_layers_are_gathered_one_after_the_other_across_runs(model: Transformer, recompute: int, prefetch: int) -> None:
    """Over wires that cost nothing: in either pass a layer is gathered when the one `prefetch` + 1 before it is over, of its
    own run of layers or of another one, so that the forward pass has `prefetch` + 1 of them at once."""
    parallel = Parallel(dp=2, zero=3, prefetch=prefetch)
    chip = load_chip("h100_sxm", set={"links.nvlink.bandwidth": 1e15})
    system = System(chip, parse_topology("switch(2) over nvlink", chip.links), Mesh(parallel.mesh))
    training = Training(batch=2, seq=1024, recompute=recompute or "none")
    result = simulate(train_graph(model, parallel, training), system, RunOptions())
    frame = timeline_frame(result)
    frame = frame[(frame["chip"] == 0) & (frame["queue"].isin(["gather", "compute"]))].sort_values("task")
    names = frame["op"].astype(str)
    for gather, end in (("wL", "y"), ("rwL", "dx")):
        # a letter tells runs of layers apart
        gathers = frame[names.str.fullmatch(rf"{gather}A?\.\d+")]["begin"].tolist()
        over = frame[names.str.fullmatch(rf"{end}A?\.\d+")]["end"].tolist()
        assert len(gathers) == len(over) == model.layers
        behind = zip(gathers[prefetch + 1 :], over, strict=False)
        assert all(begin >= before - 1e-12 for begin, before in behind)
    held = memory_frame(result)
    held = held[(held["chip"] == 0) & held["tensor"].astype(str).str.match(r"wLA?X?\.") & ~held["given"]]
    per_layer = held.groupby(held["tensor"].astype(str).str.replace("X", ""), sort=False)["bytes"].sum().tolist()
    at_once = [sum(per_layer[at : at + prefetch + 1]) for at in range(model.layers)]
    assert memory_levels(held)["bytes"].max() == pytest.approx(max(at_once), rel=1e-9)
