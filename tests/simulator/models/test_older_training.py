"""Steps as models were trained before attention was fused: scores in memory, dropout, stages that wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis import memory_frame, memory_levels
from hw import Mesh, System, load_chip, parse_topology
from simulator import Estimator, Parallel, Result, RunOptions, Training, simulate, train_graph
from tests.support.models import GPT

SEQ, BATCH = 512, 2
SCORES = BATCH * 8 * SEQ * SEQ * 4
"""Scores of a batch in all layers."""


def system_for(parallel: Parallel) -> System:
    chip = load_chip("a100_80gb_sxm")
    if parallel.chips == 1:
        return System(chip)
    return System(chip, parse_topology(f"switch({parallel.chips}) over nvlink", chip.links), Mesh(parallel.mesh))


def step(parallel: Parallel | None = None, options: RunOptions | None = None, **how: Any) -> Result:
    parallel = parallel or Parallel(microbatch=BATCH)
    graph = train_graph(GPT, parallel, Training(**{"batch": BATCH, "seq": SEQ, **how}))
    return simulate(graph, system_for(parallel), options or RunOptions())


def traffic(result: Result) -> float:
    return sum(kernel.kernel.hbm_bytes for kernel in result.plan.kernels)


def matmul_flops(result: Result) -> float:
    return sum(kernel.kernel.matrix_flops for kernel in result.plan.kernels)


def test_scores_in_memory_compute_masked_pairs_too_and_none_again() -> None:
    """Forward 2 of 4 d FLOP a pair, backward 4 against the 5 of fused attention, which computes half of the pairs."""
    pair = 2 * 32
    fused = step()
    half = (SEQ + 1) / (2 * SEQ)
    for kind in ("standard", "fused_softmax"):
        got = matmul_flops(step(attention=kind)) - matmul_flops(fused)
        assert got == pytest.approx(SCORES * pair * (6 - 7 * half), rel=1e-9)


def test_dropout_passes_over_scores_and_streams_once_more() -> None:
    """bf16: a kernel forwards and one backwards, each reads and writes scores; two streams a layer, forwards and back."""
    plain, dropped = step(attention="standard"), step(attention="standard", dropout=True)
    streams = 2 * BATCH * SEQ * 256 * GPT.layers
    assert traffic(dropped) - traffic(plain) == pytest.approx(4 * (SCORES + streams) * 2, rel=1e-9)
    assert matmul_flops(dropped) == pytest.approx(matmul_flops(plain))


def test_the_whole_of_it_is_made_again_with_full_recomputation() -> None:
    how: dict[str, Any] = {"attention": "fused_softmax", "dropout": True}
    once, twice = step(**how), step(recompute="full", **how)
    assert traffic(twice) > traffic(once)


@pytest.mark.parametrize("parallel", [Parallel(tp=2, microbatch=BATCH), Parallel(pp=2)], ids=["tensor", "pipeline"])
@pytest.mark.parametrize("recompute", ["full", "whole"])
def test_a_matmul_and_its_bias_are_one_kernel_when_they_are_run_again(parallel: Parallel, recompute: Any) -> None:
    """Queries, keys, values and the network's first matmul add their biases, forwards and once more: no pass beside them."""
    kernels = [each.kernel for each in step(parallel, recompute=recompute).plan.kernels]
    joined = {tuple(name.split(".")[0].split("_")[0] for name in each.ops) for each in kernels if len(each.ops) > 1}
    for pair in (("qm", "q"), ("km", "k"), ("vm", "v"), ("upm", "up")):
        assert {pair, tuple(f"r{name}" for name in pair)} <= joined


def test_megatron_runs_all_of_a_layer_again() -> None:
    """All of the blocks' matmuls are run again: 96 B s l h^2 where 72 are without (Narayanan et al. 2021, formula 3);
    measured, a layer's recomputation took 7.6 ms and its forward pass 7.7 (Korthikanti et al. 2022, table 4). PyTorch's
    own function stops behind the last that is read, before the block's last matmul."""
    tokens = BATCH * SEQ
    block = tokens * GPT.layers * 24 * 256**2 + SCORES * 32 * 4
    last = tokens * GPT.layers * 8 * 256**2
    for engine, again in (("megatron", block), ("plain", block - last)):
        how: dict[str, Any] = {"attention": "fused_softmax", "dropout": True, "engine": engine}
        once, twice = (matmul_flops(step(recompute=each, **how)) for each in ("none", "full"))
        assert twice - once == pytest.approx(again, rel=1e-9)


