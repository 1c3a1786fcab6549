"""Slots of experts that hold no token: they take time and FLOPs, and are no work of the model.

Law: MFU times the time is what the model asks for over the peak, however uneven its experts are; so MFU falls as tokens a
second do. An expert cannot have more than all tokens, experts / top_k times the mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis import Summary
from hw import SpecError, System, load_chip
from simulator import (
    Inference,
    OpGraph,
    Parallel,
    Training,
    inference_graph,
    parse_graph,
    simulate,
    train_graph,
)
from simulator.models import Moe
from tests.support.models import SMALL, system_for

MODEL = replace(SMALL, layers=2, moe=Moe(experts=16, top_k=4, d_expert=64))


def told(graph: OpGraph, system: System) -> Summary:
    """The words of a run."""
    result = simulate(graph, system)
    return Summary(result.plan, lambda: result)


def number(words: Summary, word: str) -> float:
    value = words[word]
    assert isinstance(value, float)
    return value


def ideal(graph: OpGraph, parallel: Parallel, word: str = "mfu") -> float:
    """Seconds that what a word counts takes at the peak of the chips."""
    words = told(graph, system_for(parallel))
    return number(words, word) * number(words, "time")


@pytest.mark.parametrize("how", [{}, {"engine": "megatron"}, {"one_hot": True}, {"recompute": "full"}])
@pytest.mark.parametrize("ways", [{}, {"ep": 4}])
@pytest.mark.parametrize("word", ["mfu", "hfu"])
def test_training_counts_tokens(how: dict[str, Any], ways: dict[str, int], word: str) -> None:
    """Masks have FLOPs of their own, as many as there are slots, that are none of the model's (their law is beside them)."""

    def counted(imbalance: float) -> float:
        parallel = Parallel(**ways, imbalance=imbalance)  # type: ignore[arg-type]
        return ideal(train_graph(MODEL, parallel, Training(batch=8, seq=128, **how)), parallel, word)

    masks = 0.0
    if how.get("one_hot") and word == "hfu":
        einsums, sequences = 5, 8 / (4 if ways else 1)
        masks = MODEL.layers * einsums * sequences * 2 * 128 * 4 * 128 * MODEL.d_model / 9.89e14
    for imbalance in (1.5, 2, 4):
        assert counted(imbalance) == pytest.approx(counted(1) + masks * (imbalance - 1), rel=1e-6)


@pytest.mark.parametrize("ways", [{}, {"ep": 4}])
def test_prompts_count_tokens(ways: dict[str, int]) -> None:
    def counted(imbalance: float) -> float:
        parallel = Parallel(**ways, imbalance=imbalance)  # type: ignore[arg-type]
        return ideal(inference_graph(MODEL, parallel, Inference(mode="prefill", batch=8, seq=128)), parallel)

    for imbalance in (1.5, 2, 4):
        assert counted(imbalance) == pytest.approx(counted(1), rel=1e-6)


def test_a_few_tokens_do_not_fill_the_slots_of_many_chips() -> None:
    """Eight tokens on four chips ask sixteen experts for two rows each, and every chip has a slot for each: four. 64 tokens
    fill what there is."""
    parallel = Parallel(ep=4)
    few, many = (
        ideal(inference_graph(MODEL, parallel, Inference(mode="decode", batch=batch, context=16)), parallel)
        for batch in (8, 64)
    )
    assert 8 * few == pytest.approx(many, rel=1e-6)


def test_no_expert_has_more_than_all_tokens() -> None:
    refused = "parallel.imbalance:.*imbalance is 4.5; an expert with all tokens has 4 times the mean"
    parallel = Parallel(imbalance=4.5)
    with pytest.raises(SpecError, match=refused):
        train_graph(MODEL, parallel, Training(batch=8, seq=128))
    with pytest.raises(SpecError, match=refused):
        inference_graph(MODEL, parallel, Inference(mode="decode", batch=8, context=128))


def test_rows_that_hold_nothing_take_time() -> None:
    dims = {"E": 2, "C": 4096, "D": 4096}
    line = "y:bf16[E,C,D] = matmul(x:bf16[E,C,D], w:bf16[E,D,D], ragged=C{})"
    chip = System(load_chip("h100_sxm"))
    whole, filled = (told(parse_graph([line.format(more)], dims), chip) for more in ("", ", filled=40 %"))
    assert filled["time"] == whole["time"]
    assert filled["flops"] == whole["flops"]
    assert [number(filled, word) for word in ("mfu", "hfu")] == pytest.approx(
        [0.4 * number(whole, "mfu")] * 2, rel=1e-9
    )
