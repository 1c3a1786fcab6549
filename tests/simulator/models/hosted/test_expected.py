"""What an estimate expects of a step that waits for its host, against the run, with gradients of many microbatches added up.

Law: on one chip it is the time of the run, but for what copies take from HBM while the chip computes: each microbatch waits
for what the ones before have sent and fetched, and the step is over when the last copy is. One more microbatch takes as
much as the one before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hw import System, load_chip, parse_topology
from simulator import Estimate, Estimator, Parallel, Result, RunOptions, Training, simulate, train_graph
from tests.support.models import SMALL

MODEL = replace(SMALL, layers=4)
OFFLOADED = [("activations",), ("optimizer", "activations")]


def beside_host(host: float, parallel: Parallel, micro: int, **how: Any) -> tuple[Estimate, Result]:
    chip = load_chip("h100_sxm", set={"host.bandwidth": 2 * host, "links.pcie.bandwidth": host})
    wiring = parse_topology(f"switch({parallel.chips}) over nvlink", chip.links) if parallel.chips > 1 else None
    system, options = System(chip, wiring), RunOptions(overlap="full")
    training = Training(batch=micro * parallel.replicas, seq=256, **how)
    result = simulate(train_graph(MODEL, parallel, training), system.under(parallel.mesh), options)
    return Estimator(MODEL, system, options).estimate(parallel, training), result


@pytest.mark.parametrize("offload", OFFLOADED, ids="+".join)
@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("micro", [1, 3, 5])
def test_on_one_chip_it_is_the_time_of_the_run(micro: int, recompute: str, offload: tuple[str, ...]) -> None:
    for host in (1e9, 3e10):
        found, result = beside_host(host, Parallel(), micro, recompute=recompute, offload=offload)
        assert found.expected == pytest.approx(result.time_s, rel=3e-3)


@pytest.mark.parametrize("offload", OFFLOADED, ids="+".join)
@pytest.mark.parametrize("parallel", [Parallel(pp=2), Parallel(pp=2, schedule="gpipe")], ids=["1f1b", "gpipe"])
def test_in_a_pipeline_it_is_nearly_that(parallel: Parallel, offload: tuple[str, ...]) -> None:
    """Stages take from each other what they send."""
    for host in (1e9, 3e10):
        for micro in (3, 7):
            found, result = beside_host(host, parallel, micro, offload=offload)
            assert found.expected == pytest.approx(result.time_s, rel=0.01)
