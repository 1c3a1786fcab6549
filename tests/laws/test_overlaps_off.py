"""Overlaps that are switched off: the time moves towards that of everything one after the other.

Laws: a step whose gradients are not reduced beside the backward pass (`overlap_gradients: false`), or whose weights are
gathered when they are needed (`prefetch: 0`), is no faster than one that overlaps, slower wherever anything is so sent, and
at most the sum. No kernel of a chip runs while its gradients are reduced, whatever is sharded, in whichever format, with or
without sums of microbatches. Estimates say the same.
Assumes: in pipelines what is reduced shares wires with what stages send, so that a hundredth may be won by sending it later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis import timeline_frame
from hw import Mesh, System, parse_topology
from simulator import PRECISIONS, Estimator, Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import Embedding, Moe, Transformer
from tests.support.models import SMALL
from tests.support.strategies import chip_with

DEEP = replace(SMALL, layers=4, embedding=Embedding(vocab=256))
SPARSE = replace(DEEP, name="sparse", moe=Moe(experts=4, top_k=2, d_expert=128))
CHIP = chip_with("h100_sxm", {"links.nvlink.bandwidth": "20 GB/s"})
"""A chip that reduces the gradients of a small layer about as fast as it makes them."""

OPTIONS = RunOptions(overlap="full")
REDUCED = r"[rc](L|In|Out)"
"""How what reduces gradients is called."""


def system_of(parallel: Parallel) -> System:
    return System(CHIP, parse_topology(f"switch({parallel.chips}) over nvlink", CHIP.links), Mesh(parallel.mesh))


def asked_for(parallel: Parallel, micro: int, **how: Any) -> Training:
    return Training(batch=parallel.replicas * parallel.microbatch * micro, seq=256, **how)


def ran(parallel: Parallel, micro: int, model: Transformer, **how: Any) -> Result:
    return simulate(train_graph(model, parallel, asked_for(parallel, micro, **how)), system_of(parallel), OPTIONS)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Transformer, Parallel, int]:
    """A model, a parallelism that it can have and a number of microbatches."""
    sparse, few = draw(st.booleans()), st.sampled_from([1, 2])
    zero, pp = draw(st.integers(0, 3)), draw(st.sampled_from([1, 1, 2]))
    dp, micro = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
    schedule: Any = draw(st.sampled_from(["gpipe", "1f1b", "zero_bubble", "interleaved"])) if pp > 1 else "1f1b"
    chunks = 2 if schedule == "interleaved" else 1
    parallel = Parallel(
        dp=dp,
        tp=1 if sparse else draw(few),
        pp=pp,
        cp=draw(few),
        ep=draw(few) if sparse else 1,
        zero=zero,
        shard=draw(st.sampled_from([None, 1, 2])) if zero and dp > 1 else None,
        schedule=schedule,
        interleave=chunks,
    )
    return SPARSE if sparse else DEEP, parallel, 2 if chunks > 1 else micro


HOW = st.fixed_dictionaries(
    {
        "precision": st.sampled_from(["bf16", "mixed_bf16"]).map(PRECISIONS.__getitem__),
        "recompute": st.sampled_from(["none", "selective", "full"]),
        "engine": st.sampled_from(["plain", "megatron", "pytorch", "fsdp1"]),
        "clip": st.booleans(),
    }
)
BF16: dict[str, Any] = {"precision": PRECISIONS["bf16"]}


@example((DEEP, Parallel(dp=4, zero=2), 1), BF16)
@example((DEEP, Parallel(dp=4, zero=3), 1), BF16)
@example((DEEP, Parallel(dp=4, zero=2, shard=2), 2), BF16)
@example((DEEP, Parallel(dp=2, tp=2), 1), BF16)
@settings(max_examples=8, deadline=None)
@given(layouts(), HOW)
def test_each_overlap_that_is_switched_off_moves_time_towards_the_sum(
    asked: tuple[Transformer, Parallel, int], how: dict[str, Any]
) -> None:
    model, parallel, micro = asked
    together = ran(parallel, micro, model, **how)
    more = 1e-9 if parallel.pp == 1 else 0.01
    replicas = parallel.dp * parallel.cp * parallel.ep
    gathered = (parallel.shard or parallel.dp) * parallel.cp * parallel.ep
    sent = {"overlap_gradients": replicas > 1, "prefetch": parallel.zero == 3 and gathered > 1}
    for name, is_sent in sent.items():
        off: Any = {name: 0}
        apart = replace(parallel, **off)
        took = ran(apart, micro, model, **how)
        assert took.time_s >= together.time_s * (1 - more), name
        assert took.time_s <= together.upper_bound_s * (1 + 1e-9), name
        if is_sent and parallel.pp == 1:
            assert took.time_s > together.time_s * (1 + 1e-6), name
        first, then = estimates(parallel, apart, micro, model, **how)
        assert then >= first * (1 - more), name
        assert then <= took.time_s * (1 + 1e-9), name


def estimates(one: Parallel, other: Parallel, micro: int, model: Transformer, **how: Any) -> tuple[float, float]:
    """The earliest ends of two layouts that are alike but for what overlaps."""
    training = asked_for(one, micro, **how)
    first, second = Estimator(model, system_of(one), OPTIONS).estimates([(one, training), (other, training)])
    return first.earliest, second.earliest  # type: ignore[union-attr] # both can be built


@pytest.mark.parametrize("precision", ["bf16", "mixed_bf16"])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_estimates_are_the_runs_where_nothing_overlaps(zero: int, precision: str) -> None:
    parallel = Parallel(dp=4, zero=zero, overlap_gradients=False, prefetch=0)
    how = {"precision": PRECISIONS[precision]}
    took = ran(parallel, 1, DEEP, **how).time_s
    assert estimates(parallel, parallel, 1, DEEP, **how)[0] == pytest.approx(took, rel=0.03)


@example((DEEP, Parallel(dp=4, zero=2, shard=2), 1), BF16)
@example((SPARSE, Parallel(dp=2, ep=2), 1), BF16)
@settings(max_examples=6, deadline=None)
@given(layouts(), HOW)
def test_nothing_is_computed_while_gradients_are_reduced(
    asked: tuple[Transformer, Parallel, int], how: dict[str, Any]
) -> None:
    model, parallel, micro = asked
    result = ran(replace(parallel, overlap_gradients=False), micro, model, **how)
    frame = timeline_frame(result)
    sends = frame["op"].astype(str).str.fullmatch(REDUCED + r"(@.*|Z|\d.*)*")
    for _, mine in frame.groupby("chip"):
        reduced = mine[sends.loc[mine.index]]
        computed = mine[mine["queue"] == "compute"]
        for begin, end in zip(reduced["begin"], reduced["end"], strict=True):
            beside = computed[(computed["begin"] < end - 1e-12) & (computed["end"] > begin + 1e-12)]
            assert beside.empty, (list(beside["op"]), begin, end)
