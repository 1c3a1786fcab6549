"""Training and inference in fp8: which matmuls are narrow, what is cast, kept and stored, and what is refused.

Laws: a precision changes no FLOP of a matmul; in fp8 the linear layers of blocks, forwards and backwards, are counted in
fp8, attention, router, embedding and head in bf16; a cast reads 2 bytes of every
number and writes 1, with a library of GPUs twice, as it is and turned.
Source: DeepSeek-AI 2024 (DeepSeek-V3), section 3.3.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from analysis import memory_frame
from analysis.runs import holdings
from hw import SpecError
from simulator import Inference, Parallel, Precision, Result, RunOptions, inference_graph, precision_of, simulate
from simulator.models import Work, forward_flops, parameters
from tests.support.models import EXPERTS, SMALL, system_for
from tests.support.training_steps import SEQ, alone, matrix_flops, peak, step

FP8 = precision_of("fp8", "training")
INT8 = precision_of({"base": "mixed_bf16", "matmul": "int8"}, "training")
MIXED = precision_of("mixed_bf16", "training")


def flops_by_dtype(result: Result) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for planned in result.plan.kernels:
        if planned.kernel.matrix_flops:
            found[planned.kernel.matrix_dtype] += planned.kernel.matrix_flops
    return found


@pytest.mark.parametrize(("precision", "dtype"), [(FP8, "fp8"), (INT8, "int8")])
def test_linear_layers_of_blocks_are_narrow_and_nothing_else(precision: Precision, dtype: str) -> None:
    counted = forward_flops(SMALL, Work(tokens=SEQ))
    found = flops_by_dtype(step(Parallel(), precision=precision))
    assert found[dtype] == pytest.approx(3 * counted.matmul, rel=1e-12)
    assert found["bf16"] == pytest.approx(3 * counted.vocabulary + 3.5 * counted.attention, rel=1e-12)
    assert sum(found.values()) == pytest.approx(alone(1), rel=1e-12)


def test_the_router_stays_as_wide_as_activations() -> None:
    result = step(Parallel(), model=EXPERTS, precision=FP8)
    dtypes: dict[str, str] = {}
    for planned in result.plan.kernels:
        if planned.kernel.matrix_flops:
            dtypes[planned.kernel.base] = planned.kernel.matrix_dtype
    assert {dtypes[name] for name in dtypes if "router" in name} == {"bf16"}
    experts = [name for name in dtypes if "egate" in name]
    assert len(experts) >= 3  # forwards, and twice backwards
    assert {dtypes[name] for name in experts} == {"fp8"}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "amp_bf16", "mixed_bf16", "fp8"])
def test_layers_of_two_kinds_side_by_side_each_cast_their_own(precision: str) -> None:
    """Windows in every second block (Gemma 2, gpt-oss): as many casts of as many bytes as where all blocks are alike, and
    every weight has a gradient."""
    turns = replace(SMALL.attention, kinds=("sliding", "full"), window=SEQ)
    casts = []
    for model in (SMALL, replace(SMALL, attention=turns)):
        result = step(Parallel(), model=model, precision=precision_of(precision, "training"))
        assert matrix_flops(result) == pytest.approx(alone(1), rel=1e-12)
        casts.append(sum(each.kernel.hbm_bytes for each in result.plan.kernels if each.kernel.kind == "cast"))
    assert casts[0] == casts[1]


@pytest.mark.parametrize(("engine", "moved"), [("plain", 3), ("megatron", 4), ("pytorch", 4)])
def test_every_operand_is_cast_once(engine: str, moved: int) -> None:
    """Inputs of q, k and v together, of o, of gate and up together, of down; gradients of all seven outputs."""
    result = step(Parallel(), precision=FP8, engine=engine)
    casts = [
        each.kernel for each in result.plan.kernels if each.kernel.kind == "cast" and "logits" not in each.kernel.name
    ]
    width, queries, keys = SMALL.d_model, 8 * 32, 4 * 32
    ff = SMALL.ffn.d_ff or 0
    forwards = 2 * width + queries + ff
    backwards = 2 * width + queries + 2 * keys + 2 * ff
    assert sum(each.hbm_bytes for each in casts) == pytest.approx(moved * SMALL.layers * SEQ * (forwards + backwards))


@pytest.mark.parametrize("scaling", ["delayed", "blocks", "current"])
def test_scales_of_a_whole_tensor_are_found_by_reading_it(scaling: str) -> None:
    """What attention makes, the product of gate and up, and gradients of all seven outputs, in two bytes; norms find the
    largest number of what they make."""
    precision = precision_of({"base": "fp8", "scaling": scaling}, "training")
    result = step(Parallel(), precision=precision)
    found = [each.kernel for each in result.plan.kernels if each.kernel.kind == "reduce"]
    ff, queries, keys = SMALL.ffn.d_ff or 0, 8 * 32, 4 * 32
    read = queries + ff + 2 * SMALL.d_model + queries + 2 * keys + 2 * ff
    want = 2.0 * SMALL.layers * SEQ * read if scaling == "current" else 0.0
    assert sum(access.nbytes for each in found for access in each.reads) == pytest.approx(want)
    assert matrix_flops(result) == pytest.approx(alone(1), rel=1e-12)
    # a cast begins when its scale is known
    assert result.time_s >= step(Parallel(), precision=FP8).time_s


def test_a_compiler_finds_the_largest_number_of_what_it_makes() -> None:
    """PyTorch's products of gate and up need no kernel for it, forwards and backwards; what libraries make does."""
    precision = precision_of({"base": "fp8", "scaling": "current"}, "training")
    kept = {}
    for engine in ("plain", "pytorch"):
        result = step(Parallel(), precision=precision, engine=engine)
        found = [each.kernel for each in result.plan.kernels if each.kernel.kind == "reduce"]
        kept[engine] = sum(access.nbytes for each in found for access in each.reads)
    ff, width = SMALL.ffn.d_ff or 0, SMALL.d_model
    assert kept["plain"] - kept["pytorch"] >= 2.0 * SMALL.layers * SEQ * (3 * ff)
    assert kept["pytorch"] >= 2.0 * SMALL.layers * SEQ * width


