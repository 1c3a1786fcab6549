"""A table of tokens that is the head's matrix, too, where a pipeline has the two on different stages.

Laws: both stages send their sum of its gradients, V = its bytes on a chip each way, whatever the schedule; the share of it
that a chip steps with ZeRO; both ways begin when both have their sums, and what comes takes no room of its own, as in an
all-reduce in place; nothing is exchanged where the matrix is not tied, or both ends stand on one stage; each copy is
stepped behind the exchange; the same matmuls.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame, timeline_frame
from simulator import PRECISIONS, Parallel, Result
from simulator.models import Embedding
from tests.support.models import SMALL
from tests.support.training_steps import alone, matrix_flops, step

VOCAB = 1024
TIED = replace(SMALL, embedding=Embedding(vocab=VOCAB, tied=True))


def exchanged(result: Result) -> list[tuple[int, int, float]]:
    """What is sent of tied weights: from, to, bytes."""
    found = [each.kernel for each in result.plan.kernels if each.kernel.communication is not None]
    sends = [each.communication for each in found if each.kind == "send" and each.name.startswith("tied")]
    return sorted((each.source, each.target, each.nbytes) for each in sends if each)


LAYOUTS = st.builds(
    Parallel,
    pp=st.sampled_from([2, 4]),
    dp=st.sampled_from([1, 2]),
    tp=st.sampled_from([1, 2]),
    zero=st.integers(0, 2),
    schedule=st.sampled_from(["gpipe", "1f1b", "zero_bubble", "paired"]),
)


@settings(max_examples=12, deadline=None)
@given(LAYOUTS, st.sampled_from(["bf16", "mixed_bf16"]), st.booleans())
def test_each_stage_sends_the_other_its_sum(parallel: Parallel, precision: str, clip: bool) -> None:
    result = step(parallel, 4, TIED, precision=PRECISIONS[precision], clip=clip)
    last = parallel.pp - 1
    width = 2 if precision == "bf16" else 4
    shared = parallel.dp if parallel.zero else 1
    nbytes = VOCAB * SMALL.d_model * width / parallel.tp / shared
    assert exchanged(result) == [(0, last, nbytes), (last, 0, nbytes)]
    assert result.plan.inserted == ()
    assert matrix_flops(result) == pytest.approx(parallel.pp * alone(4) * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


def test_interleaved_stages_exchange_too() -> None:
    result = step(Parallel(pp=2, interleave=2, schedule="interleaved"), 4, TIED)
    nbytes = VOCAB * SMALL.d_model * 4
    assert exchanged(result) == [(0, 1, nbytes), (1, 0, nbytes)]


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zero_bubble"])
def test_the_exchange_begins_when_both_have_their_sums_and_takes_no_room(schedule: Any) -> None:
    result = step(Parallel(pp=2, schedule=schedule), 4, TIED)
    frame = timeline_frame(result)
    op = frame["op"].astype(str)
    came = frame[op.str.match(r"tied\w+came")]
    assert len(came) == 2
    assert came["begin"].min() >= frame[op.str.match("dtable|dwvocab")]["end"].max()
    assert not any("came" in str(each) for each in memory_frame(result)["tensor"])


@pytest.mark.parametrize(("model", "pp"), [(SMALL, 2), (TIED, 1)])
def test_nothing_is_exchanged_where_nothing_is_apart(model: Any, pp: int) -> None:
    assert exchanged(step(Parallel(pp=pp), 4, model)) == []


def test_copies_are_stepped_behind_the_exchange() -> None:
    result = step(Parallel(pp=2), 4, TIED)
    frame = [(each.kernel.name, each) for each in result.plan.kernels]
    order = [name for name, _ in frame]
    for buffer, weight in (("nwIn", "tiedtable"), ("nwOut", "tiedwvocab")):
        stepped = next(at for at, name in enumerate(order) if name.startswith(buffer))
        added = next(at for at, name in enumerate(order) if name.startswith(f"{weight}sum"))
        assert added < stepped
        assert any(order[added] in name for name in frame[stepped][1].kernel.schedule.after)