def test_what_is_one_kernel_is_one_when_it_is_run_again() -> None:
    """A matmul and its bias; of Megatron-LM (Narayanan et al. 2021, section 4.2) also bias, dropout and the sum."""
    for engine, joined in (("plain", 0), ("megatron", 2)):
        how: dict[str, Any] = {"attention": "fused_softmax", "dropout": True, "engine": engine}
        result = step(Parallel(tp=2, microbatch=BATCH), recompute="full", **how)
        kernels = {planned.kernel.name.replace(".0", ""): planned.kernel for planned in result.plan.kernels}
        groups = [kernel.ops for kernel in kernels.values() if len(kernel.ops) > 1]
        again = [ops for ops in groups if ops[0].startswith("r")]
        assert ({"rqm.0", "rq.0"} if engine == "plain" else {"rqkvm.0", "rqkv.0"}) in [set(ops) for ops in again]
        sums = [ops for ops in groups if any(name in ("h.0", "y.0") for name in ops)]
        assert len(sums) == joined
        assert all(len(ops) == 3 for ops in sums)
        assert ({"rob.0", "robo.0", "rh.0"} in [set(ops) for ops in again]) == bool(joined)


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_a_gradient_is_not_called_what_an_op_is_called(recompute: Any) -> None:
    """What is dropped of `d` is `do`, as the gradient of `o` would be: matmuls of the backward pass read the gradient."""
    training = Training(batch=1, seq=SEQ, recompute=recompute, attention="fused_softmax", dropout=True)
    ops = {op.name: op for op in train_graph(GPT, Parallel(), training).flat()}
    assert len(ops) == sum(1 for _ in train_graph(GPT, Parallel(), training).flat())
    assert [each.name for each in ops["do.0"].inputs] == ["d.0"]
    gradient = ops["da.0"].inputs[0].name
    assert gradient != "do.0"
    assert [each.name for each in ops[gradient].inputs] == ["dh.0"]


@pytest.mark.parametrize(("dropout", "arrays"), [(False, 1), (True, 2)])
@pytest.mark.parametrize("attention", ["standard", "fused_softmax"])
@pytest.mark.parametrize("parallel", [Parallel(microbatch=BATCH), Parallel(pp=2)], ids=["one", "pipeline"])
def test_weights_of_pairs_are_kept_for_the_backward_pass(
    parallel: Parallel, attention: Any, dropout: bool, arrays: int
) -> None:
    """bf16, a number a head and pair in every layer, and once more what was left of them (Korthikanti et al. 2022, 5 a s^2
    B a layer with a mask of a byte): all of them are there when the loss is, on all stages together; where attention is
    made again those of one layer are."""
    for recompute in ("none", "selective"):
        how: dict[str, Any] = {"attention": attention, "dropout": dropout, "recompute": recompute}
        frame = memory_frame(step(parallel, **how))
        begins = frame["tensor"].astype(str).str.match(r"a[^/]*/(weights|dropped)$")
        loss = frame.loc[frame["tensor"].astype(str).str.startswith("loss"), "begin"].max()
        there = frame[begins & (frame["begin"] <= loss) & (frame["end"] > loss)]
        if recompute == "none" and parallel.pp == 1:
            assert there["bytes"].sum() == 2 * arrays * SCORES
        elif recompute == "none":
            # of two microbatches the last stage has finished one
            assert there["bytes"].sum() >= 2 * arrays * SCORES / BATCH
        else:
            assert len(there) == 0
            assert memory_levels(frame[begins])["bytes"].max() <= 2 * (1 + arrays) * SCORES / GPT.layers


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("attention", ["standard", "fused_softmax"])
def test_what_was_dropped_is_not_held_to_the_end(recompute: Any, attention: Any) -> None:
    """The peak of nine microbatches is that of three: each leaves nothing behind."""
    peaks = []
    for batch in (3, 9):
        training = Training(batch=batch, seq=SEQ, recompute=recompute, attention=attention, dropout=True)
        peaks.append(Estimator(GPT, system_for(Parallel()), RunOptions()).estimate(Parallel(), training).peak_memory)
    assert peaks[1] == pytest.approx(peaks[0], rel=1e-3)


PIPED = Parallel(pp=2, tp=2, microbatch=1)


def test_stages_of_megatron_wait_for_what_they_send() -> None:
    """The bytes of a microbatch cross twice, there and back, and nothing is computed meanwhile on the stage that sends."""
    told: dict[str, Any] = {"batch": 8, "engine": "megatron"}
    slow = RunOptions(overlap="full", efficiency={"nvlink": 0.01})
    graph = train_graph(GPT, PIPED, Training(seq=SEQ, **told))
    waits = [op for op in graph.every_op() if "sent" in (op.option("after") or "")]
    assert waits
    fast = step(PIPED, RunOptions(overlap="full"), **told)
    assert step(PIPED, slow, **told).time_s > fast.time_s


@pytest.mark.parametrize("micro", [2, 5])
@pytest.mark.parametrize("efficiency", [1.0, 0.05])
def test_an_estimate_of_stages_that_wait_is_below_the_run_and_near_it(micro: int, efficiency: float) -> None:
    options = RunOptions(overlap="full", efficiency={"nvlink": efficiency})
    training = Training(batch=micro, seq=SEQ, engine="megatron", attention="fused_softmax", dropout=True)
    system = system_for(PIPED)
    result = simulate(train_graph(GPT, PIPED, training), system, options)
    found = Estimator(GPT, system, options).estimate(PIPED, training)
    assert found.earliest <= result.time_s * (1 + 1e-9) + 1e-12 * len(result.plan.program)
    assert found.earliest >= 0.8 * result.time_s


@pytest.mark.parametrize("batch", [1, 64])
def test_an_estimate_with_a_host_is_that_of_the_run(batch: int) -> None:
    """Of one microbatch: whether the host decides, or the chip."""
    options = RunOptions(calibration="measured", dispatch="eager")
    parallel = Parallel(microbatch=batch)
    training = Training(batch=batch, seq=SEQ, attention="standard", dropout=True)
    system = system_for(parallel)
    result = simulate(train_graph(replace(GPT, layers=2), parallel, training), system, options)
    found = Estimator(replace(GPT, layers=2), system, options).estimate(parallel, training)
    assert found.expected == pytest.approx(result.time_s, rel=0.02)
