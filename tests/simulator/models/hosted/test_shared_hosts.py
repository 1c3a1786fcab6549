"""Estimates beside hosts that chips share, against runs on the same system.

Laws: what the estimate says of the busiest resource and of everything one after the other is what the run says, since both
count the wires to the host; chips that share one are as chips with a part of it each. Closed form: behind one PCIe switch
chips share its uplink, so that as many bytes take as many times as long there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis import Summary
from hw import System, load_system
from simulator import Estimate, Estimator, Parallel, Result, RunOptions, Training, simulate, train_graph
from tests.support.models import SMALL

MODEL = replace(SMALL, layers=4)
LAYOUTS = [
    Parallel(dp=8, zero=3),
    Parallel(dp=4, tp=2, zero=1),
    Parallel(dp=4, pp=2, zero=1),
    Parallel(tp=4, pp=2),
]


def beside(system: System, parallel: Parallel, **how: Any) -> tuple[Estimate, Result]:
    training = Training(batch=2 * parallel.replicas * parallel.pp, seq=256, **how)
    options = RunOptions(overlap="full")
    result = simulate(train_graph(MODEL, parallel, training), system.under(parallel.mesh), options)
    return Estimator(MODEL, system, options).estimate(parallel, training), result


@pytest.mark.parametrize("offload", [("activations",), ("optimizer", "activations")], ids="+".join)
@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("parallel", LAYOUTS, ids=lambda each: "-".join(f"{a}{n}" for a, n in each.mesh.items()))
def test_chips_that_share_an_uplink_are_as_with_a_part_each(
    parallel: Parallel, recompute: str, offload: tuple[str, ...]
) -> None:
    """Two chips of a stage behind one switch: an estimate is that with a switch each and half of the rate, as a run is; its
    bounds are the run's."""
    how: dict[str, Any] = {"recompute": recompute, "offload": offload}
    shared, ran = beside(of_switches(4, 1e10), parallel, **how)
    own, ran_alone = beside(of_switches(8, 5e9), parallel, **how)
    assert ran.time_s == pytest.approx(ran_alone.time_s, rel=1e-9)
    assert shared.lower_bound == pytest.approx(ran.lower_bound_s, rel=1e-9)
    assert shared.upper_bound == pytest.approx(ran.upper_bound_s, rel=1e-6)
    assert shared.expected == pytest.approx(own.expected, rel=1e-9)
    assert shared.expected == pytest.approx(ran.time_s, rel=0.02)
    assert shared.peak_memory == pytest.approx(own.peak_memory, rel=1e-9)


@pytest.mark.parametrize("zero", [1, 3])
def test_what_waits_for_a_shared_uplink_is_held(zero: int) -> None:
    """Activations that go out at half the pace are there for longer: the peak and the time are the run's."""
    found, ran = beside(of_switches(4, 1e10), Parallel(dp=8, zero=zero), offload=("activations",))
    assert found.expected == pytest.approx(ran.time_s, rel=5e-3)
    peak = max(Summary(ran.plan, lambda: ran).on_chips("peak_memory").values())
    assert found.peak_memory == pytest.approx(peak, rel=5e-3)


def test_an_uplink_is_shared_by_the_chips_behind_its_switch() -> None:
    """Seconds to the host are bytes over the part of the uplink that a chip has: a half with two chips behind each."""
    seconds = {}
    for switches in (8, 4, 2, 1):
        found, result = beside(of_switches(switches, 1e10), Parallel(dp=8), offload=("optimizer",))
        assert found.lower_bound == pytest.approx(result.lower_bound_s, rel=1e-9)
        seconds[switches] = found.lower_bound
    assert seconds[2] / seconds[4] == pytest.approx(2.0, rel=1e-9)
    assert seconds[1] / seconds[2] == pytest.approx(2.0, rel=1e-9)


def of_switches(switches: int, bytes_per_s: float) -> System:
    """A DGX H100 with so many PCIe switches, and uplinks of so many bytes a second."""
    system = load_system("dgx_h100")
    assert system.host is not None
    host = system.host.model_copy(update={"pcie_switches": switches, "uplink_bytes_per_s": bytes_per_s})
    return replace(system, host=host)
