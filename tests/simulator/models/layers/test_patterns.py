"""Layers that repeat in a pattern are stored, gathered, reduced and stepped one by one, as layers that are all alike.

Law: a model is the same however it is written down. A window as long as the sequence is none, so that a model whose layers
take turns in having it is one of equal layers: time, memory and estimates are those of the model without windows.
Closed forms: with ZeRO-3 n layers are gathered n times forwards and n times backwards, each with its own weights, and
reduced n times, whatever the pattern; p + 1 of them are there at once in a pass, p being those fetched ahead.
Source: PyTorch, torch/distributed/fsdp (fully_shard of each layer); Rajbhandari et al. 2020 (ZeRO).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis.frames import memory_frame, memory_levels
from hw import System, load_chip
from simulator import Estimator, Inference, Parallel, Result, RunOptions, Training, bind, inference_graph, train_graph
from simulator.models import AttentionKind, Moe, Transformer, Work, forward_flops, parameters
from tests.support.models import SMALL, system_for
from tests.support.training_steps import SEQ, peak, step

PLAIN: tuple[AttentionKind, ...] = ("full",)


def model_of(kinds: tuple[AttentionKind, ...], layers: int, **changes: Any) -> Transformer:
    """Layers whose windows are as long as the sequence."""
    attention = replace(SMALL.attention, kinds=kinds, window=SEQ)
    return replace(SMALL, layers=layers, attention=attention, **changes)


def pattern_of(period: int) -> tuple[AttentionKind, ...]:
    """Kinds of attention that repeat after so many layers."""
    others: tuple[AttentionKind, ...] = ("sliding",)
    return PLAIN + others * (period - 1)


WAYS: tuple[Mapping[str, Any], ...] = (
    {},
    {"recompute": "full"},
    {"recompute": "whole"},
    {"recompute": "selective"},
    {"recompute": "surrounded"},
    {"recompute": 2},
    {"recompute": "alternate", "eager": True},
    {"clip": True},
    {"offload": ("activations",)},
    {"offload": ("optimizer", "activations"), "clip": True},
    {"engine": "pytorch", "recompute": "full"},
    {"engine": "fsdp1"},
    {"engine": "megatron", "recompute": "full", "clip": True},
)

LAYOUTS = st.fixed_dictionaries(
    {
        "dp": st.sampled_from((2, 4)),
        "tp": st.sampled_from((1, 2)),
        "zero": st.integers(0, 3),
        "shard": st.sampled_from((None, 2)),
        "prefetch": st.integers(0, 4),
        "overlap_gradients": st.booleans(),
    }
)


def same(one: Transformer, other: Transformer, parallel: Parallel, micro: int, how: Mapping[str, Any]) -> None:
    """Two models take the same time and memory, and are estimated alike."""
    first, second = (step(parallel, micro, model, **how) for model in (one, other))
    assert first.time_s == pytest.approx(second.time_s, rel=1e-9, abs=1e-12 * len(first.plan.program))
    assert peak(first) == pytest.approx(peak(second), rel=1e-12)
    assert len(first.plan.program) == len(second.plan.program)
    training = Training(batch=parallel.replicas * parallel.microbatch * micro, seq=SEQ, **how)
    options, system = RunOptions(overlap="full"), system_for(parallel)
    estimates = [Estimator(model, system, options).estimate(parallel, training) for model in (one, other)]
    times = [(each.lower_bound, each.earliest, each.expected, each.upper_bound) for each in estimates]
    assert times[0] == pytest.approx(times[1], rel=1e-9)
    memory = [(each.least_memory, each.peak_memory) for each in estimates]
    assert memory[0] == pytest.approx(memory[1], rel=1e-12)
    # of what goes to the host as late as it may a round in the middle stands for those that are not gone through
    near = 5e-3 if "activations" in how.get("offload", ()) else 1e-12
    assert estimates[0].late_memory == pytest.approx(estimates[1].late_memory, rel=near)


@given(LAYOUTS, st.sampled_from((2, 3)), st.sampled_from((2, 3)), st.sampled_from((1, 3)), st.sampled_from(WAYS))
@example({"dp": 2, "zero": 3, "prefetch": 1}, 2, 3, 3, {"recompute": "whole"})
@example({"dp": 2, "zero": 2}, 3, 2, 1, {"recompute": "alternate", "eager": True})
@settings(max_examples=8, deadline=None)
def test_a_pattern_of_equal_layers_is_those_layers(
    sizes: Mapping[str, Any], period: int, rounds: int, micro: int, how: Mapping[str, Any]
) -> None:
    told = dict(sizes)
    if not told["zero"]:
        told.pop("shard", None)
    if how.get("engine") == "megatron":
        told["zero"] = min(told["zero"], 1)
    parallel = Parallel(**told)
    layers = period * rounds
    same(model_of(PLAIN, layers), model_of(pattern_of(period), layers), parallel, micro, how)


@given(
    st.sampled_from((("1f1b", 1), ("gpipe", 1), ("zero_bubble", 1), ("interleaved", 2))),
    st.sampled_from((0, 1, 3)),
    st.integers(0, 1),
    st.sampled_from((6, 8, 12)),
    st.sampled_from((2, 3)),
    st.sampled_from(({}, {"recompute": "full"}, {"offload": ("activations",)})),
)
@example(("1f1b", 1), 3, 1, 6, 2, {})
@settings(max_examples=6, deadline=None)
def test_so_it_is_in_pipelines_that_cut_it(
    how: tuple[str, int], zero: int, prefetch: int, layers: int, period: int, ways: Mapping[str, Any]
) -> None:
    """Stages of three layers end in the midst of a pattern of two: its layers are runs of their own."""
    schedule, interleave = how
    sizes: dict[str, Any] = {"schedule": schedule, "interleave": interleave, "prefetch": prefetch, "zero": zero}
    same(model_of(PLAIN, layers), model_of(pattern_of(period), layers), Parallel(dp=2, pp=2, **sizes), 4, ways)


def collectives(result: Result, kind: str) -> list[tuple[str, float]]:
    """The collectives of a kind that a chip takes part in, what they make and the bytes of their whole array."""
    found = ((each.kernel.ops[0], each.kernel.communication) for each in result.plan.kernels)
    return [(name, each.nbytes) for name, each in found if each is not None and each.kind == kind]


@pytest.mark.parametrize("period", [1, 2, 6])
@pytest.mark.parametrize("micro", [1, 2])
def test_weights_are_gathered_layer_by_layer(period: int, micro: int) -> None:
    layers, replicas = 12, 4
    model = model_of(pattern_of(period), layers)
    ends = 2 * 1024 * 256 + 256
    layer = (parameters(model).total - ends) // layers
    result = step(Parallel(dp=replicas, zero=3), micro, model)
    inside = [nbytes for name, nbytes in collectives(result, "all_gather") if "wL" in name]
    assert inside == [2 * layer] * (2 * layers * micro)
    reduced = Counter(nbytes for name, nbytes in collectives(result, "reduce_scatter") if "rL" in name)
    assert sum(reduced.values()) == layers * micro
    assert len(reduced) == 1


@pytest.mark.parametrize("experts", [2, 4])
def test_layers_that_differ_are_gathered_with_their_own(experts: int) -> None:
    """Every second layer has experts: what it gathers is larger by what those have more."""
    layers = 8
    model = replace(SMALL, layers=layers, moe=Moe(experts=experts, top_k=1, d_expert=512, every=2))
    result = step(Parallel(dp=2, zero=3), 1, model)
    found = Counter(nbytes for name, nbytes in collectives(result, "all_gather") if "wL" in name)
    dense = 256 * (256 + 2 * 128) + 256 * 256 + 2 * 256
    network, router = 3 * 256 * 512, 256 * experts
    # experts have a buffer beside that of their layer
    wanted = {dense + network: layers, dense + router: layers, experts * network: layers}
    assert found == {2 * size: count for size, count in wanted.items()}


@pytest.mark.parametrize("prefetch", [0, 1, 2])
@pytest.mark.parametrize("period", [2, 6])
def test_no_more_layers_are_there_at_once_than_are_fetched_ahead(prefetch: int, period: int) -> None:
    layers = 12
    model = model_of(pattern_of(period), layers)
    ends = 2 * 1024 * 256 + 256
    layer = 2 * (parameters(model).total - ends) // layers
    result = step(Parallel(dp=2, zero=3, prefetch=prefetch), 1, model)
    frame = memory_frame(result)
    mine = frame[
        (frame["chip"] == frame["chip"].min()) & frame["tensor"].astype(str).str.match(r"r?wL") & ~frame["given"]
    ]
    for again in (False, True):
        one = mine[mine["tensor"].astype(str).str.startswith("r") == again]
        assert memory_levels(one)["bytes"].max() == (prefetch + 1) * layer


def test_what_a_layer_takes_in_is_there_until_its_backward_pass_is_over_in_every_microbatch() -> None:
    """In a block whose every round is a microbatch, too: what layers take in is kept as it is in the last one, which stands
    behind that block."""
    frame = memory_frame(step(Parallel(), 3, model_of(PLAIN, 4)))
    stream = frame[frame["tensor"].astype(str).str.match(r"y(\.\d|Z)\.[0-2]$")]
    lasts = stream.assign(micro=stream["tensor"].astype(str).str[1:].str.rsplit(".", n=1).str[0])
    spans = [sorted(mine["end"] - mine["begin"]) for _, mine in lasts.groupby("micro")]
    assert len(spans) == 3
    assert spans[0] == pytest.approx(spans[1], rel=1e-6)
    assert spans[1] == pytest.approx(spans[2], rel=1e-6)


FULL, SLIDING = pattern_of(2)

MANY: Mapping[str, tuple[AttentionKind, ...]] = {
    "a period of 28": (FULL, *(SLIDING, FULL) * 3, *(SLIDING,) * 20, FULL),
    "a period of 32": (FULL, *(SLIDING,) * 15, FULL, FULL, *(SLIDING,) * 13, FULL),
    # ever longer stretches of the one kind between single ones of the other are a run each
    "40 runs": tuple(kind for at in range(1, 21) for kind in (FULL, *(SLIDING,) * (at + 1))),
}
"""Kinds of attention of more layers, or runs of them, than there are letters."""


@pytest.mark.parametrize("kinds", MANY.values(), ids=MANY)
def test_layers_and_runs_are_not_told_apart_by_letters_alone(kinds: tuple[AttentionKind, ...]) -> None:
    """More than 26 of them were no model: letters ran out. FLOPs are those of closed forms, and no name is given twice."""
    attention = replace(SMALL.attention, kinds=kinds, window=SEQ // 2)
    model = replace(SMALL, layers=len(kinds) * (2 if len(kinds) < 40 else 1), attention=attention)
    counted = forward_flops(model, Work(tokens=SEQ))
    chip = System(load_chip("h100_sxm"))
    serves = inference_graph(model, Parallel(), Inference(mode="prefill", batch=1, seq=SEQ))
    want = counted.matmul + counted.attention + counted.vocabulary / SEQ
    assert sum(kernel.matrix_flops for kernel in bind(serves, chip)) == pytest.approx(want, rel=1e-12)
    for parallel in (Parallel(), Parallel(dp=2, pp=2, zero=1), Parallel(dp=2, zero=3)):
        graph = train_graph(model, parallel, Training(batch=4, seq=SEQ))
        names = [op.name for op in graph.every_op()]
        assert len(set(names)) == len(names)
    alone = train_graph(model, Parallel(), Training(batch=1, seq=SEQ))
    d, e = model.attention.qk_dim, model.attention.v_dim
    want = 3 * (counted.matmul + counted.vocabulary) + (1 + (3 * d + 2 * e) / (d + e)) * counted.attention
    assert sum(kernel.matrix_flops for kernel in bind(alone, chip)) == pytest.approx(want, rel=1e-12)
