"""Steps of eager PyTorch: the same matmuls, more kept.

Under autocast every operand of a matmul is cast, biases too, and their gradients are cast back. An encoder with one matmul
for queries, keys and values has PyTorch's MultiheadAttention, which copies the three and what attention made.
Laws: without fused kernels a gated unit keeps one tensor of its width more a layer and rotated attention one of the
model's (which a compiler keeps, too);
cross-entropy has 14 B a logit at once (bf16 logits, log-probabilities, their gradient and that of the logits in
fp32), and of a vocabulary that chips share 18 B on each chip (PyTorch's `loss_parallel`: log-probabilities, zeros but for
the labels, their sum with exponentials, and the product, in fp32); a model without a vocabulary has a step too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from analysis import memory_frame, memory_owners
from hw import SpecError
from simulator import Parallel, Result, precision_of
from simulator.models import Embedding, Head, Position, parameters
from tests.support.models import SMALL
from tests.support.training_steps import SEQ, alone, matrix_flops, step


def alive(result: Result, owner: str, at: float) -> float:
    """What an owner holds at an instant."""
    frame = memory_frame(result)
    here = frame[(frame["owner"] == owner) & (frame["begin"] <= at) & (frame["end"] > at)]
    return float(here["bytes"].sum())


def loss_begins(result: Result) -> float:
    frame = memory_frame(result)
    return float(frame.loc[frame["tensor"] == "logits", "begin"].iloc[0])


def test_eager_steps_do_the_same_matmuls() -> None:
    assert matrix_flops(step(Parallel(), eager=True)) == pytest.approx(alone(1), rel=1e-12)
    assert matrix_flops(step(Parallel(), 3, eager=True)) == pytest.approx(alone(3), rel=1e-12)


def test_what_eager_kernels_keep_for_the_backward_pass() -> None:
    plain, eager = step(Parallel()), step(Parallel(), eager=True)
    kept = [alive(each, "activations", loss_begins(each)) for each in (plain, eager)]
    more = 2 * SEQ * ((SMALL.ffn.d_ff or 0) + SMALL.d_model)
    assert kept[1] - kept[0] == SMALL.layers * more


@pytest.mark.long
def test_cross_entropy_has_14_bytes_a_logit() -> None:
    wide = replace(SMALL, embedding=Embedding(vocab=65536))
    owners = memory_owners(memory_frame(step(Parallel(), model=wide, eager=True)))
    held = dict(zip(owners["owner"].astype(str), owners["bytes"], strict=True))
    assert held["logits and loss"] == pytest.approx(14 * SEQ * 65536, rel=1e-4)


def test_cross_entropy_of_a_sharded_vocabulary_has_18_bytes_a_logit() -> None:
    wide = replace(SMALL, embedding=Embedding(vocab=65536))
    result = step(Parallel(tp=2), model=wide, eager=True)
    owners = memory_owners(memory_frame(result))
    held = dict(zip(owners["owner"].astype(str), owners["bytes"], strict=True))
    assert held["logits and loss"] == pytest.approx(18 * SEQ * 65536 // 2, rel=1e-3)
    whole, plain = step(Parallel(), model=wide), step(Parallel(tp=2), model=wide)
    assert matrix_flops(result) == matrix_flops(plain) == pytest.approx(matrix_flops(whole), rel=1e-12)


AUTOCAST = replace(precision_of("fp32", "training"), compute="bf16")
"""Weights in fp32, matmuls in bf16."""


def kinds(result: Result) -> Counter[str]:
    return Counter(planned.kernel.kind for planned in result.plan.kernels)


def test_biases_are_cast_under_autocast_and_their_gradients_back() -> None:
    """A block has biases behind queries, keys, values, attention, and both matmuls of its network."""
    biased = replace(
        SMALL,
        attention=replace(SMALL.attention, qkv_bias=True, out_bias=True),
        ffn=replace(SMALL.ffn, gated=False, bias=True),
    )
    bare = replace(SMALL, ffn=replace(SMALL.ffn, gated=False))
    casts = [kinds(step(Parallel(), model=model, eager=True, precision=AUTOCAST))["cast"] for model in (bare, biased)]
    assert casts[1] - casts[0] == SMALL.layers * 6 * 2
    for model in (bare, biased):
        assert kinds(step(Parallel(), model=model, eager=True))["cast"] == kinds(step(Parallel(), eager=True))["cast"]


def test_an_encoder_with_one_matmul_has_multihead_attention() -> None:
    """It copies queries, keys and values one behind the other, and attention's output back to rows; gradients alike."""
    plain = replace(SMALL, position=Position(kind="learned", longest=SEQ))
    found = {}
    for causal in (True, False):
        for fused in (True, False):
            attention = replace(plain.attention, causal=causal, fused=fused, kv_heads=plain.attention.heads)
            found[causal, fused] = kinds(step(Parallel(), model=replace(plain, attention=attention), eager=True))
    copies = {key: each["copy"] for key, each in found.items()}
    assert copies[False, True] - copies[True, True] == SMALL.layers * 4
    assert copies[True, True] == copies[True, False] == copies[False, False]


def test_a_model_without_a_vocabulary_has_a_step() -> None:
    blocks = replace(SMALL, embedding=None, head=Head(kind="none"))
    result = step(Parallel(), model=blocks, eager=True)
    table = 2 * 2 * 1024 * SMALL.d_model
    vocabulary = 3 * 2 * SEQ * SMALL.d_model * 1024
    assert matrix_flops(result) == pytest.approx(alone(1) - vocabulary, rel=1e-12)
    frame = memory_frame(result)
    weights = frame.loc[frame["owner"] == "weights", "bytes"].sum()
    assert weights == pytest.approx(2 * parameters(SMALL).total - table)


def test_behind_a_compiled_model_the_loss_alone_is_eager() -> None:
    plain, loss, eager = (step(Parallel(), eager=how) for how in (False, "loss", True))
    kept = [alive(each, "activations", loss_begins(each)) for each in (plain, loss, eager)]
    assert kept[1] - kept[0] == SMALL.layers * 2 * SEQ * SMALL.d_model
    assert kept[2] > kept[1]
    logits = [memory_owners(memory_frame(each)) for each in (loss, eager)]
    told = [frame.loc[frame["owner"] == "logits and loss", "bytes"].sum() for frame in logits]
    assert told[0] == told[1]
    with pytest.raises(SpecError, match="'lost' will not do: eager is true, false or loss"):
        step(Parallel(), eager="lost")


@pytest.mark.parametrize(("engine", "rotates", "more"), [("plain", True, 1), ("plain", False, 0), ("pytorch", True, 0)])
def test_a_compiler_keeps_what_attention_makes_by_heads_and_by_tokens(engine: str, rotates: bool, more: int) -> None:
    model = SMALL if rotates else replace(SMALL, position=replace(SMALL.position, kind="none"))
    plain, compiled = (step(Parallel(), model=model, eager=how, engine=engine) for how in (False, "loss"))
    kept = [alive(each, "activations", loss_begins(each)) for each in (plain, compiled)]
    assert kept[1] - kept[0] == more * SMALL.layers * 2 * SEQ * SMALL.d_model
