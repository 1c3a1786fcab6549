"""Llama 3 8B on eight H100 under each kind of parallelism: the scenarios of the library's folder `parallel`.

Laws: whatever is shared, and however, all chips together do the matmuls of one chip; what is sent is hidden only where
something else is there to be done, and `explain` says which.
Source: the claims of the scenarios are closed forms of Rajbhandari et al. 2020 (ZeRO), Korthikanti et al. 2022 (sequence
parallelism), Jacobs et al. 2023 (DeepSpeed-Ulysses) and Lepikhin et al. 2021 (experts).
"""

from __future__ import annotations

from functools import cache

import pytest

from analysis.runs import hidden_communication
from scenarios import load_scenario, run
from simulator import Simulation
from tests.support.cases import overlapse
from tests.support.claims import SLACK

ALONE = "llama3_8b_one_chip"
LAYOUTS = {
    "zero": ("llama3_8b_zero", "zero: 3"),
    "tensor": ("llama3_8b_tensor", "tp: 8"),
    "whole tokens": ("llama3_8b_tensor", "tp: 8, sequence: false"),
    "pipeline": ("llama3_8b_pipeline", "pp: 8, layers: [4, 4, 4, 4, 4, 4, 4, 4]"),
    "uneven pipeline": ("llama3_8b_pipeline", "pp: 8, layers: [5, 5, 4, 4, 4, 4, 4, 2]"),
    "context": ("llama3_8b_context", "cp: 8, zero: 3"),
    "ring": ("llama3_8b_context", "cp: 8, zero: 3, context: ring"),
    "exchanged heads": ("llama3_8b_context", "cp: 8, zero: 3, context: all_to_all"),
    "all": ("llama3_8b_zero", "tp: 2, pp: 2, cp: 2, zero: 1"),
}


@cache
def matmul_flops(name: str, parallel: str) -> float:
    """Matmul FLOPs of all chips, each class of chips counted for those that it stands for."""
    changes = [f"workload.parallel={{{parallel}}}", "study=", "expect="] if parallel else []
    scenario = load_scenario(f"library:{name}", changes)
    assert scenario.graph is not None
    plan = Simulation(scenario.graph, scenario.system, scenario.options).plan
    members = {chip: len(plan.members(chip)) for chip in plan.simulated}
    of_sorts = [sort.kernel.matrix_flops * sum(members[chip] for chip in sort.chips) for sort in plan.kernels.sorts]
    return sum(of_sorts[code] for code in plan.kernels.code)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_all_chips_together_do_the_matmuls_of_one(name: str) -> None:
    assert matmul_flops(*LAYOUTS[name]) == pytest.approx(matmul_flops(ALONE, ""), rel=SLACK)


def told(name: str, *changes: str) -> str:
    """What `explain` says of communication, on one line."""
    given = [f"--set={each}" for each in ("study=", "expect=", *changes)]
    shown = overlapse("explain", f"library:{name}", *given)
    assert shown.exit_code == 0, shown.output
    part = shown.output.partition("communication, hidden or exposed")[2].partition("ops as understood")[0]
    return " ".join(part.split())


@pytest.mark.long
def test_explain_says_that_tensor_parallel_gathers_are_exposed() -> None:
    """Nothing else can be done while a block waits for its tokens."""
    lines = told("llama3_8b_tensor")
    for op in ("n1g (all_gather over T)", "dd (all_gather over T)"):
        assert "exposed, none of it hidden" in lines.partition(op)[2].split(". ")[0]


@pytest.mark.long
def test_explain_says_that_gathers_of_weights_are_hidden_and_without_prefetch_are_not() -> None:
    ahead = told("llama3_8b_zero", "workload.parallel.zero=3")
    assert "rwL (all_gather)" in ahead.partition("Hidden behind arithmetic")[2]
    late = told("llama3_8b_zero", "workload.parallel={zero: 3, prefetch: 0}")
    shown, _, behind = late.partition("Hidden behind arithmetic")
    assert "rwL (all_gather over D)" in shown
    assert "rwL" not in behind


def test_gradients_are_hidden_behind_the_backward_pass_unless_they_wait_for_its_end() -> None:
    shares = []
    for beside in ("true", "false"):
        changes = [f"workload.parallel={{zero: 1, overlap_gradients: {beside}}}", "study=", "expect="]
        found = hidden_communication(run("library:llama3_8b_zero", changes).result)
        shares.append({each.op: each.share for each in found}["rL"])
    assert shares[0] > 0.9
    assert shares[1] < 0.5