@pytest.mark.parametrize(("given", "stored"), [("fp8", 17), ({"base": "fp8", "moments": "bf16"}, 13)])
def test_stored_bytes_a_parameter(given: Any, stored: int) -> None:
    result = step(Parallel(), precision=precision_of(given, "training"))
    held = [each for each in holdings(result) if each.begin_s == 0.0 and each.end_s == result.time_s]
    total = sum(each.nbytes for each in held if each.tensor.startswith(("stored", "m", "v")))
    count = parameters(SMALL).total
    table = SMALL.embedding
    assert table is not None
    # embedding, final norm and head are a byte wider
    ends = 2 * table.vocab * SMALL.d_model + SMALL.d_model
    assert total == pytest.approx(stored * count + ends, abs=4 * SEQ * 4 * 2)


def test_what_is_kept_for_the_backward_pass_is_narrow() -> None:
    """So many tokens that little else counts: outputs of norms and the product of gate and up are kept in a byte and not in
    two; that of attention in three, since its own backward pass reads it wide."""
    tokens = 64 * SEQ
    wide, narrow = (peak(step(Parallel(microbatch=64), precision=each)) for each in (MIXED, FP8))
    saved = SMALL.layers * tokens * (2 * SMALL.d_model + (SMALL.ffn.d_ff or 0) - 8 * 32)
    assert wide - narrow == pytest.approx(saved, rel=0.1)


def test_what_is_gathered_for_matmuls_is_narrow_and_sums_are_scattered_as_they_are() -> None:
    """Of a block on two chips: two gathers forwards in a byte and two backwards in two, two sums each way in two; embedding
    and head have a gather and a sum each, one forwards and one backwards."""
    result = step(Parallel(tp=2, sequence=True), precision=FP8)
    sent: defaultdict[str, float] = defaultdict(float)
    for planned in result.plan.kernels:
        asked = planned.kernel.communication
        if asked is not None and asked.kind in ("all_gather", "reduce_scatter"):
            sent[asked.kind] += asked.nbytes
    width, ends = SEQ * SMALL.d_model, 2 * SEQ * SMALL.d_model
    assert sent["all_gather"] == pytest.approx(SMALL.layers * width * (2 * 1 + 2 * 2) + 2 * ends, rel=1e-9)
    assert sent["reduce_scatter"] == pytest.approx(SMALL.layers * width * 4 * 2 + 2 * ends, rel=1e-9)


