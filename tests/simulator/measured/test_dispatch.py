"""Who issues kernels: a host, one by one; and clocks, which a step that goes on and on has fewer of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, System, load_chip, parse_topology
from hw.chips import load_kernel_times
from simulator import Dispatch, Estimator, Parallel, RunOptions, Training, parse_graph, simulate, train_graph
from tests.support.models import SMALL

H100 = load_chip("h100_sxm")
HOPPER = load_kernel_times("hopper")
EAGER = HOPPER.dispatch.eager_s


def chain(count: int, elements: int, dispatch: str) -> float:
    lines = [f"x{at + 1}:bf16[N] = gelu(x{at}{':bf16[N]' if not at else ''})" for at in range(count)]
    options = RunOptions(calibration="measured", dispatch=dispatch)  # type: ignore[arg-type]
    return simulate(parse_graph(lines, {"N": elements}), System(H100), options).time_s


@given(st.integers(1, 12), st.integers(1, 10**8))
@settings(max_examples=20, deadline=None)
def test_a_chain_is_bound_by_its_host_or_by_its_kernels(count: int, elements: int) -> None:
    """n kernels of t behind a host that takes h for each: the first waits for it, then the slower of the two decides."""
    alone = chain(1, elements, "graph")
    want = EAGER + alone + (count - 1) * max(EAGER, alone)
    assert chain(count, elements, "eager") == pytest.approx(want, rel=1e-6)
    assert chain(count, elements, "graph") == pytest.approx(count * alone, rel=1e-6)


def test_by_the_data_sheet_there_is_no_host() -> None:
    graph = parse_graph(["y:bf16[N] = gelu(x:bf16[N])"], {"N": 4096})
    plain, eager = (simulate(graph, System(H100), RunOptions(dispatch=word)) for word in ("graph", "eager"))
    assert plain.time_s == eager.time_s


def test_an_op_of_several_kernels_is_issued_as_often() -> None:
    """swiglu op by op is silu and a product, compiled one kernel; the host works once for each."""
    graph = parse_graph(["y:bf16[N] = swiglu(a:bf16[N], b:bf16[N])"], {"N": 1})
    times = {}
    for word in ("eager", "compiled"):
        result = simulate(graph, System(H100), RunOptions(calibration="measured", dispatch=word))
        times[word] = next(each.times_s["dispatch"] for each in result.plan.kernels if "dispatch" in each.times_s)
    assert times["eager"] == pytest.approx(2 * EAGER)
    assert times["compiled"] == pytest.approx(HOPPER.dispatch.compiled_s)


def test_every_chip_has_a_host_of_its_own() -> None:
    """Four chips that do the same take as long as one; what is placed on one is issued by its host alone."""
    lines = ["y:bf16[N] = gelu(x:bf16[N], on=0)", "z:bf16[N] = gelu(w:bf16[N], on=1)"]
    four = System(H100, parse_topology("switch(4) over nvlink", H100.links), Mesh({"X": 4}))
    options = RunOptions(calibration="measured", dispatch="eager")
    apart = simulate(parse_graph(lines, {"N": 64}), four, options).time_s
    assert apart == pytest.approx(chain(1, 64, "eager"), rel=1e-9)


def test_power_leaves_less_of_the_matrix_unit_in_the_long_run() -> None:
    """A long matmul is slower by what is left of the rate; a stream is not."""
    sizes = {"M": 8192, "N": 8192, "K": 8192}
    for line, share in (
        ("y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", HOPPER.sustained),
        ("y:bf16[M,N] = gelu(x:bf16[M,N])", 1.0),
    ):
        graph = parse_graph([line], sizes)
        burst, long = (
            simulate(graph, System(H100), RunOptions(calibration="measured", clocks=word)).time_s
            for word in ("burst", "sustained")
        )
        assert burst / long == pytest.approx(share, rel=0.01)


def test_what_a_library_fuses_may_be_captured() -> None:
    """As few kernels as a compiler has, and no host: a chain of two is two of its kernels, alone."""
    lines = ["y:bf16[N] = swiglu(a:bf16[N], b:bf16[N])", "z:bf16[N] = swiglu(y, b)"]
    sizes = {"N": 2**26}
    found = {
        word: simulate(parse_graph(lines, sizes), System(H100), RunOptions(calibration="measured", dispatch=word))
        for word in ("fused_graph", "fused", "graph")
    }
    kernels = {word: [each.times_s for each in result.plan.kernels] for word, result in found.items()}
    # the kernels of a library that Python calls, without what issues them
    assert kernels["fused_graph"] == [times for times in kernels["fused"] if "dispatch" not in times]
    assert found["fused_graph"].time_s == pytest.approx(found["fused"].time_s - EAGER, rel=1e-6)
    # PyTorch's own are two each: silu reads one and writes one, a product reads two and writes one
    assert found["graph"].time_s / found["fused_graph"].time_s == pytest.approx(5 / 3, rel=0.02)


@pytest.mark.parametrize("pace", [0.36, 2.5])
def test_another_host_is_as_much_slower_for_each_kernel(pace: float) -> None:
    """Kernels of one element: n of them take a host of a pace n / pace of what the measured one takes, and then the last
    kernel; an estimate of a step says so, too."""
    lines = [f"x{at + 1}:bf16[N] = gelu(x{at}{':bf16[N]' if not at else ''})" for at in range(20)]
    graph, plain = parse_graph(lines, {"N": 1}), chain(1, 1, "graph")
    options = RunOptions(calibration="measured", dispatch="eager", efficiency={"dispatch": pace})
    slowest = max(EAGER / pace, plain)
    assert simulate(graph, System(H100), options).time_s == pytest.approx(EAGER / pace + 19 * slowest + plain, rel=1e-6)
    model, training = replace(SMALL, layers=2), Training(batch=1, seq=128)
    estimated = Estimator(model, System(H100), options).estimate(Parallel(), training)
    ran = simulate(train_graph(model, Parallel(), training), System(H100), options)
    assert estimated.expected == pytest.approx(ran.time_s, rel=0.05)
    assert estimated.lower_bound == pytest.approx(ran.lower_bound_s, rel=1e-9)


@pytest.mark.parametrize("parallel", [Parallel(), Parallel(microbatch=1)])
@pytest.mark.parametrize("dispatch", ["eager", "fused", "compiled"])
def test_a_host_that_is_ahead_beats_no_bound(dispatch: Dispatch, parallel: Parallel) -> None:
    """A run's host is ahead from one pass to the next: `earliest` is what no run beats all the same."""
    model, training = replace(SMALL, layers=4), Training(batch=2, seq=512)
    options = RunOptions(calibration="measured", dispatch=dispatch)
    estimated = Estimator(model, System(H100), options).estimate(parallel, training)
    ran = simulate(train_graph(model, parallel, training), System(H100), options).time_s
    assert estimated.lower_bound <= estimated.earliest <= ran * (1 + 1e-9)
    assert ran <= estimated.upper_bound * (1 + 1e-9)
    assert estimated.earliest <= estimated.expected <= estimated.upper_bound * (1 + 1e-9)
