"""The peak of an estimate against that of a run, where much goes on beside the compute queue.

Law: what is beside compute begins, in an estimate, as early as it may, and ends in program order. So a run holds no more,
but for what pipelines receive early or are still sending, gradients of two parts that wait to be reduced and added up (from
ZeRO-2 on), and what a collective of tensor parallelism reads while the next kernel runs; and it holds less by no more than
the weights that it could have gathered ahead, in a pass and for the next one, and those. With activations on the host `late`
is in the peak's place: until they are fetched back they may be there, however slow the host is, and on a slow one they are.
States of the optimizer are in the peak as a host slower than HBM brings them, and in `late` as early as they may be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis import Summary, memory_frame
from hw import Mesh, System, load_chip, parse_topology
from simulator import Estimate, Estimator, Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import Moe, Transformer
from tests.support.models import SMALL, system_for

SEQ = 256
SPARSE = replace(SMALL, name="sparse", moe=Moe(experts=4, top_k=2, d_expert=128))
STREAM = SEQ * SMALL.d_model * 4
"""Bytes of a sequence between two blocks, at most."""

LAYOUTS = st.builds(
    Parallel,
    dp=st.sampled_from([1, 2, 4]),
    tp=st.sampled_from([1, 1, 2]),
    pp=st.sampled_from([1, 1, 2]),
    zero=st.sampled_from([1, 2, 3, 3, 3]),
    microbatch=st.sampled_from([1, 2]),
    sequence=st.booleans(),
    prefetch=st.integers(0, 3),
    overlap_gradients=st.booleans(),
    schedule=st.sampled_from(["gpipe", "1f1b", "zero_bubble", "paired"]),
)
HOW = st.fixed_dictionaries(
    {
        "recompute": st.sampled_from(["none", "selective", "full", 2]),
        "engine": st.sampled_from(["plain", "megatron", "pytorch"]),
        "clip": st.booleans(),
    }
)


def largest(result: Result, called: str) -> float:
    """The most bytes of a tensor that a chip makes and that is called so."""
    frame = memory_frame(result)
    found = frame[frame["tensor"].astype(str).str.match(called) & ~frame["given"]]
    return float(found["bytes"].max()) if len(found) else 0.0


PLAIN: dict[str, Any] = {"recompute": "none", "engine": "plain", "clip": False}


@example(Parallel(dp=2, zero=3, prefetch=3), PLAIN, 4, SMALL, "full")
@example(Parallel(dp=2, pp=2, zero=3, prefetch=1), {**PLAIN, "engine": "pytorch"}, 4, SMALL, "full")
@settings(max_examples=4, deadline=None)
@given(LAYOUTS, HOW, st.integers(1, 4), st.sampled_from([SMALL, SPARSE]), st.sampled_from(["full", "none"]))
def test_a_run_holds_no_more_than_its_estimate_but_for_what_is_on_its_way(
    parallel: Parallel, how: dict[str, Any], micro: int, model: Transformer, overlap: Any
) -> None:
    training = Training(batch=parallel.replicas * parallel.microbatch * micro, seq=SEQ, **how)
    options, system = RunOptions(overlap=overlap), system_for(parallel, node=8)
    result = simulate(train_graph(model, parallel, training), system, options)
    found = Estimator(model, system, options).estimate(parallel, training)
    ran, more = peak_of(result), besides(result, parallel)
    assert ran <= (found.peak_memory + more) * (1 + 1e-9)
    ahead = 2 * (parallel.prefetch + 1) * largest(result, r"r?wL")
    assert found.peak_memory <= (ran + ahead + more) * (1 + 1e-9)
    assert found.least_memory <= ran * (1 + 1e-9)
    assert found.late_memory == found.peak_memory


def peak_of(result: Result) -> float:
    """The most that a chip holds in a run."""
    return max(Summary(result.plan, lambda: result).on_chips("peak_memory").values())


def besides(result: Result, parallel: Parallel) -> float:
    """What a run may hold beside: what is on its way, what is read longer, gradients that wait."""
    stream = STREAM * parallel.microbatch
    on_its_way = 4 * stream if parallel.pp > 1 else 0.0
    read_longer = 2 * stream if parallel.tp > 1 else 0.0
    gradients = sum(largest(result, f"{name}(L|In|Out)") for name in ("g", "r"))
    waiting = 2 * gradients if parallel.zero >= 2 else 0.0
    return on_its_way + read_longer + waiting


OFFLOADED = st.sampled_from([("activations",), ("optimizer",), ("optimizer", "activations")])


def beside_host(
    bytes_per_s: float, parallel: Parallel, micro: int, model: Transformer, **how: Any
) -> tuple[Estimate, Result]:
    """An estimate and a run beside a host with so many bytes a second in each direction."""
    chip = load_chip("h100_sxm", set={"host.bandwidth": 2 * bytes_per_s, "links.pcie.bandwidth": bytes_per_s})
    system = System(chip)
    if parallel.chips > 1:
        system = System(chip, parse_topology(f"switch({parallel.chips}) over nvlink", chip.links), Mesh(parallel.mesh))
    training = Training(batch=parallel.replicas * parallel.microbatch * micro, seq=SEQ, **how)
    options = RunOptions(overlap="full")
    result = simulate(train_graph(model, parallel, training), system, options)
    return Estimator(model, system, options).estimate(parallel, training), result


@settings(max_examples=4, deadline=None)
@given(LAYOUTS, HOW, st.integers(1, 4), st.sampled_from([SMALL, SPARSE]), OFFLOADED, st.sampled_from([1e6, 1e10, 1e12]))
def test_a_run_holds_no_more_than_what_is_there_until_it_is_fetched_back(
    parallel: Parallel, how: dict[str, Any], micro: int, model: Transformer, offload: tuple[str, ...], host: float
) -> None:
    found, result = beside_host(host, parallel, micro, model, offload=offload, **how)
    ran = peak_of(result)
    assert ran <= (found.late_memory + besides(result, parallel)) * (1 + 1e-9)
    assert found.least_memory <= ran * (1 + 1e-9)
    assert found.peak_memory <= found.late_memory * (1 + 1e-9)


@pytest.mark.parametrize("recompute", ["none", "full"])
def test_what_was_sent_is_there_until_it_has_gone(recompute: str) -> None:
    """Beside a slow host all of it still, beside a fast one nothing, and in between as much as in the run, also where copies
    slow down what computes."""
    model = replace(SMALL, layers=12)
    how: dict[str, Any] = {"offload": ("activations",), "recompute": recompute}
    found = {}
    for host in (1e6, 1e10, 1e11, 3e11, 7e11, 1e12):
        found[host], result = beside_host(host, Parallel(), 2, model, **how)
        assert found[host].peak_memory == pytest.approx(peak_of(result), rel=1e-9)
        assert peak_of(result) <= found[host].late_memory * (1 + 1e-9)
    waits = found[1e6].peak_memory - found[1e12].peak_memory
    sent = sum(a.nbytes for each in result.plan.kernels for a in each.kernel.writes if a.memory == "host") / 2
    # all that a microbatch sends but for what a block or two have made at the peak
    assert sent * 0.75 <= waits <= sent
    assert found[1e6].late_memory == found[1e12].late_memory


@settings(max_examples=4, deadline=None)
@given(LAYOUTS, HOW, st.integers(1, 3), st.sampled_from([SMALL, SPARSE]), st.sampled_from([1e6, 1e10, 1e11]))
def test_states_in_the_memory_of_the_host_come_one_copy_ahead(
    parallel: Parallel, how: dict[str, Any], micro: int, model: Transformer, host: float
) -> None:
    """PCIe is slower than what steps them: the peak is that of the run, as it is without a host, but for states of smaller
    parts that come while those of a larger one, the vocabulary's, go."""
    found, result = beside_host(host, parallel, micro, model, offload=("optimizer",), **how)
    ran, more = peak_of(result), besides(result, parallel)
    smaller = largest(result, r"in\w+(In|Out)") + 3 * largest(result, r"in\w+L")
    assert ran <= (found.peak_memory + more + smaller) * (1 + 1e-9)
    ahead = 2 * (parallel.prefetch + 1) * largest(result, r"r?wL")
    assert found.peak_memory <= (ran + ahead + more) * (1 + 1e-9)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_beside_any_host_that_is_slower_than_hbm_states_take_as_much(recompute: str, clip: bool) -> None:
    """On one chip exactly; beside a host as fast as what steps them more than that are there, and no more than `late`."""
    how: dict[str, Any] = {"offload": ("optimizer",), "recompute": recompute, "clip": clip}
    model = replace(SMALL, layers=12)
    for host in (1e6, 1e9, 1e11):
        found, result = beside_host(host, Parallel(), 1, model, **how)
        assert found.peak_memory == pytest.approx(peak_of(result), rel=1e-9)
    _, fast = beside_host(1e12, Parallel(), 1, model, **how)
    assert found.peak_memory <= peak_of(fast) <= found.late_memory * (1 + 1e-9)
    states = sum(stage.given.get("optimizer", 0.0) for stage in found.memory)
    assert states == 0.0
    assert found.late_memory > found.peak_memory
