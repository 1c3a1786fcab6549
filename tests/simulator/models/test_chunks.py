"""Blocks that attend in chunks (Llama 4): up to one chunk nothing is hidden, so that all is as without; more is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hw import SpecError
from simulator import Inference, Parallel, Training, inference_graph, print_items, train_graph
from tests.support.models import SMALL

CHUNKS = replace(SMALL, attention=replace(SMALL.attention, chunk=256))


@pytest.mark.parametrize("how", [{"mode": "prefill", "seq": 256}, {"mode": "decode", "context": 255}])
def test_a_context_of_one_chunk_is_as_without(how: dict[str, Any]) -> None:
    asked = Inference(**{"batch": 2, **how})
    one, other = (inference_graph(model, Parallel(), asked) for model in (CHUNKS, SMALL))
    assert print_items(one.items) == print_items(other.items)


def test_a_sequence_of_one_chunk_is_as_without() -> None:
    one, other = (train_graph(model, Parallel(), Training(batch=2, seq=256)) for model in (CHUNKS, SMALL))
    assert print_items(one.items) == print_items(other.items)


def test_a_longer_sequence_is_refused() -> None:
    with pytest.raises(SpecError, match="seq:1:1: 257 tokens; some blocks of small attend in chunks of 256"):
        train_graph(CHUNKS, Parallel(), Training(batch=2, seq=257))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"mode": "prefill", "seq": 257}, "seq:1:1: 257 tokens"),
        ({"mode": "decode", "context": 256}, "context:1:1: 257 tokens"),
        ({"mode": "prefill", "seq": 512, "chunk": 128}, "context:1:1: 384 tokens"),
    ],
)
def test_so_is_a_longer_context(how: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        inference_graph(CHUNKS, Parallel(), Inference(**{"batch": 2, **how}))
