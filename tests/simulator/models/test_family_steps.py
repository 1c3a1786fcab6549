"""Steps of models that are no decoders: encoders, vision transformers, convolution stacks, graph networks.

Laws: a forward pass has the matmul FLOPs of the closed form, a training step three times those but for gradients of what
is read (images, features of nodes), and flash attention's scores once more; a step stores every parameter; chips that
share a batch do the same work together, and nothing is left for the sharding planner; the bounds hold; recomputing in full
adds forward work only and holds less; weights that are wider than matmuls cost casts and no FLOPs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import memory_frame
from hw import SpecError, System, load_chip
from scenarios.models import model_names
from simulator import (
    PRECISIONS,
    Forward,
    OpGraph,
    Parallel,
    Result,
    RunOptions,
    Training,
    bind,
    forward_graph,
    parse_graph,
    print_items,
    simulate,
    train_graph,
)
from simulator.models import (
    ConvNet,
    GraphNetwork,
    Model,
    Patches,
    Stage,
    Transformer,
    Work,
    first_flops,
    forward_flops,
    parameters,
    sample_of,
    training_flops,
)
from tests.support.catalogue import described
from tests.support.models import ENCODER, VISION, system_for

SEQ = 64
RESIDUAL = ConvNet(
    name="residual",
    image=32,
    stages=(
        Stage(kind="conv", channels=16, kernel=7, stride=2, norm=True),
        Stage(kind="max_pool", kernel=3, stride=2),
        Stage(kind="bottleneck", channels=16, repeat=3),
        Stage(kind="basic", channels=32, stride=2, repeat=2),
        Stage(kind="avg_pool", kernel=0),
        Stage(kind="linear", channels=24),
        Stage(kind="linear", channels=24, repeat=2),
        Stage(kind="linear", channels=10, activation="none"),
    ),
)
GRAPH = GraphNetwork(name="graph", nodes=64, edges=640, features=32, widths=(32, 8))
SAGE = replace(GRAPH, name="sage", layer="sage")
SMALL: dict[str, Model] = {each.name: each for each in (ENCODER, VISION, RESIDUAL, GRAPH, SAGE)}


def others() -> list[str]:
    """The models of the catalogue that generate nothing."""
    return [name for name in model_names() if described(name).family != "decoder"]


def batch_of(model: Model, many: int) -> dict[str, Any]:
    """What a step over some of a model's samples is asked for."""
    sample = sample_of(model, SEQ)
    return {"graph": {}, "image": {"batch": many}}.get(sample.name, {"batch": many, "seq": SEQ})


def run(model: Model, parallel: Parallel, mode: str = "train", many: int = 1, **how: Any) -> Result:
    graph = asked(model, parallel, mode, many, **how)
    return simulate(graph, system_for(parallel), RunOptions(overlap="full"))


def asked(model: Model, parallel: Parallel, mode: str = "train", many: int = 1, **how: Any) -> OpGraph:
    batch = batch_of(model, many)
    if mode == "forward":
        return forward_graph(model, parallel, Forward(**batch, **how))
    return train_graph(model, parallel, Training(**batch, **how))


def matrix_flops(graph: OpGraph, parallel: Parallel | None = None) -> float:
    return sum(kernel.matrix_flops for kernel in bind(graph, system_for(parallel or Parallel())))


def want(model: Model, mode: str) -> float:
    """FLOPs of one sample in closed form."""
    work = Work(sample_of(model, SEQ).tokens)
    forward = forward_flops(model, work)
    if mode == "forward":
        return forward.total
    # flash attention makes its scores again: five matmuls for the two of its forward pass
    return training_flops(model, work) + 0.5 * forward.attention


def model_called(name: str) -> Model:
    """One of those above, or of the catalogue, with a few of its blocks: what repeats costs the same again."""
    if name in SMALL:
        return SMALL[name]
    model = described(name)
    return replace(model, layers=min(model.layers, 2)) if isinstance(model, Transformer) else model


@pytest.mark.parametrize("mode", ["train", "forward"])
@pytest.mark.parametrize("name", [*SMALL, *others()])
def test_a_step_does_what_closed_forms_say(name: str, mode: str) -> None:
    model = model_called(name)
    graph = asked(model, Parallel(microbatch=2 if batch_of(model, 2) else 1), mode, 2)
    got, count = matrix_flops(graph), 2 if batch_of(model, 2) else 1
    print(f"{name} {mode}: {got:.6g} FLOPs, {got / count / want(model, mode) - 1:+.2e}")
    assert got == pytest.approx(count * want(model, mode), rel=1e-12)
    assert 0 <= first_flops(model) <= forward_flops(model, Work(1)).total


