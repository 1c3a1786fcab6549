"""Hosts that wait for what their chips make, and ops of which a library makes a kernel for each expert.

Laws: a host that waits goes on when what it waits for is there, so that its chip waits for it anew; without a host nothing
is waited for. An op in n kernels has n starts, and is issued n times; what it does is the same.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import timeline_frame
from hw import Mesh, System, load_chip, parse_topology
from hw.chips import load_kernel_times
from simulator import (
    Estimator,
    Parallel,
    Result,
    RunOptions,
    Training,
    parse_graph,
    precision_of,
    simulate,
    train_graph,
)
from simulator.models import Moe
from tests.support.models import SMALL

H100 = load_chip("h100_sxm")
HOPPER = load_kernel_times("hopper")
EAGER, BARE = HOPPER.dispatch.eager_s, HOPPER.dispatch.compiled_s


def run(lines: list[str], sizes: dict[str, int], dispatch: str = "eager") -> Result:
    options = RunOptions(calibration="measured", dispatch=dispatch)  # type: ignore[arg-type]
    return simulate(parse_graph(lines, sizes), System(H100), options)


def chain(count: int, awaited: int | None) -> list[str]:
    return [
        f"x{at + 1}:bf16[N] = gelu(x{at}{':bf16[N]' if not at else ''}{', awaited=true' if at == awaited else ''})"
        for at in range(count)
    ]


@given(st.integers(1, 8), st.integers(0, 7), st.integers(1, 10**8))
@settings(max_examples=25, deadline=None)
def test_a_host_that_waits_begins_anew(count: int, awaited: int, elements: int) -> None:
    """n kernels of t behind a host that takes h for each: what follows what is awaited runs as a chain of its own."""
    alone = run(chain(1, None), {"N": elements}, "graph").time_s

    def apart(kernels: int) -> float:
        return EAGER + alone + (kernels - 1) * max(EAGER, alone) if kernels else 0.0

    at = min(awaited, count - 1)
    found = run(chain(count, at), {"N": elements}).time_s
    assert found == pytest.approx(apart(at + 1) + apart(count - at - 1), rel=1e-6)
    # by itself the chip knows what it has made
    assert run(chain(count, at), {"N": elements}, "graph").time_s == pytest.approx(count * alone, rel=1e-6)


def test_each_chip_waits_for_its_own() -> None:
    """What is awaited on a chip holds up whatever comes next on it, and nothing on another, which comes in between."""
    lines = [
        "y:bf16[N] = gelu(x:bf16[N], on=0, awaited=true)",
        "z:bf16[M] = gelu(w:bf16[M], on=1)",
        "v:bf16[M] = gelu(u:bf16[M], on=0)",
    ]
    two = System(H100, parse_topology("switch(2) over nvlink", H100.links), Mesh({"X": 2}))
    options = RunOptions(calibration="measured", dispatch="eager")
    frame = timeline_frame(simulate(parse_graph(lines, {"N": 10**9, "M": 64}), two, options))
    ends = frame.groupby(frame["op"].astype(str))["end"].max()
    alone = run(["z:bf16[M] = gelu(w:bf16[M])"], {"M": 64}).time_s
    assert ends["z"] == pytest.approx(alone, rel=1e-9)
    assert ends["v"] - ends["y"] == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("experts", [1, 4, 16])
def test_a_cast_for_each_expert_has_as_many_starts(experts: int) -> None:
    lines = ["y:fp8[E,T,D] = cast(x:bf16[E,T,D]%s)"]
    sizes = {"E": experts, "T": 512, "D": 2048}
    one, each = (run([lines[0] % option], sizes, "graph") for option in ("", ", each=E"))
    assert each.time_s - one.time_s == pytest.approx((experts - 1) * HOPPER.start_s, rel=1e-6, abs=1e-12)
    assert each.lower_bound_s == one.lower_bound_s


EXPERTS = "y:bf16[E,T,N] = matmul(x:bf16[E,T,K], w:bf16[E,K,N]%s)"


def test_a_matmul_for_each_expert_starts_and_is_issued_as_often() -> None:
    line = EXPERTS
    sizes = {"E": 8, "T": 512, "N": 1024, "K": 1024}
    captured = [run([line % option], sizes, "graph").time_s for option in ("", ", each=E")]
    assert captured[1] - captured[0] == pytest.approx(7 * HOPPER.start_s, rel=1e-6)
    hosts = {word: run([line % ", each=E"], sizes, word) for word in ("eager", "fused", "compiled")}
    issued = {word: each.plan.kernels.sort(0).times_s["dispatch"] for word, each in hosts.items()}
    assert issued["eager"] == pytest.approx(8 * EAGER)
    assert issued["compiled"] == pytest.approx(8 * BARE)
    # Python calls the library once; its loop launches the others
    assert issued["fused"] == pytest.approx(EAGER + 7 * BARE)


def test_each_names_a_dim_that_the_op_has() -> None:
    with pytest.raises(Exception, match="'Z' is none of them"):
        run(["y:bf16[N] = gelu(x:bf16[N], each=Z)"], {"N": 8})


def test_a_library_of_fused_kernels_has_as_few_as_a_compiler() -> None:
    line = "y:bf16[T,D] = swiglu(a:bf16[T,D], b:bf16[T,D])"
    sizes = {"T": 8192, "D": 8192}
    fused, compiled, eager = (run([line], sizes, word).time_s for word in ("fused", "compiled", "eager"))
    assert fused - compiled == pytest.approx(EAGER - BARE, rel=1e-6)
    assert eager > fused + EAGER


SPARSE = replace(SMALL, layers=4, moe=Moe(experts=8, top_k=2, d_expert=512))
FUSED = RunOptions(calibration="measured", dispatch="fused")


@pytest.mark.parametrize("precision", ["mixed_bf16", "fp8"])
def test_routing_that_drops_nothing_keeps_its_host_waiting(precision: str) -> None:
    """A run and an estimate of a step: the host waits once a block and microbatch, and both are longer by as much."""
    how = {"batch": 2, "seq": 2048, "precision": precision_of(precision, "training"), "engine": "megatron"}
    system, found = System(H100), {}
    for dropless in (True, False):
        training = Training(**how, dropless=dropless)  # type: ignore[arg-type]
        graph = train_graph(SPARSE, Parallel(), training)
        result = simulate(graph, system, FUSED)
        awaited = [each.kernel.name for each in result.plan.kernels if each.kernel.awaited]
        assert len(awaited) == (SPARSE.layers * 2 if dropless else 0)
        estimated = Estimator(SPARSE, system, FUSED).estimate(Parallel(), training).expected
        found[dropless] = result.time_s, estimated
    run_s, estimated_s = (dropless - dropped for dropless, dropped in zip(found[True], found[False], strict=True))
    assert run_s > 0.0
    assert estimated_s > 0.0
    assert estimated_s == pytest.approx(run_s, rel=0.01)
    assert found[True][1] == pytest.approx(found[True][0], rel=0.05)


@pytest.mark.parametrize(("experts", "rows", "tera"), [(8, 4096, 627.903), (16, 2048, 553.945)])
def test_matmuls_of_experts_on_several_streams_are_as_long_as_measured(experts: int, rows: int, tera: float) -> None:
    """Transformer Engine 2.7 on an H100, cuBLAS on four streams (github:NVIDIA/TransformerEngine pull request 2045).

    One kernel for all of them would be 12 and 20 % faster than that, at clocks of a short burst.
    """
    sizes = {"E": experts, "T": rows, "N": 768, "K": 2048}
    flops = 2.0 * experts * rows * 768 * 2048
    graph = parse_graph([EXPERTS % ", each=E"], sizes)
    options = RunOptions(calibration="measured", dispatch="graph", clocks="burst")
    assert simulate(graph, System(H100), options).time_s == pytest.approx(flops / (tera * 1e12), rel=0.05)
