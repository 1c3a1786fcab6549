"""The best way to fuse: no other partition takes less, and the run takes what is said."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, RunError, SpecError, System, load_chip, parse_topology
from simulator import FusionCosts, OpGraph, RunOptions, best_fusion, parse_graph, simulate
from tests.support.calls import calls_of

KINDS = ("relu", "gelu", "softmax", "rms_norm", "matmul", "add", "branch")


def chain(kinds: Sequence[str], size: int) -> OpGraph:
    """Square ops in a row; `add` takes in what was made two ops before, too, `branch` runs at half efficiency."""
    lines, made = [], ["x", "x"]
    for number, kind in enumerate(kinds):
        name, last = f"o{number}", made[-1]
        typed = f"{last}:bf16[B,D]" if last == "x" and number == 0 else last
        calls = {
            "matmul": f"matmul({typed}, w{number}:bf16[D,D])",
            "add": f"add({typed}, {made[-2] if made[-2] != last else f'z{number}:bf16[B,D]'})",
            "branch": f"elementwise({typed}, flops=2, efficiency=0.5)",
        }
        lines.append(f"{name}:bf16[B,D] = {calls.get(kind, f'{kind}({typed})')}")
        made.append(name)
    return parse_graph(lines, {"B": 4 * size, "D": size})


def system(on_chip_kib: int) -> System:
    return System(load_chip("a100_40gb_sxm", set={"on_chip.capacity": f"{on_chip_kib} KiB"}))


BRANCHED = {
    "repeat": 0,
    "carry": {"x0": "x6"},
    "ops": [
        "x1:bf16[B,D] = relu(x0:bf16[B,D])",
        "x2:bf16[B,D] = add(x1, x0)",
        "x3:bf16[B,D] = add(x2, x1)",
        "x4:bf16[B,D] = add(x3, x1)",
        "x5:bf16[B,D] = add(x4, x3)",
        "x6:bf16[B,D] = add(x5, x3)",
    ],
}


@pytest.mark.parametrize("on_chip_kib", [1, 4096])
def test_what_fusing_costs_grows_as_the_rounds_do(on_chip_kib: int) -> None:
    """Searched, and with all rounds in one kernel: twice the rounds are twice the work, whether groups spill or not."""

    def work(rounds: int) -> None:
        graph = parse_graph([{**BRANCHED, "repeat": rounds}], {"B": 512, "D": 1024})
        best_fusion(graph, system(on_chip_kib))
        simulate(replace(graph, fuse="elementwise"), system(on_chip_kib), RunOptions())

    work(4)  # what is remembered, is
    few, many = (calls_of(partial(work, rounds)) for rounds in (50, 100))
    assert many < 2.2 * few


def partitions(names: Sequence[str]) -> Iterator[list[list[str]]]:
    """Every way to cut a sequence."""
    for cuts in itertools.product((False, True), repeat=len(names) - 1):
        groups = [[names[0]]]
        for name, cut in zip(names[1:], cuts, strict=True):
            if cut:
                groups.append([name])
            else:
                groups[-1].append(name)
        yield groups


OPTIONS = RunOptions(overlap="full", launch_s=2e-6)


@settings(max_examples=12)
@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    st.sampled_from([16, 64, 40_000]),
    st.sampled_from([128, 1024]),
)
def test_no_partition_runs_faster(kinds: list[str], on_chip_kib: int, size: int) -> None:
    """Brute force over runs, with spills, reductions and branches that run at half efficiency."""
    graph, chip = chain(kinds, size), system(on_chip_kib)
    found = best_fusion(graph, chip, OPTIONS)
    best_s = simulate(replace(graph, fuse=found.rule), chip, OPTIONS).time_s
    assert best_s == pytest.approx(found.time_s, rel=1e-6)
    assert simulate(graph, chip, OPTIONS).time_s == pytest.approx(found.apart_s, rel=1e-6)
    times = []
    for groups in partitions([f"o{number}" for number in range(len(kinds))]):
        try:
            rule = [group for group in groups if len(group) > 1]
            times.append(simulate(replace(graph, fuse=rule), chip, OPTIONS).time_s)
        except (SpecError, RunError):
            continue  # a stranger stands in a group
    assert best_s == pytest.approx(min(times), rel=1e-9, abs=len(kinds) * 1e-12)


@settings(max_examples=8)
@given(
    st.lists(st.sampled_from(KINDS), min_size=8, max_size=12),
    st.sampled_from([16, 64, 40_000]),
    st.sampled_from([None, 0, 1]),
)
def test_dynamic_programming_is_brute_force(kinds: list[str], on_chip_kib: int, most: int | None) -> None:
    """Up to 12 ops, 2048 partitions, group by group, also where groups may have few matmuls."""
    graph, chip = chain(kinds, 512), system(on_chip_kib)
    costs, names = FusionCosts(graph, chip, OPTIONS), [f"o{number}" for number in range(len(kinds))]
    takes: dict[tuple[str, ...], float | None] = {(name,): costs.apart_s([name]) for name in names}
    best_s = float("inf")
    for groups in partitions(names):
        times = []
        for group in map(tuple, groups):
            if group not in takes:
                priced = costs.group(group)
                many = most is not None and costs.contractions(group) > most
                takes[group] = None if priced is None or many else priced.time_s
            times.append(takes[group])
        if None not in times:
            best_s = min(best_s, sum(time or 0.0 for time in times))
    found = best_fusion(graph, chip, OPTIONS, most)
    assert found.time_s == pytest.approx(best_s, rel=1e-12)
    assert found.partitions == 2 ** (len(kinds) - 1)
    assert sum(group.saved_s for group in found.groups) == pytest.approx(
        found.apart_s - found.time_s, rel=1e-6, abs=1e-12
    )


def test_a_collective_parts_chains() -> None:
    chip = load_chip("a100_40gb_sxm")
    pair = System(chip, parse_topology("full(2)", chip.links), Mesh({"X": 2}))
    graph = parse_graph(
        [
            "y:bf16[B,D]{U_X} = matmul(x:bf16[B,F_X], w:bf16[F_X,D])",
            "z:bf16[B,D] = all_reduce(y, over=X)",
            "b:bf16[B,D] = gelu(z)",
            "c:bf16[B,D] = relu(b)",
        ],
        {"B": 1024, "D": 1024, "F": 2048},
    )
    assert FusionCosts(graph, pair, OPTIONS).chains == [("y",), ("b", "c")]
    found = best_fusion(graph, pair, OPTIONS)
    assert found.rule == [["b", "c"]]
    saved_s = simulate(graph, pair, OPTIONS).time_s - simulate(replace(graph, fuse=found.rule), pair, OPTIONS).time_s
    assert saved_s == pytest.approx(found.apart_s - found.time_s, rel=1e-6)


def test_a_block_is_searched_once() -> None:
    """Groups hold in every round of it."""
    graph = parse_graph(
        [
            {
                "repeat": 3,
                "carry": {"x": "y"},
                "ops": ["a:bf16[B,D] = relu(x:bf16[B,D])", "b:bf16[B,D] = gelu(a)", "y:bf16[B,D] = tanh(b)"],
            },
            "u:bf16[B,D] = relu(y)",
            "v:bf16[B,D] = gelu(u)",
        ],
        {"B": 4096, "D": 4096},
    )
    chip = system(40_000)
    assert FusionCosts(graph, chip, OPTIONS).chains == [("a", "b", "y"), ("u", "v")]
    found = best_fusion(graph, chip, OPTIONS)
    assert found.rule == [["a", "b", "y"], ["u", "v"]]
    # a read and a write of 2 B D bytes each, and a start, for each of four kernels: three rounds and the end
    expected = 4 * (2 * 2 * 4096 * 4096 / chip.chip.hbm.bytes_per_s + 2e-6)
    assert found.time_s == pytest.approx(expected, rel=1e-6)
    assert simulate(replace(graph, fuse=found.rule), chip, OPTIONS).time_s == pytest.approx(expected, rel=1e-6)


def test_what_spills_is_not_worth_a_group() -> None:
    """Nothing fits on chip: fusing saves starts alone, and none without them."""
    graph = chain(["relu", "gelu", "relu"], 1024)
    free = RunOptions(overlap="full")
    assert best_fusion(graph, system(1), free).time_s == pytest.approx(best_fusion(graph, system(1), free).apart_s)
    assert best_fusion(graph, system(1), free).groups == ()
