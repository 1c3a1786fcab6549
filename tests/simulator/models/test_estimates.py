"""Estimates of training steps against runs of the same steps: what is equal, and what bounds what.

Laws: `lower_bound` and the t_words are those of the run; `lower_bound` <= `earliest` <= time <= `upper_bound`;
`least_memory` <= the run's peak; the upper
bound is the run's where all chips do the same; what is given is what the run has from its begin; the peak is the run's
without a pipeline and with nothing beside the backward pass; what an estimator knows already changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Summary
from analysis.runs import holdings
from hw import SpecError, System, load_chip, parse_topology
from simulator import (
    PAIRED,
    PRECISIONS,
    Estimate,
    Estimator,
    Parallel,
    Result,
    RunOptions,
    Training,
    precision_of,
    simulate,
    train_graph,
)
from simulator.models import Attention, Embedding, Ffn, Head, Moe, Norm, Position, Transformer
from tests.support.models import SMALL, system_for

FIVE = replace(SMALL, layers=5)
BIASED = Transformer(
    name="biased",
    family="decoder",
    layers=4,
    d_model=256,
    attention=Attention(heads=8, kv_heads=8, head_dim=32, qkv_bias=True, out_bias=True),
    ffn=Ffn(d_ff=512, gated=False, activation="gelu", bias=True),
    norm=Norm(kind="layer"),
    position=Position(kind="learned", longest=2048),
    head=Head(),
    embedding=Embedding(vocab=1000, tied=True),
)
SPARSE = replace(FIVE, layers=2, name="sparse", moe=Moe(experts=4, top_k=2, d_expert=128))
SHORT = replace(FIVE, name="short", layers=2)
SEQ = 256


def both(
    parallel: Parallel, micro: int, model: Transformer = FIVE, options: RunOptions | None = None, **how: Any
) -> tuple[Estimate, Result]:
    """An estimate and a run of a step of so many microbatches."""
    training = Training(batch=parallel.replicas * parallel.microbatch * micro, seq=SEQ, **how)
    options, system = options or RunOptions(), system_for(parallel, node=8)
    if parallel.schedule in PAIRED:
        options = replace(options, order="ready")
    result = simulate(train_graph(model, parallel, training), system, options)
    return Estimator(model, system, options).estimate(parallel, training), result


SIZES = st.fixed_dictionaries(
    {
        "tp": st.sampled_from((1, 2, 4)),
        "dp": st.sampled_from((1, 2)),
        "pp": st.sampled_from((1, 2, 4)),
        "zero": st.integers(0, 3),
        "microbatch": st.sampled_from((1, 2)),
        "sequence": st.booleans(),
        "overlap_gradients": st.booleans(),
        "schedule": st.sampled_from(("gpipe", "1f1b", "zero_bubble", "paired")),
    }
)
HOW = st.fixed_dictionaries(
    {
        "recompute": st.sampled_from(("none", "selective", "full", "whole", 3)),
        "optimizer": st.sampled_from(("adamw", "sgd")),
        "clip": st.booleans(),
        "precision": st.sampled_from([PRECISIONS[name] for name in ("bf16", "amp_bf16", "mixed_bf16")]),
        "engine": st.sampled_from(("plain", "megatron", "pytorch")),
    }
)
MODELS = st.sampled_from((FIVE, BIASED))
OPTIONS = st.builds(
    RunOptions,
    overlap=st.sampled_from(("full", "none", "auto")),
    launch_s=st.sampled_from((None, 5e-6)),
    network_share=st.sampled_from((0.0, 0.1)),
    spread=st.sampled_from((0.0, 0.05)),
)


@given(SIZES, HOW, st.integers(1, 3), MODELS, OPTIONS)
@settings(max_examples=15, deadline=None)
def test_the_bounds_are_those_of_the_run_and_hold(
    sizes: dict[str, Any], how: dict[str, Any], micro: int, model: Transformer, options: RunOptions
) -> None:
    check_bounds(*both(Parallel(**sizes), micro, model, options, **how))


@pytest.mark.parametrize("tp", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_a_matmul_adds_is_of_its_kernel_in_every_precision(precision: str, tp: int) -> None:
    """A bias that is narrowed stands between the matmul and what adds it, and is added by its kernel all the same."""
    check_bounds(*both(Parallel(tp=tp), 2, BIASED, precision=PRECISIONS[precision]))


@pytest.mark.parametrize(
    ("parallel", "micro", "model"),
    [
        (Parallel(tp=2, cp=2, pp=2), 2, FIVE),
        (Parallel(cp=4, context="all_to_all"), 1, FIVE),
        (Parallel(pp=2, interleave=2, schedule="interleaved"), 4, FIVE),
        (Parallel(pp=2, interleave=2, schedule="paired"), 4, FIVE),
        (Parallel(pp=2, ep=4, schedule="paired"), 6, SPARSE),
        (Parallel(pp=2, ep=4, expert_nodes=4, schedule="paired"), 6, SPARSE),
        (Parallel(ep=2, tp=2, dp=2, zero=1), 2, SPARSE),
        (Parallel(pp=2, layers=(1, 4)), 3, FIVE),
        (Parallel(pp=3, layers=(0, 5, 0)), 3, FIVE),
        (Parallel(pp=2, dp=2, tp=2), 2, BIASED),
        (Parallel(dp=4, zero=2, shard=2), 2, FIVE),
    ],
    ids=[
        "context",
        "exchange",
        "interleaved",
        "turns_of_chunks",
        "turns",
        "turns_over_nodes",
        "experts",
        "uneven",
        "bare_ends",
        "tied",
        "groups",
    ],
)
def test_other_ways_to_share_the_work(parallel: Parallel, micro: int, model: Transformer) -> None:
    check_bounds(*both(parallel, micro, model))


def check_bounds(found: Estimate, result: Result) -> None:
    run = Summary(result.plan, lambda: result)
    alike = len(set(result.plan.simulated)) == 1
    for word in ("lower_bound", "t_math", "t_vector", "t_memory", "upper_bound"):
        assert getattr(found, word) == pytest.approx(run[word], rel=1e-9), word
    # stages of a pipeline share wires with what a chip in their middle does; of others that is not counted
    network = run["t_network"]
    assert isinstance(network, float)
    assert found.t_network <= network * (1 + 1e-9)
    if alike:
        assert found.t_network == pytest.approx(network, rel=1e-9)
    # times are whole picoseconds, those of a kernel at least one
    slack = 1e-12 * len(result.plan.program)
    assert found.lower_bound <= found.earliest
    # chips of a stage may differ in what they hold, as those with experts do
    assert found.least_memory <= max(peaks(result)) * (1 + 1e-9)
    assert found.earliest <= result.time_s * (1 + 1e-9) + slack
    assert result.time_s <= found.upper_bound * (1 + 1e-9) + slack


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("order", ["program", "ready"])
def test_what_runs_when_it_is_ready_may_be_faster_than_in_its_order(order: Any, recompute: str) -> None:
    """Kernels that need no gradient run while it is waited for: recomputation, and gradients of weights."""
    for schedule in ("paired", "1f1b"):
        parallel: Any = {"tp": 2, "pp": 4, "schedule": schedule}
        check_bounds(*both(Parallel(**parallel), 1, options=RunOptions(order=order), recompute=recompute))


def test_of_one_chip_without_overlap_nothing_is_left_open() -> None:
    found, result = both(Parallel(), 3, options=RunOptions(overlap="none"))
    assert found.earliest == pytest.approx(result.time_s, rel=1e-6)
    assert found.upper_bound == pytest.approx(result.time_s, rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zero_bubble", "paired"])
def test_many_microbatches_are_as_many_periods(schedule: Any) -> None:
    # two stages: from the ninth microbatch on nothing is walked through any more
    found, result = both(Parallel(pp=2, schedule=schedule), 30, SHORT)
    check_bounds(found, result)
    assert found.expected == pytest.approx(result.time_s, rel=0.02)


@given(SIZES, st.sampled_from(("none", "selective", "full")), st.integers(1, 3))
@settings(max_examples=5, deadline=None)
def test_what_is_given_is_what_the_run_has_from_its_begin(sizes: dict[str, Any], recompute: str, micro: int) -> None:
    check_given(*both(Parallel(**sizes), micro, recompute=recompute))


@pytest.mark.parametrize("layers", [4, 5], ids=["chunks_alike", "chunks_unlike"])
@pytest.mark.parametrize("engine", ["plain", "megatron", "pytorch", "fsdp1"])
def test_what_libraries_hold_is_held_once_on_a_chip(engine: Any, layers: int) -> None:
    """Workspaces are a chip's, whatever the number of chunks of a stage."""
    model, workspaces = replace(FIVE, layers=layers), []
    one = Parallel(pp=2, tp=2)
    for parallel in (one, replace(one, interleave=2, schedule="interleaved")):
        found, result = both(parallel, 4, model, engine=engine)
        check_given(found, result)
        first = min(result.plan.simulated)
        mine = [each for each in holdings(result) if each.chip == first and each.tensor.startswith("workspaces")]
        workspaces.append(sum(each.nbytes for each in mine))
    assert workspaces[0] == workspaces[1]
    assert bool(workspaces[0]) == (engine in ("megatron", "pytorch"))


