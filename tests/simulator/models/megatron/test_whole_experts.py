"""Experts that lie whole on the chips of all axes: what each chip has and does, by closed form."""

from __future__ import annotations

from typing import Any

import pytest

from hw import Mesh, SpecError, System, load_chip, parse_topology
from scenarios.models import load_model
from simulator import (
    Estimator,
    Inference,
    OpGraph,
    Parallel,
    RunOptions,
    Training,
    inference_graph,
    simulate,
    tensor_bytes,
    train_graph,
)
from simulator.models import Transformer

CHIP = load_chip("h100_sxm")
LAYERS, DENSE = 3, 1


def model() -> Transformer:
    found = load_model({"base": "deepseek_v2_lite", "layers": LAYERS}).description
    assert isinstance(found, Transformer)
    return found


def system(parallel: Parallel) -> System:
    return System(CHIP, parse_topology("switch(8) over nvlink", CHIP.links), Mesh(parallel.mesh))


WAYS: list[dict[str, Any]] = [
    {"tp": 2, "ep": 4},
    {"cp": 2, "ep": 4, "context": "all_to_all"},
    {"tp": 2, "cp": 2, "ep": 2},
    {"tp": 4, "ep": 2},
    {"tp": 2, "ep": 2, "dp": 2},
]


def experts_bytes(graph: OpGraph, on: System) -> float:
    """Bytes of the experts' weights of a block on a chip: w<name> of three matmuls each."""
    found = {tensor.name: tensor for op in graph.every_op() for tensor in op.inputs}
    return sum(tensor_bytes(found[name], graph, on) for name in ("wegateA", "weupA", "wedA"))


@pytest.mark.parametrize("way", WAYS)
def test_a_chip_has_whole_experts(way: dict[str, Any]) -> None:
    """Of 64 experts of 3 x 2048 x 1408 bf16 weights a chip has one for each of T x C x E chips."""
    parallel = Parallel(whole_experts=True, **way)
    training = Training(batch=parallel.replicas, seq=1024)
    graph = train_graph(model(), parallel, training)
    sharing = parallel.tp * parallel.cp * parallel.ep
    assert parallel.expert_chips == sharing
    assert experts_bytes(graph, system(parallel)) == 64 / sharing * 3 * 2048 * 1408 * 2


@pytest.mark.parametrize("way", WAYS)
def test_each_token_is_sent_once_for_each_expert_it_asks_for(way: dict[str, Any]) -> None:
    """Before it is gathered over the tensor axis: six copies of 2048 bf16 numbers."""
    parallel = Parallel(whole_experts=True, **way)
    training = Training(batch=parallel.replicas, seq=1024)
    graph = train_graph(model(), parallel, training)
    on = system(parallel)
    sent = [op for op in graph.every_op() if op.name == "esA"]
    assert sent
    axes = dict(sent[0].options)["over"]
    assert sorted(axes) == sorted(parallel.axes("tp", "cp", "ep"))
    tokens = 1024 / (parallel.tp * parallel.cp)
    # slots are whole: a few more than tokens ask for
    assert tensor_bytes(sent[0].output, graph, on) == pytest.approx(tokens * 6 * 2048 * 2, rel=0.05)


@pytest.mark.parametrize("engine", ["plain", "megatron"])
@pytest.mark.parametrize("way", WAYS)
def test_work_is_that_of_experts_on_as_many_chips_and_estimates_are_runs(way: dict[str, Any], engine: Any) -> None:
    """The experts' FLOPs do not change; without tensor parallelism nothing else does either."""
    parallel, flat = Parallel(whole_experts=True, zero=1, **way), Parallel(ep=8, zero=1)
    options = RunOptions(calibration="measured", dispatch="graph")
    done = []
    for each in (parallel, flat):
        training = Training(batch=each.replicas * 2, seq=1024, engine=engine)
        found = Estimator(model(), system(each), options).estimate(each, training)
        done.append(found.matrix_flops * each.chips / training.batch)
        ran = simulate(train_graph(model(), each, training), system(each), options).time_s
        assert found.expected == pytest.approx(ran, rel=0.02)
    # narrow matmuls of latent attention are made on every chip of the tensor axis
    assert done[0] == pytest.approx(done[1], rel=1e-9 if parallel.tp == 1 else 0.03)


def test_what_has_no_whole_experts() -> None:
    with pytest.raises(SpecError, match="sequence: true alone"):
        Parallel(tp=2, ep=4, whole_experts=True, sequence=False)
    with pytest.raises(SpecError, match="not shared evenly by 128 chips"):
        train_graph(model(), Parallel(tp=8, ep=16, whole_experts=True), Training(batch=16, seq=1024))
    with pytest.raises(SpecError, match="inference cuts experts"):
        inference_graph(model(), Parallel(tp=2, ep=4, whole_experts=True), Inference(mode="prefill", batch=4, seq=1024))