@pytest.mark.parametrize("name", [*SMALL, *others()])
def test_a_step_has_every_parameter(name: str) -> None:
    model = model_called(name)
    graph = asked(model, Parallel())
    stored = sum(
        graph.dims[str(op.inputs[0].dims[0].size)]
        for op in graph.flat()
        if op.kind == "view" and op.inputs[0].name.startswith("storedw")
    )
    assert stored == parameters(model).total


@pytest.mark.parametrize("name", SMALL)
def test_a_step_prints_and_reads_back(name: str) -> None:
    graph = asked(SMALL[name], Parallel(), eager=True)
    lines = print_items(graph.items)
    assert print_items(parse_graph(lines, graph.dims).items) == lines


LAYOUTS = st.builds(
    Parallel,
    dp=st.sampled_from([1, 2, 4]),
    zero=st.integers(0, 3),
    microbatch=st.just(1),
    overlap_gradients=st.booleans(),
)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(sorted(SMALL)),
    LAYOUTS,
    st.sampled_from(["fp32", "bf16", "amp_bf16", "mixed_bf16"]),
    st.sampled_from(["none", "full"]),
    st.booleans(),
)
def test_however_a_batch_is_shared_the_work_is_the_same(
    name: str, parallel: Parallel, precision: str, recompute: str, eager: bool
) -> None:
    model = SMALL[name]
    result = run(
        model, parallel, many=2 * parallel.dp, precision=PRECISIONS[precision], recompute=recompute, eager=eager
    )
    assert result.plan.inserted == ()
    once = [each.kernel for each in result.plan.kernels if not each.kernel.recompute]
    count = 2 * parallel.dp if batch_of(model, 1) else 1
    assert sum(each.matrix_flops for each in once) * parallel.chips == pytest.approx(
        count * want(model, "train"), rel=1e-9
    )
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)


@pytest.mark.parametrize("sequence", [True, False])
@pytest.mark.parametrize("mode", ["train", "forward"])
@pytest.mark.parametrize("name", ["encoder", "vision"])
def test_tensor_parallel_chips_share_the_blocks_of_encoders_too(name: str, mode: str, sequence: bool) -> None:
    model = SMALL[name]
    if name == "vision" and sequence:
        # 64 tokens that chips can share, read off their mean
        assert isinstance(model, Transformer)
        model = replace(model, patches=Patches(image=32, patch=4, class_token=False))
    parallel = Parallel(tp=4, sequence=sequence)
    result = run(model, parallel, mode)
    assert result.plan.inserted == ()
    got = sum(each.kernel.matrix_flops for each in result.plan.kernels) * 4
    # what stands before the first block and behind the last is the same on every chip: patches, poolers, classes
    alone = matrix_flops(asked(model, Parallel(), mode))
    assert alone <= got < 1.1 * alone
    blocks = [each.kernel for each in result.plan.kernels if each.kernel.kind.startswith("attention")]
    whole = bind(asked(model, Parallel(), mode), System(load_chip("h100_sxm")))
    shared = sum(each.matrix_flops for each in blocks) * 4
    assert shared == pytest.approx(sum(each.matrix_flops for each in whole if each.kind.startswith("attention")))


def held(result: Result, owner: str) -> float:
    """The most that an owner has at once."""
    frame = memory_frame(result)
    frame = frame[frame["owner"] == owner]
    return max(float(frame.loc[(frame["begin"] <= at) & (frame["end"] > at), "bytes"].sum()) for at in frame["begin"])


@pytest.mark.parametrize("name", ["encoder", "vision", "residual"])
def test_recomputing_in_full_adds_forward_work_and_keeps_less(name: str) -> None:
    model = SMALL[name]
    plain, again = (run(model, Parallel(microbatch=8), many=8, recompute=how) for how in ("none", "full"))
    more = sum(each.kernel.matrix_flops for each in again.plan.kernels if each.kernel.recompute)
    flops = [sum(each.kernel.matrix_flops for each in result.plan.kernels) for result in (plain, again)]
    assert flops[1] - flops[0] == more
    assert 0 < more <= 8 * want(model, "forward")
    assert held(again, "activations") < held(plain, "activations")