def check_given(found: Estimate, result: Result) -> None:
    """What stages hold for the whole step, on the first chip of each."""
    chips = sorted(result.plan.simulated)
    chips = chips[:: len(chips) // len(found.memory)]
    begun: dict[int, float] = dict.fromkeys(result.plan.simulated, 0.0)
    made = {op.name for op in result.plan.graph.flat()}
    for each in holdings(result):
        if each.tensor not in made and "/" not in each.tensor:
            begun[each.chip] += each.nbytes
    assert [sum(stage.given.values()) for stage in found.memory] == pytest.approx([begun[at] for at in chips])


@pytest.mark.parametrize("recompute", ["none", "selective", "full", "whole"])
@pytest.mark.parametrize(("tp", "within"), [(1, 1e-12), (4, 1e-3)], ids=["one", "tensor"])
def test_the_peak_is_that_of_the_run(tp: int, within: float, recompute: str) -> None:
    # collectives over the tensor axis run beside the next kernel: what they read stays a little longer
    for micro in (1, 3):
        found, result = both(Parallel(tp=tp), micro, recompute=recompute)
        assert found.peak_memory == pytest.approx(max(peaks(result)), rel=within)
        assert found.least_memory == pytest.approx(max(peaks(result)), rel=10 * within)


OLDER: tuple[dict[str, Any], ...] = (
    {"attention": "standard"},
    {"attention": "fused_softmax", "dropout": True},
    {"attention": "standard", "recompute": "selective", "dropout": True},
    {"eager": True},
    {"eager": "loss", "recompute": "alternate"},
)


@pytest.mark.parametrize("how", OLDER, ids=lambda how: " ".join(map(str, how.values())))
@pytest.mark.parametrize("micro", [1, 3])
def test_the_peak_is_that_of_the_run_however_attention_and_losses_are_made(how: dict[str, Any], micro: int) -> None:
    """Also what ops keep beside their outputs, of each round, and what a model returned."""
    options = RunOptions(overlap="none", launch_s=5e-6)
    found, result = both(Parallel(), micro, options=options, **how)
    assert found.peak_memory == pytest.approx(max(peaks(result)), rel=1e-12)
    check_bounds(found, result)


def test_blocks_in_two_runs_hand_on_what_they_carry() -> None:
    # three blocks are made again and two are not: the second run takes over what the first one makes
    found, result = both(Parallel(), 2, recompute=3, options=RunOptions(overlap="none"))
    assert found.peak_memory == pytest.approx(max(peaks(result)), rel=1e-12)
    assert found.earliest == pytest.approx(result.time_s, rel=1e-6)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_the_peak_of_a_pipeline_is_that_of_the_run_but_for_what_is_on_its_way(schedule: Any) -> None:
    parallel = Parallel(pp=4, schedule=schedule)
    found, result = both(parallel, 8)
    stream = 2 * SEQ * FIVE.d_model
    for stage, held in zip(found.memory, peaks(result), strict=True):
        # at most one that came early, and one that is being sent, each way
        assert abs(stage.peak - held) <= 4 * stream


BUFFERED: tuple[tuple[Parallel, dict[str, Any]], ...] = (
    (Parallel(pp=4), {}),
    (Parallel(pp=4, schedule="gpipe"), {"eager": True, "recompute": "alternate"}),
    (Parallel(pp=2, interleave=2, schedule="interleaved"), {}),
    (Parallel(pp=2, tp=2, dp=2, zero=1), {"recompute": "full"}),
)


@pytest.mark.parametrize(("parallel", "how"), BUFFERED, ids=["1f1b", "gpipe", "interleaved", "sharded"])
def test_the_peak_of_a_buffered_pipeline_is_that_of_the_run(parallel: Parallel, how: dict[str, Any]) -> None:
    """PyTorch's stages hold what they make, and room for what they receive, so that nothing comes early or stays longer."""
    found, result = both(parallel, 4, engine="pytorch", **how)
    held = peaks(result)
    ran = held[:: len(held) // parallel.pp]
    assert [stage.peak for stage in found.memory] == pytest.approx(ran, rel=1e-12)
    assert found.least_memory <= max(ran) * (1 + 1e-9)


@pytest.mark.parametrize("sequence", [False, True])
def test_no_stage_computes_while_it_waits_for_what_it_sent(sequence: bool) -> None:
    """Also where a pass begins with what chips do together, which holds up no kernel behind it."""
    found, result = both(Parallel(pp=2, tp=2, schedule="gpipe", sequence=sequence), 8, SHORT, engine="megatron")
    assert found.earliest <= result.time_s * (1 + 1e-9)


def peaks(result: Result) -> list[float]:
    """The most that each simulated chip holds, in their order."""
    held = Summary(result.plan, lambda: result).on_chips("peak_memory")
    return [held[chip] for chip in sorted(held)]


def test_1f1b_holds_as_many_microbatches_as_stages_follow() -> None:
    system = system_for(Parallel(pp=4), node=8)
    estimator, training = Estimator(replace(FIVE, layers=16), system), Training(batch=8, seq=SEQ)
    schedules: tuple[Any, ...] = ("1f1b", "gpipe")
    one, two = (estimator.estimate(Parallel(pp=4, schedule=each), training) for each in schedules)
    kept = [stage.at_peak["activations"] for stage in one.memory]
    assert kept[0] > kept[1] > kept[2] > kept[3]
    assert two.memory[0].at_peak["activations"] == pytest.approx(2 * kept[0], rel=0.1)


@given(SIZES, SIZES, MODELS, st.sampled_from((5, 16)))
@settings(max_examples=8, deadline=None)
def test_what_an_estimator_knows_already_changes_nothing(
    first: dict[str, Any], second: dict[str, Any], model: Transformer, layers: int
) -> None:
    # as many chips, but stages where chips shared matmuls, and the other way round
    sizes = {**second, "tp": first["pp"], "dp": first["dp"], "pp": first["tp"]}
    one, two = Parallel(**first), Parallel(**sizes)
    system = System(load_chip("h100_sxm"), system_for(one, node=8).topology)
    training = Training(batch=16, seq=SEQ)
    model = replace(model, layers=layers)
    known = Estimator(model, system)
    known.estimate(one, training)
    for each in (two, one):
        assert repr_of(known.estimate(each, training)) == repr_of(Estimator(model, system).estimate(each, training))


@pytest.mark.parametrize("dispatch", ["graph", "eager"])
def test_fewer_experts_a_chip_are_fewer_kernels_whatever_was_estimated_before(dispatch: Any) -> None:
    """Chips that share a batch out have as many rows of all experts together: casts to fp8 differ in their number alone."""
    system = System(load_chip("h100_sxm"), system_for(Parallel(dp=8), node=8).topology)
    options = RunOptions(calibration="measured", dispatch=dispatch)
    training = Training(batch=8, seq=SEQ, precision=precision_of("fp8", "training"), engine="megatron")
    model = replace(SPARSE, moe=Moe(experts=16, top_k=2, d_expert=128))
    layouts = [Parallel(ep=8), Parallel(ep=4, pp=2), Parallel(ep=2, dp=4)]
    known = Estimator(model, system, options)
    for each in (*layouts, *reversed(layouts)):
        alone = Estimator(model, system, options).estimate(each, training)
        assert repr_of(known.estimate(each, training)) == repr_of(alone)


def test_many_at_once_are_what_each_is_alone() -> None:
    """Of layouts that go about the same passes, more than are gone through one by one, times are columns."""
    system = System(load_chip("h100_sxm"), system_for(Parallel(tp=2, pp=4), node=8).topology)
    sizes = [Parallel(tp=2, pp=4, zero=zero, sequence=sequence) for zero in (0, 1) for sequence in (False, True)]
    schedules: tuple[Any, ...] = ("gpipe", "1f1b", "zero_bubble", "paired")
    asked = [
        (replace(each, schedule=schedule), Training(batch=batch, seq=SEQ, recompute=recompute))
        for each in sizes
        for schedule in schedules
        for batch in (8, 60)
        for recompute in ("none", "full")
    ]
    asked += [(Parallel(tp=2, pp=4, microbatch=3), Training(batch=8, seq=SEQ))]
    together = Estimator(FIVE, system).estimates(asked)
    *found, refused = together
    for each, (parallel, training) in zip(found, asked, strict=False):
        assert isinstance(each, Estimate)
        assert repr_of(each) == repr_of(Estimator(FIVE, system).estimate(parallel, training))
    assert isinstance(refused, SpecError)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_the_peak_of_many_blocks_is_that_of_the_run(recompute: str) -> None:
    """A few of the blocks are walked through: what the others hold stands for them."""
    long = replace(FIVE, layers=24)
    found, result = both(Parallel(), 2, long, recompute=recompute)
    assert found.peak_memory == pytest.approx(max(peaks(result)), rel=1e-12)
    assert found.least_memory == pytest.approx(max(peaks(result)), rel=1e-12)
    check_bounds(*both(Parallel(dp=2, zero=3), 1, long, recompute=recompute))
    check_bounds(*both(Parallel(pp=2, schedule="zero_bubble"), 3, long, recompute=recompute))


def repr_of(found: Estimate) -> Any:
    return found.earliest, found.upper_bound, found.stages, found.memory


def test_what_cannot_be_built_is_refused_as_its_graph_is() -> None:
    chip = load_chip("h100_sxm")
    estimator = Estimator(FIVE, System(chip, parse_topology("switch(8) over nvlink", chip.links)))
    with pytest.raises(SpecError, match="cannot be cut into 8 chunks"):
        estimator.estimate(Parallel(pp=8), Training(batch=8, seq=SEQ))
    with pytest.raises(SpecError, match="no multiple of"):
        estimator.estimate(Parallel(dp=8), Training(batch=9, seq=SEQ))
    both_chips = (chip, load_chip("a100_80gb_sxm"))
    unlike = System(chip, parse_topology("switch(2) over nvlink", chip.links), chips=both_chips)
    with pytest.raises(SpecError, match="alike"):
        Estimator(FIVE, unlike)
