"""Gradients that are thrown away once they are reduced hold the backward pass back: those of two groups are there at once.

Law: whatever the layout, and however slow the network, a chip never has more than the whole gradients of two parts of a
model, beside its share of the sums and of what has been reduced. Source: see `simulator.models.steps.storage.held_back`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.frames import memory_frame
from hw import Mesh, System, parse_topology
from simulator import PRECISIONS, Parallel, Result, Training, simulate, train_graph
from simulator.models import Embedding, Moe, Transformer, parameters
from tests.support.models import SMALL, system_for
from tests.support.strategies import chip_with

DEEP = replace(SMALL, layers=8, embedding=Embedding(vocab=256))
SPARSE = replace(DEEP, name="sparse", moe=Moe(experts=4, top_k=2, d_expert=128))
SLOW = chip_with("h100_sxm", {"links.nvlink.bandwidth": "0.1 GB/s"})
"""Chips that reduce the gradients of a layer far more slowly than they compute them."""


def step(parallel: Parallel, microbatches: int, model: Transformer = DEEP, **how: Any) -> Result:
    """A step on chips whose network is slow."""
    training = Training(batch=parallel.replicas * parallel.microbatch * microbatches, seq=64, **how)
    topology = parse_topology(f"switch({parallel.chips}) over nvlink", SLOW.links)
    return simulate(train_graph(model, parallel, training), System(SLOW, topology, Mesh(parallel.mesh)))


def gradients_at_once(result: Result) -> float:
    """The most bytes of gradients that a chip has at once, beside what it has from the begin."""
    most = 0.0
    frame = memory_frame(result)
    for _, mine in frame[frame["owner"] == "gradients"].groupby("chip"):
        mine = mine[mine["begin"] > 0]
        moves = sorted(
            [*zip(mine["begin"], mine["bytes"], strict=True), *zip(mine["end"], -mine["bytes"], strict=True)]
        )
        level = 0.0
        for _, change in moves:
            level += change
            most = max(most, level)
    return most


def group_bytes(model: Transformer, parallel: Parallel) -> float:
    """Bytes of bf16 gradients of a layer on a chip, or of the vocabulary's part if that is larger."""
    ends = 2 * model.embedding.vocab * model.d_model if model.embedding else 0
    layer = (parameters(model).total - ends) / model.layers
    return 2 * max(layer, ends / 2) / parallel.tp


SIZES = st.fixed_dictionaries(
    {
        "dp": st.sampled_from((2, 4)),
        "tp": st.sampled_from((1, 2)),
        "pp": st.sampled_from((1, 2, 4)),
        "zero": st.sampled_from((2, 3)),
        "schedule": st.sampled_from(("gpipe", "1f1b", "zero_bubble", "paired")),
        "overlap_gradients": st.booleans(),
    }
)


@given(SIZES, st.integers(1, 4), st.sampled_from(("none", "full", 3)), st.sampled_from((DEEP, SPARSE)))
@settings(max_examples=5, deadline=None)
def test_no_more_than_two_groups_are_there_at_once(
    sizes: Mapping[str, Any], microbatches: int, recompute: str | int, model: Transformer
) -> None:
    check(Parallel(**sizes), microbatches, model, recompute)


@pytest.mark.parametrize(
    ("parallel", "model"),
    [
        (Parallel(dp=4, zero=2), DEEP),
        (Parallel(dp=2, pp=2, interleave=4, schedule="interleaved", zero=2), DEEP),
        (Parallel(dp=4, zero=2), SPARSE),
        (Parallel(dp=4, zero=2, shard=2), DEEP),
    ],
    ids=["whole", "a layer a chunk", "experts", "hybrid"],
)
def test_nor_in_other_layouts(parallel: Parallel, model: Transformer) -> None:
    check(parallel, 4, model, "none")


def check(parallel: Parallel, microbatches: int, model: Transformer, recompute: str | int) -> None:
    result = step(parallel, microbatches, model, recompute=recompute)
    # beside two groups, shares that are reduced and not yet added up
    shares = (parallel.shard or parallel.dp) * parallel.cp
    group = group_bytes(model, parallel)
    assert gradients_at_once(result) <= (2 + 3 / shares) * group * (1 + 1e-3)


def test_zero_1_keeps_them_all() -> None:
    held = gradients_at_once(step(Parallel(dp=4, zero=1), 1, precision=PRECISIONS["bf16"]))
    assert held >= 2 * parameters(DEEP).total


def test_who_waits_for_what() -> None:
    """Blocks by their rounds, what stands before and behind them by name, and each microbatch for the one before."""
    graph = train_graph(DEEP, Parallel(dp=2, zero=2), Training(batch=6, seq=64))
    waits = {op.name: op.option("after") for op in graph.every_op() if "rL" in (op.option("after") or "")}
    assert waits == {
        # the first kernel that makes gradients of a layer waits for the layer two before, its last one for the head
        "dwd": "[rL@round+2, rIn@round-1]",
        "dwdZ": "[rLZ@round+2, rIn]",
        # the embedding waits for the last layer but one, the head for the last layer of the microbatch before
        "dtable": "[rL@1]",
        "dtableZ": "[rLZ@1]",
        "dwvocab": "[rL@round-1.0]",
        "dwvocabZ": "[rL]",
    }


@pytest.mark.parametrize("engine", ["plain", "megatron"])
def test_what_is_one_kernel_is_one_where_passes_wait_for_each_other(engine: Any) -> None:
    """A pipeline whose passes wait for each other is written out, and fuses what one does that is stamped."""
    model = replace(SMALL, ffn=replace(SMALL.ffn, bias=True, gated=False, activation="gelu"))

    def fused(zero: int) -> list[tuple[str, ...]]:
        training = Training(batch=8, seq=64, engine=engine)
        parallel = Parallel(pp=2, dp=2, zero=zero)
        kernels = simulate(train_graph(model, parallel, training), system_for(parallel)).plan.kernels.kernels
        return sorted(kernel.ops for kernel in kernels if len(kernel.ops) > 1)

    assert fused(2) == fused(0) != []