@pytest.mark.parametrize("name", SMALL)
def test_wide_weights_are_cast_once_a_step_and_matmuls_stay_narrow(name: str) -> None:
    """Gradients of what is cast are summed over chips where those of the weights are."""
    result = run(SMALL[name], Parallel(dp=2), many=2, precision=PRECISIONS["amp_bf16"])
    kernels = [each.kernel for each in result.plan.kernels]
    assert {each.matrix_dtype for each in kernels if each.matrix_flops} == {"bf16"}
    reduced = [each for each in kernels if each.kind == "all_reduce"]
    weights = parameters(SMALL[name]).total
    assert sum(each.communication.nbytes for each in reduced if each.communication) == pytest.approx(
        4 * weights, abs=64 * len(reduced)
    )


def test_a_convolution_keeps_its_input_and_a_norm_its_own() -> None:
    """Eager: of conv, norm and relu the norm's input and the relu's output are kept; the pool keeps int64 places."""
    stages = (Stage(kind="conv", channels=8, kernel=3, norm=True), Stage(kind="max_pool", kernel=2, stride=2))
    model = ConvNet(name="kept", image=64, stages=(*stages, Stage(kind="linear", channels=4, activation="none")))
    result = run(model, Parallel(microbatch=16), many=16, precision=PRECISIONS["fp32"], eager=True)
    frame = memory_frame(result)
    loss = float(frame.loc[frame["tensor"] == "loss", "begin"].iloc[0])
    alive = frame[(frame["begin"] <= loss) & (frame["end"] > loss) & (frame["owner"] == "activations")]
    image = 16 * 8 * 64 * 64 * 4
    pooled = image / 4
    # places are of the vector of activations beside the pool's output
    assert alive["bytes"].sum() == pytest.approx(2 * image + pooled + 2 * pooled, rel=1e-3)


def test_what_a_family_does_not_have_is_refused() -> None:
    cases: list[tuple[Model, Parallel, dict[str, Any], str]] = [
        (RESIDUAL, Parallel(tp=2), {"batch": 2}, "tp is 2: chips share the images"),
        (RESIDUAL, Parallel(pp=2), {"batch": 2}, "pp is 2: chips share the images"),
        (RESIDUAL, Parallel(dp=2), {"batch": 3}, "batch 3 is no multiple of 2 replicas"),
        (RESIDUAL, Parallel(), {"batch": 2, "seq": 8}, "residual reads images and has no tokens; leave seq out"),
        (RESIDUAL, Parallel(), {"batch": 2, "recompute": 3}, "recompute 3 is of the blocks of transformers"),
        (GRAPH, Parallel(cp=2), {}, "cp is 2: chips share the nodes"),
        (GRAPH, Parallel(), {"batch": 2}, "a step is over the one graph of graph"),
        (GRAPH, Parallel(), {"seq": 8}, "graph reads a graph and has no tokens"),
        (VISION, Parallel(), {"batch": 1, "seq": 7}, "vision reads images of 65 tokens each; leave seq out"),
        (VISION, Parallel(tp=2), {"batch": 1}, "65 tokens are not shared evenly by 2 chips; sequence: false"),
        (ENCODER, Parallel(), {"batch": 1}, "seq is missing: the tokens of a sequence of encoder"),
        (ENCODER, Parallel(), {"batch": 1, "seq": 256}, "256 tokens; encoder has learned positions for 128"),
    ]
    for model, parallel, how, words in cases:
        with pytest.raises(SpecError) as caught:
            train_graph(model, parallel, Training(**how))
        assert words in str(caught.value)
    with pytest.raises(SpecError, match="a forward pass alone has no pipeline"):
        forward_graph(ENCODER, Parallel(pp=2), Forward(batch=2, seq=SEQ))


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zero_bubble", "paired"])
def test_a_pipeline_of_an_encoder_does_the_same_matmuls(schedule: Any) -> None:
    result = run(ENCODER, Parallel(pp=2, schedule=schedule), many=4)
    got = sum(each.kernel.matrix_flops for each in result.plan.kernels)
    chips = len(result.plan.simulated)
    assert chips == 2
    assert got == pytest.approx(4 * want(ENCODER, "train"), rel=1e-9)
