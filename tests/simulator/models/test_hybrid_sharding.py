"""Hybrid sharding: ZeRO inside groups of replicas, copies across.

Laws: however replicas are grouped, all chips do the same matmuls, and a group of all replicas is plain ZeRO; gradients are
scattered inside a group and a share of them added up over the groups, once a step; what is stored falls with the group.
Source: Zhao et al. 2023 (FSDP, hybrid sharding).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.runs import holdings
from hw import SpecError
from simulator import PRECISIONS, Parallel, Result, Training, train_graph
from simulator.models import parameters
from tests.support.models import SMALL
from tests.support.training_steps import SEQ, alone, matrix_flops, step

COUNT = parameters(SMALL).total


def gathered_bytes(result: Result) -> dict[tuple[str, str], float]:
    """Bytes of whole arrays by kind of collective and axes."""
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    for planned in result.plan.kernels:
        communication = planned.kernel.communication
        if communication is not None:
            found[communication.kind, communication.axes] += communication.nbytes
    return dict(found)


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        Parallel,
        dp=st.just(4),
        shard=st.sampled_from([1, 2, 4]),
        tp=st.sampled_from([1, 2]),
        cp=st.sampled_from([1, 2]),
        zero=st.integers(1, 3),
        overlap_gradients=st.booleans(),
    ),
    st.integers(1, 3),
    st.sampled_from(["bf16", "mixed_bf16"]),
)
def test_every_grouping_does_the_same_matmuls(parallel: Parallel, micro: int, precision: str) -> None:
    result = step(parallel, micro, precision=PRECISIONS[precision])
    assert result.plan.inserted == ()
    assert matrix_flops(result) == pytest.approx(alone(micro) * parallel.replicas, rel=1e-9)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_a_group_of_all_replicas_is_plain_zero(zero: int) -> None:
    training = Training(batch=8, seq=SEQ)
    grouped = train_graph(SMALL, Parallel(dp=4, zero=zero, shard=4), training)
    assert grouped == train_graph(SMALL, Parallel(dp=4, zero=zero), training)


@pytest.mark.parametrize("micro", [1, 3])
def test_bytes_inside_groups_and_across(micro: int) -> None:
    """Inside, weights of blocks are gathered twice a microbatch and gradients scattered; across, a share is added up."""
    found = gathered_bytes(step(Parallel(dp=8, shard=4, zero=3), micro, precision=PRECISIONS["bf16"]))
    ends = 2 * 1024 * SMALL.d_model + SMALL.d_model
    assert found["all_gather", "D"] == pytest.approx(2 * (2 * micro * (COUNT - ends) + ends), rel=1e-3)
    assert found["reduce_scatter", "D"] == pytest.approx(2 * micro * COUNT, rel=1e-3)
    assert found["all_reduce", "R"] == pytest.approx(2 * COUNT / 4, rel=1e-3)
    assert set(found) == {("all_gather", "D"), ("reduce_scatter", "D"), ("all_reduce", "R")}


def stored(shard: int, zero: int) -> float:
    """Bytes that are there for the whole step."""
    result = step(Parallel(dp=8, shard=shard, zero=zero), precision=PRECISIONS["bf16"])
    whole = [each for each in holdings(result) if each.begin_s == 0.0 and each.end_s == result.time_s]
    return sum(each.nbytes for each in whole if each.tensor.startswith(("stored", "m", "v")) and each.chip == 0)


@pytest.mark.parametrize("shard", [2, 4, 8])
def test_what_is_stored_falls_with_the_group(shard: int) -> None:
    assert stored(shard, 3) == pytest.approx(10 * COUNT / shard, rel=0.01)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dp": 8, "shard": 3, "zero": 3}, "8 replicas are not grouped by 3"),
        ({"dp": 8, "shard": 0, "zero": 3}, "8 replicas are not grouped by 0"),
        ({"dp": 8, "shard": 4}, "nothing is shared out among 4 replicas: shard goes with zero"),
    ],
)
def test_a_wrong_group_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Parallel(**given)
