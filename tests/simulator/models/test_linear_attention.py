"""Models with linear attention: work and state in closed form, however they are run and laid out.

Law: 4 d_k d_v FLOPs a token and head, half of them a head of keys, whatever the context is; a step of decoding reads and
writes one matrix a head of keys and sequence (Katharopoulos et al. 2020).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw import SpecError, System, load_chip
from simulator import Inference, OpGraph, Parallel, Training, bind, inference_graph, simulate, train_graph
from simulator.models import Transformer, Work, forward_flops, training_flops
from tests.support.models import SMALL, system_for
from tests.support.training_steps import SEQ, flops_of_all, step

LINEAR = replace(SMALL, attention=replace(SMALL.attention, kinds=("linear",)))
HYBRID = replace(SMALL, attention=replace(SMALL.attention, kinds=("linear", "linear", "linear", "full")))
STATE = 4 * 32 * 32
"""Numbers of one block's state of one sequence: heads of keys, keys, values."""


def flops_of(graph: OpGraph, parallel: Parallel | None = None) -> float:
    """Matmul FLOPs of all chips together."""
    system = system_for(parallel) if parallel is not None else System(load_chip("h100_sxm"))
    return sum(kernel.matrix_flops for kernel in bind(graph, system)) * system.size


def test_flops_of_a_token_are_the_same_at_any_context() -> None:
    near, far = (forward_flops(LINEAR, Work(1, context)).attention for context in (0, 100_000))
    assert near == far == 4 * (4 + 8) * 2 * 32 * 32
    assert forward_flops(HYBRID, Work(1, 999)).attention == 3 * (4 + 8) * 2 * 32 * 32 + 8 * 4 * 32 * 1000


@pytest.mark.parametrize("model", [LINEAR, HYBRID], ids=["linear", "hybrid"])
def test_a_training_step_does_what_closed_forms_say(model: Transformer) -> None:
    got = flops_of(train_graph(model, Parallel(), Training(batch=2, seq=64)))
    # flash attention makes its scores again: five matmuls backwards for the two of its forward pass
    again = model.attention.kinds.count("full") * 64 * 65 / 2 * 8 * 2 * 32
    assert got == pytest.approx(2 * (training_flops(model, Work(64)) + again), rel=1e-12)


@pytest.mark.parametrize(
    "parallel", [Parallel(tp=4), Parallel(tp=2, dp=2), Parallel(cp=2), Parallel(pp=2, microbatch=1)]
)
def test_chips_together_do_the_step_of_one(parallel: Parallel) -> None:
    """With keys gathered over the context axis each chip makes the state of all keys: the second of two does it again."""
    sequences = 2 * parallel.replicas * parallel.microbatch
    got = flops_of_all(step(parallel, 2, model=LINEAR))
    again = (parallel.cp - 1) * 3 * sequences * SEQ * LINEAR.layers * 2 * STATE
    assert got == pytest.approx(sequences * training_flops(LINEAR, Work(SEQ)) + again, rel=1e-12)


@pytest.mark.parametrize("chunk", [None, 16])
@pytest.mark.parametrize("model", [LINEAR, HYBRID], ids=["linear", "hybrid"])
def test_a_prompt_does_what_closed_forms_say(model: Transformer, chunk: int | None) -> None:
    got = flops_of(inference_graph(model, Parallel(), Inference(mode="prefill", batch=2, seq=64, chunk=chunk)))
    want = forward_flops(model, Work(64))
    assert got == pytest.approx(2 * (want.matmul + want.attention + want.vocabulary / 64), rel=1e-12)


def test_a_step_of_decoding_reads_and_writes_the_state_at_any_context() -> None:
    found = []
    for context in (100, 10_000):
        graph = inference_graph(LINEAR, Parallel(), Inference(mode="decode", batch=8, context=context))
        result = simulate(graph, system_for(Parallel()))
        assert flops_of(graph) == pytest.approx(8 * forward_flops(LINEAR, Work(1, context)).total, rel=1e-12)
        kernels = bind(graph, System(load_chip("h100_sxm")))
        moved = sum(
            access.nbytes
            for kernel in kernels
            for access in (*kernel.reads, *kernel.writes)
            if access.tensor.startswith(("scache", "skept"))
        )
        # read, written with what is added, and read by the queries
        assert moved == LINEAR.layers * 3 * 2 * 8 * STATE
        found.append(result.time_s)
    assert found[0] == found[1]


def test_chips_share_heads_of_the_state() -> None:
    alone, shared = (
        inference_graph(LINEAR, parallel, Inference(mode="decode", batch=8, context=100))
        for parallel in (Parallel(), Parallel(tp=4))
    )
    assert flops_of(shared, Parallel(tp=4)) == pytest.approx(flops_of(alone), rel=1e-12)


def test_what_linear_attention_cannot_do_is_told() -> None:
    decode = Inference(mode="decode", batch=8, context=100)
    with pytest.raises(SpecError, match="one state a sequence"):
        inference_graph(LINEAR, Parallel(cp=2), decode)
    with pytest.raises(SpecError, match="passes no keys and values round"):
        train_graph(LINEAR, Parallel(cp=2, context="ring"), Training(batch=4, seq=64))
