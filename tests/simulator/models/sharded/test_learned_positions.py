"""Learned positions in inference: the whole table is there, rows of it are read."""

from __future__ import annotations

from typing import Any

import pytest

from analysis import memory_frame
from hw import SpecError
from simulator import Inference, Parallel, Result, inference_graph, simulate
from simulator.models import parameters
from tests.support.models import GPT, system_for

ROWS = 512
"""Positions that the model knows."""


def run(parallel: Parallel | None = None, **how: Any) -> Result:
    parallel = parallel or Parallel()
    return simulate(inference_graph(GPT, parallel, Inference(batch=2, **how)), system_for(parallel))


ASKED = [
    {"mode": "decode", "context": 100},
    {"mode": "decode", "context": 100, "steps": 3},
    {"mode": "prefill", "seq": 64},
    {"mode": "prefill", "seq": 64, "chunk": 32},
    {"mode": "prefill", "seq": 64, "context": 128},
    {"mode": "prefill", "seq": ROWS},
]


@pytest.mark.parametrize("asked", ASKED)
def test_the_weights_of_a_model_are_there_whatever_is_asked(asked: dict[str, Any]) -> None:
    """All parameters in bf16: 2 bytes each, those of positions that no token has included."""
    held = memory_frame(run(**asked))
    weights = held[(held["chip"] == 0) & (held["owner"] == "weights") & (held["begin"] == 0)]
    assert weights["bytes"].sum() == 2 * parameters(GPT).total


@pytest.mark.parametrize(("asked", "rows"), [(ASKED[0], 1), (ASKED[2], 64)])
def test_of_positions_the_rows_are_read_that_tokens_have(asked: dict[str, Any], rows: int) -> None:
    kernels = [each.kernel for each in run(**asked).plan.kernels]
    read = sum(access.nbytes for kernel in kernels for access in kernel.reads if access.tensor == "places")
    assert read == rows * GPT.d_model * 2


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": "decode", "context": ROWS},
        {"mode": "decode", "context": ROWS - 2, "steps": 3},
        {"mode": "prefill", "seq": 64, "context": ROWS - 32},
    ],
)
def test_tokens_beyond_the_table_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="gpt has learned positions for 512"):
        run(**asked)
    assert run(mode="decode", context=ROWS - 1).time_s > 0
