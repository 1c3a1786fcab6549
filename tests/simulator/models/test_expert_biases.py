"""Biases of experts that their matmuls' kernels do not add: a row for each that an expert has (MaxText), or the last one
expert by expert with PyTorch's ops (Megatron-LM), whose gates are clamped by kernels of their own.

Closed forms: a gathered bias is read and written for every row, and rows of gradients are read once; an element of two bytes
moves 28 bytes forward expert by expert and 40 back, in 2 E + 2 and 6 E + 3 kernels.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from hw import Mesh, System, load_chip, parse_topology
from simulator import Kernel, Parallel, RunOptions, Training, parse_graph, simulate, train_graph
from simulator.models import Moe
from tests.support.models import SMALL

SEQ, BATCH = 128, 8
MODEL = replace(
    SMALL,
    layers=2,
    moe=Moe(experts=8, top_k=2, d_expert=64),
    ffn=replace(SMALL.ffn, gated=True, activation="clamped_silu", bias=True),
)
ROWS = BATCH * SEQ * 2


def kernels(parallel: Parallel, model: Any = MODEL, **how: Any) -> list[Kernel]:
    chip = load_chip("h100_sxm")
    topology = parse_topology(f"switch({parallel.chips}) over nvlink", chip.links) if parallel.chips > 1 else None
    system = System(chip, topology, Mesh(parallel.mesh))
    plan = simulate(train_graph(model, parallel, Training(batch=BATCH, seq=SEQ, **how)), system).plan
    return [planned.kernel for planned in plan.kernels]


def at_once(**how: Any) -> Parallel:
    """All sequences of a chip in one microbatch."""
    ways = Parallel(**how)
    return replace(ways, microbatch=BATCH // (ways.chips))


def one(line: str, **dims: int) -> Kernel:
    return simulate(parse_graph([line], dims), System(load_chip("tpu_v5p"))).plan.kernels[0].kernel


@pytest.mark.parametrize(("dtype", "item"), [("bf16", 2), ("fp32", 4)])
def test_a_bias_for_every_row_is_read_and_written_for_each(dtype: str, item: int) -> None:
    rows = one(f"r:{dtype}[E,C,D] = expert_rows(b:{dtype}[E,D])", E=4, C=100, D=64)
    assert rows.hbm_bytes == 2 * item * 4 * 100 * 64
    sums = one(f"d:{dtype}[E,D] = expert_rows_backward(g:{dtype}[E,C,D])", E=4, C=100, D=64)
    assert sums.hbm_bytes == item * (4 * 100 * 64 + 4 * 64)
    assert sums.vector_flops == 4 * 100 * 64


@pytest.mark.parametrize(("dtype", "item"), [("bf16", 2), ("fp32", 4)])
def test_a_bias_expert_by_expert_is_passes_in_fp32(dtype: str, item: int) -> None:
    """4 experts of 100 rows of 64: what PyTorch reads and writes in each of its kernels, one after the other."""
    elements, bias = 4 * 100 * 64, item * 4 * 64
    made = one(f"y:{dtype}[E,C,D] = expert_bias(x:{dtype}[E,C,D], b:{dtype}[E,D])", E=4, C=100, D=64)
    product, total, behind, cast = 4, item + 4 + 4, 4 + 4, 4 + item
    assert made.hbm_bytes == elements * (product + total + behind + cast) + bias
    assert made.launches == 4 * 2 + 2
    back = one(f"d:{dtype}[E,C,D] = expert_bias_backward(g:{dtype}[E,C,D], b:{dtype}[E,D])", E=4, C=100, D=64)
    wide, narrow, weighed, behind = item + 4, 4 + item, 4 + 4 + 4, 2 * item
    assert back.hbm_bytes == elements * (wide + narrow + 2 * weighed + behind) + 2 * bias
    assert back.launches == 4 * 6 + 3


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("parallel", [{}, {"dp": 4}, {"ep": 4}, {"dp": 2, "ep": 2}, {"dp": 4, "zero": 3}])
def test_rows_are_gathered_for_three_matmuls_of_a_block(recompute: str, parallel: dict[str, Any]) -> None:
    """Once more with recomputation; each has a gradient of the bias. Of all chips they are as many rows as were sent."""
    ways = at_once(**parallel)
    found = kernels(ways, recompute=recompute, expert_biases="gathered")
    count = Counter(kernel.kind for kernel in found)
    again = 2 if recompute == "full" else 1
    assert count["expert_rows"] == MODEL.layers * 3 * again
    assert count["expert_rows_backward"] == MODEL.layers * 3
    sums = [kernel for kernel in found if kernel.kind == "expert_rows_backward"]
    assert sum(kernel.vector_flops for kernel in sums) * ways.chips == MODEL.layers * ROWS * (64 + 64 + MODEL.d_model)


@pytest.mark.parametrize(("activation", "clamps"), [("clamped_silu", 2), ("silu", 0)])
@pytest.mark.parametrize("parallel", [{}, {"dp": 4}, {"ep": 4}])
def test_megatrons_experts_have_a_bias_expert_by_expert(activation: Any, clamps: int, parallel: dict[str, int]) -> None:
    ways = at_once(**parallel)
    model = replace(MODEL, ffn=replace(MODEL.ffn, activation=activation))
    found = kernels(ways, model, engine="megatron")
    count = Counter(kernel.kind for kernel in found)
    assert (count["expert_bias"], count["expert_bias_backward"]) == (MODEL.layers, MODEL.layers)
    assert (count["clamp"], count["clamp_backward"]) == (clamps * MODEL.layers,) * 2
    # of every block the router's choice is waited for, and a bound of what is clamped
    assert sum(kernel.awaited for kernel in found) == MODEL.layers * (2 if clamps else 1)
    launches = {kernel.launches for kernel in found if kernel.kind == "expert_bias"}
    assert launches == {2 * 8 // ways.ep + 2}


def test_biases_change_nothing_where_there_are_none() -> None:
    plain = replace(MODEL, ffn=replace(MODEL.ffn, bias=False))
    fused, gathered = (kernels(at_once(), plain, expert_biases=how) for how in ("fused", "gathered"))
    assert [(each.name, each.hbm_bytes) for each in fused] == [(each.name, each.hbm_bytes) for each in gathered]


SCATTERED_S = (36.677e-3 - 23.696e-3, 33.162e-3 - 20.451e-3, 37.013e-3 - 23.784e-3, 33.620e-3 - 20.327e-3)
"""What adding up 262,144 rows of 2,048 by a scatter took more than gathering them, on a TPU v5p (marin-community/marin
eada70a363, .agents/projects/moe_hillclimb_harness.md, shape A; two kinds of network, two orders of rows)."""


def test_rows_that_are_scattered_take_what_was_measured() -> None:
    """Rows of sums are read and written there, as often as rows are; here there are few, and they are not counted."""
    sizes = {"T": 32768, "K": 8, "E": 128, "C": 2048, "D": 2048}
    chip = load_chip("tpu_v5p")
    scattered, gathered = (
        simulate(parse_graph([line], sizes), System(chip), RunOptions(calibration="measured")).time_s
        for line in (
            "d:bf16[E,D] = expert_rows_backward(g:bf16[E,C,D])",
            "y:bf16[T,D] = combine(e:bf16[E,C,D], r:fp32[T,K])",
        )
    )
    sums_s = 2 * 262144 * 2048 * 2 / (chip.hbm.bytes_per_s * 0.9)
    assert scattered + sums_s - gathered == pytest.approx(sum(SCATTERED_S) / len(SCATTERED_S), rel=0.02)
