"""What Megatron-LM's layers and optimizer do otherwise than plain ones, and what they leave as it is.

Laws: queries, keys and values by one matmul are the same FLOPs, and their gradients go through memory once to be put
together; stages send a part of what their chips all have; attention that is run again is so behind the matmul that its
output went to; passes over gradients move what they read and write.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis import Summary, memory_frame, timeline_frame
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


def peak(result: Result) -> float:
    """The most that a chip holds."""
    return max(Summary(result.plan, lambda: result).on_chips("peak_memory").values())


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


FOUR: dict[str, Any] = {"tp": 4, "sequence": False}
"""Two of the eight heads of a model are left on each of four chips."""


def softmaxes(parallel: Parallel, **how: Any) -> list[str]:
    """How each attention is carried out."""
    how = {"attention": "fused_softmax", "batch": 4, "seq": SEQ, "engine": "megatron", **how}
    graph = train_graph(OLDER, parallel, Training(**how))
    return [op.option("kind") or "" for op in graph.every_op() if op.kind.startswith("attention")]


@pytest.mark.parametrize(
    ("parallel", "seq", "scripted"),
    [
        (Parallel(**FOUR, microbatch=1), SEQ, True),
        (Parallel(**FOUR, microbatch=2), SEQ, False),
        (Parallel(**FOUR, microbatch=4), SEQ, False),
        (Parallel(**FOUR, microbatch=2), SEQ - 2, True),
        (Parallel(tp=2, microbatch=1, sequence=False), SEQ, False),
        (Parallel(microbatch=1), SEQ, False),
    ],
)
def test_a_kernel_of_rows_of_four_heads_is_for_as_many_alone(parallel: Parallel, seq: int, scripted: bool) -> None:
    """Megatron-LM's fused_softmax.py: attn_batch_size % 4 and query_seq_len % 4 are to be 0, else its script does it."""
    kind = "scripted_softmax" if scripted else "fused_softmax"
    assert set(softmaxes(parallel, seq=seq)) == {kind}
    assert set(softmaxes(parallel, seq=seq, engine="plain")) == {"fused_softmax"}
    assert set(softmaxes(parallel, seq=seq, attention="standard")) == {"standard"}


def test_a_scripted_softmax_is_so_many_kernels_and_bytes_more() -> None:
    """Four kernels and 32 bytes a pair forwards and again, four kernels and 34 backwards (36 + 2b in place of 3b); no FLOPs
    of matmuls. An estimate goes through them as a run does."""
    parallel = Parallel(**FOUR, microbatch=1)
    how: dict[str, Any] = {"attention": "fused_softmax", "recompute": "full", "dropout": True}
    found = step(parallel, batch=1, engine="megatron", **how)
    one = step(replace(parallel, microbatch=2), batch=2, engine="megatron", **how)
    pairs = 2 * SEQ**2 * GPT.layers
    between = {"cast", "scale", "where", "softmax", "softmax_backward"}
    # what stands between the matmuls of attention is called after it, behind a stroke
    made = [[each for each in kernels(run) if "/" in each.name and each.kind in between] for run in (found, one)]
    assert len(made[0]) - len(made[1]) == GPT.layers * 3 * 4
    moved = [sum(each.hbm_bytes for each in of_run) for of_run in made]
    assert moved[0] - moved[1] / 2 == pytest.approx(pairs * (32 + 32 + 34), rel=1e-9)
    flops = [sum(kernel.matrix_flops for kernel in kernels(run)) for run in (found, one)]
    assert flops[0] == pytest.approx(flops[1] / 2, rel=1e-9)


def test_a_script_keeps_weights_in_fp32_and_undoes_what_it_did_one_by_one() -> None:
    """Of a pair 4 bytes and, behind dropout, 2 are there when the loss is; ops and their order are those of the source."""
    run = step(Parallel(**FOUR, microbatch=1), batch=1, engine="megatron", attention="fused_softmax", dropout=True)
    frame = memory_frame(run)
    frame = frame[frame["chip"] == 0]
    loss = frame.loc[frame["tensor"].astype(str).str.startswith("loss"), "begin"].max()
    kept = frame[(frame["begin"] <= loss) & (frame["end"] > loss) & frame["tensor"].astype(str).str.match(r"a\.\d+/")]
    assert kept["bytes"].sum() == (4 + 2) * 2 * SEQ**2 * GPT.layers
    made = [each.kind for each in kernels(run) if each.name.startswith("a.0/")]
    assert made == ["attention", "cast", "scale", "where", "softmax", "cast", "dropout", "attention"]
    undone = [each.kind for each in kernels(run) if each.kind == "attention_backward" or "/" in each.name][-8:]
    assert undone[1:-1] == ["dropout", "cast", "softmax_backward", "where", "scale", "cast"]


def test_scores_in_fp32_are_not_cast() -> None:
    """Scale, mask and softmax, forwards and back; the weights that are kept are those that the next matmul read."""
    dims = {"H": 2, "T": 64, "D": 32}
    line = "o:fp32[H,T,D] = attention(q:fp32[H,T,D], k:fp32[H,T,D], v:fp32[H,T,D], kind=scripted_softmax)"
    run = simulate(with_backward(parse_graph([line], dims), "o", ["q", "k", "v"]), System(load_chip("a100_80gb_sxm")))
    made = [each for each in kernels(run) if each.kind not in ("attention", "attention_backward")]
    assert [each.kind for each in made] == ["scale", "where", "softmax", "softmax_backward", "where", "scale"]
    assert "o/weights" in {access.tensor for access in made[3].reads}
    assert sum(each.hbm_bytes for each in made) == (8 + 8 + 8 + 12 + 8 + 8) * 2 * 64**2


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_an_estimate_with_a_scripted_softmax_is_that_of_a_run(recompute: str) -> None:
    chip = load_chip("a100_80gb_sxm")
    system = System(chip, parse_topology("switch(4) over nvlink", chip.links), Mesh(Parallel(**FOUR).mesh))
    estimator, options = Estimator(GPT, system, RunOptions()), RunOptions()
    how: dict[str, Any] = {"seq": SEQ, "engine": "megatron", "attention": "fused_softmax", "dropout": True}
    for microbatch in (1, 2, 1):
        parallel, training = Parallel(**FOUR, microbatch=microbatch), Training(batch=4, recompute=recompute, **how)
        run = simulate(train_graph(GPT, parallel, training), system, options)
        found = estimator.estimate(parallel, training)
        assert 0.98 * run.time_s <= found.earliest <= run.time_s * (1 + 1e-9)
        assert found.peak_memory == pytest.approx(peak(run), rel=1e-9)


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
