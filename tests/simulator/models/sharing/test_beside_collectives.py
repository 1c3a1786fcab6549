"""Estimates of steps whose collectives hold cores, beside runs of the same steps (`calibration: measured`).

Law: `earliest` <= `expected`, the two are one where no core is held, and more cores held beside kernels never make a step
shorter. What is right is the run itself, in which cores are given out one by one.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw import Mesh, System, load_chip, parse_topology
from simulator import Estimate, Estimator, Parallel, RunOptions, Training, simulate, train_graph
from simulator.models import Moe, Transformer
from tests.support.models import megatron

MEASURED = RunOptions(calibration="measured", dispatch="graph")
WIDE = megatron(6, 5120, 40, 32000, 2048)
NARROW = megatron(6, 2048, 16, 32000, 2048)
SHARDED = Parallel(dp=8, zero=3, microbatch=2)


def node(cores: int | None = None) -> System:
    """Eight H100; `cores`: held by a collective in place of what is known of NCCL."""
    said = {} if cores is None else {"calibration.measured.collectives.nvlink.cores": cores}
    chip = load_chip("h100_sxm", set=said)
    return System(chip, parse_topology("switch(8) over nvlink", chip.links))


def estimated(
    model: Transformer, parallel: Parallel, system: System, options: RunOptions = MEASURED, micro: int = 1
) -> Estimate:
    return Estimator(model, system, options).estimate(parallel, trained(parallel, micro))


def trained(parallel: Parallel, micro: int = 1) -> Training:
    return Training(batch=parallel.dp * parallel.microbatch * micro, seq=2048)


@pytest.mark.parametrize(
    ("model", "parallel", "micro", "more"),
    [
        pytest.param(WIDE, SHARDED, 1, 0.05, id="weights shared out"),
        pytest.param(WIDE, replace(SHARDED, microbatch=4), 1, 0.02, id="more to hide behind"),
        pytest.param(NARROW, replace(SHARDED, microbatch=4), 2, 0.01, id="two microbatches"),
        pytest.param(WIDE, replace(SHARDED, zero=2), 1, 0.02, id="gradients shared out"),
        pytest.param(WIDE, replace(SHARDED, zero=1), 1, 0.02, id="gathers before the first pass"),
    ],
)
def test_an_estimate_knows_the_cores_that_collectives_hold(
    model: Transformer, parallel: Parallel, micro: int, more: float
) -> None:
    """By kernels alone a step is `more` too short, at least; with what they lack it is the run within 1 %."""
    system = node()
    found = estimated(model, parallel, system, micro=micro)
    placed = replace(system, mesh=Mesh(parallel.mesh))
    run_s = simulate(train_graph(model, parallel, trained(parallel, micro)), placed, MEASURED).time_s
    assert run_s > (1 + more) * found.earliest
    assert found.expected == pytest.approx(run_s, rel=0.01)
    assert found.expected <= found.upper_bound


def test_the_more_cores_are_held_the_longer_it_takes() -> None:
    steps = [estimated(WIDE, SHARDED, node(cores)) for cores in (0, 4, 12, 24, 48, 96)]
    times = [step.expected for step in steps]
    assert times == sorted(times)
    assert times[0] < times[-1]
    assert [step.earliest for step in steps] == pytest.approx([times[0]] * len(steps))


def test_in_turns_kernels_are_beside_what_the_other_pass_exchanges() -> None:
    """Without turns a pass waits for its exchanges, and no kernel has fewer cores for them."""
    sparse = replace(NARROW, moe=Moe(experts=8, top_k=2, d_expert=4096))
    turns = Parallel(pp=2, ep=4, schedule="paired")
    training = Training(batch=4 * 12, seq=2048)

    def of(parallel: Parallel, cores: int) -> Estimate:
        return Estimator(sparse, node(cores), MEASURED).estimate(parallel, training)

    few, many = (of(turns, cores) for cores in (4, 64))
    assert few.earliest == pytest.approx(many.earliest, rel=1e-9)
    assert many.expected > 1.03 * few.expected
    alone = [of(replace(turns, schedule="1f1b"), cores).expected for cores in (4, 64)]
    assert alone[1] == pytest.approx(alone[0], rel=0.02)
    ready = replace(MEASURED, order="ready")
    placed = replace(node(), mesh=Mesh(turns.mesh))
    run_s = simulate(train_graph(sparse, turns, training), placed, ready).time_s
    found = Estimator(sparse, node(), ready).estimate(turns, training)
    assert found.earliest < found.expected <= run_s * 1.01
    assert found.expected > 0.85 * run_s


def test_where_no_core_is_held_nothing_is_slower() -> None:
    by_the_sheet = estimated(WIDE, SHARDED, node(), RunOptions())
    assert by_the_sheet.expected == by_the_sheet.earliest
    alone = estimated(WIDE, Parallel(microbatch=2), System(load_chip("h100_sxm")))
    assert alone.expected == alone.earliest
