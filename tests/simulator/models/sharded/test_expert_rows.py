"""Experts in inference: rows, FLOPs, bytes and what is sent, however few tokens there are for however many chips.

Closed forms: T tokens of k experts each have T k rows, 2 T k P FLOPs in experts of P parameters; of E experts
E (1 - (1 - k/E)^T) are read; what N chips exchange are these rows, each of d_model numbers, and as many back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hw import SpecError, System, load_chip
from simulator import Inference, Kernel, Parallel, Result, RunOptions, bind, inference_graph, parse_graph, simulate
from simulator.models import Moe
from tests.support.models import SMALL, system_for

D, F = 256, 128
LAYERS = 2
NETWORK = ("egate", "eup", "ed")


def run(moe: Moe, parallel: Parallel, **how: Any) -> Result:
    model = replace(SMALL, layers=LAYERS, moe=moe)
    graph = inference_graph(model, parallel, Inference(**how))
    return simulate(graph, system_for(parallel, node=8), RunOptions(overlap="full"))


def kernels(result: Result) -> list[Kernel]:
    return [each.kernel for each in result.plan.kernels if each.kernel.name.split(".")[0] in NETWORK]


def read(result: Result) -> float:
    """Bytes of experts' weights that a chip reads."""
    return sum(a.nbytes for kernel in kernels(result) for a in kernel.reads if a.tensor.startswith("we"))


@pytest.mark.parametrize(
    ("experts", "top_k", "ep", "batch"),
    [
        (64, 2, 1, 1),
        (64, 2, 1, 16),
        (64, 2, 1, 32),
        (128, 8, 1, 4),
        (128, 8, 1, 16),
        (256, 8, 64, 64),
        (256, 8, 32, 96),
        (8, 2, 8, 8),
        (16, 2, 16, 16),
        (384, 8, 64, 64),
    ],
)
def test_a_decode_step_has_a_row_for_each_expert_of_a_token(experts: int, top_k: int, ep: int, batch: int) -> None:
    moe = Moe(experts=experts, top_k=top_k, d_expert=F)
    result = run(moe, Parallel(ep=ep), mode="decode", batch=batch, context=64)
    assert result.plan.inserted == ()
    flops = sum(kernel.matrix_flops for kernel in kernels(result)) * ep
    assert flops == pytest.approx(LAYERS * 2 * batch * top_k * 3 * D * F, rel=1e-12)
    met = 1 - (1 - top_k / experts) ** batch
    assert read(result) == pytest.approx(LAYERS * met * experts / ep * 3 * D * F * 2, rel=1e-12)
    told = [each.kernel.communication for each in result.plan.kernels if each.kernel.kind == "all_to_all"]
    sent = [each.nbytes for each in told if each is not None]
    # V is what all chips of the group have; there and back in each block
    assert sent == ([batch * top_k * D * 2] * 2 * LAYERS if ep > 1 else [])


@pytest.mark.parametrize("tp", [1, 4])
@pytest.mark.parametrize("dp", [1, 2])
def test_other_axes_leave_rows_as_they_are(tp: int, dp: int) -> None:
    moe = Moe(experts=32, top_k=4, d_expert=F)
    result = run(moe, Parallel(ep=4, tp=tp, dp=dp), mode="decode", batch=8, context=64)
    assert result.plan.inserted == ()
    flops = sum(kernel.matrix_flops for kernel in kernels(result)) * 4 * tp * dp
    assert flops == pytest.approx(LAYERS * 2 * 8 * 4 * 3 * D * F, rel=1e-12)
    # of copies of experts each is met by what all tokens ask of it
    assert read(result) == pytest.approx(LAYERS * (1 - (1 - 4 / 32) ** 8) * 8 / tp * 3 * D * F * 2, rel=1e-12)


def test_a_long_prompt_meets_all_experts() -> None:
    moe = Moe(experts=16, top_k=2, d_expert=F)
    result = run(moe, Parallel(ep=4), mode="prefill", batch=4, seq=777)
    flops = sum(kernel.matrix_flops for kernel in kernels(result)) * 4
    assert flops == pytest.approx(LAYERS * 2 * 4 * 777 * 2 * 3 * D * F, rel=1e-12)
    assert read(result) == pytest.approx(LAYERS * 4 * 3 * D * F * 2, rel=1e-9)


def test_the_fullest_chip_has_more_rows() -> None:
    moe = Moe(experts=16, top_k=2, d_expert=F)
    even, uneven = (
        sum(
            kernel.matrix_flops
            for kernel in kernels(run(moe, Parallel(ep=4, imbalance=more), mode="decode", batch=64, context=9))
        )
        for more in (1.0, 1.5)
    )
    assert uneven == pytest.approx(1.5 * even, rel=1e-12)


def test_tokens_go_to_few_nodes() -> None:
    """One token a chip, eight experts on 4 (1 - (3/4)^8) = 3.6 nodes of four: four copies, and eight rows."""
    moe = Moe(experts=64, top_k=8, d_expert=F)
    result = run(moe, Parallel(ep=16, expert_nodes=4), mode="decode", batch=16, context=64)
    assert result.plan.inserted == ()
    sent: dict[str, list[float]] = {}
    for each in result.plan.kernels:
        told = each.kernel.communication
        if told is not None and told.kind == "all_to_all":
            sent.setdefault(told.axes, []).append(told.nbytes)
    assert sent == {"N": [4 * 4 * D * 2] * 2 * LAYERS, "E": [4 * 8 * D * 2] * 2 * LAYERS}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("y:bf16[R,F] = grouped_matmul(x:bf16[R,D], w:bf16[D,F])", "takes rows"),
        ("y:bf16[R,F] = grouped_matmul(x:bf16[R,F], w:bf16[E,D,F])", "takes rows"),
        ("y:bf16[R,D] = grouped_matmul(x:bf16[R,D], w:bf16[E,D,F])", "makes"),
        ("y:bf16[R,F] = grouped_matmul(x:bf16[R,D], w:bf16[E,D,F], b:bf16[F,E])", "a bias of grouped_matmul"),
        ("y:bf16[R,F] = grouped_matmul(x:bf16[R,D], w:bf16[E,D,F], met=0)", "a share, more than 0"),
        ("y:bf16[R,F] = grouped_matmul(x:bf16[R,D], w:bf16[E,D,F], met=2)", "at most 1"),
    ],
)
def test_what_a_grouped_matmul_cannot_be(line: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        bind(parse_graph([line], {"R": 6, "D": 16, "E": 4, "F": 32}), System(load_chip("h100_sxm")))


@pytest.mark.parametrize("met", [1.0, 0.5, 0.3])
def test_biases_are_added_by_the_kernel(met: float) -> None:
    """2 R D F FLOPs, and R F of the bias; of matrices and biases what is met is read."""
    line = f"y:bf16[R,F] = grouped_matmul(x:bf16[R,D], w:bf16[E,D,F], b:bf16[E,F], met={met})"
    (kernel,) = bind(parse_graph([line], {"R": 6, "D": 16, "E": 4, "F": 32}), System(load_chip("h100_sxm")))
    assert kernel.matrix_flops == pytest.approx(2 * 6 * 16 * 32, rel=1e-12)
    assert kernel.vector_flops == 6 * 32
    assert kernel.hbm_bytes == pytest.approx(2 * (6 * 16 + 6 * 32 + met * 4 * (16 * 32 + 32)), rel=1e-12)
