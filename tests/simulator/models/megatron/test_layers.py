"""What Megatron-LM's layers and optimizer do otherwise than plain ones, and what they leave as it is.

Laws: queries, keys and values by one matmul are the same FLOPs, and their gradients go through memory once to be put
together; stages send a part of what their chips all have; attention that is run again is so behind the matmul that its
output went to; passes over gradients move what they read and write.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis import timeline_frame
from hw import Mesh, RunError, SpecError, System, load_chip, parse_topology
from simulator import (
    Estimator,
    Parallel,
    Precision,
    Result,
    RunOptions,
    Training,
    parse_graph,
    simulate,
    train_graph,
    with_backward,
)
from tests.support.models import GPT as OLDER

GPT = replace(OLDER, attention=replace(OLDER.attention, kv_heads=4))
SEQ, BATCH = 512, 2
TOKENS = SEQ * BATCH
FP16 = Precision(compute="fp16", weights="fp16", gradients="fp16", main_gradients="fp32", master="fp32", kv="fp16")
BF16 = Precision(main_gradients="fp32", master="fp32")


def step(
    parallel: Parallel | None = None, fused: bool = False, options: RunOptions | None = None, **how: Any
) -> Result:
    parallel = parallel or Parallel(microbatch=BATCH)
    model = replace(GPT, attention=replace(GPT.attention, fused=fused))
    chip = load_chip("a100_80gb_sxm")
    system = System(chip)
    if parallel.chips > 1:
        topology = parse_topology(f"switch({parallel.chips}) over nvlink", chip.links)
        system = System(chip, topology, Mesh(parallel.mesh))
    graph = train_graph(model, parallel, Training(**{"batch": BATCH, "seq": SEQ, **how}))
    return simulate(graph, system, options or RunOptions())


def kernels(result: Result) -> list[Any]:
    return [planned.kernel for planned in result.plan.kernels]


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("tp", [1, 2])
def test_queries_keys_and_values_are_one_matmul(tp: int, recompute: str) -> None:
    """The same FLOPs in fewer matmuls: of a layer two fewer forwards, four backwards, and two where they are run again. The
    parts of the gradient are read and written once more; no gradients of what they were made of are added up."""
    parallel = Parallel(tp=tp, microbatch=BATCH)
    apart, joined = (kernels(step(parallel, fused, recompute=recompute)) for fused in (False, True))
    assert sum(each.matrix_flops for each in joined) == pytest.approx(
        sum(each.matrix_flops for each in apart), rel=1e-12
    )
    fewer = [sum(bool(each.contractions) for each in found) for found in (apart, joined)]
    assert fewer[0] - fewer[1] == GPT.layers * (8 if recompute == "full" else 6)
    put = [each for each in joined if each.kind == "concat"]
    assert len(put) == GPT.layers
    assert all(each.hbm_bytes == 2 * 2 * TOKENS * 16 * 32 / tp for each in put)


def test_heads_of_keys_that_stand_whole_are_made_apart() -> None:
    """Four heads of keys on eight chips: each chip has all of them, and an eighth of the queries."""
    found = kernels(step(Parallel(tp=8, microbatch=BATCH), fused=True))
    assert not any(each.kind == "concat" for each in found)


def test_gradients_of_parts_are_put_together_in_their_order() -> None:
    graph = parse_graph(
        [
            "h:bf16[B,N] = matmul(x:bf16[B,K], w:bf16[K,N])",
            "p:bf16[B,P] = part(h, axis=N)",
            "q:bf16[B,Q] = part(h, axis=N)",
            "r:bf16[B,P] = relu(p)",
            "s:bf16[B,Q] = gelu(q)",
            "y:bf16[B,Z] = concat(r, s)",
        ],
        {"B": 64, "K": 32, "N": 48, "P": 16, "Q": 32, "Z": 48},
    )
    back = {op.name: op for op in with_backward(graph, "y", ["x", "w"]).every_op()}
    assert [each.name for each in back["dh"].inputs] == ["dp", "dq"]
    assert (back["dh"].kind, back["dh"].option("axis")) == ("concat", "N")
    assert {"dx", "dw"} <= set(back)


def test_of_one_part_alone_no_whole_gradient_is_known() -> None:
    graph = parse_graph(
        ["h:bf16[B,N] = matmul(x:bf16[B,K], w:bf16[K,N])", "p:bf16[B,P] = part(h, axis=N)", "y:bf16[B,P] = relu(p)"],
        {"B": 64, "K": 32, "N": 48, "P": 16},
    )
    with pytest.raises(RunError, match="one part of h alone has a gradient"):
        with_backward(graph, "y", ["w"])


@pytest.mark.parametrize(
    ("made", "said"), [("q:bf16[B,Z] = part(h, axis=Z)", "dim"), ("q:bf16[C,N] = part(h, axis=B)", "no part")]
)
def test_what_is_no_part_is_told(made: str, said: str) -> None:
    graph = ["h:bf16[B,N] = relu(x:bf16[B,N])", made, "r:bf16[B,N] = relu(h)"]
    with pytest.raises(SpecError, match=said):
        simulate(
            parse_graph(graph, {"B": 8, "N": 8, "C": 16, "Z": 4}), System(load_chip("a100_80gb_sxm")), RunOptions()
        )


def test_stages_send_a_part_of_what_their_chips_have() -> None:
    """Narayanan et al. 2021, section 4.1: a tensor-parallel chip sends one of tp parts, which the next stage gathers."""
    sent = {}
    for engine in ("plain", "megatron"):
        parallel = Parallel(tp=2, pp=2, sequence=False)
        found = [each for each in kernels(step(parallel, engine=engine)) if each.kind == "send"]
        sent[engine] = {each.communication.nbytes for each in found}
    # the larger one is the table of tokens, whose gradients the ends of the pipeline add up
    assert {engine: min(sizes) for engine, sizes in sent.items()} == {"plain": SEQ * 256 * 2, "megatron": SEQ * 256}


def test_estimates_know_when_parts_can_be_sent() -> None:
    """A part that is sent is a view of what is made: it is there when that is, and a pipeline has its bubbles."""
    parallel, training = Parallel(tp=2, pp=4, sequence=False), Training(batch=4, seq=SEQ, engine="megatron")
    chip = load_chip("a100_80gb_sxm")
    system = System(chip, parse_topology("switch(8) over nvlink", chip.links), Mesh(parallel.mesh))
    run = simulate(train_graph(GPT, parallel, training), system, RunOptions())
    earliest = Estimator(GPT, system, RunOptions()).estimate(parallel, training).earliest
    assert 0.95 * run.time_s <= earliest <= run.time_s * (1 + 1e-9)


def spans(result: Result) -> dict[str, tuple[float, float]]:
    """When each op of the first chip begins and ends."""
    frame = timeline_frame(result)
    frame = frame[frame["chip"] == 0]
    return {str(op): (begin, end) for op, begin, end in zip(frame["op"], frame["begin"], frame["end"], strict=True)}


def test_attention_is_run_again_behind_the_matmul_that_took_its_output() -> None:
    """The gradient is gathered before that, and nothing of a library that waits for it goes on beside the gathering."""
    result = step(Parallel(tp=2, microbatch=BATCH), recompute="selective", attention="fused_softmax", engine="megatron")
    found = spans(result)
    for layer in range(GPT.layers):
        assert found[f"ra.{layer}/scores"][0] >= found[f"dwo.{layer}"][1]


def test_sums_that_do_not_overlap_begin_behind_the_gradients_of_weights() -> None:
    for overlap in (True, False):
        parallel = Parallel(tp=2, microbatch=BATCH, sequence=False, overlap_tensor=overlap)
        found = spans(step(parallel, engine="megatron"))
        beside = [found[f"dn2_whole.{at}"][0] < found[f"dwup.{at}"][1] for at in range(GPT.layers)]
        assert beside == [overlap] * GPT.layers


@pytest.mark.parametrize(("precision", "clip"), [(FP16, True), (FP16, False), (BF16, True), (BF16, False)])
def test_gradients_are_divided_by_what_the_loss_was_multiplied_with_and_clipped(
    precision: Precision, clip: bool
) -> None:
    """A pass over all fp32 gradients for either, which reads and writes them."""
    found = [
        each for each in kernels(step(engine="megatron", precision=precision, clip=clip)) if each.kind == "rescale"
    ]
    stepped = [each for each in kernels(step(engine="megatron", precision=precision)) if each.kind == "adamw"]
    parameters = sum(each.hbm_bytes for each in stepped) / 30
    passes = (precision is FP16) + clip
    assert sum(each.hbm_bytes for each in found) == pytest.approx(passes * 8 * parameters, rel=1e-9)


def test_narrow_gradients_are_copied_into_the_format_of_masters() -> None:
    narrow = replace(FP16, main_gradients="fp16")
    casts = [each for each in kernels(step(engine="megatron", precision=narrow)) if each.name.startswith("wide")]
    stepped = [each for each in kernels(step(engine="megatron", precision=FP16)) if each.kind == "adamw"]
    assert sum(each.hbm_bytes for each in casts) == pytest.approx(6 / 30 * sum(each.hbm_bytes for each in stepped))
    assert not any(each.name.startswith("wide") for each in kernels(step(engine="megatron", precision=FP16)))


def test_a_host_goes_through_what_a_script_has_joined() -> None:
    """Bias, dropout and sum are one kernel, and three ops of the host; a matmul and its bias are one of either."""
    options = RunOptions(calibration="measured", dispatch="eager")
    result = step(Parallel(tp=2, microbatch=BATCH), options=options, engine="megatron", dropout=True)
    issued = {each.ops: each.host_s for each in kernels(result) if each.kind == "issue"}
    alone = issued[("n1.0",)]
    assert issued["ob.0", "obo.0", "h.0"] == pytest.approx(3 * alone)
    assert issued["qkvm.0", "qkv.0"] == pytest.approx(alone)
