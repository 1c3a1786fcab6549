"""Steps of the catalogue's transformers: their graphs do what closed forms say, forwards and backwards.

Law: matmuls are three times those of a forward pass; flash attention of heads of size d (values e) is one time forwards
and (3d + 2e) / (d + e) times backwards, since it makes its scores again. However experts, latents, heads and tokens lie on
chips, the FLOPs are the same, and the sharding planner has nothing to insert.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, System, load_chip, parse_topology
from simulator import Forward, Parallel, RunOptions, Training, bind, forward_graph, simulate, train_graph
from simulator.models import (
    Transformer,
    Work,
    forward_flops,
    parameters,
)
from tests.support.catalogue import EVEN, cut, decoders
from tests.support.models import EXPERTS

SEQ = 256


def expected(model: Transformer, tokens: int) -> float:
    """FLOPs of a forward and a backward pass over one sequence."""
    counted = forward_flops(model, Work(tokens=tokens))
    d, e = model.attention.qk_dim, model.attention.v_dim
    return 3 * (counted.matmul + counted.vocabulary) + (1 + (3 * d + 2 * e) / (d + e)) * counted.attention


@pytest.mark.parametrize("name", decoders())
def test_a_step_does_what_closed_forms_say(name: str) -> None:
    model = cut(name)
    tokens = min(EVEN, model.position.longest or EVEN) if model.position.kind == "learned" else EVEN
    graph = train_graph(model, Parallel(), Training(batch=1, seq=tokens))
    got = sum(kernel.matrix_flops for kernel in bind(graph, System(load_chip("h100_sxm"))))
    want = expected(model, tokens)
    print(f"{name}: {got:.6g} FLOPs, {got / want - 1:+.2e}")
    assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("name", decoders())
def test_a_forward_pass_alone_does_what_closed_forms_say(name: str) -> None:
    model = cut(name, blocks=4)
    tokens = min(EVEN, model.position.longest or EVEN) if model.position.kind == "learned" else EVEN
    graph = forward_graph(model, Parallel(), Forward(batch=1, seq=tokens))
    got = sum(kernel.matrix_flops for kernel in bind(graph, System(load_chip("h100_sxm"))))
    assert got == pytest.approx(forward_flops(model, Work(tokens=tokens)).total, rel=1e-12)


@pytest.mark.parametrize("name", decoders())
def test_a_step_has_every_parameter(name: str) -> None:
    model = cut(name)
    graph = train_graph(model, Parallel(), Training(batch=1, seq=SEQ))
    stored = sum(
        graph.dims[str(op.inputs[0].dims[0].size)]
        for op in graph.flat()
        if op.kind == "view" and op.name.startswith("w") and op.inputs[0].name.startswith("storedw")
    )
    want = parameters(model).total
    # left out: sinks (a number a head)
    sinks = model.layers * model.attention.heads if model.attention.sinks else 0
    print(f"{name}: {stored} parameters, {stored / want - 1:+.2e}")
    assert stored == pytest.approx(want - sinks, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        Parallel,
        dp=st.sampled_from([1, 2]),
        tp=st.sampled_from([1, 2]),
        cp=st.sampled_from([1, 2]),
        ep=st.sampled_from([1, 2, 4]),
        zero=st.integers(0, 3),
        sequence=st.booleans(),
    ),
    st.sampled_from(["none", "selective", "full"]),
)
def test_experts_and_latents_cost_the_same_however_they_lie(parallel: Parallel, recompute: str) -> None:
    chip = load_chip("h100_sxm")
    system = System(chip)
    if parallel.chips > 1:
        system = System(chip, parse_topology(f"switch({parallel.chips}) over nvlink", chip.links), Mesh(parallel.mesh))
    graph = train_graph(EXPERTS, parallel, Training(batch=parallel.replicas, seq=SEQ, recompute=recompute))
    result = simulate(graph, system, RunOptions(overlap="full"))
    assert result.plan.inserted == ()
    once = [each.kernel for each in result.plan.kernels if not each.kernel.recompute]
    got = sum(kernel.matrix_flops for kernel in once) * parallel.chips
    # the router and MLA's narrow matmuls are the same on every chip of the tensor axis
    assert got >= expected(EXPERTS, SEQ) * parallel.replicas * (1 - 1e-12)
    if parallel.tp == 1:
        assert got == pytest.approx(expected(EXPERTS, SEQ) * parallel.replicas, rel=1e-12)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
