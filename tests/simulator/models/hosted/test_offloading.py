"""What lives in the memory of the host: memory falls by it, and its bytes cross PCIe twice a step.

Laws: the same matmuls; a chip holds no more of what is offloaded than is on its way. Closed forms: states are read and
written once a step, activations sent and fetched once, so that a host that is slow enough sets the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame, memory_owners
from hw import Mesh, SpecError, System, load_chip, parse_topology
from simulator import PRECISIONS, Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import parameters
from tests.support.models import SMALL
from tests.support.training_steps import LAYOUTS, SEQ, alone, matrix_flops, step

DEEP = replace(SMALL, layers=24)
ALONE = Parallel()


def on(host: float, parallel: Parallel = ALONE, micro: int = 1, **how: Any) -> Result:
    """A step of a deep model beside a host of some bandwidth (B/s) in each direction."""
    chip = load_chip("h100_sxm", set={"host.bandwidth": 2 * host, "links.pcie.bandwidth": host})
    system = System(chip)
    if parallel.chips > 1:
        system = System(chip, parse_topology(f"switch({parallel.chips}) over nvlink", chip.links), Mesh(parallel.mesh))
    batch = parallel.replicas * parallel.microbatch * micro
    graph = train_graph(DEEP, parallel, Training(batch=batch, seq=SEQ, **how))
    return simulate(graph, system, RunOptions(overlap="full"))


def held(result: Result) -> dict[str, float]:
    frame = memory_owners(memory_frame(result))
    mine = frame[frame["chip"] == 0]
    return dict(zip(mine["owner"].astype(str), mine["bytes"].tolist(), strict=True))


def sent(result: Result) -> tuple[float, float]:
    """Bytes that a chip reads from its host, and writes to it."""
    kernels = [each.kernel for each in result.plan.kernels]
    read = sum(access.nbytes for kernel in kernels for access in kernel.reads if access.memory == "host")
    written = sum(access.nbytes for kernel in kernels for access in kernel.writes if access.memory == "host")
    return read, written


@settings(max_examples=12, deadline=None)
@given(LAYOUTS, st.integers(1, 2), st.sampled_from([("optimizer",), ("activations",), ("optimizer", "activations")]))
def test_offloading_changes_no_matmul(parallel: Parallel, micro: int, offload: tuple[str, ...]) -> None:
    result = step(parallel, micro, offload=offload)
    assert result.plan.inserted == ()
    assert matrix_flops(result) == pytest.approx(alone(micro) * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize("zero", [0, 1, 3])
@pytest.mark.parametrize("precision", ["bf16", "mixed_bf16"])
def test_states_of_the_optimizer_cross_to_the_host_and_back(zero: int, precision: str) -> None:
    parallel = Parallel(dp=2, zero=zero)
    states = (8 if precision == "bf16" else 12) * parameters(DEEP).total / (2 if zero else 1)
    padded = 12 * 2 * (DEEP.layers + 2)
    plain, moved = (on(1e8, parallel, precision=PRECISIONS[precision], offload=how) for how in ((), ("optimizer",)))
    assert sent(plain) == (0, 0)
    assert sent(moved) == pytest.approx((states, states), abs=padded)
    # in and out at once, but for the first part on its way in and the last on its way out
    biggest = max(1024 * DEEP.d_model, parameters(DEEP).total / DEEP.layers) * 12 / (2 if zero else 1)
    rise = moved.time_s - plain.time_s
    assert states / 1e8 * 0.99 <= rise <= (states + 2 * biggest) / 1e8 * 1.01
    kept = held(plain)
    assert kept["optimizer"] + kept.get("master weights", 0) == pytest.approx(states, abs=padded)
    frame = memory_frame(moved)
    mine = frame[(frame["chip"] == 0) & frame["owner"].isin(["optimizer", "master weights"])]
    # what is on its way in, stepped, and on its way out
    assert max(mine[(mine["begin"] <= at) & (mine["end"] > at)]["bytes"].sum() for at in mine["begin"]) <= 4 * biggest


@pytest.mark.parametrize("micro", [1, 3])
def test_block_inputs_cross_to_the_host_and_back(micro: int) -> None:
    streams = DEEP.layers * 2 * SEQ * DEEP.d_model
    plain, moved, slow = (
        on(host, micro=micro, recompute="full", offload=how)
        for host, how in ((1e12, ()), (1e12, ("activations",)), (1e7, ("activations",)))
    )
    assert sent(moved) == (streams * micro, streams * micro)
    # fetched a block ahead: of 24 streams a few are there
    assert held(plain)["activations"] - held(moved)["activations"] >= streams * (DEEP.layers - 6) / DEEP.layers
    # out in the forward pass, in in the backward pass; of several microbatches both at once
    assert slow.time_s >= (2 * streams if micro == 1 else micro * streams) / 1e7 * 0.95
    assert slow.time_s <= 2 * micro * streams / 1e7 * 1.05


@pytest.mark.long
def test_all_that_blocks_leave_goes_to_the_host() -> None:
    plain, moved = (on(1e12, offload=how) for how in ((), ("activations",)))
    frame = memory_frame(plain)
    loss = frame.loc[frame["tensor"] == "loss", "begin"].item()
    saved = frame[(frame["owner"] == "activations") & (frame["begin"] < loss) & (frame["end"] > loss)]
    # the final norm's input and output and the first block's input stand outside of blocks
    outside = 3 * 2 * SEQ * DEEP.d_model
    assert sent(moved)[0] == sent(moved)[1]
    assert sent(moved)[0] == pytest.approx(saved["bytes"].sum(), abs=outside)
    assert held(moved)["activations"] < held(plain)["activations"] / 4


@pytest.mark.long
def test_stages_and_megatron_offload_too() -> None:
    both = ("optimizer", "activations")
    for result in (
        on(1e12, Parallel(pp=2, schedule="zero_bubble"), 2, offload=both),
        on(1e12, Parallel(tp=2), 2, offload=both, engine="megatron"),
    ):
        read, written = sent(result)
        assert read == written > 0


def test_what_cannot_be_offloaded_is_told() -> None:
    with pytest.raises(SpecError, match="unknown thing to offload 'optimiser', did you mean 'optimizer'"):
        Training(batch=1, seq=8, offload=("optimiser",))
