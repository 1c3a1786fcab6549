"""Whose memory is held: laws of training steps.

Laws: owners share out what a chip holds, all of it; what is stored follows from parameters, precision and sharding alone;
recomputing takes activations only; what microbatches and stages are copies of has the same owners.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Summary, memory_frame, memory_owners
from analysis.plots import plot_memory
from analysis.report.story import held_by
from simulator import OWNERS, PRECISIONS, Op, OpGraph, Owner, Parallel, Result, Tensor
from simulator.models import parameters
from tests.support.models import SMALL
from tests.support.training_steps import SEQ, peak, step

LAYOUTS = st.builds(
    Parallel,
    dp=st.sampled_from([1, 2]),
    tp=st.sampled_from([1, 2]),
    pp=st.sampled_from([1, 2, 4]),
    zero=st.integers(0, 3),
)


def held(result: Result, chip: int = 0) -> dict[str, float]:
    """Bytes by owner when a chip is fullest."""
    frame = memory_owners(memory_frame(result))
    here = frame[frame["chip"] == chip]
    return dict(zip(here["owner"].astype(str), here["bytes"].tolist(), strict=True))


def test_owners_are_all_listed() -> None:
    assert get_args(Owner) == OWNERS


@settings(max_examples=15, deadline=None)
@given(LAYOUTS, st.integers(1, 3), st.sampled_from(["none", "selective", "full"]))
def test_owners_share_out_the_peak_of_every_chip(parallel: Parallel, micro: int, recompute: str) -> None:
    result = step(parallel, micro, recompute=recompute)
    frame = memory_owners(memory_frame(result))
    by_chip = frame.groupby("chip")["bytes"].sum()
    for chip, nbytes in Summary(result.plan, lambda: result).memory_peaks.items():
        assert by_chip[chip] == pytest.approx(nbytes, rel=1e-12)
    assert by_chip.max() == pytest.approx(peak(result), rel=1e-12)
    graph = result.plan.graph
    named = {tensor.base for op in graph.every_op() for tensor in (*op.inputs, op.output)}
    unsaid = {name for name in named if name not in graph.roles}
    made = {op.output.base: op for op in graph.every_op()}
    # only transfers between stages are left to the rule for graphs that say nothing
    assert all(name in made and made[name].kind in ("send", "recv", "view") for name in unsaid), unsaid


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_what_is_stored_follows_from_the_precision(zero: int, micro: int) -> None:
    count, dp = parameters(SMALL).total, 4
    result = step(Parallel(dp=dp, zero=zero), micro, precision=PRECISIONS["mixed_bf16"])
    frame = memory_frame(result)
    kept = frame[(frame["chip"] == 0) & (frame["end"] == result.time_s) & (frame["begin"] == 0)]
    by_owner = kept.groupby("owner", observed=True)["bytes"].sum()
    share = count / dp if zero else count
    padded = 4 * dp * (SMALL.layers + 2)
    assert by_owner["weights"] == pytest.approx(2 * (share if zero == 3 else count), abs=padded)
    assert by_owner["optimizer"] == pytest.approx(8 * share, abs=padded)
    assert by_owner["master weights"] == pytest.approx(4 * share, abs=padded)
    assert by_owner["gradients"] == pytest.approx(4 * (count / dp if zero >= 2 else count), abs=padded)
    tokens = 2 * 4 * SEQ * micro  # numbers of tokens, and labels
    assert by_owner["inputs"] == tokens


def test_recomputing_takes_activations_alone() -> None:
    plain, remade = (held(step(Parallel(), recompute=how)) for how in ("none", "full"))
    for owner in ("weights", "optimizer", "inputs"):
        assert plain[owner] == remade[owner]
    streams = 2 * SEQ * SMALL.d_model
    assert remade["activations"] < plain["activations"]
    assert plain["activations"] > SMALL.layers * 10 * streams


def test_a_stage_holds_its_weights_alone() -> None:
    result = step(Parallel(pp=4), 4)
    # every block is alike, so stages differ by their ends alone
    first, middle, last = (held(result, chip)["weights"] for chip in (0, 1, 3))
    table = 2 * 1024 * SMALL.d_model
    assert first - middle == pytest.approx(table)
    assert last - middle == pytest.approx(table + 2 * SMALL.d_model)


def test_gathered_weights_are_communication_buffers() -> None:
    whole = 2 * parameters(SMALL).total
    assert 0 < held(step(Parallel(dp=4, zero=3)))["communication buffers"] < whole
    # until ZeRO-2 they are gathered into the weights that every chip keeps
    for zero in (0, 1, 2):
        assert "communication buffers" not in held(step(Parallel(dp=4, zero=zero)))


def test_a_graph_that_says_nothing_has_owners_by_rule() -> None:
    def tensor(name: str) -> Tensor:
        return Tensor(name, "bf16", ())

    ops = (
        Op(tensor("y"), "add", (tensor("x"), tensor("x"))),
        Op(tensor("z"), "all_reduce", (tensor("y"),), (("over", "X"),)),
    )
    graph = OpGraph({}, ops)
    assert graph.owners == {"x": "inputs", "y": "activations", "z": "communication buffers"}
    told: Any = {"x": "kv cache", "y": "temporaries"}
    assert replace(graph, roles=told).owners == {"x": "kv cache", "y": "temporaries", "z": "communication buffers"}


def test_the_report_and_the_plot_tell_owners() -> None:
    result = step(Parallel())
    told = held_by(result)
    shares = held(result)
    assert told.startswith(": ")
    assert [part.rsplit(" ", 2)[0] for part in told[2:].split(", ")] == sorted(shares, key=lambda each: -shares[each])
    drawn = {trace.name for trace in plot_memory(result).data}
    assert {"weights", "optimizer", "activations", "gradients"} <= drawn
