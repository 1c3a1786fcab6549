"""Tokens brought to experts and back by matmuls with masks: the einsums BSM,BSEC->EBCM and EBCM,BSEC->BSM of GShard.

Closed form: S tokens of a sequence with k experts each have c k S slots under a capacity of c times the mean, so that each
einsum is 2 S (c k S) M FLOP a sequence. Forward has two, backward three (rows to tokens, rows and weights from tokens), and
full recomputation brings tokens to experts once more.
Source: Lepikhin et al. 2021 (GShard), algorithm 1.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from analysis import Summary
from hw import Mesh, SpecError, System, load_chip, parse_topology
from simulator import Parallel, Result, Training, parse_graph, print_items, simulate, train_graph
from simulator.models import Moe
from tests.support.models import SMALL
from tests.support.training_steps import flops_of_all, matrix_flops

SEQ, BATCH = 128, 8
MODEL = replace(SMALL, layers=2, moe=Moe(experts=32, top_k=4, d_expert=64))


def step(parallel: Parallel, **how: Any) -> Result:
    chip = load_chip("h100_sxm")
    topology = parse_topology(f"switch({parallel.chips}) over nvlink", chip.links) if parallel.chips > 1 else None
    system = System(chip, topology, Mesh(parallel.mesh))
    return simulate(train_graph(MODEL, parallel, Training(batch=BATCH, seq=SEQ, **how)), system)


@pytest.mark.parametrize(("recompute", "einsums"), [("none", 5), ("full", 6)])
@pytest.mark.parametrize("parallel", [{}, {"dp": 4}, {"ep": 4}, {"dp": 2, "ep": 2}])
@pytest.mark.parametrize("capacity", [1.0, 1.25])
def test_einsums_have_the_flops_of_their_masks(
    recompute: str, einsums: int, parallel: dict[str, int], capacity: float
) -> None:
    ways = Parallel(**parallel, imbalance=capacity)  # type: ignore[arg-type]
    copied, masked = (step(ways, recompute=recompute, one_hot=how) for how in (False, True))
    slots = capacity * 4 * SEQ
    told = MODEL.layers * BATCH * einsums * 2 * SEQ * slots * MODEL.d_model
    assert matrix_flops(masked) - matrix_flops(copied) == pytest.approx(told, rel=1e-9)
    assert flops_of_all(masked) - flops_of_all(copied) == pytest.approx(told * 5 / einsums, rel=1e-9)


@pytest.mark.parametrize("recompute", ["none", "full"])
@pytest.mark.parametrize("parallel", [{}, {"tp": 2}, {"ep": 4}, {"tp": 2, "cp": 2}])
@pytest.mark.parametrize("capacity", [1.0, 1.25])
def test_masks_are_in_hfu_and_not_in_mfu_and_the_printed_graph_says_the_same(
    recompute: str, parallel: dict[str, int], capacity: float
) -> None:
    """Seconds at the chips' peak that both words count: of the model as where tokens are copied, of what is done more."""
    ways = Parallel(**parallel, imbalance=capacity)  # type: ignore[arg-type]
    counted = {how: _counted(step(ways, recompute=recompute, one_hot=how)) for how in (False, True)}
    assert counted[True]["mfu"] == pytest.approx(counted[False]["mfu"], rel=1e-9)
    assert counted[True]["hfu"] > 1.01 * counted[False]["hfu"]
    graph = train_graph(MODEL, ways, Training(batch=BATCH, seq=SEQ, recompute=recompute, one_hot=True))
    printed = replace(parse_graph(print_items(graph.items), graph.dims), fuse=graph.fuse)
    chip = load_chip("h100_sxm")
    topology = parse_topology(f"switch({ways.chips}) over nvlink", chip.links) if ways.chips > 1 else None
    again = _counted(simulate(printed, System(chip, topology, Mesh(ways.mesh))))
    assert again == pytest.approx(counted[True], rel=1e-9)


def _counted(result: Result) -> dict[str, float]:
    words = Summary(result.plan, lambda: result)
    return {word: float(words[word]) * result.time_s for word in ("mfu", "hfu")}  # type: ignore[arg-type]


def test_masks_are_written_and_read_once_for_each_einsum() -> None:
    """2 sequences of 64 tokens and 4 experts of 48 slots: rows of 32, and masks of 64 x 192 / 2 each."""
    dims = {"B": 2, "S": 64, "E": 4, "C": 48, "D": 32, "K": 2}
    lines = [
        "e:bf16[E,C,D] = dispatch(x:bf16[B,S,D], r:fp32[B,S,K], one_hot=true)",
        "y:bf16[B,S,D] = combine(e, r, one_hot=true)",
    ]
    result = simulate(parse_graph(lines, dims), System(load_chip("tpu_v6e")))
    for planned in result.plan.kernels:
        kernel = planned.kernel
        assert kernel.matrix_flops == 2 * 64 * 192 * 32
        assert kernel.hbm_bytes == 2 * (2 * 64 * 32 + 192 * 32 + 2 * 64 * 192)


def test_tokens_by_masks_are_not_sent_to_nodes_first() -> None:
    with pytest.raises(SpecError, match="one_hot brings tokens to experts by matmuls"):
        train_graph(MODEL, Parallel(ep=4, expert_nodes=2), Training(batch=4, seq=SEQ, one_hot=True))


@pytest.mark.parametrize(("one_hot", "each"), [(False, {"m": 6, "k": 3}), (True, {})])
def test_experts_have_as_many_rows_as_ask_for_them_unless_masks_make_them_alike(
    one_hot: bool, each: dict[str, int]
) -> None:
    """Of three matmuls a block: rows forward, their gradients, and those of weights, which go along rows."""
    kernels = [planned.kernel for planned in step(Parallel(microbatch=BATCH), one_hot=one_hot).plan.kernels]
    found = Counter(part.ragged for kernel in kernels for part in kernel.contractions if part.ragged)
    assert found == {name: count * MODEL.layers for name, count in each.items()}


@pytest.mark.parametrize("name", ["E", "X"])
def test_what_is_ragged_is_rows_of_a_group(name: str) -> None:
    line = f"y:bf16[E,C,F] = matmul(x:bf16[E,C,D], w:bf16[E,D,F], ragged={name})"
    graph = parse_graph([line], {"E": 2, "C": 8, "D": 8, "F": 8})
    with pytest.raises(SpecError, match=f"ragged= names a dim that is no batch of matmul; '{name}' is none"):
        simulate(graph, System(load_chip("tpu_v6e")))
