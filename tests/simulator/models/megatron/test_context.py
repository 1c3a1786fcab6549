"""Gradients of steps whose sequences are shared out: each weight's is added up over the chips once.

Laws: nobody reduces what the step did not ask for, whichever engine, way of context and model, also where chips have a
gradient alike (of a pooler: every chip has the first token) or only some of a table's rows; and what is reduced over the
context axis in a step is the parameters, once, however many microbatches there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from simulator import Parallel, RunOptions, Training, simulate, train_graph
from simulator.models import Transformer, parameters
from tests.support.models import ENCODER, GPT, SMALL, VISION, system_for

CUT = [(ENCODER, 2, 128), (ENCODER, 2, 64), (GPT, 4, 512), (SMALL, 2, 128), (VISION, 5, 0)]
"""Models, chips of the context axis, and tokens of a sequence."""


@pytest.mark.parametrize("engine", ["plain", "megatron", "pytorch"])
@pytest.mark.parametrize(("model", "cp", "seq"), CUT)
def test_gradients_of_all_weights_are_added_up_over_the_context_axis_once(
    model: Transformer, cp: int, seq: int, engine: Any
) -> None:
    parallel = Parallel(cp=cp)
    training = Training(batch=3, seq=seq, engine=engine)
    result = simulate(train_graph(model, parallel, training), system_for(parallel), RunOptions())
    assert result.plan.inserted == ()
    kernels = [each.kernel for each in result.plan.kernels if "all_reduce" in each.kernel.kind]
    reduced = sum(each.nbytes for kernel in kernels for each in kernel.reads)
    assert reduced / 4 == pytest.approx(parameters(model).total, abs=cp * (model.layers + 2))


@pytest.mark.parametrize("context", ["gather", "ring", "all_to_all"])
@pytest.mark.parametrize("layout", [{"tp": 2}, {"tp": 2, "sequence": False}, {"pp": 2}, {"dp": 2, "zero": 1}])
def test_nobody_reduces_what_the_step_did_not_ask_for(layout: dict[str, Any], context: Any) -> None:
    parallel = Parallel(cp=2, context=context, **layout)
    training = Training(batch=2 * parallel.replicas, seq=64, engine="megatron")
    for model in (ENCODER, replace(GPT, layers=2)):
        result = simulate(train_graph(model, parallel, training), system_for(parallel), RunOptions())
        assert result.plan.inserted == ()
