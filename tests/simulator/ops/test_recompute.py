"""MFU counts the FLOPs of the model, HFU those that are done again too (Chowdhery et al. 2022, appendix B)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import Summary
from hw import SpecError, System, load_chip
from simulator import FuseRule, RunOptions, Simulation, parse_graph
from tests.support.claims import of_library

DIMS = {"B": 4096, "D": 4096, "F": 4096}
FLOPS = 2 * 4096**3


def words(lines: list[str], fuse: FuseRule = "none") -> Summary:
    graph = replace(parse_graph(lines, DIMS), fuse=fuse)
    simulation = Simulation(graph, System(load_chip("tpu_v5e")), RunOptions(overlap="full"))
    return Summary(simulation.plan, simulation.run)


def test_a_layer_computed_twice_has_six_of_its_eight_pb_in_the_model() -> None:
    assert of_library("dense_layer_recompute", "mfu") == pytest.approx(0.75)
    assert of_library("dense_layer_recompute", "hfu") == pytest.approx(1.0)
    for word in ("mfu", "hfu"):
        assert of_library("dense_layer_training", word) == pytest.approx(1.0)


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_only_what_the_model_asks_counts(again: list[bool]) -> None:
    flags = [", recompute=true" if each else "" for each in again]
    lines = [f"y{at}:bf16[B,F] = matmul(x{at}:bf16[B,D], w:bf16[D,F]{flag})" for at, flag in enumerate(flags)]
    lines = [line.replace("w:bf16[D,F]", "w") if at else line for at, line in enumerate(lines)]
    found = words(lines)
    assert found["hfu"] == pytest.approx(1.0, rel=1e-6)
    assert found["mfu"] == pytest.approx(again.count(False) / len(again), rel=1e-6)
    assert found["flops"] == len(again) * FLOPS  # what is done is done


def test_a_fused_kernel_keeps_apart_what_its_members_do_again() -> None:
    lines = [
        "h:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], recompute=true)",
        "a:bf16[B,F] = gelu(h, recompute=true)",
        "y:bf16[B,D] = matmul(a, v:bf16[F,D])",
    ]
    found = words(lines, fuse=[["h", "a"]])
    assert float(found["mfu"] or 0) / float(found["hfu"] or 1) == pytest.approx(0.5)
    mixed = words([lines[0], "a:bf16[B,F] = gelu(h)", lines[2]], fuse=[["h", "a"]])
    assert float(mixed["mfu"] or 0) / float(mixed["hfu"] or 1) == pytest.approx(0.5)


def test_another_word_than_true_or_false_is_refused() -> None:
    with pytest.raises(SpecError, match=r"unknown value 'yes'.*recompute="):
        words(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], recompute=yes)"])