def test_weights_that_are_wider_are_cast_and_cast_again() -> None:
    """They are not kept narrow between the passes, so that sharded weights are not held whole."""
    wide = precision_of({"base": "mixed_bf16", "matmul": "fp8"}, "training")
    result = step(Parallel(dp=2, zero=3), precision=wide)
    again = [each.kernel for each in result.plan.kernels if each.kernel.kind == "cast" and each.kernel.recompute]
    blocks = parameters(SMALL).total - 2 * 1024 * SMALL.d_model - (2 * SMALL.layers + 1) * SMALL.d_model
    assert sum(each.hbm_bytes for each in again) == pytest.approx(3 * blocks)
    assert matrix_flops(result) == pytest.approx(2 * alone(1), rel=1e-12)
    assert result.plan.inserted == ()


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
def test_inference_casts_activations_where_matmuls_are_narrow(dtype: str) -> None:
    precision = precision_of({"weights": dtype, "matmul": dtype})
    graph = inference_graph(SMALL, Parallel(), Inference(mode="prefill", batch=1, seq=SEQ, precision=precision))
    found = flops_by_dtype(simulate(graph, system_for(Parallel()), RunOptions(overlap="full")))
    counted = forward_flops(SMALL, Work(tokens=SEQ))
    assert found[dtype] == pytest.approx(counted.matmul, rel=1e-12)


@pytest.mark.parametrize(("mode", "tokens", "given"), [("prefill", SEQ, {"seq": SEQ}), ("decode", 1, {"context": SEQ})])
@pytest.mark.parametrize(("base", "kv"), [("fp8", "bf16"), ({"base": "fp8", "kv": "fp8"}, "fp8")])
def test_inference_in_fp8_is_that_of_serving_engines(mode: Any, tokens: int, given: Any, base: Any, kv: str) -> None:
    """Weights of blocks and what they are multiplied by are narrow; embedding, head and (unless asked for) cache are not."""
    precision = precision_of(base)
    graph = inference_graph(SMALL, Parallel(), Inference(mode=mode, batch=1, precision=precision, **given))
    result = simulate(graph, system_for(Parallel()), RunOptions(overlap="full"))
    found, counted = flops_by_dtype(result), forward_flops(SMALL, Work(tokens=tokens))
    assert found["fp8"] == pytest.approx(counted.matmul, rel=1e-12)
    memory = memory_frame(result)
    held = memory[memory["owner"] == "weights"]["bytes"].sum()
    # table and head are a byte wider
    norms = (2 * SMALL.layers + 1) * SMALL.d_model
    assert held == pytest.approx(parameters(SMALL).total + 2 * 1024 * SMALL.d_model, abs=norms)
    read = sum(each.kernel.hbm_bytes for each in result.plan.kernels if each.kernel.kind == "attention")
    rows = SEQ * SMALL.attention.heads * SMALL.attention.head_dim * 2
    if mode == "decode":
        cached = (SEQ + 1) * SMALL.layers * SMALL.attention.cached
        assert read == pytest.approx(cached * {"bf16": 2, "fp8": 1}[kv], abs=rows)


def test_matmuls_in_int8_move_what_those_in_fp8_do() -> None:
    """As many bytes, whatever they mean: the same kernels, of which matmuls have another peak."""
    moved = []
    for dtype in ("int8", "fp8"):
        result = step(Parallel(), precision=precision_of({"base": "mixed_bf16", "matmul": dtype}, "training"))
        moved.append([(each.kernel.name, each.kernel.hbm_bytes) for each in result.plan.kernels])
    assert moved[0] == moved[1]


def test_all_that_is_wrong_with_a_precision_is_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        precision_of({"kv": "int8", "weights": "int8", "master": "fp31", "moment": "bf16"}, "training")
    found = {each.mark.file: each.message for each in caught.value.problems}
    assert "kv is of inference" in found["precision.kv"]
    assert "small steps" in found["precision.weights"]
    assert "did you mean 'fp32'" in found["precision.master"]
    assert "did you mean 'moments'" in found["precision.moment"]


@pytest.mark.parametrize(
    ("given", "use", "message"),
    [
        ("int8", "training", "int8 is a precision of inference; training has fp32, bf16, amp_bf16, mixed_bf16, fp8"),
        ({"base": "int4"}, "training", "int4 is a precision of inference"),
        ("fp9", "training", "unknown precision 'fp9', did you mean 'fp8'"),
        (
            {"master": "fp32"},
            "inference",
            "master is of training; inference has compute, weights, matmul, vocabulary, kv",
        ),
        ({"compute": "int8"}, "inference", "activations in int8 are not known here; matmul: int8"),
        ({"matmul": "fp32"}, "training", "matmuls in fp32 are wider than activations in bf16"),
    ],
)
def test_a_wrong_precision_is_told(given: Any, use: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        precision_of(given, use)


def test_a_precision_is_changed_by_its_parts() -> None:
    assert precision_of({"base": "fp8", "moments": "bf16"}, "training").moments == "bf16"
    assert precision_of({"weights": "int8"}) == Precision(weights="int8")
